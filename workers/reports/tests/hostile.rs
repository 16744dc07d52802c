//! Whatever a job writes, reading it never panics, never takes long and never grows without end.

use std::time::{Duration, Instant};

use messages::{MAX_TEST_CASES, MAX_TEST_MESSAGE_BYTES, MAX_TEST_NAME_BYTES, MAX_TEST_PIECES};
use proptest::collection::vec;
use proptest::prelude::*;
use reports::{Collector, LogReader, TestReport, junit, pieces};

/// For inputs of this size and an unoptimised build on a busy machine; a quadratic step would take minutes.
const LIMIT: Duration = Duration::from_millis(100);

const SAMPLES: [&[u8]; 14] = [
    include_bytes!("samples/surefire.xml"),
    include_bytes!("samples/pytest.xml"),
    include_bytes!("samples/jest.xml"),
    include_bytes!("samples/go-junit-report.xml"),
    include_bytes!("samples/nextest.xml"),
    include_bytes!("samples/gradle.xml"),
    include_bytes!("samples/nested.xml"),
    include_bytes!("samples/cargo-test.txt"),
    include_bytes!("samples/nextest.txt"),
    include_bytes!("samples/unittest-verbose.txt"),
    include_bytes!("samples/unittest.txt"),
    include_bytes!("samples/node.tap"),
    include_bytes!("samples/bats.tap"),
    include_bytes!("samples/tap14.tap"),
];

/// Reads the bytes as everything that they might be.
fn read(bytes: &[u8]) -> TestReport {
    let mut collector = Collector::new();
    drop(junit(bytes, &mut collector));
    let mut reader = LogReader::new();
    reader.feed(bytes, &mut collector);
    reader.finish(&mut collector);
    collector.finish()
}

/// The processor time that this thread has used: a busy machine must not fail the test.
fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

fn check(report: TestReport) {
    assert!(report.cases.len() <= MAX_TEST_CASES);
    assert_eq!(report.summary.counts.total(), report.summary.cut + report.cases.len() as u64);
    for case in &report.cases {
        assert!(!case.name.is_empty());
        for name in [&case.suite, &case.class, &case.name] {
            assert!(name.len() <= MAX_TEST_NAME_BYTES);
            assert!(!name.contains('\0'));
        }
        let message = case.message.as_deref().unwrap_or_default();
        assert!(message.len() <= MAX_TEST_MESSAGE_BYTES && !message.contains('\0'));
    }
    let cut = pieces(report.cases);
    assert!(u32::try_from(cut.len()).expect("few") <= MAX_TEST_PIECES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..4096)) {
        check(read(&bytes));
    }

    #[test]
    fn a_sample_with_changed_bytes_is_read(
        sample in 0..SAMPLES.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = SAMPLES[sample].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let begun = used();
        check(read(&bytes));
        prop_assert!(used() - begun < LIMIT);
    }

    #[test]
    fn lines_of_all_samples_in_any_order_are_read(
        order in vec((0..SAMPLES.len(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut bytes = Vec::new();
        for (sample, line) in order {
            let lines: Vec<&[u8]> = SAMPLES[sample].split(|byte| *byte == b'\n').collect();
            bytes.extend_from_slice(lines[line.index(lines.len())]);
            bytes.push(b'\n');
        }
        let begun = used();
        check(read(&bytes));
        prop_assert!(used() - begun < LIMIT);
    }
}

/// Repeats `text` up to this size.
fn filled(begin: &str, text: &str, bytes: usize) -> Vec<u8> {
    format!("{begin}{}", text.repeat(bytes / text.len())).into_bytes()
}

#[test]
fn time_grows_with_the_size_and_no_faster() {
    let deep = |depth: usize| " ".repeat(4 * depth);
    let ladder: String = (0..16).chain((0..16).rev()).map(|depth| format!("{}ok 1 - a\n", deep(depth))).collect();
    for (what, begin, text) in [
        ("attributes", "<testsuite ", "a='b' "),
        ("equal attributes", "<testsuite><testcase ", "name='b' "),
        ("small cases", "<testsuite>", "<testcase name='a'/>"),
        ("cases in a suite with a long name", &format!("<testsuite name='{}'>", "n".repeat(10_000)), "<testcase/>"),
        ("suites", "<testsuites>", "<testsuite name='a'></testsuite>"),
        ("words", "<testsuite><testcase name='a'>", "<failure>x</failure>"),
        ("references", "<testsuite><testcase><failure>", "&amp;&lt;&unknown;"),
        ("open brackets", "<testsuite>", "<"),
        ("ampersands", "<testsuite><testcase><failure>", "&"),
        ("comments", "<testsuite>", "<!-- -->"),
        ("document types", "<!DOCTYPE a [", "<!ENTITY a 'b'>"),
        ("one line", "", "test "),
        ("escapes", "", "\u{1b}["),
        ("returns", "", "\r"),
        ("libtest", "running 9 tests\n", "test a ... FAILED\n---- a stdout ----\nx\n"),
        ("libtest that never says", "running 9 tests\n", "test a ... b ... c\n"),
        ("nextest", "    Starting 9 tests across 1 binary\n", " FAIL [ 1s] a b\n stdout ───\n x\n"),
        ("unittest", "", "test_a (a.b) ...\n"),
        ("rules", "", &format!("{}\nFAIL: test_a (a.B.test_a)\n{}\n", "=".repeat(70), "-".repeat(70))),
        ("points", "TAP version 13\n", "not ok 1 - a # todo # todo\n  ---\n  file: x\n  ...\n"),
        ("deep points", "TAP version 14\n", &format!("{}ok 1 - a\n", deep(40))),
        ("ladders", "TAP version 14\n", &ladder),
        ("hashes", "TAP version 14\n", "ok 1 # # # # # # # # # # # # # # # # # # # # # #\n"),
        ("versions", "", "TAP version 13\nok 1\n"),
    ] {
        let measure = |bytes: usize| {
            let input = filled(begin, text, bytes);
            let begun = used();
            check(read(&input));
            used() - begun
        };
        let small = measure(256 * 1024);
        let large = measure(1024 * 1024);
        println!("{what}: {small:?} for 256 KiB, {large:?} for 1 MiB");
        // Four times the input: a quadratic step would take sixteen times as long.
        assert!(large < small * 9 + Duration::from_millis(50), "{what}: {small:?}, {large:?}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let (mut reader, mut collector) = (LogReader::new(), Collector::new());
    let begun = Instant::now();
    for _ in 0..2_000 {
        reader.feed(&[b'a'; 64 * 1024], &mut collector);
    }
    reader.feed(b"\nTAP version 13\nok 1 - still heard\n", &mut collector);
    reader.finish(&mut collector);
    assert_eq!(collector.finish().summary.counts.passed, 1);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
