//! Tells the dispatcher how an attempt ended, until the broker has it; then the delivery is acked.

use std::sync::Arc;
use std::time::Duration;

use broker::{Exchange, Outgoing, Topic};
use messages::{Envelope, Finished, HandBack, JobId, Malformed};

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
        tokio::join!(send(&context, job, &parcel), on_disk);
        loop {
            context.holdings().reported(job);
            // A job handed back is acked only when that is recorded: until then nobody else knows it.
            let delivery = if is_result { context.holdings().take_delivery(job) } else { None };
            if let Some(delivery) = delivery {
                delivery.ack().await;
            }
            context.beat_now.notify_one();
            attempt.again.notified().await;
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
