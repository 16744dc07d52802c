//! One job in hand: take, claim, do, make durable, hand on, ack.
//!
//! Kill the process after any line and nothing is lost: until the report is with the broker the
//! delivery is not acked, and until the report is recorded the spool is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::Delivery;
use messages::{Envelope, ErroredKind, Finished, HandBack, Job, JobId, LEASH, Malformed, Outcome, StepResult};
use seams::chance;
use tokio::sync::watch;

use crate::claim::{self, Answer};
use crate::context::{Attempt, Context, Settle, settle};
use crate::hands::{Ended, Prepared, Progress, StopWhy, Ticket};
use crate::leash::Moment;
use crate::report::{Parcel, report};
use crate::stream::Stream;

/// Above this the texts of the steps are cut in the report: it must fit into one message, and the
/// ledger has them anyway.
const MAX_STEP_TEXT: usize = 256 * 1024;

/// Takes a delivery: a new job gets a lease, a copy is parked, what is no job is put aside.
pub(crate) async fn take(context: &Arc<Context>, delivery: Delivery) {
    let job = match open(&delivery.envelope) {
        Ok(job) => job,
        Err(cause) => {
            tracing::warn!(%cause, "message on the job queue put aside");
            // Beside the loop, which must hear the next message meanwhile.
            context.spawn(async move {
                if let Err(cause) = delivery.dead_letter(&cause.to_string()).await {
                    tracing::warn!(%cause, "message not put aside yet; it comes again");
                }
            });
            return;
        }
    };
    if context.is_draining() {
        settle(delivery, Settle::Requeue).await;
        return;
    }
    let redelivered = delivery.redelivered;
    if context.holdings().delivered(job.id, redelivered, delivery) {
        context.spawn_lease(hold(context.clone(), job));
    }
}

fn open(envelope: &Result<Envelope, Malformed>) -> Result<Job, Malformed> {
    envelope.as_ref().map_err(Clone::clone)?.open()
}

/// Waits for a slot, then asks, and runs it if the answer is yes.
async fn hold(context: Arc<Context>, job: Job) {
    let Ok(_slot) = context.slots.clone().acquire_owned().await else { return };
    // Forgotten meanwhile by an interruption or a drain.
    let Some(redelivered) = context.holdings().claiming(job.id) else { return };
    // Everything that can be done before the answer is done before the answer.
    let prepared = context.hands.prepare(&job);
    if let Some(why) = prepared.fault() {
        // Not asked for: it costs the job no attempt.
        context.quarantine.could_not_begin(&why);
        prepared.discard().await;
        context.quarantine.left().await;
        return context.forget(job.id, Settle::Requeue).await;
    }
    match claim::ask(&context, &job, redelivered).await {
        Answer::Run(ticket, asked) => {
            tracing::info!(job = %job.id, attempt = %ticket.attempt, repository = %job.repository.name,
                commit = job.commit.short(), name = job.name, "attempt started");
            run(&context, job, ticket, asked, prepared).await;
        }
        Answer::Drop(reason) => {
            tracing::info!(job = %job.id, ?reason, "copy dropped");
            context.forget(job.id, Settle::Ack).await;
            prepared.discard().await;
        }
        Answer::GivenUp => {
            context.forget(job.id, Settle::Requeue).await;
            prepared.discard().await;
        }
    }
}

/// `asked`: when the question was sent that was answered with the ticket.
async fn run(context: &Arc<Context>, job: Job, ticket: Ticket, asked: Moment, prepared: Box<dyn Prepared>) {
    let started_at = chance::now();
    let this = Attempt::new(context.hands.keep(job.id, ticket.attempt), job.spec.exclusive.then(|| asked.after(LEASH)));
    context.attempts().insert(job.id, this.clone());
    context.holdings().started(job.id, ticket.clone());
    if context.is_draining() {
        // It was asked for before the drain began, and costs nothing if it is given back unstarted.
        this.stop(StopWhy::HandBack);
    }
    let progress = watch::Sender::new(Progress::default());
    stream(context, job.id, ticket.clone(), &this, progress.subscribe());

    let (ended, clear) = prepared.run(&job, &ticket, progress, this.stop.subscribe(), this.leash()).await;
    let Ended { outcome, steps, stopped, log_length, log_sha256 } = ended;
    tracing::info!(job = %job.id, attempt = %ticket.attempt, outcome = word(&outcome), ?stopped, "attempt ended");
    if let Outcome::Errored { reason, .. } = &outcome {
        tracing::warn!(job = %job.id, attempt = %ticket.attempt, kind = reason.kind.as_str(), %reason, "our side was in the way");
    }
    let fault = match &outcome {
        Outcome::Errored { reason, .. } if reason.kind == ErroredKind::Host => Some(reason.detail.clone()),
        _ => None,
    };
    match stopped {
        Some(StopWhy::Void) => context.forget(job.id, Settle::Requeue).await,
        Some(StopWhy::HandBack) => {
            this.handed_back.store(true, Ordering::Relaxed);
            let Ticket { attempt, token } = ticket;
            let back = HandBack { runner: context.name.clone(), job: job.id, attempt, token };
            conclude(context, &job, this, Parcel::HandBack(back));
        }
        Some(StopWhy::Cancel) | None => {
            let finished = Finished {
                runner: context.name.clone(),
                incarnation: context.incarnation,
                job: job.id,
                attempt: ticket.attempt,
                token: ticket.token,
                outcome,
                steps: fitting(steps),
                started_at,
                finished_at: chance::now(),
                log_length,
                log_sha256,
                test_pieces: this.kept.test_pieces(),
            };
            if let Err(cause) = this.kept.keep_result(finished.clone()).await {
                tracing::error!(job = %job.id, %cause, "result not spooled; it lives only as long as this process");
            }
            conclude(context, &job, this, Parcel::Finished(Box::new(finished)));
        }
    }
    clear.await;
    // With the slot still taken, so that nothing begins before it is clear.
    match fault {
        Some(why) => context.quarantine.fault(&why, &*context.hands).await,
        None => context.quarantine.no_fault(),
    }
}

fn conclude(context: &Arc<Context>, job: &Job, attempt: Arc<Attempt>, parcel: Parcel) {
    context.holdings().finished(job.id);
    context.spawn(report(context.clone(), job.id, attempt, parcel));
    context.changed.notify_one();
}

fn stream(context: &Context, job: JobId, ticket: Ticket, attempt: &Arc<Attempt>, progress: watch::Receiver<Progress>) {
    let stream = Stream {
        broker: context.broker.clone(),
        runner: context.name.clone(),
        job,
        ticket,
        kept: attempt.kept.clone(),
        progress,
    };
    let attempt = attempt.clone();
    context.spawn(async move { stream.run(&attempt.cursor, attempt.forgotten.clone()).await });
}

/// Sends the log of a former life from its beginning: how far that life came is not known.
pub(crate) fn stream_again(context: &Context, finished: &Finished, ticket: Ticket, attempt: &Arc<Attempt>) {
    // What is on the disk counts: the file may have lost its end with the machine.
    let length = attempt.kept.log_length().min(finished.log_length);
    let (_, progress) = watch::channel(Progress { length, complete: true });
    stream(context, finished.job, ticket, attempt, progress);
}

fn fitting(mut steps: Vec<StepResult>) -> Vec<StepResult> {
    if steps.iter().map(|step| step.run.len()).sum::<usize>() > MAX_STEP_TEXT {
        for step in &mut steps {
            step.run = step.run.chars().take(200).collect();
        }
    }
    steps
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::TimedOut { .. } => "timed_out",
        Outcome::Cancelled => "cancelled",
        Outcome::Errored { .. } => "errored",
    }
}
