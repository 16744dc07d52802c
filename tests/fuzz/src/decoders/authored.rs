//! What authors of tested repositories write, and what their tests print.

use std::sync::LazyLock;

use messages::{CommitSeen, PipelineSource};
use pipeline::Occasion;
use reports::{Collector, LogReader};

use super::{Decoder, seen, text, texts};
use crate::examples;

/// What conditions are held against.
static COMMITS: LazyLock<Vec<CommitSeen>> = LazyLock::new(examples::commits_seen);

pub(super) fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "pipeline-file",
            examples: texts(examples::PIPELINES),
            decode: |input| {
                text(input, |text| match pipeline::plan(&PipelineSource::File { text: text.to_owned() }) {
                    Ok(plan) => {
                        assert!((1..=pipeline::MAX_JOBS).contains(&plan.jobs.len()), "{} jobs", plan.jobs.len());
                        for job in &plan.jobs {
                            assert!(job.needs.iter().all(|need| *need < plan.jobs.len()), "needs that exist");
                            assert!(job.spec.timeout_seconds <= messages::MAX_TIMEOUT_SECONDS, "a limit");
                        }
                        for seen in COMMITS.iter() {
                            let filtered = plan.filtered(&Occasion::of(seen));
                            assert_eq!(filtered.len(), plan.jobs.len(), "an answer for each job");
                        }
                        true
                    }
                    Err(problems) => {
                        assert!(!problems.to_string().is_empty(), "it says why");
                        false
                    }
                })
            },
        },
        Decoder {
            name: "package-json",
            examples: texts(&[r#"{"name":"x","scripts":{"test":"node t.js"},"dependencies":{"a":"^1"}}"#]),
            decode: |input| text(input, |text| runner::decoders::package(text).is_some()),
        },
        Decoder {
            name: "makefile",
            examples: texts(&["all: x\n\ncheck test: all\n\ttrue\n", "test := x\n# test: y\n"]),
            decode: |input| text(input, runner::decoders::makefile),
        },
        Decoder {
            name: "junit-xml",
            examples: vec![
                include_bytes!("../../../../workers/reports/tests/samples/surefire.xml").to_vec(),
                include_bytes!("../../../../workers/reports/tests/samples/nested.xml").to_vec(),
            ],
            decode: |input| {
                let mut collector = Collector::new();
                let understood = reports::junit(input, &mut collector).is_ok();
                within_limits(collector);
                seen(understood)
            },
        },
        Decoder {
            name: "test-log",
            examples: vec![
                include_bytes!("../../../../workers/reports/tests/samples/cargo-test.txt").to_vec(),
                include_bytes!("../../../../workers/reports/tests/samples/nextest.txt").to_vec(),
                include_bytes!("../../../../workers/reports/tests/samples/unittest.txt").to_vec(),
                include_bytes!("../../../../workers/reports/tests/samples/tap14.tap").to_vec(),
            ],
            decode: |input| {
                let mut collector = Collector::new();
                let mut reader = LogReader::new();
                // As it comes out of a pipe: in pieces that end anywhere.
                for piece in input.chunks(61.max(input.len() / 8)) {
                    reader.feed(piece, &mut collector);
                }
                reader.finish(&mut collector);
                seen(within_limits(collector))
            },
        },
    ]
}

/// What came of a test report has its bounds. Whether anything came of it.
fn within_limits(collector: Collector) -> bool {
    let report = collector.finish();
    assert!(report.cases.len() <= messages::MAX_TEST_CASES, "{} cases", report.cases.len());
    let taken = !report.is_empty();
    let pieces = reports::pieces(report.cases);
    assert!(pieces.len() <= messages::MAX_TEST_PIECES as usize, "{} pieces", pieces.len());
    taken
}
