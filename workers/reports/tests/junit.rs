//! JUnit XML as each tool writes it, and as nobody should.

use TestOutcome::{Errored, Failed, Flaky, Passed, Skipped};
use messages::{TestCase, TestOutcome};
use reports::{Collector, NotJunit, TestReport, junit};

fn read(bytes: &[u8]) -> TestReport {
    let mut collector = Collector::new();
    junit(bytes, &mut collector).expect("it is JUnit XML");
    collector.finish()
}

fn outcomes(report: &TestReport) -> Vec<(&str, TestOutcome)> {
    report.cases.iter().map(|case| (case.name.as_str(), case.outcome)).collect()
}

fn find<'r>(report: &'r TestReport, name: &str) -> &'r TestCase {
    report.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no {name} in {report:#?}"))
}

#[test]
fn surefire_with_reruns() {
    let report = read(include_bytes!("samples/surefire.xml"));
    assert_eq!(
        outcomes(&report),
        [
            ("adds", Passed),
            ("divides", Failed),
            ("opens", Errored),
            ("later", Skipped),
            ("wobbles", Flaky),
            ("wobbles and falls", Failed)
        ]
    );
    let divides = find(&report, "divides");
    assert_eq!(divides.suite, "org.example.CalculatorTest");
    assert_eq!(divides.class, "org.example.CalculatorTest");
    assert_eq!(divides.duration_ms, Some(4));
    let message = divides.message.as_deref().expect("a message");
    assert!(message.starts_with("expected: <2> but was: <3>\n") && message.ends_with("(CalculatorTest.java:17)"));
    assert_eq!(find(&report, "later").message.as_deref(), Some("not yet"));
    assert!(find(&report, "wobbles").message.as_deref().expect("a message").starts_with("once"));
    assert!(find(&report, "wobbles and falls").message.as_deref().expect("a message").starts_with("first"));
}

#[test]
fn pytest() {
    let report = read(include_bytes!("samples/pytest.xml"));
    assert_eq!(
        outcomes(&report),
        [
            ("test_good[1-2]", Passed),
            ("test_bad", Failed),
            ("test_setup", Errored),
            ("test_skip", Skipped),
            ("test_known", Skipped)
        ]
    );
    let bad = find(&report, "test_bad");
    assert_eq!((bad.file.as_deref(), bad.line), (Some("tests/test_a.py"), Some(11)));
    assert!(bad.message.as_deref().expect("a message").contains(">       assert 1 == 2"));
}

#[test]
fn jest() {
    let report = read(include_bytes!("samples/jest.xml"));
    assert_eq!(
        outcomes(&report),
        [("sum adds 1 + 2", Passed), ("sum 'quotes'", Failed), ("src/broken.test.js", Errored)]
    );
    assert_eq!(find(&report, "sum 'quotes'").suite, "sum");
    assert_eq!(find(&report, "sum 'quotes'").file.as_deref(), Some("src/sum.test.js"));
}

#[test]
fn go_junit_report() {
    let report = read(include_bytes!("samples/go-junit-report.xml"));
    assert_eq!(outcomes(&report), [("TestOpen", Passed), ("TestOpen/empty_name", Failed), ("TestLater", Skipped)]);
    let failed = find(&report, "TestOpen/empty_name");
    assert_eq!(failed.message.as_deref(), Some("Failed\n    store_test.go:11: want 1, got 2"));
}

#[test]
fn nextest() {
    let report = read(include_bytes!("samples/nextest.xml"));
    assert_eq!(outcomes(&report), [("intake::twice", Passed), ("claim::once", Failed), ("claim::sometimes", Flaky)]);
    assert_eq!(report.summary.counts.flaky, 1);
}

#[test]
fn gradle_shows_a_retried_test_twice() {
    let report = read(include_bytes!("samples/gradle.xml"));
    assert_eq!(outcomes(&report), [("retried()", Flaky), ("[1] \"a & b\"", Passed)]);
    assert_eq!(find(&report, "retried()").duration_ms, Some(5));
}

#[test]
fn nested_suites_and_missing_attributes() {
    let report = read(include_bytes!("samples/nested.xml"));
    assert_eq!(
        outcomes(&report),
        [
            ("(no name)", Passed),
            ("runs", Passed),
            ("DISABLED_x", Skipped),
            ("deep", Passed),
            ("(the suite itself)", Errored)
        ]
    );
    assert_eq!(find(&report, "runs").suite, "outer / inner");
    assert_eq!((find(&report, "runs").file.as_deref(), find(&report, "runs").line), (Some("lib/inner.rb"), None));
    assert_eq!((find(&report, "deep").file.as_deref(), find(&report, "deep").line), (Some("lib/deep.rb"), Some(12)));
    assert_eq!(find(&report, "(the suite itself)").suite, "broken");
}

#[test]
fn a_file_that_ends_in_the_middle_gives_what_stands_before() {
    let whole = include_bytes!("samples/surefire.xml");
    let at = whole.windows(7).position(|window| window == b"<error ").expect("there");
    let mut collector = Collector::new();
    let refused = junit(&whole[..at + 20], &mut collector).expect_err("it is cut");
    assert!(matches!(refused, NotJunit::Broken { .. }), "{refused}");
    let report = collector.finish();
    assert_eq!(outcomes(&report)[..2], [("adds", Passed), ("divides", Failed)]);
}

#[test]
fn what_is_something_else_says_so() {
    for (bytes, expected) in [
        (&b"<html><body/></html>"[..], "its first element is <html>"),
        (b"", "it holds no element"),
        (b"just text", "it holds no element"),
        (b"<testsuite><testcase></testsuite>", "it is not well-formed XML"),
    ] {
        let refused = junit(bytes, &mut Collector::new()).expect_err("refused").to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn no_entity_is_expanded_and_nothing_outside_is_read() {
    let bomb = br#"<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;"><!ENTITY out SYSTEM "file:///etc/passwd">]>
<testsuite name="&lol2;"><testcase name="&out;"><failure>&lol2; &out; &#x41;&amp; &#0;</failure></testcase></testsuite>"#;
    let report = read(bomb);
    let case = &report.cases[0];
    assert_eq!((case.suite.as_str(), case.name.as_str()), ("&lol2;", "&out;"));
    assert_eq!(case.message.as_deref(), Some("&lol2; &out; A& &#0;"));
}

#[test]
fn depth_has_a_limit() {
    let deep = "<testsuite name='x'>".repeat(100_000);
    let refused = junit(deep.as_bytes(), &mut Collector::new()).expect_err("refused");
    assert_eq!(refused, NotJunit::TooDeep);
}

#[test]
fn other_encodings_are_read() {
    let text = "<testsuite><testcase name=\"größer\"/></testsuite>";
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(read(&wide).cases[0].name, "größer");
    let marked: Vec<u8> = [0xef, 0xbb, 0xbf].into_iter().chain(text.bytes()).collect();
    assert_eq!(read(&marked).cases[0].name, "größer");
    assert_eq!(read(b"<testsuite><testcase name='gr\xf6\xdfer'/></testsuite>").cases[0].name, "gr\u{fffd}\u{fffd}er");
}
