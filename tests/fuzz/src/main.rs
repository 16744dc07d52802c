//! The command: a million wrong inputs for each decoder, or for those that are named.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fuzz::{Find, LIMIT};

/// Gives every decoder wrong input and prints a row for each. Exit code 1: something was found.
#[derive(Parser)]
struct Options {
    /// How many inputs each decoder gets
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
    /// The same number makes the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these decoders
    decoders: Vec<String>,
}

#[expect(clippy::print_stdout, reason = "a command's own table")]
fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let all = fuzz::all();
    if let Some(unknown) = options.decoders.iter().find(|name| all.iter().all(|decoder| decoder.name != **name)) {
        let names: Vec<_> = all.iter().map(|decoder| decoder.name).collect();
        anyhow::bail!("there is no decoder {unknown:?}\n  try   {}", names.join(", "));
    }
    // What panics is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{:<20} {:>9} {:>9} {:>9} {:>11} {:>6}", "decoder", "inputs", "accepted", "rejected", "slowest", "finds");
    let mut finds = 0;
    for decoder in all.iter().filter(|decoder| wanted(&options.decoders, decoder.name)) {
        let row = fuzz::run(decoder, options.inputs, options.seed);
        let slowest = format!("{:.2} ms", row.slowest.as_secs_f64() * 1000.0);
        println!(
            "{:<20} {:>9} {:>9} {:>9} {slowest:>11} {:>6}",
            row.name,
            row.inputs,
            row.accepted,
            row.rejected,
            row.finds.len()
        );
        for find in &row.finds {
            let file = keep(decoder.name, find)?;
            println!("    {}\n    {}", find.what, file.display());
        }
        finds += row.finds.len();
    }
    println!("\n{finds} finds (panics, broken promises, and inputs that took more than {LIMIT:?} of processor time)");
    Ok(if finds == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}

/// Writes a find where every later run begins with it.
fn keep(decoder: &str, find: &Find) -> anyhow::Result<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/finds")).join(decoder);
    std::fs::create_dir_all(&folder)?;
    let number = messages::MessageId::of(&[&String::from_utf8_lossy(&find.input)]).0.simple().to_string();
    let file = folder.join(&number[..12]);
    std::fs::write(&file, &find.input)?;
    Ok(file)
}
