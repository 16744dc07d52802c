//! Text forms as the tools print them. Most samples are what a real run printed.

use TestOutcome::{Errored, Failed, Flaky, Passed, Skipped};
use messages::{TestCase, TestOutcome};
use reports::{Collector, LogReader, TestReport};

fn read(text: &str) -> TestReport {
    let (mut reader, mut collector) = (LogReader::new(), Collector::new());
    reader.feed(text.as_bytes(), &mut collector);
    reader.finish(&mut collector);
    collector.finish()
}

fn outcomes(report: &TestReport) -> Vec<(&str, &str, TestOutcome)> {
    let mut all: Vec<_> =
        report.cases.iter().map(|case| (case.class.as_str(), case.name.as_str(), case.outcome)).collect();
    all.sort_by_key(|(class, name, _)| (*class, *name));
    all
}

fn find<'r>(report: &'r TestReport, name: &str) -> &'r TestCase {
    report.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no {name} in {report:#?}"))
}

fn message<'r>(report: &'r TestReport, name: &str) -> &'r str {
    find(report, name).message.as_deref().unwrap_or_else(|| panic!("{name} has no message"))
}

#[test]
fn cargo_test() {
    let report = read(include_str!("samples/cargo-test.txt"));
    assert_eq!(
        outcomes(&report),
        [
            ("tests", "bad", Failed),
            ("tests", "good", Passed),
            ("tests", "later", Skipped),
            ("tests", "sometimes", Failed)
        ]
    );
    let bad = find(&report, "bad");
    assert_eq!(bad.suite, "mini (src/lib.rs)");
    assert_eq!((bad.file.as_deref(), bad.line), (Some("src/lib.rs"), Some(4)));
    assert!(message(&report, "bad").starts_with("before\n\nthread 'tests::bad'"));
    assert!(message(&report, "bad").contains("they differ") && !message(&report, "bad").contains("first time"));
    assert_eq!(message(&report, "later"), "later");
}

#[test]
fn cargo_test_that_prints_between_and_is_killed() {
    let report = read(
        "running 3 tests\ntest a ... said itself\nok\ntest b - should panic ... ok\n\
         test src/lib.rs - open (line 12) ... FAILED\ntest c ... ",
    );
    assert_eq!(
        outcomes(&report),
        [("", "a", Passed), ("", "b", Passed), ("", "c", Errored), ("", "src/lib.rs - open (line 12)", Failed)]
    );
    assert_eq!(message(&report, "c"), "the output ends while it runs");
}

#[test]
fn nextest_with_retries() {
    let report = read(include_str!("samples/nextest.txt"));
    assert_eq!(outcomes(&report), [("tests", "bad", Failed), ("tests", "good", Passed), ("tests", "sometimes", Flaky)]);
    let bad = find(&report, "bad");
    assert_eq!((bad.suite.as_str(), bad.duration_ms), ("mini", Some(104)));
    assert_eq!((bad.file.as_deref(), bad.line), (Some("src/lib.rs"), Some(4)));
    assert!(message(&report, "bad").contains("they differ"), "{}", message(&report, "bad"));
    assert!(!message(&report, "bad").contains("running 1 test"));
    assert!(message(&report, "sometimes").contains("first time"));
}

#[test]
fn older_nextest() {
    let report = read(include_str!("samples/nextest-older.txt"));
    assert_eq!(
        outcomes(&report),
        [("claim", "crash", Failed), ("claim", "slow", Failed), ("intake", "twice", Passed), ("tests", "bad", Failed)]
    );
    assert_eq!(message(&report, "crash"), "nextest says SIGSEGV");
    assert_eq!(find(&report, "slow").duration_ms, Some(120_001));
    assert_eq!(message(&report, "bad"), "thread 'tests::bad' panicked at 'no, never', src/lib.rs:10:5");
    assert_eq!(find(&report, "bad").line, Some(10));
}

#[test]
fn verbose_unittest() {
    let report = read(include_str!("samples/unittest-verbose.txt"));
    assert_eq!(
        outcomes(&report),
        [
            ("test_x.TestSetup", "setUpClass", Errored),
            ("test_x.TestX", "test_bad", Failed),
            ("test_x.TestX", "test_error", Errored),
            ("test_x.TestX", "test_good", Passed),
            ("test_x.TestX", "test_known", Passed),
            ("test_x.TestX", "test_prints", Passed),
            ("test_x.TestX", "test_skip", Skipped),
            ("test_x.TestX", "test_sub", Failed)
        ]
    );
    assert_eq!(report.summary.cut, 0, "every test has its name");
    assert_eq!(message(&report, "test_skip"), "not today");
    assert!(message(&report, "test_bad").starts_with("It says so.\nTraceback"));
    assert!(message(&report, "test_bad").ends_with("AssertionError: 1 != 2"));
    assert_eq!(find(&report, "test_bad").line, Some(6));
}

#[test]
fn silent_unittest_counts_what_it_does_not_name() {
    let report = read(include_str!("samples/unittest.txt"));
    assert_eq!(
        outcomes(&report),
        [
            ("test_x.TestSetup", "setUpClass", Errored),
            ("test_x.TestX", "test_bad", Failed),
            ("test_x.TestX", "test_error", Errored),
            ("test_x.TestX", "test_sub", Failed)
        ]
    );
    let counts = report.summary.counts;
    assert_eq!((counts.passed, counts.failed, counts.errored, counts.skipped), (3, 2, 2, 1));
    let green = read(&format!("...\n{}\nRan 3 tests in 0.001s\n\nOK\n", "-".repeat(70)));
    assert_eq!((green.summary.counts.passed, green.summary.cut), (3, 3));
}

#[test]
fn older_unittest() {
    let report = read("test_a (tests.test_y.TestY) ... ok\ntest_b (tests.test_y.TestY)\nIt does. ... FAIL\n");
    assert_eq!(outcomes(&report), [("tests.test_y.TestY", "test_a", Passed), ("tests.test_y.TestY", "test_b", Failed)]);
}

#[test]
fn tap_of_node_with_subtests() {
    let report = read(include_str!("samples/node.tap"));
    assert_eq!(
        outcomes(&report),
        [
            ("", "adds", Passed),
            ("", "skipped one", Skipped),
            ("", "todo one", Skipped),
            ("group", "inner bad", Failed),
            ("group", "inner good", Passed)
        ]
    );
    let bad = find(&report, "inner bad");
    assert_eq!((bad.file.as_deref(), bad.line), (Some("/w/a.test.js"), Some(3)));
    assert!(bad.duration_ms.is_some());
    assert!(message(&report, "inner bad").contains("1 !== 2"));
    assert!(report.summary.notes.is_empty(), "{:?}", report.summary.notes);
}

#[test]
fn tap_of_bats() {
    let report = read(include_str!("samples/bats.tap"));
    assert_eq!(
        outcomes(&report),
        [("", "it adds", Passed), ("", "it is # escaped", Failed), ("", "it is later", Skipped)]
    );
    let failed = find(&report, "it is # escaped");
    assert_eq!((failed.file.as_deref(), failed.line), (Some("test/a.bats"), Some(5)));
    assert!(message(&report, "it is # escaped").contains("failed"));
    assert_eq!(message(&report, "it is later"), "no network");
}

#[test]
fn tap_14_nested_and_bailing_out() {
    let report = read(include_str!("samples/tap14.tap"));
    assert_eq!(
        outcomes(&report),
        [
            ("", "(bail out)", Errored),
            ("", "a todo", Skipped),
            ("", "a todo that works", Passed),
            ("outer", "first", Passed),
            ("outer > deeper", "bottom", Failed)
        ]
    );
    let bottom = find(&report, "bottom");
    assert_eq!((bottom.file.as_deref(), bottom.line), (Some("lib/deep.pl"), Some(7)));
    assert!(message(&report, "bottom").contains("it fell"));
    assert_eq!(report.summary.notes, ["the plan of a TAP output says 4 tests, 3 came"]);
}

#[test]
fn text_that_only_looks_like_tests_gives_nothing() {
    let report = read(
        "ok\nok 1\ntest a ... ok\nok  \texample.org/app\t0.01s\n1..3\nnothing\nok 1 - late\nPASS [0.1s] a b\nRan 3 tests\n\
         FAIL: test (a)\nstop (see a.b) ... ok\nRunning away (from here)\nTAP is a protocol\n",
    );
    assert!(report.cases.iter().all(|case| case.name == "stop") || report.is_empty(), "{report:#?}");
    assert!(report.cases.is_empty(), "{report:#?}");
}

#[test]
fn colours_do_not_hide_a_test() {
    let report = read("\u{1b}[1mrunning 1 test\u{1b}[0m\r\ntest a::b ... \u{1b}[31mFAILED\u{1b}[m\r\n");
    assert_eq!(outcomes(&report), [("a", "b", Failed)]);
}
