//! Says every few seconds all that this runner holds, and does what the answer asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{Delivery, Exchange, Link, Outgoing, Topic};
use messages::{Beat, BeatAnswer, CancelAttempt, Envelope, JobId, Malformed, Message, MessageId, Probe};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::{Context, Settle};
use crate::hands::StopWhy;
use crate::holdings::Command;
use crate::leash::Moment;

/// The least time between two beats, however much happens.
const LEAST: Duration = Duration::from_millis(50);

/// Beats for ever.
pub(crate) async fn beat(context: Arc<Context>) {
    let mut link = context.broker.link();
    loop {
        let sent = Instant::now();
        let moment = Moment::now();
        let beat = next(&context);
        let running = beat.running.iter().map(|running| (running.job, running.attempt)).collect();
        context.sent().note(beat.sequence, moment, running);
        let id = MessageId::of(&["beat", &beat.incarnation.to_string(), &beat.sequence.to_string()]);
        match Envelope::of(&beat, id) {
            Ok(envelope) => {
                let key = Topic::Beat(context.name.clone()).key();
                // A lost beat is followed by the next; a late one would only say what is over.
                if let Err(cause) = context.broker.publish(Outgoing::new(Exchange::Results, key, envelope)).await {
                    tracing::debug!(%cause, "beat not sent");
                }
            }
            Err(cause) => tracing::error!(%cause, "beat cannot be sent"),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(sent + context.settings.beat_every) => {}
            () = context.beat_now.notified() => tokio::time::sleep_until(sent + LEAST).await,
            () = takes_again(&mut link) => tokio::time::sleep_until(sent + LEAST).await,
        }
    }
}

/// Returns when the broker takes messages after it took none: an alarm that goes on and off must not
/// happen to be on at every beat.
async fn takes_again(link: &mut watch::Receiver<Link>) {
    for up in [false, true] {
        if link.wait_for(|link| matches!(link, Link::Up { .. }) == up).await.is_err() {
            // The connection is closed for good.
            std::future::pending::<()>().await;
        }
    }
}

fn next(context: &Context) -> Beat {
    let sent = |job: JobId| context.attempt(job).map_or(0, |attempt| attempt.cursor.sent());
    let lists = context.holdings().lists(sent);
    Beat {
        runner: context.name.clone(),
        incarnation: context.incarnation,
        birth: context.birth,
        sequence: lists.sequence,
        pool: context.settings.pool.clone(),
        slots: u32::from(context.settings.slots),
        draining: context.is_draining(),
        trouble: context.quarantine.why(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        held: lists.held,
        running: lists.running,
        finished: lists.finished,
    }
}

/// Reads a message of the control queue and does what it asks for. True: the runner shall drain.
pub(crate) async fn hear(context: &Arc<Context>, delivery: &Delivery) -> bool {
    let commands = match commands(context, delivery) {
        Ok(commands) => commands,
        Err(cause) => {
            tracing::warn!(%cause, "control message not understood");
            return false;
        }
    };
    let mut drain = false;
    for command in commands {
        drain |= command == Command::Drain;
        obey(context, command).await;
    }
    drain
}

fn commands(context: &Context, delivery: &Delivery) -> Result<Vec<Command>, Malformed> {
    let envelope = delivery.envelope.as_ref().map_err(Clone::clone)?;
    match envelope.kind.as_str() {
        Probe::KIND => Ok(Vec::new()),
        CancelAttempt::KIND => Ok(context.holdings().cancelled(&envelope.open()?).into_iter().collect()),
        _ => {
            let answer = envelope.open::<BeatAnswer>()?;
            if answer.incarnation == context.incarnation {
                prolong(context, &answer);
            }
            Ok(context.holdings().answered(&answer))
        }
    }
}

fn prolong(context: &Context, answer: &BeatAnswer) {
    let confirmed = context.sent().confirmed(answer);
    for (job, until) in confirmed {
        if let Some(attempt) = context.attempt(job) {
            attempt.prolong(until);
        }
    }
}

async fn obey(context: &Arc<Context>, command: Command) {
    match command {
        Command::Cancel(job) => stop(context, job, StopWhy::Cancel),
        Command::Void(job) if context.holdings().is_finished(job) => {
            // The dispatcher has what was handed back: its delivery is settled. Otherwise it comes again
            // and is claimed again.
            let given = context.attempt(job).is_some_and(|attempt| attempt.handed_back.load(Ordering::Relaxed));
            context.forget(job, if given { Settle::Ack } else { Settle::Requeue }).await;
        }
        Command::Void(job) => {
            tracing::warn!(%job, "the attempt is not the current one any more; stopped");
            stop(context, job, StopWhy::Void);
        }
        Command::Recorded(job) => context.forget(job, Settle::Ack).await,
        Command::ResendResult(job) => {
            if let Some(attempt) = context.attempt(job) {
                attempt.again.notify_one();
            }
        }
        Command::ResendLog(job, from) => {
            if let Some(attempt) = context.attempt(job) {
                attempt.cursor.resend(from);
            }
        }
        Command::Drain => {}
    }
}

fn stop(context: &Context, job: JobId, why: StopWhy) {
    if let Some(attempt) = context.attempt(job) {
        attempt.stop(why);
    }
}
