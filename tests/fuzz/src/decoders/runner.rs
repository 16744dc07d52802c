//! The runner's own files and pipes.

use super::{Decoder, recoded, text, texts};
use crate::examples::{self, json};

pub(super) fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "spooled-result",
            examples: examples::results().iter().map(json).collect(),
            decode: |input| recoded(input, runner::decoders::result),
        },
        Decoder {
            name: "runner-identity",
            examples: texts(&["north-1-00ff\n", "Büro.local"]),
            decode: |input| {
                text(input, |text| {
                    // Whatever the host is called, there is a name for it.
                    runner::decoders::name_on(text, text.len(), 7);
                    let folder = runner::decoders::spool_folder(text);
                    runner::decoders::identity(text).is_some() || folder.is_some()
                })
            },
        },
        Decoder {
            name: "runner-lives",
            examples: texts(&[r#"{"folder":"0192aaaa-bbbb-7ccc-8ddd-eeeeffff0003","number":12}"#]),
            decode: |input| recoded(input, runner::decoders::lives),
        },
        Decoder {
            name: "supervisor-order",
            examples: texts(&[
                r#"{"begin":{"steps":["a","b"],"finally":["c"],"finally_timeout_ms":4,"shell":["sh","-e"],"dir":"/x/ü","env":[["A","b"]],"timeout_ms":1,"grace_ms":2,"stray_grace_ms":3}}"#,
                r#"{"stop":{"grace_ms":18446744073709551615,"finally":true}}"#,
                r#""silent""#,
            ]),
            decode: |input| {
                recoded(input, |input| {
                    runner::decoders::order(std::str::from_utf8(input).ok()?).map(String::into_bytes)
                })
            },
        },
        Decoder {
            name: "supervisor-report",
            examples: texts(&[
                r#"{"step":{"index":3,"end":{"end":"exited","code":-7},"duration_ms":12}}"#,
                r#"{"end":"timed_out"}"#,
                r#"{"end":"silent"}"#,
                r#"{"end":{"not_started":{"why":"no shell"}}}"#,
            ]),
            decode: |input| {
                recoded(input, |input| {
                    runner::decoders::report(std::str::from_utf8(input).ok()?).map(String::into_bytes)
                })
            },
        },
    ]
}
