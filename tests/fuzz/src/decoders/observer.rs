//! What the observer reads: its own files, locations, git's words, what a commit says.

use messages::RepositoryName;

use super::{Decoder, Seen, recoded, text, texts};

pub(super) fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "observer-location",
            examples: texts(&[
                "https://user@host.example:8443/a/b.git",
                "ssh://git@[::1]:22/~x/y",
                "user@host:path/to.git",
                "name=file:///srv/git/x",
                "ext::sh -c id",
            ]),
            decode: |input| {
                text(input, |text| {
                    let (taken, shown) = observer::decoders::location(text);
                    for name in observer::decoders::names_for(text) {
                        assert!(name.parse::<RepositoryName>().is_ok(), "{name:?} is no name");
                    }
                    assert!(taken <= !shown.is_empty(), "a message can name what is watched");
                    taken
                })
            },
        },
        Decoder {
            name: "observer-cursor",
            examples: vec![
                format!(
                    r#"{{"version":1,"refs":{{"refs/heads/main":"{}","refs/tags/v1":"{}"}},"gone":["{}"]}}"#,
                    "a".repeat(40),
                    "b".repeat(64),
                    "c".repeat(40)
                )
                .into(),
            ],
            decode: |input| recoded(input, observer::decoders::cursor),
        },
        Decoder {
            name: "observer-names",
            examples: texts(&[
                r#"{"version":1,"repositories":[{"name":"a","location":"/srv/a"},{"name":"b.c-d","location":"https://h/b"}]}"#,
            ]),
            decode: |input| recoded(input, observer::decoders::names),
        },
        Decoder {
            name: "git-complaint",
            examples: texts(&[
                "Receiving 10%\rReceiving 90%\r\nfatal: unable to access 'https://t0ken:x@host/a': \x1b[31mno\n",
                "remote: see https://host/a@b and ssh://git@host\nfatal: Could not read from remote repository.\n",
            ]),
            decode: |input| {
                let shown = observer::decoders::complaint(input);
                assert!(!shown.is_empty() && shown.chars().count() <= 500, "one short line");
                assert!(!shown.chars().any(char::is_control), "{shown:?} steers a terminal");
                Seen::Accepted
            },
        },
        Decoder {
            name: "commit-text",
            examples: texts(&["\n  Ünïcode subject  \r\n\nbody\n", "x", "Ada \u{202e}Lovelace <a@b>"]),
            decode: |input| {
                let (subject, name) = observer::decoders::commit_text(input);
                assert!(subject.len() <= messages::MAX_SUBJECT_BYTES && !subject.contains('\n'), "one short line");
                assert!(name.len() <= 200, "a short name");
                Seen::Accepted
            },
        },
    ]
}
