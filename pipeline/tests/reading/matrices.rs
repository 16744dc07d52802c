//! A job as many jobs, and needs between their members.

use messages::Work;
use pipeline::{MAX_JOBS, MAX_STEP_BYTES, Plan};

use crate::{accepted, job_with, refused, says};

fn names(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| job.name.as_str()).collect()
}

#[test]
fn a_matrix_is_a_job_for_each_combination_in_the_order_of_the_file() {
    let plan = accepted(
        r#"
        [env]
        OS = "file"
        [[job]]
        name = "test"
        steps = ["cargo +$TOOLCHAIN test"]
        [job.matrix]
        TOOLCHAIN = ["stable", "nightly"]
        OS = ["linux", "mac"]
        exclude = [{ OS = "mac", TOOLCHAIN = "nightly" }]
        include = [{ OS = "linux", FLAGS = "-O3", TOOLCHAIN = "beta" }]
        "#,
    );
    assert_eq!(
        names(&plan),
        ["test (stable, linux)", "test (stable, mac)", "test (nightly, linux)", "test (beta, linux, -O3)"]
    );
    assert_eq!(plan.jobs[1].spec.env["OS"], "mac", "the matrix wins over the file's env");
    assert_eq!(plan.jobs[3].spec.env["FLAGS"], "-O3");
    assert!(!plan.jobs[0].spec.env.contains_key("FLAGS"));
    // Values are never put into a command.
    assert!(matches!(&plan.jobs[0].spec.work, Work::Steps { steps } if steps[0].run == "cargo +$TOOLCHAIN test"));

    let only_included = accepted(&job_with("matrix = { include = [{ A = \"1\" }, { B = \"2\" }] }"));
    assert_eq!(names(&only_included), ["a (1)", "a (2)"]);
}

#[test]
fn a_need_on_a_matrix_is_a_need_on_all_its_members_or_on_the_one_that_is_named() {
    let file = |needs: &str| {
        format!(
            "[[job]]\nname = \"first\"\nsteps = [\"x\"]\n[[job]]\nname = \"test\"\nsteps = [\"x\"]\nneeds = [\"first\"]\n\
             matrix = {{ OS = [\"linux\", \"mac\"] }}\n[[job]]\nname = \"last\"\nsteps = [\"x\"]\nneeds = [{needs}]\n"
        )
    };
    let all = accepted(&file("\"test\", \"first\""));
    assert_eq!(names(&all), ["first", "test (linux)", "test (mac)", "last"]);
    let needs: Vec<&[usize]> = all.jobs.iter().map(|job| job.needs.as_slice()).collect();
    assert_eq!(needs, [&[] as &[usize], &[0], &[0], &[1, 2, 0]]);
    assert_eq!(accepted(&file("\"test (mac)\"")).jobs[3].needs, [2]);
    says(&file("\"test (mac)\", \"test\""), &["job \"test\" is needed twice"]);
    says(&file("\"test (mca)\""), &["no job named \"test (mca)\"", "did you mean \"test (mac)\"?"]);
    says(&file("\"test (m)\""), &[":12:10", "did you mean \"test (mac)\"?"]);
    says(&file("\"test (w)\""), &["did you mean \"test"]);
    says(&file("\"test (7, zzzzzzzzzzzzzzzz)\""), &["no job named"]);
    let circle = "[[job]]\nname = \"a\"\nsteps = [\"x\"]\nneeds = [\"b (1)\"]\n[[job]]\nname = \"b\"\nsteps = [\"x\"]\nneeds = [\"a\"]\nmatrix = { A = [\"1\", \"2\"] }\n";
    says(circle, &[":4:10", "circle: \"a\" needs \"b\" needs \"a\""]);
    says(&job_with("needs = [\"a (1)\"]\nmatrix = { A = [\"1\", \"2\"] }"), &["circle: \"a\" needs \"a\""]);
}

#[test]
fn a_matrix_says_what_it_may_hold() {
    says(&job_with("matrix = 3"), &[":4:10", "matrix must be a table, this is a number"]);
    says(&job_with("matrix = {}"), &["no combination is left", "matrix = { PYTHON = "]);
    says(&job_with("matrix = { A = \"1\" }"), &["\"A\" must be a list of texts", "= [\"1\"]"]);
    says(&job_with("matrix = { A = [3.10] }"), &[":4:17", "each of \"A\" must be a text in quotes, this is a number"]);
    says(&job_with("matrix = { A = [] }"), &["\"A\" has no values"]);
    says(&job_with("matrix = { A = [\"1\", \"1\"] }"), &[":4:22", "\"A\" has the value \"1\" twice"]);
    for value in ["", " 1", "a\\nb", "\\u202e", &"x".repeat(61)] {
        says(&job_with(&format!("matrix = {{ A = [\"{value}\"] }}")), &["not valid in a matrix: it needs 1 to 60"]);
    }
    says(&job_with("matrix = { \"A B\" = [\"1\"] }"), &["no name for an environment variable"]);
    says(&job_with("matrix = { CI = [\"1\"] }"), &["set by the runner"]);
    says(&job_with("env = { A = \"1\" }\nmatrix = { A = [\"1\"] }"), &[":5:12", "env and in its matrix"]);

    let with = |more: &str| job_with(&format!("matrix = {{ OS = [\"linux\", \"mac\"], {more} }}"));
    says(&with("exclude = {}"), &["exclude must be a list of tables, this is a table"]);
    says(&with("exclude = [\"mac\"]"), &["each of exclude must be a table"]);
    says(&with("exclude = [{}]"), &["this entry of exclude names no variable"]);
    says(&with("exclude = [{ Os = \"mac\" }]"), &["the matrix has no variable \"Os\"", "did you mean \"OS\"?"]);
    says(
        &with("exclude = [{ OS = \"amc\" }]"),
        &["\"OS\" never has the value \"amc\"", "there are: \"linux\", \"mac\""],
    );
    says(&with("exclude = [{ OS = \"mac\" }, { OS = \"linux\" }]"), &["no combination is left"]);
    says(&with("include = [{ CPU = \"arm\" }]"), &["this entry of include gives no value to \"OS\""]);
    says(&with("include = [{ OS = \"mac\" }]"), &["two combinations of the matrix have the name \"a (mac)\""]);
    says(&with("include = [{ OS = 1 }]"), &["the value of \"OS\" must be a text"]);
    says(
        &(with("") + "[[job]]\nname = \"a (mac)\"\nsteps = [\"x\"]\n"),
        &[":6:8", "another job named \"a (mac)\", in line 2"],
    );
    // A mistake in a matrix is not told twice, by those who need its members.
    let file = job_with("matrix = { A = [1] }") + "[[job]]\nname = \"b\"\nsteps = [\"x\"]\nneeds = [\"a (1)\"]\n";
    assert_eq!(refused(&file).problems.len(), 1);
}

#[test]
fn the_limits_of_a_matrix_count_its_members() {
    let values = |count: usize| (0..count).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let matrix = |a: usize, b: usize| job_with(&format!("matrix = {{ A = [{}], B = [{}] }}", values(a), values(b)));
    assert_eq!(accepted(&matrix(20, 10)).jobs.len(), MAX_JOBS);
    says(&matrix(67, 3), &[":4:10", "the matrix has 67 × 3 combinations, the limit is 200"]);
    says(&matrix(201, 1), &["\"A\" has 201 values, the limit is 200"]);
    let two = matrix(20, 10) + "[[job]]\nname = \"b\"\nsteps = [\"x\"]\n";
    says(&two, &["the file describes 201 jobs, members of matrices included; the limit is 200"]);
    let long = format!("[[job]]\nname = \"{}\"\nsteps = [\"x\"]\nmatrix = {{ A = [\"12345\"] }}\n", "n".repeat(93));
    says(&long, &["a name of 101 characters, the limit is 100"]);
    let step = "x".repeat(MAX_STEP_BYTES);
    let large = format!(
        "[[job]]\nname = \"a\"\nsteps = [\"{step}\", \"{step}\", \"{step}\"]\nmatrix = {{ A = [{}] }}\n",
        values(100)
    );
    says(&large, &["have 4915200 bytes, members of matrices included; the limit is 4194304"]);
}
