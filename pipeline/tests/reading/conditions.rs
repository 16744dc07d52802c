//! On which occasions a job belongs to a build.

use pipeline::{Event, Occasion, Plan};

use crate::{accepted, job_with, says};

/// Which jobs of the file belong to a build on this occasion.
fn chosen(plan: &Plan, ref_name: &str, event: Event, changed: Option<&[&str]>) -> Vec<String> {
    let ref_name = ref_name.parse().expect("a ref");
    let changed: Option<Vec<String>> = changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
    let occasion = Occasion { ref_name: &ref_name, event, changed: changed.as_deref() };
    let filtered = plan.filtered(&occasion);
    plan.jobs.iter().zip(filtered).filter(|(_, why)| why.is_none()).map(|(job, _)| job.name.clone()).collect()
}

#[test]
fn conditions_choose_jobs_by_branch_tag_path_and_event() {
    let plan = accepted(
        r#"
        [[job]]
        name = "always"
        steps = ["x"]
        [[job]]
        name = "release"
        steps = ["x"]
        when = { branch = ["main", "release/*", "!release/old"], tag = ["v*"] }
        [[job]]
        name = "docs"
        steps = ["x"]
        when = { path = ["docs/**", "*.md", "!docs/draft/**"] }
        [[job]]
        name = "code"
        steps = ["x"]
        when = { path = ["!docs/**"] }
        [[job]]
        name = "quick"
        steps = ["x"]
        when = { branch = ["*"], event = ["push"] }
        "#,
    );
    let push = |branch: &str, changed: Option<&[&str]>| {
        chosen(&plan, &format!("refs/heads/{branch}"), Event::Push, changed).join(" ")
    };
    assert_eq!(push("main", Some(&["docs/a/b.txt"])), "always release docs quick");
    assert_eq!(push("main", Some(&["docs/draft/a.txt"])), "always release quick");
    assert_eq!(push("dev", Some(&["README.md"])), "always docs code quick");
    assert_eq!(push("dev", Some(&["src/README.md"])), "always code quick", "a star stays within its folder");
    assert_eq!(push("dev", Some(&["docs/draft/a.txt", "src/a.rs"])), "always code quick");
    assert_eq!(push("release/1", Some(&[])), "always release", "a star does not cross a slash");
    assert_eq!(push("release/old", Some(&[])), "always");
    assert_eq!(push("dev", None), "always docs code quick", "what is not known matches every path filter");
    assert_eq!(chosen(&plan, "refs/tags/v1", Event::Tag, None).join(" "), "always release docs code");
    assert_eq!(chosen(&plan, "refs/tags/1", Event::Tag, None).join(" "), "always docs code");
    assert_eq!(chosen(&plan, "refs/pull/7/head", Event::Push, None).join(" "), "always docs code");
    assert_eq!(chosen(&plan, "refs/heads/main", Event::Initial, None).join(" "), "always release docs code");
}

#[test]
fn a_filtered_job_says_which_condition_left_it_out() {
    let plan = accepted(&job_with("when = { branch = [\"main\"], path = [\"docs/**\"], event = [\"initial\"] }"));
    let why = |ref_name: &str, event: Event, changed: &[&str]| {
        let ref_name = ref_name.parse().expect("a ref");
        let changed: Vec<String> = changed.iter().map(|path| (*path).to_owned()).collect();
        plan.filtered(&Occasion { ref_name: &ref_name, event, changed: Some(&changed) }).remove(0).expect("left out")
    };
    assert_eq!(why("refs/heads/dev", Event::Push, &[]), "the branch \"dev\" does not match when.branch");
    assert_eq!(why("refs/tags/main", Event::Tag, &[]), "the tag \"main\" does not match when.tag");
    assert_eq!(why("refs/heads/main", Event::Push, &[]), "the event \"push\" is not in when.event");
    assert_eq!(why("refs/heads/main", Event::Initial, &["a"]), "none of the 1 changed paths matches when.path");
}

#[test]
fn conditions_say_what_they_may_hold() {
    says(&job_with("when = \"main\""), &["when must be a table, this is a text"]);
    says(
        &job_with("when = { branches = [\"main\"] }"),
        &["unknown key \"branches\" in when", "did you mean \"branch\"?"],
    );
    says(&job_with("when = { paths = [\"a\"] }"), &["did you mean \"path\"?"]);
    says(&job_with("when = { branch = \"main\" }"), &["when.branch must be a list of texts", "= [\"main\"]"]);
    says(&job_with("when = { branch = [] }"), &["when.branch is empty, so it never matches", "leave it out"]);
    says(&job_with("when = { branch = [1] }"), &["each of when.branch must be a text"]);
    says(&job_with("when = { branch = [\"\"] }"), &["the pattern \"\" is not valid: it needs 1 to 256 bytes"]);
    says(&job_with("when = { branch = [\"refs/heads/main\"] }"), &["never matches", "write \"main\""]);
    says(&job_with("when = { path = [\"!/docs/\"] }"), &[":4:18", "never matches", "write \"!docs/**\""]);
    says(&job_with("when = { path = [\"./a.rs\"] }"), &["write \"a.rs\""]);
    says(&job_with("when = { path = [\"a[\"] }"), &["the pattern \"a[\" is not understood"]);
    says(&job_with("when = { event = [\"pusch\"] }"), &["there is no event \"pusch\"", "did you mean \"push\"?"]);
    says(&job_with("when = { event = [\"cron\"] }"), &["there are: \"push\", \"tag\", \"initial\""]);
    let many = format!("when = {{ path = [{}] }}", "\"a\",".repeat(101));
    says(&job_with(&many), &["when.path has 101 entries, the limit is 100"]);
}
