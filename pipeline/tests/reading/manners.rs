//! How a job may end, and what follows.

use crate::{accepted, job_with, says};

#[test]
fn allowed_failure_and_retry_say_what_they_may_hold() {
    let job = accepted(&job_with("allow_failure = true\nretry = { failed = 1, errored = 0 }")).jobs.remove(0);
    assert!(job.allow_failure);
    assert_eq!((job.retry.failed, job.retry.timed_out, job.retry.errored), (1, 0, Some(0)));
    assert_eq!(accepted(&job_with("")).jobs[0].retry.errored, None, "then Thump decides");
    says(&job_with("allow_failure = \"yes\""), &[":4:17", "true or false, this is a text", "allow_failure = true"]);
    says(&job_with("retry = 2"), &["after which kind of failure", "retry = { failed = 1"]);
    says(&job_with("retry = \"always\""), &["retry must be a table"]);
    says(&job_with("retry = { fail = 1 }"), &["unknown key \"fail\" in retry", "did you mean \"failed\"?"]);
    says(&job_with("retry = { failed = true }"), &["retry.failed must be a number, this is true or false"]);
    for times in ["6", "-1", "99999999999999999999", "0xff"] {
        says(
            &job_with(&format!("retry = {{ timed_out = {times} }}")),
            &[":4:23", "retry.timed_out must be from 0 to 5"],
        );
    }
    says(&job_with("retry = { errored = 1.5 }"), &["retry.errored must be"]);
}

#[test]
fn clean_up_shell_and_silence_say_what_they_may_hold() {
    let job = accepted(&job_with(
        "finally = [\"y\"]\nfinally_timeout = \"2m\"\nshell = [\"bash\", \"-c\"]\nsilence = \"10m\"",
    ));
    let spec = &job.jobs[0].spec;
    assert_eq!((spec.finally[0].run.as_str(), spec.finally_timeout_seconds), ("y", 120));
    assert_eq!(
        (spec.shell.as_slice(), spec.silence_seconds),
        (["bash".to_owned(), "-c".to_owned()].as_slice(), Some(600))
    );
    says(&job_with("finally = \"y\""), &["finally must be a list of texts", "write finally = [\"y\"]"]);
    says(&job_with("finally = []"), &["finally is empty"]);
    says(&job_with("finally_timeout = \"1m\""), &["there are none"]);
    says(
        &job_with("finally = [\"y\"]\nfinally_timeout = 5"),
        &["finally_timeout needs a unit", "finally_timeout = \"5m\""],
    );
    says(&job_with("silence = \"8d\""), &["silence \"8d\" must be from 1s to 7d"]);
    says(&job_with("shell = \"bash\""), &["shell must be a list", "write shell = [\"bash\", \"-e\", \"-c\"]"]);
    says(&job_with("shell = []"), &["shell has 0 parts"]);
    says(&job_with("shell = [\"./sh\"]"), &[":4:10", "\"./sh\" is no program", "found in PATH"]);
    says(&job_with(&format!("shell = [\"{}\"]", "x".repeat(257))), &["up to 256 bytes"]);
    says(&job_with(&format!("finally = [{}]", "\"x\",".repeat(101))), &["101 steps", "the limit is 100"]);
}
