//! JUnit XML in the dialects that are met: Surefire, Gradle, pytest, Jest, go-junit-report, nextest, GoogleTest.
//!
//! There is no binding schema, so nothing is required but the two elements that all of them have. Entities
//! beyond the five of XML are not expanded and nothing outside the bytes is read.

use messages::{TestCase, TestOutcome};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use crate::Collector;
use crate::collector::short_name;
use crate::excerpt::{Excerpt, split};
use crate::place::of_path;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
/// The deepest nesting of elements.
pub const MAX_DEPTH: usize = 64;
/// The most attributes of one element that are looked at.
const MAX_ATTRIBUTES: usize = 64;
/// The longest attribute that is looked at; names and messages are cut far below it.
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// Why a file gave nothing, or not all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotJunit {
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("it has {bytes} bytes, the limit is {MAX_FILE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("its elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Something else.
    #[error("its first element is <{root}>, and not <testsuites> or <testsuite>")]
    Root {
        /// What it begins with, shortened.
        root: String,
    },
    /// No element at all.
    #[error("it holds no element")]
    Empty,
    /// Not well formed, or cut off: what stands before is read.
    #[error("it is not well-formed XML at byte {position}: {cause}")]
    Broken {
        /// Where.
        position: u64,
        /// The reader's words, shortened.
        cause: String,
    },
}

/// Reads one file into `collector`.
///
/// # Errors
/// [`NotJunit`]; what was understood before stays.
pub fn junit(bytes: &[u8], collector: &mut Collector) -> Result<(), NotJunit> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(NotJunit::TooLarge { bytes: bytes.len() });
    }
    let text = decoded(bytes);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.expand_empty_elements = true;
    let mut walk = Walk { collector, open: Vec::new(), case: None, text: Excerpt::default(), began: false };
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(cause) => {
                walk.leave_case();
                let cause = split(&cause.to_string(), 200).0.to_owned();
                return Err(NotJunit::Broken { position: reader.error_position(), cause });
            }
        };
        match event {
            Event::Start(_) if walk.collector.is_full() => return Ok(()),
            Event::Start(element) => walk.enter(&element)?,
            Event::End(_) => walk.leave(),
            Event::Text(text) if walk.listens() => walk.text.push(&text.into_inner()),
            Event::CData(text) if walk.listens() => walk.text.push(&text.into_inner()),
            Event::GeneralRef(name) if walk.listens() => {
                let name = name.into_inner();
                let whole = format!("&{};", split(&name, 100).0);
                // What is no entity of XML stands as it was written.
                walk.text.push(&unescape(&whole).unwrap_or(std::borrow::Cow::Borrowed(&whole)));
            }
            Event::Eof if !walk.began => return Err(NotJunit::Empty),
            Event::Eof if !walk.open.is_empty() => {
                walk.leave_case();
                let position = reader.buffer_position();
                return Err(NotJunit::Broken { position, cause: "it ends in the middle".to_owned() });
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn decoded(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    let wide = |bytes: &[u8], word: fn([u8; 2]) -> u16| {
        let words = bytes.chunks_exact(2).map(|pair| word([pair[0], pair[1]]));
        char::decode_utf16(words).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// What an open element is to us.
enum Open {
    /// A suite, with the names of those around it.
    Suite {
        name: String,
        file: Option<String>,
    },
    Case,
    /// Speaks of the case, or of the suite if there is no case: the outcome it stands for.
    Word(Word),
    /// Output, properties and whatever a dialect adds.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Failure,
    Error,
    Skipped,
    /// A failed run before a good one (Surefire, Gradle, nextest).
    FlakyRun,
    /// A further failed run; red only together with a failure.
    Rerun,
}

struct Draft {
    case: TestCase,
    words: Vec<Word>,
    message: Excerpt,
}

struct Walk<'c> {
    collector: &'c mut Collector,
    open: Vec<Open>,
    case: Option<Draft>,
    /// The text of the word that is open.
    text: Excerpt,
    began: bool,
}

#[derive(Default)]
struct Attributes {
    name: Option<String>,
    class: Option<String>,
    time: Option<String>,
    file: Option<String>,
    line: Option<String>,
    message: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    result: Option<String>,
}

impl Attributes {
    fn of(element: &BytesStart<'_>) -> Self {
        let mut found = Self::default();
        // Its check for doubles costs the square of their number.
        for attribute in element.attributes().with_checks(false).take(MAX_ATTRIBUTES).flatten() {
            let place = match attribute.key.local_name().into_inner() {
                "name" => &mut found.name,
                "classname" | "class" => &mut found.class,
                "time" | "duration" => &mut found.time,
                "file" | "filepath" => &mut found.file,
                "line" | "lineno" => &mut found.line,
                "message" => &mut found.message,
                "type" => &mut found.kind,
                "status" => &mut found.status,
                "result" => &mut found.result,
                _ => continue,
            };
            let raw = split(&attribute.value, MAX_ATTRIBUTE_BYTES).0;
            *place = Some(unescape(raw).map_or_else(|_| raw.to_owned(), std::borrow::Cow::into_owned));
        }
        found
    }
}

impl Walk<'_> {
    fn listens(&self) -> bool {
        matches!(self.open.last(), Some(Open::Word(_)))
    }

    fn enter(&mut self, element: &BytesStart<'_>) -> Result<(), NotJunit> {
        if self.open.len() >= MAX_DEPTH {
            self.leave_case();
            return Err(NotJunit::TooDeep);
        }
        let name = element.local_name();
        let name = name.into_inner();
        if !self.began {
            if !matches!(name, "testsuites" | "testsuite") {
                return Err(NotJunit::Root { root: split(name, 60).0.to_owned() });
            }
            self.began = true;
        }
        let inside = self.case.is_some();
        let open = match name {
            // The outermost name is the whole run's ("jest tests", "pytest tests") and says nothing.
            "testsuites" => Open::Suite { name: String::new(), file: None },
            "testsuite" if !inside => self.suite(Attributes::of(element)),
            "testcase" if !inside => {
                self.case = Some(self.draft(Attributes::of(element)));
                Open::Case
            }
            "failure" => self.word(Word::Failure, element),
            "error" => self.word(Word::Error, element),
            "skipped" | "ignored" => self.word(Word::Skipped, element),
            "flakyFailure" | "flakyError" => self.word(Word::FlakyRun, element),
            "rerunFailure" | "rerunError" | "rerun" => self.word(Word::Rerun, element),
            _ => Open::Other,
        };
        self.open.push(open);
        Ok(())
    }

    fn suite(&self, found: Attributes) -> Open {
        let outer = self.suite_open().map(|(name, _)| name).unwrap_or_default();
        let own = found.name.unwrap_or_default();
        let mut name = match (outer.is_empty(), own.is_empty()) {
            (true, _) => own,
            (false, true) => outer.to_owned(),
            (false, false) => format!("{outer} / {own}"),
        };
        // Here already: it is copied into each of its cases.
        short_name(&mut name);
        Open::Suite { name, file: found.file }
    }

    fn suite_open(&self) -> Option<(&str, Option<&String>)> {
        self.open.iter().rev().find_map(|open| match open {
            Open::Suite { name, file } => Some((name.as_str(), file.as_ref())),
            _ => None,
        })
    }

    fn draft(&self, found: Attributes) -> Draft {
        let (suite, file) = self.suite_open().unwrap_or_default();
        let own = found.file;
        // The suite's file belongs to the case, but no line in it.
        let line = own.as_ref().and(found.line).and_then(|line| line.trim().parse().ok());
        let (file, line) = match own.as_deref().filter(|_| line.is_none()).and_then(of_path) {
            Some((file, line)) => (Some(file), Some(line)),
            None => (own.or_else(|| file.cloned()), line),
        };
        let unsaid = |word: &Option<String>, words: &[&str]| word.as_deref().is_some_and(|word| words.contains(&word));
        let not_run = unsaid(&found.status, &["notrun", "disabled", "skipped"])
            || unsaid(&found.result, &["suppressed", "skipped"]);
        Draft {
            case: TestCase {
                suite: suite.to_owned(),
                class: found.class.unwrap_or_default(),
                name: found.name.unwrap_or_default(),
                outcome: TestOutcome::Passed,
                duration_ms: found.time.as_deref().and_then(millis),
                message: None,
                file,
                line,
            },
            words: if not_run { vec![Word::Skipped] } else { Vec::new() },
            message: Excerpt::default(),
        }
    }

    fn word(&mut self, word: Word, element: &BytesStart<'_>) -> Open {
        // One word inside another is text of a dialect that nests them; the outer one counts.
        if self.listens() {
            return Open::Other;
        }
        let found = Attributes::of(element);
        self.text = Excerpt::default();
        let said = match (found.kind, found.message) {
            (Some(kind), None) if word != Word::Skipped => Some(kind),
            (_, message) => message,
        };
        if let Some(said) = said.filter(|said| !said.trim().is_empty()) {
            self.text.push(&said);
            self.text.push("\n");
        }
        Open::Word(word)
    }

    fn leave(&mut self) {
        match self.open.pop() {
            Some(Open::Case) => self.leave_case(),
            Some(Open::Word(word)) => self.leave_word(word),
            _ => {}
        }
    }

    fn leave_word(&mut self, word: Word) {
        let text = std::mem::take(&mut self.text);
        let suite = self.suite_open().map(|(name, _)| name.to_owned()).unwrap_or_default();
        match &mut self.case {
            Some(draft) => {
                // The first word of a kind tells most; further ones count and are not kept.
                let first = draft.words.iter().all(|known| rank(*known) > rank(word));
                if first && let Some(text) = text.finish() {
                    draft.message = Excerpt::of(&text);
                }
                if draft.words.len() < 8 {
                    draft.words.push(word);
                }
            }
            // A suite that could not begin has no case to speak for it.
            None if matches!(word, Word::Failure | Word::Error) => self.collector.add(TestCase {
                suite,
                class: String::new(),
                name: "(the suite itself)".to_owned(),
                outcome: TestOutcome::Errored,
                duration_ms: None,
                message: text.finish(),
                file: None,
                line: None,
            }),
            None => {}
        }
    }

    fn leave_case(&mut self) {
        let Some(Draft { mut case, words, message }) = self.case.take() else { return };
        case.outcome = match words.iter().min_by_key(|word| rank(**word)) {
            Some(Word::Failure) => TestOutcome::Failed,
            Some(Word::Error) => TestOutcome::Errored,
            Some(Word::Skipped) => TestOutcome::Skipped,
            Some(Word::FlakyRun | Word::Rerun) => TestOutcome::Flaky,
            None => TestOutcome::Passed,
        };
        case.message = message.finish();
        self.collector.add(case);
    }
}

/// The lowest decides.
fn rank(word: Word) -> u8 {
    match word {
        Word::Failure => 0,
        Word::Error => 1,
        Word::FlakyRun => 2,
        Word::Rerun => 3,
        Word::Skipped => 4,
    }
}

/// Seconds as dialects write them, also `1,234.5`.
fn millis(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().replace(',', "").parse().ok()?;
    if !seconds.is_finite() || !(0.0..=1e9).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    Some((seconds * 1000.0).round() as u64)
}
