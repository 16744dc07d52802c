//! What the jobs of a chaos run do: each writes the truth; some leave processes behind, some fail, one waits for
//! another.

use std::path::Path;

use proof::Expected;
use proof::truth::Script;
use rand::RngExt;
use rand::rngs::SmallRng;

/// Jobs of one pipeline.
pub const JOBS: usize = 6;

/// A pipeline of [`JOBS`] small jobs, and what they deserve.
pub fn pipeline(random: &mut SmallRng, folder: &Path) -> (String, Vec<Expected>) {
    let expected = |name: &str, verdict, needs: Option<&str>| Expected {
        name: name.to_owned(),
        verdict,
        needs: needs.map(str::to_owned),
        exclusive: name == "deploy",
    };
    let nap = format!("sleep 0.{}", random.random_range(0..6));
    // Long enough to be there when something happens, now and then.
    let mut work = |most: f64| {
        let long = random.random_range(0..12) == 0;
        format!("sleep {:.1}", if long { 5.0 } else { random.random_range(0.1..most) })
    };
    let (work, deploy) = (work(0.8), work(0.5));
    let jobs = [
        (expected("quick", "passed", None), "true".to_owned()),
        (expected("work", "passed", None), work),
        // Out of the process group and the session, with the output still open.
        (expected("daemon", "passed", None), format!("setsid sleep 600 &\n{nap}")),
        (expected("red", "failed", None), "echo 'assertion failed'".to_owned()),
        (expected("deploy", "passed", None), deploy),
        (expected("after", "passed", Some("work")), nap.clone()),
    ];
    let mut text = String::new();
    for (expected, work) in &jobs {
        let exit = u8::from(expected.verdict == "failed");
        text.push_str(&job(&expected.name, expected.needs.as_deref(), folder, work, exit));
        if expected.exclusive {
            text.push_str("exclusive = true\n");
        }
    }
    (text, jobs.map(|(expected, _)| expected).into())
}

/// One job of a pipeline file that keeps the truth in `folder`.
pub fn job(name: &str, needs: Option<&str>, folder: &Path, work: &str, exit: u8) -> String {
    let (file, locks) = (folder.join("truth"), folder.join("locks"));
    let script = Script { file: &file.display().to_string(), locks: &locks.display().to_string(), work, exit };
    let needs = needs.map_or(String::new(), |name| format!("needs = [\"{name}\"]\n"));
    format!("[[job]]\nname = \"{name}\"\n{needs}steps = ['''\n{script}''']\n")
}
