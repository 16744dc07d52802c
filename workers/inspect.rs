//! Commands that look and do nothing: check a pipeline, show settings, print completions.

use std::io::Write;

use clap::CommandFactory;
use messages::PipelineSource;

use crate::cli::{CheckOptions, Cli, CompletionsOptions, ConfigCommand, ConfigOptions};
use crate::exit::Exit;
use crate::settings::{Settings, Typed};

/// `thump check`
pub(crate) fn check(options: &CheckOptions) -> Result<Exit, Exit> {
    let path = &options.file;
    let bytes = std::fs::read(path).map_err(|cause| Exit::not_found(format!("read {}: {cause}", path.display())))?;
    let source = if bytes.len() > messages::MAX_PIPELINE_BYTES {
        PipelineSource::TooLarge { bytes: bytes.len() as u64 }
    } else {
        match String::from_utf8(bytes) {
            Ok(text) => PipelineSource::File { text },
            Err(_) => PipelineSource::Unreadable { why: "not UTF-8".into() },
        }
    };
    let plan = pipeline::plan(&source).map_err(|problems| Exit::failed(problems.to_string()))?;
    if options.json {
        let jobs: Vec<_> = plan
            .jobs
            .iter()
            .map(|job| serde_json::json!({"name": job.name, "pool": job.pool, "needs": job.needs, "spec": job.spec}))
            .collect();
        say(&serde_json::json!({"jobs": jobs}).to_string());
    } else {
        let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
        say(&format!("{} is fine: {} ({})", path.display(), count(names.len(), "job"), names.join(", ")));
    }
    Ok(Exit::GOOD)
}

/// `thump config show`
pub(crate) fn config(options: &ConfigOptions) -> Result<Exit, Exit> {
    let ConfigCommand::Show(typed) = &options.what;
    let settings = Settings::resolve(&Typed {
        data: Some(&typed.data),
        broker: Some(&typed.broker),
        watch: Some(&typed.watch),
        serve: Some(&typed.serve),
        runner: Some(&typed.runner),
        pool: None,
    })?;
    for (name, value, origin) in settings.rows() {
        say(&format!("{name:<14} {value:<40} {origin}"));
    }
    Ok(Exit::GOOD)
}

/// `thump completions`
pub(crate) fn completions(options: &CompletionsOptions) -> Result<Exit, Exit> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "thump", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::GOOD)
}

/// "1 job", "2 jobs".
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// One line on stdout. A reader that has gone away (`| head`) is no error.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
