//! What authors get wrong, and what they are told. Files that mean harm are in `hostile`.

use messages::{PipelineSource, Work};
use pipeline::{MAX_JOBS, MAX_STEP_BYTES, MAX_STEPS, MAX_VARIABLE_BYTES, MAX_VARIABLES, plan};

use crate::{accepted, job_with, refused, says};

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
fn the_examples_of_the_documentation_work_as_they_stand() {
    let page = include_str!("../../../docs/pipeline.md");
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        accepted(example);
    }
    accepted(include_str!("../../../.thump.toml"));
    // The report that it shows is the one that is given.
    let report = refused("[[job]]\nname = \"test\"\nstpes = [\"cargo test\"]\n").to_string();
    assert!(page.contains(&report), "{report}");
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
fn a_file_without_a_job_is_told_what_a_job_looks_like() {
    for text in ["", "# nothing yet\n", "[env]\nA = \"1\"\n", "job = []\n"] {
        says(text, &["describes no job", "\n  [[job]]\n  name = \"test\"\n  steps = [\"make test\"]"]);
    }
}

#[test]
fn one_slip_is_one_report() {
    for text in [
        "[[jobs]]\nname = \"a\"\nsteps = [\"x\"]\n",
        "name = \"a\"\n",
        "[job]\nname = \"a\"\n",
        "[[job]]\nname = \"a\"\nstpes = [\"x\"]\n",
        "[[job]]\nnmae = \"a\"\nsteps = [\"x\"]\n",
        "[[job]]\nname = \"a\"\nrun = [\"x\"]\n",
        // Whoever needs a job with a mistake is not told that the job does not exist.
        "[[job]]\nname = \"a\"\nsteps = \"x\"\n[[job]]\nname = \"b\"\nsteps = [\"x\"]\nneeds = [\"a\"]\n",
        "[[job]]\nname = \"a \"\nsteps = [\"x\"]\n[[job]]\nname = \"b\"\nsteps = [\"x\"]\nneeds = [\"a \"]\n",
    ] {
        let report = refused(text);
        assert_eq!(report.problems.len(), 1, "{report}");
    }
}

#[test]
fn the_two_brackets_of_a_job_are_not_guessed_at() {
    says("[job]\nname = \"a\"\nsteps = [\"x\"]\n", &[":1:1", "a single table", "write [[job]], with two brackets"]);
    says("[job.lint]\nsteps = [\"x\"]\n", &["write [[job]] and name = \"lint\""]);
    says("[[jobs]]\nname = \"a\"\n", &[":1:3", "unknown key \"jobs\" at the top", "did you mean \"job\"?"]);
    says("name = \"a\"\n", &[":1:1", "unknown key \"name\"", "below [[job]]"]);
    says("job = 3\n", &["list of tables, this is a number"]);
    says("job = [3]\n", &["a job must be a table"]);
}

#[test]
fn what_is_not_executed_yet_is_unknown_and_not_ignored() {
    for key in ["image", "services", "secrets", "artifacts", "cache"] {
        says(
            &job_with(&format!("{key} = \"x\"")),
            &[&format!("unknown key \"{key}\" in job \"a\""), "known keys: name, "],
        );
    }
    says(&job_with("depends_on = [\"b\"]"), &["did you mean \"needs\"?"]);
}

#[test]
fn what_breaks_the_rules_of_toml_is_told_line_by_line_and_from_the_top() {
    let report = refused("[[job]]\nname = \"a\"\ntimeout = 30m\nsteps = [x]\nb==2\n");
    let places: Vec<(usize, usize)> = report.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(3, 11), (4, 10), (5, 3)], "{report}");
    assert!(report.to_string().contains("if it is a text, write \"30m\""), "{report}");
    says("[[job]]\nname: a\n", &[":2:5", "name = \"test\""]);
    says("[[job]\nname = \"a\"\n", &[":1:7", "`]`"]);
    says(&job_with("name = \"b\""), &[":4:1", "\"name\" stands here for the second time"]);
    says("[job.env]\nA = \"1\"\n[[job]]\nname = \"a\"\n", &[":3:3", "put its [job.env] below it"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\"\n", &[":3:"]);
}

#[test]
fn each_key_says_what_it_may_hold() {
    says("[[job]]\nsteps = [\"x\"]\n", &[":1:1", "no name", "add name = "]);
    says("[[job]]\nname = 3\nsteps = [\"x\"]\n", &[":2:8", "name must be a text in quotes, this is a number"]);
    for name in ["", " a", "a\\n", "a\\u202eb", &"n".repeat(101)] {
        says(
            &format!("[[job]]\nname = \"{name}\"\nsteps = [\"x\"]\n"),
            &["is not valid: it needs 1 to 100 characters"],
        );
    }
    assert_eq!(accepted(&job_with("").replace("\"a\"", &format!("\"{}\"", "字".repeat(100)))).jobs.len(), 1);

    says("[[job]]\nname = \"a\"\n", &[":1:1", "no steps in job \"a\"", "add steps = "]);
    says(
        "[[job]]\nname = \"a\"\nsteps = \"cargo test\"\n",
        &[":3:9", "list of texts", "write steps = [\"cargo test\"]"],
    );
    says("[[job]]\nname = \"a\"\nsteps = \"\"\"\na \"b\"\n\"\"\"\n", &["write steps = [\"…\"]"]);
    says("[[job]]\nname = \"a\"\nsteps = []\n", &[":3:9", "nothing to run"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\", 1, true]\n", &[":3:15", "a number", ":3:18", "true or false"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\", \" \"]\n", &[":3:15", "a step is empty"]);
    says("[[job]]\nname = \"a\"\nsteps = [\"x\\u0000\"]\n", &["NUL"]);

    says(&job_with("pool = \"No\""), &[":4:8", "pool \"No\"", "1 to 63 of a-z"]);
    says(&job_with("timeout = 30"), &["needs a unit", "\"30s\"", "\"30m\""]);
    says(&job_with("timeout = \"soon\""), &["no duration", "\"1h30m\""]);
    says(&job_with("timeout = \"8d\""), &["1s to 7d"]);
    says(&job_with("exclusive = \"yes\""), &["true or false", "this is a text", "exclusive = true"]);
    assert!(accepted(&job_with("exclusive = true")).jobs[0].spec.exclusive);
    assert!(!accepted(&job_with("exclusive = false")).jobs[0].spec.exclusive);
    says(&job_with("timeout = \"0s\""), &["1s to 7d"]);
    assert_eq!(accepted(&job_with("timeout = \"7d\"")).jobs[0].spec.timeout_seconds, messages::MAX_TIMEOUT_SECONDS);

    says(&job_with("env = 1"), &["env must be a table"]);
    says(&job_with("[job.env]\n\"A B\" = \"1\""), &[":5:1", "no name for an environment variable", "letters"]);
    says(&job_with("[job.env]\n1A = \"1\""), &["no name for an environment variable"]);
    says(&job_with("[job.env]\nTHUMP_TOKEN = \"1\""), &["reserved"]);
    says(&job_with("[job.env]\nCI = \"false\""), &["set by the runner"]);
    says(&job_with("[job.env]\nA = 1"), &[":5:5", "the value of \"A\" must be a text"]);
    says(&job_with("[job.env]\nA = \"\\u0000\""), &["NUL"]);
    says("[env]\nTHUMP_X = \"1\"\n[[job]]\nname = \"a\"\nsteps = [\"x\"]\n", &[":2:1", "reserved"]);
}

#[test]
fn a_folder_outside_the_repository_is_refused() {
    for dir in ["/etc", "../up", "a/../../b", "a//b", ".", "", "a\\\\b", "a/", "./a", "a\\u0000", &"d".repeat(300)] {
        says(&job_with(&format!("dir = \"{dir}\"")), &[":4:7", "folder inside the repository"]);
    }
    says(&job_with("dir = \"./web/app/\""), &["write dir = \"web/app\""]);
    says(&job_with("dir = \".\""), &["without dir, steps run in the checkout"]);
}

#[test]
fn needs_must_exist_once_and_form_no_circle() {
    let job = |name: &str, needs: &str| format!("[[job]]\nname = \"{name}\"\nsteps = [\"x\"]\nneeds = [{needs}]\n");
    says(&job("a", "\"a\""), &[":4:10", "circle: \"a\" needs \"a\""]);
    says(&(job("a", "\"c\", \"b\"") + &job("b", "\"a\"") + &job("c", "")), &[":4:15", "\"a\" needs \"b\" needs \"a\""]);
    let two = job("a", "\"b\"") + &job("b", "\"a\"") + &job("c", "\"d\"") + &job("d", "\"c\"");
    assert_eq!(refused(&two).problems.len(), 2, "each circle once");
    let long: String = (0..9).map(|n| job(&format!("j{n}"), &format!("\"j{}\"", (n + 1) % 9))).collect();
    says(&long, &["\"j2\" needs \"j3\" needs …"]);
    says(&(job("build", "") + &job("b", "\"biuld\"")), &[":8:10", "no job named \"biuld\"", "did you mean \"build\"?"]);
    says(&(job("a", "") + &job("b", "\"a\", \"a\"")), &[":8:15", "needed twice"]);
    says(&(job("a", "") + &job("a", "")), &[":6:8", "another job named \"a\", in line 2"]);
}

#[test]
fn limits_are_named_and_what_reaches_them_is_fine() {
    let jobs = |count: usize| -> String {
        (0..count).map(|number| format!("[[job]]\nname = \"{number}\"\nsteps = [\"x\"]\n")).collect()
    };
    assert_eq!(accepted(&jobs(MAX_JOBS)).jobs.len(), MAX_JOBS);
    says(&jobs(MAX_JOBS + 1), &["201 jobs", "the limit is 200"]);

    let steps = |count: usize| format!("[[job]]\nname = \"a\"\nsteps = [{}]\n", "\"x\",".repeat(count));
    accepted(&steps(MAX_STEPS));
    says(&steps(MAX_STEPS + 1), &["101 steps", "the limit is 100"]);

    let step = |bytes: usize| format!("[[job]]\nname = \"a\"\nsteps = [\"{}\"]\n", "x".repeat(bytes));
    accepted(&step(MAX_STEP_BYTES));
    says(&step(MAX_STEP_BYTES + 1), &["16385 bytes", "the limit is 16384", "a script"]);

    // Those of the file count in each job.
    let variables = |shared: usize, own: usize| {
        let list =
            |letter: &str, count: usize| -> String { (0..count).map(|n| format!("{letter}{n} = \"\"\n")).collect() };
        format!("[env]\n{}{}", list("F", shared), job_with(&format!("[job.env]\n{}", list("J", own))))
    };
    assert_eq!(accepted(&variables(MAX_VARIABLES - 1, 1)).jobs[0].spec.env.len(), MAX_VARIABLES);
    says(&variables(MAX_VARIABLES, 1), &["101 environment variables", "the limit is 100"]);
    says(&variables(MAX_VARIABLES + 1, 0), &["101 environment variables", "the limit is 100"]);
    says(&job_with(&format!("[job.env]\nA = \"{}\"", "x".repeat(MAX_VARIABLE_BYTES))), &["16385 bytes", "16384"]);

    says(&format!("# {}\n", "x".repeat(70_000)), &["70003 bytes", "the limit is 65536"]);
}

#[test]
fn a_windows_file_with_a_mark_at_its_beginning_is_read() {
    assert_eq!(accepted("\u{feff}[[job]]\r\nname = \"a\"\r\nsteps = [\"x\"]\r\n").jobs.len(), 1);
}
