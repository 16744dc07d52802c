//! `thump drill`: hands over to the crate `drill`, and prints what it found.

use std::time::Duration;

use drill::{Carrier, Options, scratch};
use serde_json::json;

use crate::cli::DrillOptions;
use crate::exit::Exit;
use crate::inspect::say;
use crate::settings::{BrokerChoice, Settings, Typed};

/// `thump drill`
pub(crate) async fn run(typed: DrillOptions) -> Result<Exit, Exit> {
    let settings = Settings::resolve(&Typed { broker: Some(&typed.broker), ..Typed::default() })?;
    let seed = typed.seed.unwrap_or_else(drill::any_seed);
    let failed = |cause: anyhow::Error| Exit::failed(format!("{cause:#}"));
    let (carrier, url) = match &settings.broker.value {
        BrokerChoice::Embedded => (Carrier::Embedded { weather: seed }, None),
        BrokerChoice::Rabbit(url) => (scratch::enter(url).await.map_err(failed)?, Some(url)),
    };
    let mut roles = drill::Settings::new(std::env::current_exe().map_err(|cause| Exit::failed(cause.to_string()))?);
    roles.runners = usize::from(typed.runners);
    roles.slots = usize::from(typed.slots);
    if !typed.json {
        say(&format!("seed {seed}: {} jobs, {} faults within {} s", typed.jobs, typed.faults, typed.seconds));
    }
    let options = Options {
        settings: roles,
        carrier,
        seed,
        jobs: typed.jobs as usize,
        faults: typed.faults as usize,
        broker_kills: 0,
        broker_stops: 0,
        over: Duration::from_secs(typed.seconds),
        say: |text| tracing::info!("{text}"),
    };
    let outcome = drill::run(options).await.map_err(failed);
    if let Some(url) = url
        && let Err(cause) = scratch::leave(url).await
    {
        tracing::warn!("the virtual host was not cleaned: {cause:#}");
    }
    let outcome = outcome?;
    say(&if typed.json { as_json(&outcome).to_string() } else { outcome.to_string() });
    Ok(if outcome.findings.kept() { Exit::GOOD } else { Exit::NOT_GOOD })
}

fn as_json(outcome: &drill::Outcome) -> serde_json::Value {
    let findings = &outcome.findings;
    let broken = findings.broken.iter().map(|finding| json!({"kind": finding.kind.as_str(), "what": finding.what}));
    let milliseconds = |hundredths| outcome.recovered_within(hundredths).map(|time| time.as_millis());
    json!({
        "seed": outcome.seed,
        "kept": findings.kept(),
        "broken": broken.collect::<Vec<_>>(),
        "jobs": findings.jobs,
        "attempts": findings.attempts,
        "overlapping_attempts": findings.overlaps,
        "faults": outcome.faults.len(),
        "recovery_ms": {"count": outcome.recovery.len(), "p50": milliseconds(50), "p99": milliseconds(99)},
        "logs": outcome.kept,
    })
}
