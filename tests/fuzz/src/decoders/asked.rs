//! What people and programs ask, and what a page shows them.

use std::fmt::Debug;

use messages::{
    AttemptToken, BuildId, CommitId, MessageId, ObserverName, PoolName, RefName, RepositoryName, RunnerName, TreeId,
    Verdict,
};

use super::{Decoder, Seen, text, texts};

pub(super) fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "settings-file",
            examples: texts(&[
                "broker = \"amqp://u:p@h/v\"\nlisten = \"127.0.0.1:7411\"\nslots = 2\npool = \"x\"\nhosts = [\"ci.example\"]\n\
                 repositories = [\"/a\", \"b=https://h/b\"]\nbranches = [\"*\"]\ntips_only = true\npoll_seconds = 10\n",
            ]),
            decode: |input| text(input, |text| crate::settings_file::File::read(text).is_ok()),
        },
        Decoder {
            name: "api-query",
            examples: texts(&[
                "commit=abcdef12&repository=thump.rs&ref=refs%2Fheads%2Fmain&limit=10",
                "before=0192aaaa-bbbb-7ccc-8ddd-eeeeffff0003&limit=0",
                "attempt=4294967295",
            ]),
            decode: |input| {
                text(input, |text| dashboard::decoders::builds_query(text) | dashboard::decoders::log_query(text))
            },
        },
        Decoder {
            name: "api-headers",
            examples: texts(&["bytes=0-4", "bytes=-3", "bytes=18446744073709551615-", "localhost:7411", "[::1]:80"]),
            decode: |input| {
                text(input, |text| {
                    let mut taken = dashboard::decoders::host(text);
                    for length in [0, 1, 10, u64::MAX] {
                        if let Some((start, end)) = dashboard::decoders::range(text, length) {
                            assert!(start < end && end <= length, "{start}..{end} of {length}");
                            taken = true;
                        }
                    }
                    taken
                })
            },
        },
        Decoder {
            name: "shown-log",
            examples: vec![
                b"\x1b[31mred\x1b[0m\r\n\x1b]8;;javascript:x\x07link\x1b]8;;\x1b\\!\n\xe6\xbc\xa2\xff\xe2\x80\xae"
                    .to_vec(),
            ],
            decode: |input| {
                let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || c == '\u{202e}';
                let shown = dashboard::decoders::log(input);
                assert!(!shown.contains(steers), "{shown:?} steers its reader");
                assert!(!dashboard::decoders::text(&String::from_utf8_lossy(input)).contains(steers), "text steers");
                Seen::Accepted
            },
        },
        Decoder {
            name: "ids-and-names",
            examples: texts(&[
                "thump.rs_2-x",
                "refs/heads/--upload-pack=id>pwn<script>",
                "0123456789abcdef0123456789abcdef01234567",
                "0192aaaa-bbbb-7ccc-8ddd-eeeeffff0003",
                "timed_out",
            ]),
            decode: |input| text(input, id_or_name),
        },
    ]
}

fn id_or_name(text: &str) -> bool {
    fn is<T: std::str::FromStr + ToString + PartialEq + Debug>(text: &str) -> bool
    where
        T::Err: Debug,
    {
        let Ok(value) = text.parse::<T>() else { return false };
        let again = value.to_string();
        assert_eq!(again.parse::<T>().expect("its own form"), value);
        true
    }
    if let Ok(id) = text.parse::<CommitId>() {
        assert_eq!(id.short().len(), 10);
        assert!(id.as_str().len() != 40 || observer::decoders::object_id(&id), "git knows it too");
    }
    if let Ok(name) = text.parse::<RefName>() {
        assert!(!name.short().chars().any(char::is_control), "a ref name that steers a terminal");
    }
    let names = is::<RepositoryName>(text) | is::<PoolName>(text) | is::<RunnerName>(text) | is::<ObserverName>(text);
    let ids = is::<CommitId>(text) | is::<TreeId>(text) | is::<BuildId>(text) | is::<MessageId>(text);
    names | ids | is::<RefName>(text) | is::<Verdict>(text) | text.parse::<AttemptToken>().is_ok()
}
