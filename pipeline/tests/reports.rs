//! Where a job's test results are: what may be written, and what is said otherwise.

use messages::ReportSources;
use pipeline::parse;

fn sources(line: &str) -> ReportSources {
    let text = format!("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n{line}\n");
    parse(&text).unwrap_or_else(|problems| panic!("{problems}")).jobs[0].spec.reports.clone()
}

fn says(line: &str, parts: &[&str]) {
    let text = format!("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n{line}\n");
    let said = parse(&text).expect_err("refused").to_string();
    for part in parts {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn the_log_is_read_unless_something_else_is_said() {
    assert_eq!(sources(""), ReportSources { files: Vec::new(), log: true });
    assert_eq!(sources("reports = []"), ReportSources { files: Vec::new(), log: false });
    let files = vec!["target/**/junit.xml".to_owned(), "a b/{x,y}-*.xml".to_owned()];
    assert_eq!(
        sources(r#"reports = ["target/**/junit.xml", "a b/{x,y}-*.xml"]"#),
        ReportSources { files: files.clone(), log: false }
    );
    assert_eq!(
        sources(r#"reports = ["target/**/junit.xml", "log", "a b/{x,y}-*.xml"]"#),
        ReportSources { files, log: true }
    );
}

#[test]
fn a_pattern_that_leads_outside_or_nowhere_is_refused() {
    says("reports = \"junit.xml\"", &[":4:11", "list of texts", "write reports = [\"junit.xml\"]"]);
    says("reports = [1]", &[":4:12", "a number"]);
    for pattern in ["/etc/*.xml", "../x.xml", "a/../b.xml", "a//b.xml", ".", "a/", "a\\\\b.xml"] {
        says(&format!("reports = [\"{pattern}\"]"), &[":4:12", "must be inside the repository"]);
    }
    says("reports = [\"./junit.xml\"]", &["write \"junit.xml\""]);
    says("reports = [\"\"]", &["1 to 256 bytes"]);
    says(&format!("reports = [\"{}\"]", "x".repeat(257)), &["1 to 256 bytes"]);
    says("reports = [\"a\\u0000\"]", &["invisible"]);
    says("reports = [\"x.xml\", \"[a\"]", &[":4:21", "is not understood", "* is any part of a name"]);
    says("report = [\"x.xml\"]", &["unknown key \"report\"", "did you mean \"reports\"?"]);
    let many = vec!["\"x.xml\""; 21].join(", ");
    says(&format!("reports = [{many}]"), &["21 patterns, the limit is 20"]);
}
