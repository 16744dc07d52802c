//! What authors get wrong, and what they are told.

use messages::{PipelineSource, Work};
use pipeline::{MAX_JOBS, PipelineError, Plan, parse, plan};
use proptest::prelude::*;

fn refused(text: &str) -> PipelineError {
    parse(text).expect_err(text)
}

/// The report must hold all of these.
fn says(text: &str, parts: &[&str]) {
    let report = refused(text).to_string();
    for part in parts {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
}

fn accepted(text: &str) -> Plan {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_pipeline_is_read_as_it_is_meant() {
    let plan = accepted(
        r#"
        [env]
        SHARED = "1"
        OVER = "file"

        [[job]]
        name = "late"
        needs = ["early"]
        steps = ["one", "two"]
        timeout = "1h30m"
        dir = "web/app"
        pool = "large"
        env = { OVER = "job" }

        [[job]]
        name = "early"
        steps = ["true"]
        "#,
    );
    let late = &plan.jobs[0];
    assert_eq!((late.name.as_str(), late.pool.as_str(), late.needs.as_slice()), ("late", "large", [1].as_slice()));
    assert_eq!(late.spec.timeout_seconds, 5400);
    assert_eq!(late.spec.dir.as_deref(), Some("web/app"));
    assert_eq!(late.spec.env["OVER"], "job");
    assert_eq!(late.spec.env["SHARED"], "1");
    assert!(matches!(&late.spec.work, Work::Steps { steps } if steps.len() == 2));
    assert_eq!(plan.jobs[1].spec.timeout_seconds, pipeline::DEFAULT_TIMEOUT_SECONDS);
}

#[test]
fn a_commit_without_a_file_is_one_job_that_recognises_its_command() {
    let plan = plan(&PipelineSource::Missing).expect("planned");
    assert_eq!(plan.jobs.len(), 1);
    assert_eq!(plan.jobs[0].spec.work, Work::Recognise);
}

#[test]
fn what_is_no_readable_file_is_named() {
    let too_large = plan(&PipelineSource::TooLarge { bytes: 99_999 }).expect_err("refused");
    assert!(too_large.to_string().contains("99999"));
    let link = plan(&PipelineSource::Unreadable { why: "a symbolic link".into() }).expect_err("refused");
    assert!(link.to_string().contains("a symbolic link"));
}

#[test]
fn a_typo_is_shown_with_line_column_excerpt_and_suggestion() {
    let report = refused("[[job]]\nname = \"test\"\nstpes = [\"true\"]\n").to_string();
    assert_eq!(
        report,
        ".thump.toml:3:1: unknown key \"stpes\" in job \"test\"\n  3 | stpes = [\"true\"]\n    | ^\n  did you mean \"steps\"?"
    );
}

#[test]
fn every_problem_is_told_at_once_and_in_order() {
    let report = refused("[[job]]\nname = \"a\"\nsteps = []\n[[job]]\nsteps = [\"x\"]\nneeds = [\"b\"]\ntimeout = 5\n");
    let lines: Vec<usize> = report.problems.iter().map(|problem| problem.line).collect();
    assert!(lines.is_sorted() && lines.len() >= 3, "{report}");
}

#[test]
fn each_mistake_has_its_message() {
    says("", &["no job", "[[job]]"]);
    says("[job]\nname = \"a\"\n", &["[[job]]"]);
    says("[[jobs]]\nname = \"a\"\n", &["unknown key \"jobs\"", "did you mean \"job\"?"]);
    says("job = 3\n", &["list of tables"]);
    says("job = [3]\n", &["must be a table"]);
    says("[[job]]\nsteps = [\"x\"]\n", &["no name"]);
    says("[[job]]\nname = \"a\"\n", &["no steps in job \"a\""]);
    says("[[job]]\nname = \"a\"\nsteps = \"x\"\n", &[":3:9", "list of texts", "steps = [\"…\"]"]);
    says("[[job]]\nname = \"a\"\nsteps = [1]\n", &["each of steps", "a number"]);
    says("[[job]]\nname = \"a\"\nsteps = [\" \"]\n", &["a step is empty"]);
    says("[[job]]\nname = \" a\"\nsteps = [\"x\"]\n", &["name needs"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\npool = \"No\"\n", &["pool \"No\""]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\ntimeout = 30\n", &["needs a unit", "30s"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\ntimeout = \"soon\"\n", &["no duration"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\ntimeout = \"8d\"\n", &["1s to 7d"]);
    says(
        "[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.env]\n\"A B\" = \"1\"\n",
        &["no name for an environment variable"],
    );
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.env]\nTHUMP_TOKEN = \"1\"\n", &["reserved"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.env]\nA = 1\n", &["A must be a text"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"\n", &[".thump.toml:"]);
}

#[test]
fn a_folder_outside_the_repository_is_refused() {
    for dir in ["/etc", "../up", "a/../../b", "a//b", ".", "a\\\\b"] {
        says(&format!("[[job]]\nname = \"a\"\nsteps = [\"x\"]\ndir = \"{dir}\"\n"), &["folder inside the repository"]);
    }
}

#[test]
fn needs_must_exist_once_and_form_no_circle() {
    let job = |name: &str, needs: &str| format!("[[job]]\nname = \"{name}\"\nsteps = [\"x\"]\nneeds = [{needs}]\n");
    says(&job("a", "\"a\""), &["circle", "\"a\" needs \"a\""]);
    says(&(job("a", "\"b\"") + &job("b", "\"a\"")), &["circle"]);
    says(&(job("build", "") + &job("b", "\"biuld\"")), &["no job named \"biuld\"", "did you mean \"build\"?"]);
    says(&(job("a", "") + &job("b", "\"a\", \"a\"")), &["needed twice"]);
    says(&(job("a", "") + &job("a", "")), &["another job named \"a\""]);
}

#[test]
fn limits_are_named() {
    let many: String =
        (0..=MAX_JOBS).map(|number| format!("[[job]]\nname = \"{number}\"\nsteps = [\"x\"]\n")).collect();
    says(&many, &["201 jobs", "200"]);
    says(&format!("# {}\n", "x".repeat(70_000)), &["the limit is 65536"]);
}

#[test]
fn what_could_steer_a_terminal_is_shown_and_not_obeyed() {
    let report = refused("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n\"\\u001b[2J\u{202e}\" = 1\n").to_string();
    assert!(!report.contains('\u{1b}') && !report.contains('\u{202e}'), "{report}");
}

#[test]
fn a_windows_file_with_a_mark_at_its_beginning_is_read() {
    assert_eq!(accepted("\u{feff}[[job]]\r\nname = \"a\"\r\nsteps = [\"x\"]\r\n").jobs.len(), 1);
}

#[test]
fn towers_of_brackets_end_in_an_error_and_not_in_a_crash() {
    for tower in [
        "a = ".to_owned() + &"[".repeat(60_000),
        "a = ".to_owned() + &"{a=".repeat(20_000),
        "[".repeat(60_000),
        "a.".repeat(30_000) + "b = 1",
    ] {
        assert!(refused(&tower).to_string().len() <= 4096);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_every_report_is_bounded(text in "\\PC{0,400}") {
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.to_string().len() <= 4096);
        }
    }

    #[test]
    fn no_mutation_of_a_good_file_panics(position in 0usize..200, insert in "[\\[\\]\"'=\\n{}a-z\\u{0}\\u{202e}]{0,8}") {
        let good = "[env]\nA = \"1\"\n[[job]]\nname = \"a\"\nsteps = [\"x\"]\nneeds = []\ntimeout = \"1h\"\n[job.env]\nB = \"2\"\n";
        let mut text = good.to_owned();
        text.insert_str(position.min(good.len()), &insert);
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.to_string().len() <= 4096);
        }
    }
}
