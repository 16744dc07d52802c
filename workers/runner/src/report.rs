//! Tells the dispatcher how an attempt ended, until the broker has it; then the delivery is acked.

use std::sync::Arc;
use std::time::Duration;

use broker::{Exchange, Outgoing, Topic};
use messages::{Envelope, Finished, HandBack, JobId, Malformed, TestResults};

use seams::{Defect, planted};

use crate::backoff::Backoff;
use crate::context::{Attempt, Context};

/// What is sent. A repeat carries the same id.
pub(crate) enum Parcel {
    Finished(Box<Finished>),
    HandBack(HandBack),
}

impl Parcel {
    fn envelope(&self) -> Result<Envelope, Malformed> {
        match self {
            Self::Finished(finished) => Envelope::of(finished.as_ref(), finished.message_id()),
            Self::HandBack(back) => Envelope::of(back, back.message_id()),
        }
    }
}

/// Reports `job` and reports it again whenever the dispatcher misses it, until it is forgotten.
pub(crate) async fn report(context: Arc<Context>, job: JobId, attempt: Arc<Attempt>, parcel: Parcel) {
    let forgotten = attempt.forgotten.clone();
    let all = async {
        // A result must survive this machine before its delivery is acked; sent meanwhile, so that the
        // disk costs the verdict no time.
        let is_result = matches!(parcel, Parcel::Finished(_));
        let on_disk = async {
            if is_result && let Err(cause) = attempt.kept.sync().await {
                tracing::warn!(%job, %cause, "result not safe on disk; the broker has it");
            }
        };
        if planted(Defect::JobAckedBeforeConfirm) && is_result {
            let delivery = context.holdings().take_delivery(job);
            if let Some(delivery) = delivery {
                delivery.ack().await;
            }
        }
        tokio::join!(send(&context, job, &parcel), on_disk);
        loop {
            context.holdings().reported(job);
            // A job handed back is acked only when that is recorded: until then nobody else knows it.
            let delivery = if is_result { context.holdings().take_delivery(job) } else { None };
            if let Some(delivery) = delivery {
                delivery.ack().await;
            }
            if planted(Defect::SpoolGoneAtConfirm) {
                attempt.kept.remove().await;
            }
            context.beat_now.notify_one();
            // The tests come after the result and never in its way: when it is missed, it goes first again.
            tokio::select! {
                () = attempt.again.notified() => {}
                () = async { tests(&context, &attempt, &parcel).await; std::future::pending().await } => {}
            }
            tracing::info!(%job, "the dispatcher misses the result; sent again");
            send(&context, job, &parcel).await;
        }
    };
    forgotten.run_until_cancelled(all).await;
}

async fn send(context: &Context, job: JobId, parcel: &Parcel) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    let mut said = false;
    loop {
        let why = match parcel.envelope() {
            Ok(envelope) => {
                let key = Topic::Result(context.name.clone()).key();
                match context.broker.publish(Outgoing::new(Exchange::Results, key, envelope)).await {
                    Ok(()) => return,
                    Err(cause) => cause.to_string(),
                }
            }
            Err(cause) => cause.to_string(),
        };
        if !said {
            tracing::warn!(%job, why, "result kept and sent again until the broker has it");
            said = true;
        }
        backoff.wait().await;
    }
}

/// Sends the results of the tests beside the log, where nobody waits for anything.
async fn tests(context: &Context, attempt: &Attempt, parcel: &Parcel) {
    let Parcel::Finished(finished) = parcel else { return };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    for piece in 0..finished.test_pieces {
        let (summary, cases) = match attempt.kept.read_tests(piece) {
            Ok(read) => read,
            Err(cause) => {
                // The result stands without them; the dispatcher gives them up after a while.
                tracing::warn!(job = %finished.job, piece, %cause, "test results are not readable any more");
                return;
            }
        };
        let Finished { job, attempt, token, test_pieces, .. } = finished.as_ref();
        let (job, attempt, token, pieces) = (*job, *attempt, token.clone(), *test_pieces);
        let message = TestResults { job, attempt, token, piece, pieces, summary, cases };
        let envelope = match Envelope::of(&message, message.message_id()) {
            Ok(envelope) => envelope,
            Err(cause) => {
                tracing::warn!(%job, piece, %cause, "test results do not fit into a message");
                return;
            }
        };
        loop {
            let outgoing = Outgoing::new(Exchange::Logs, context.name.as_str(), envelope.clone());
            match context.broker.publish(outgoing).await {
                Ok(()) => break backoff.reset(),
                Err(cause) => {
                    tracing::debug!(%job, piece, %cause, "test results wait");
                    backoff.wait().await;
                }
            }
        }
    }
}
