//! Makes wrong inputs out of right ones, the same ones for the same seed.
//!
//! Knows the form of JSON, of lines and of words, because a decoder's depths are only reached by what
//! is nearly right. Knows no decoder.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

/// As long as the largest message.
const LONGEST: usize = 1024 * 1024;

/// Numbers at the edge of some type, and texts that mean something to somebody.
const ODD_WORDS: &[&str] = &[
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0",
    "0x10",
    "1_000",
    "NaN",
    "inf",
    "null",
    "true",
    "false",
    "",
    " ",
    "..",
    "../..",
    "/",
    "//",
    "\\",
    "\\u0000",
    "\\ud800",
    "\0",
    "\r\n",
    "\n",
    "\t",
    "\u{1b}[31m",
    "\u{1b}]",
    "\u{9b}",
    "\u{7f}",
    "\u{202e}",
    "\u{feff}",
    "\u{fffd}",
    "ü",
    "漢",
    "🦀",
    "\u{301}",
    "%00",
    "%",
    "%2",
    "%ff",
    "--",
    "-x",
    "@",
    ":",
    "=",
    "==",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "{}",
    "[]",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "#",
    "$(id)",
    "`id`",
    ";",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "-009999-01-01T00:00:00Z",
    "1h",
    "99999999999h",
    "refs/",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];

/// Makes inputs for one decoder.
pub(crate) struct Mutator<'e> {
    seed: u64,
    examples: &'e [Vec<u8>],
    /// Those of the examples that are JSON.
    values: Vec<Value>,
    /// Every text in them.
    strings: Vec<String>,
    rng: StdRng,
}

impl<'e> Mutator<'e> {
    pub(crate) fn new(name: &str, examples: &'e [Vec<u8>], seed: u64) -> Self {
        // FNV-1a: another stream of inputs for each decoder.
        let seed = name
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let values: Vec<Value> = examples.iter().filter_map(|example| serde_json::from_slice(example).ok()).collect();
        let mut strings = Vec::new();
        values.iter().for_each(|value| collect(value, &mut strings));
        Self { seed, examples, values, strings, rng: StdRng::seed_from_u64(seed) }
    }

    /// The input of this number.
    pub(crate) fn input(&mut self, number: u64) -> Vec<u8> {
        self.rng = StdRng::seed_from_u64(self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let (mut bytes, changes) = match self.rng.random_range(0..20) {
            0 => return self.noise(),
            // Worth a look as it is.
            1..=10 if !self.values.is_empty() => (self.changed_value(), self.rng.random_range(0..2)),
            _ => {
                let example = self.examples.choose(&mut self.rng).cloned().unwrap_or_default();
                (example, 1 + self.rng.random::<u16>().trailing_zeros())
            }
        };
        for _ in 0..changes {
            self.change(&mut bytes);
        }
        if self.rng.random_ratio(1, 200) {
            self.blow_up(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.rng.random_range(0..300);
        let ascii = self.rng.random_bool(0.5);
        (0..length).map(|_| if ascii { self.rng.random_range(9..127) } else { self.rng.random() }).collect()
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.piece(bytes);
        match self.rng.random_range(0..14) {
            0 => flip(bytes, from, 1 << self.rng.random_range(0..8)),
            1 => put(bytes, from, to, &[self.rng.random()]),
            2 => bytes.truncate(from),
            3 => drop(bytes.drain(from..to)),
            4 => {
                let piece = bytes[from..to].to_vec();
                let at = self.rng.random_range(0..=bytes.len());
                put(bytes, at, at, &piece);
            }
            5 => {
                let other = self.examples.choose(&mut self.rng).cloned().unwrap_or_default();
                let (start, end) = self.piece(&other);
                put(bytes, from, to, &other[start..end]);
            }
            6 => {
                let other = self.examples.choose(&mut self.rng).cloned().unwrap_or_default();
                let (start, _) = self.piece(&other);
                bytes.truncate(from);
                bytes.extend_from_slice(&other[start..]);
            }
            7 => {
                let count = self.rng.random_range(2..40);
                let piece = bytes[from..to].repeat(count);
                put(bytes, from, to, &piece);
            }
            8 => {
                // Lengths and counts of binary forms.
                let odd: u32 = *[0, 1, 0x7f, 0xff, 0x7fff_ffff, u32::MAX].choose(&mut self.rng).unwrap_or(&0);
                let end = bytes.len().min(from + 4);
                put(bytes, from, end, &odd.to_be_bytes());
            }
            9 | 10 => self.change_lines(bytes),
            _ => {
                let (from, to) = self.word(bytes);
                if self.rng.random_bool(0.5) {
                    let odd = ODD_WORDS.choose(&mut self.rng).copied().unwrap_or_default();
                    put(bytes, from, to, odd.as_bytes());
                } else {
                    let other = self.examples.choose(&mut self.rng).cloned().unwrap_or_default();
                    let (start, end) = self.word(&other);
                    put(bytes, from, to, &other[start..end]);
                }
            }
        }
    }

    /// Somewhere, and mostly not long.
    fn piece(&mut self, bytes: &[u8]) -> (usize, usize) {
        let from = self.rng.random_range(0..=bytes.len());
        let longest = if self.rng.random_bool(0.8) { 16 } else { bytes.len() };
        let length = self.rng.random_range(0..=longest);
        (from, bytes.len().min(from + length))
    }

    /// A run of letters and digits, or one other byte.
    fn word(&mut self, bytes: &[u8]) -> (usize, usize) {
        let at = self.rng.random_range(0..=bytes.len());
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        let from = at - bytes[..at].iter().rev().take_while(|byte| is_word(byte)).count();
        let to = at + bytes[at..].iter().take_while(|byte| is_word(byte)).count();
        if from == to { (at, bytes.len().min(at + 1)) } else { (from, to) }
    }

    fn change_lines(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let (one, two) = (self.rng.random_range(0..lines.len()), self.rng.random_range(0..lines.len()));
        match self.rng.random_range(0..3) {
            0 => lines.swap(one, two),
            1 => drop(lines.remove(one)),
            _ => lines.insert(one, lines[two]),
        }
        *bytes = lines.join(&b'\n');
    }

    /// Something of it very often: what is slow is slow with much.
    fn blow_up(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = if self.rng.random_bool(0.5) { self.word(bytes) } else { self.piece(bytes) };
        let room = if self.rng.random_ratio(1, 10) { LONGEST } else { 64 * 1024 };
        if to > from && bytes.len() < room {
            let piece = bytes[from..to].repeat((room - bytes.len()) / (to - from));
            put(bytes, from, to, &piece);
        }
    }

    /// A JSON example with something of it exchanged, added or left out.
    fn changed_value(&mut self) -> Vec<u8> {
        let mut value = self.values.choose(&mut self.rng).cloned().unwrap_or_default();
        for _ in 0..self.rng.random_range(1..4) {
            let donor = self.odd_value();
            self.change_in(&mut value, donor);
        }
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// Goes down a random way and changes what stands at its end.
    fn change_in(&mut self, value: &mut Value, donor: Value) {
        let deeper = self.rng.random_bool(0.8);
        match value {
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let at = self.rng.random_range(0..fields.len());
                let name = fields.keys().nth(at).cloned().unwrap_or_default();
                match self.rng.random_range(0..8) {
                    0 => drop(fields.remove(&name)),
                    1 => {
                        let moved = fields.remove(&name).unwrap_or_default();
                        let odd = ODD_WORDS.choose(&mut self.rng).copied().unwrap_or_default();
                        fields.insert(odd.to_owned(), moved);
                    }
                    _ => self.change_in(fields.entry(name).or_insert(Value::Null), donor),
                }
            }
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.rng.random_range(0..items.len());
                match self.rng.random_range(0..6) {
                    0 => drop(items.remove(at)),
                    1 => items.push(donor),
                    2 => {
                        let again = items[at].clone();
                        items.resize(items.len() + self.rng.random_range(1..50), again);
                    }
                    _ => self.change_in(&mut items[at], donor),
                }
            }
            _ => *value = self.similar(value).unwrap_or(donor),
        }
    }

    /// Another value of the same type, every other time: what has the right type gets further in.
    fn similar(&mut self, value: &Value) -> Option<Value> {
        if self.rng.random_bool(0.5) {
            return None;
        }
        match value {
            Value::Bool(value) => Some(json!(!value)),
            Value::Number(_) => Some(json!(self.rng.random::<u64>() >> self.rng.random_range(0..64))),
            Value::String(_) => self.strings.choose(&mut self.rng).map(|text| json!(text)),
            _ => None,
        }
    }

    fn odd_value(&mut self) -> Value {
        let word = |rng: &mut StdRng| ODD_WORDS.choose(rng).copied().unwrap_or_default().to_owned();
        match self.rng.random_range(0..10) {
            0 => Value::Null,
            1 => json!(self.rng.random::<bool>()),
            2 => json!(self.rng.random::<u64>()),
            3 => json!(self.rng.random::<i64>()),
            4 => json!(f64::from_bits(self.rng.random())),
            5 => json!(word(&mut self.rng).repeat(self.rng.random_range(0..100))),
            6 => Value::Array(vec![json!(word(&mut self.rng)); self.rng.random_range(0..20)]),
            7 => Value::Object(Map::from_iter([(word(&mut self.rng), json!(word(&mut self.rng)))])),
            8 => self.values.choose(&mut self.rng).cloned().unwrap_or_default(),
            _ => json!(word(&mut self.rng)),
        }
    }
}

fn collect(value: &Value, strings: &mut Vec<String>) {
    match value {
        Value::String(text) => strings.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, strings)),
        _ => {}
    }
}

fn flip(bytes: &mut [u8], at: usize, bit: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bit;
    }
}

fn put(bytes: &mut Vec<u8>, from: usize, to: usize, new: &[u8]) {
    drop(bytes.splice(from..to, new.iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_always_makes_the_same_input_and_another_number_another_one() {
        let examples = [br#"{"a": [1, {"b": "c"}]}"#.to_vec(), b"x = 1\n[y]\n".to_vec()];
        let mut mutator = Mutator::new("test", &examples, 7);
        let inputs: Vec<_> = (0..2000).map(|number| mutator.input(number)).collect();
        assert_eq!(Mutator::new("test", &examples, 7).input(1999), inputs[1999]);
        let different = inputs.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(different > 1500, "only {different} different ones of 2000");
        assert!(inputs.iter().any(|input| input.len() > 60_000), "some are large");
    }
}
