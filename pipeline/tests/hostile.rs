//! Files that are written to do harm: to the stack, to the clock, to the terminal, to the page.
#![expect(clippy::expect_used, reason = "a test ends where it fails")]

use std::thread;
use std::time::{Duration, Instant};

use messages::{MAX_PIPELINE_BYTES, PipelineSource};
use pipeline::{PipelineError, parse, plan};
use proptest::prelude::*;

/// What turns the reading direction or hides, beyond the control characters.
const HIDDEN: [char; 5] = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}'];

/// A file of which every report must be small and harmless.
fn is_bounded_and_harmless(problems: &PipelineError) -> Result<(), String> {
    let report = problems.to_string();
    if report.len() >= 4096 || problems.problems.is_empty() || problems.problems.len() > 20 {
        return Err(format!("{} bytes, {} problems", report.len(), problems.problems.len()));
    }
    match report.chars().find(|c| (c.is_control() && *c != '\n') || HIDDEN.contains(c)) {
        Some(c) => Err(format!("shows {c:?}: {report:?}")),
        None => Ok(()),
    }
}

/// Refused, soon, and with a report that can be shown.
fn is_refused_well(text: &str) {
    let start = Instant::now();
    let problems = parse(text).expect_err("a hostile file is no plan");
    is_bounded_and_harmless(&problems).expect("a report that can be shown");
    // Generous for a busy machine without optimisation; what this guards against took far longer.
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

/// As much of a text as a file holds.
fn filled(start: &str, filler: &str, end: &str) -> String {
    let room = MAX_PIPELINE_BYTES - start.len() - end.len();
    format!("{start}{}{end}", filler.repeat(room / filler.len()))
}

#[test]
fn towers_of_brackets_end_in_an_error_and_not_in_a_crash() {
    // Half of what a thread has by default: a caller deep in its own calls has no more left.
    let small_stack = thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
        for tower in [
            filled("a = ", "[", ""),
            filled("a = ", "[", "]"),
            filled("a = ", "{a=", ""),
            filled("", "[", ""),
            filled("", "a.", "b = 1"),
            filled("[", "a.", "b]"),
            filled("[[", "a.", "b]]"),
            filled("a = {", "a.", "b = 1}"),
            filled("[[job]]\nname = \"a\"\nsteps = ", "[{a=", ""),
        ] {
            is_refused_well(&tower);
        }
    });
    small_stack.expect("a thread").join().expect("no overflow");
}

#[test]
fn a_flood_of_mistakes_is_reported_soon_and_in_short() {
    let jobs: String =
        (0..150).map(|number| format!("[[job]]\nname = \"{}{number}\"\nsteps = [\"x\"]\n", "b".repeat(90))).collect();
    for flood in [
        filled(&format!("{jobs}needs = ["), "\"bb\",", "]\n"),
        filled("[[job]]\nname = \"a\"\nsteps = [", "1,", "]\n"),
        filled("", "x==\n", ""),
        filled("", "=", "\n"),
        (0..6000).map(|number| format!("k{number} = 1\n")).collect(),
        format!("[[job]]\n{}", (0..6000).map(|number| format!("s{number} = 1\n")).collect::<String>()),
        format!("[env]\n{}", (0..6000).map(|number| format!("{number}=1\n")).collect::<String>()),
        (0..9000).map(|_| "[[a]]\n").collect(),
        // Patterns that are costly to build, in many jobs, and one mistake at the end.
        filled(
            "",
            "[[job]]\nname=\"a\"\nsteps=[\"x\"]\nwhen={path=[\"**/{a,b}/*/{c,d}/**/[!a-z]?*{e,f}**/*?*?*?*?\"]}\n",
            "",
        ),
        // Matrices of matrices: many times more members than jobs may be, and names that nobody has.
        (0..170)
            .map(|n| {
                let values = |letter: char| (0..14).map(|v| format!("\"{letter}{v}\"")).collect::<Vec<_>>().join(",");
                let (a, b) = (values('a'), values('b'));
                format!("[[job]]\nname=\"j{n}\"\nsteps=[\"x\"]\nneeds=[\"q{n}\"]\nmatrix={{A=[{a}],B=[{b}]}}\n")
            })
            .collect(),
        filled(
            "[[job]]\nname = \"a\"\nmatrix = { A = [\"1\", \"2\"], B = [\"1\", \"2\"], C = [\"1\", \"2\"], D = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\", \"10\", \"11\", \"12\", \"13\"] }\nsteps = [\n",
            &format!("\"{}\",\n", "x".repeat(16_000)),
            "]\n",
        ),
        filled(
            "[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.matrix]\nA = [\"1\"]\ninclude = [",
            "{ A = \"2\" },",
            "]\n",
        ),
        filled(
            "[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.matrix]\nA = [\"1\"]\nexclude = [",
            "{ A = \"2\" },",
            "]\n",
        ),
        filled("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.matrix]\nA = [", "\"\u{202e}\",", "]\n"),
        format!(
            "[[job]]\nname = \"a\"\nsteps = [\"x\"]\n[job.matrix]\n{}",
            (0..3000).map(|number| format!("A{number} = [\"1\", \"2\"]\n")).collect::<String>()
        ),
    ] {
        is_refused_well(&flood);
    }
}

#[test]
fn endless_names_do_not_make_endless_reports() {
    let good = "[[job]]\nname = \"a\"\nsteps = [\"x\"]\n";
    for text in [
        filled(&format!("{good}[job.env]\n"), "A", " = 1\n"),
        filled(&format!("{good}[job.env]\nA = \""), "x", "\"\n"),
        filled(&format!("{good}\""), "\u{202e}", "\" = 1\n"),
        filled(&format!("{good}pool = \""), "\u{202e}", "\"\n"),
        filled(&format!("{good}needs = [\""), "\u{2028}", "\"]\n"),
        filled("[[job]]\nsteps = [\"x\"]\nname = \"", "\u{200b}", "\"\n"),
        filled(&format!("{good}timeout = "), "m", "\n"),
    ] {
        is_refused_well(&text);
    }
    // Names of the greatest length and width, all in one circle.
    let name = |number: usize| format!("{}{}", "\u{10fffd}".repeat(98), number % 8);
    is_refused_well(
        &(0..8)
            .map(|n| format!("[[job]]\nname = \"{}\"\nsteps = [\"x\"]\nneeds = [\"{}\"]\n", name(n), name(n + 1)))
            .collect::<String>(),
    );
}

#[test]
fn what_could_steer_a_terminal_is_shown_and_not_obeyed() {
    let problems = parse("[[job]]\nname = \"a\"\nsteps = [\"x\"]\n\"\\u001b[2J\u{202e}\" = 1\n").expect_err("refused");
    is_bounded_and_harmless(&problems).expect("harmless");
    assert!(problems.to_string().contains(r#"unknown key "\u{1b}[2J\u{202e}""#), "{problems}");

    let why = format!("a link to \u{1b}[2J{}", "x".repeat(10_000));
    let problems = plan(&PipelineSource::Unreadable { why }).expect_err("refused");
    is_bounded_and_harmless(&problems).expect("harmless");
}

/// Pieces of which good and bad files are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[[job]]\n".to_owned()),
        Just("[job.env]\n".to_owned()),
        Just("[env]\n".to_owned()),
        "when = \\{ (path|branch|tag) = \\[\"(!|)[a*\\[?{,}/]{0,5}\"\\] \\}\n",
        Just("[job.matrix]\n".to_owned()),
        "(A|B|include|exclude) = \\[(\"[a-b]\",?){0,3}\\]\n",
        "matrix = \\{ (A|B) = \\[\"[a-b]\", \"[c-d]\"\\] \\}\n",
        "(include|exclude) = \\[(\\{ A = \"[a-c]\" \\},?){0,3}\\]\n",
        "(name|steps|needs|pool|dir|timeout|env|stpes|run) = ",
        "\"[a-c]\"\n",
        "\\[(\"[a-c]\",?){0,3}\\]\n",
        "\"(1h|30m|9d|x/y|\\.\\.|)\"\n",
        "name = \"[a-e]\"\nsteps = \\[\"x\"\\]\n",
        "needs = \\[\"[a-e]\"(, \"[a-e]\")?\\]\n",
        any::<String>(),
        "[\\[\\]\"'={}.,#\\\\\r\n\t\u{0}\u{1b}\u{202e}\u{2028}]{1,4}",
    ]
}

proptest! {
    #[test]
    fn whatever_the_file_holds_there_is_a_sound_plan_or_a_bounded_report(pieces in prop::collection::vec(piece(), 0..16)) {
        let text = pieces.concat();
        match parse(&text) {
            Err(problems) => {
                prop_assert_eq!(is_bounded_and_harmless(&problems), Ok(()));
                let lines = text.matches('\n').count() + 1;
                prop_assert!(problems.problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
                prop_assert!(problems.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
            }
            Ok(plan) => {
                prop_assert!(!plan.jobs.is_empty());
                // Whoever takes jobs as their needs are done must come to an end.
                let mut done = vec![false; plan.jobs.len()];
                for _ in &plan.jobs {
                    let next = (0..done.len()).find(|job| !done[*job] && plan.jobs[*job].needs.iter().all(|need| done[*need]));
                    prop_assert!(next.is_some(), "a circle in {:?}", plan);
                    done[next.unwrap_or_default()] = true;
                }
            }
        }
    }

    #[test]
    fn no_change_of_a_good_file_panics(position in 0usize..200, insert in "[\\[\\]\"'=\\n{}a-z\\u{0}\\u{202e}]{0,8}") {
        let good = "[env]\nA = \"1\"\n[[job]]\nname = \"a\"\nsteps = [\"x\"]\nneeds = []\ntimeout = \"1h\"\n[job.env]\nB = \"2\"\n";
        let mut text = good.to_owned();
        text.insert_str(position.min(good.len()), &insert);
        if let Err(problems) = parse(&text) {
            prop_assert_eq!(is_bounded_and_harmless(&problems), Ok(()));
        }
    }
}
