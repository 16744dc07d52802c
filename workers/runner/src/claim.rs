//! May I run this? Asked until there is an answer.

use std::time::Duration;

use broker::{Exchange, Outgoing, Topic};
use messages::{Claim, ClaimAnswer, DropReason, Envelope, Job, MessageId};

use crate::backoff::Backoff;
use crate::context::Context;
use crate::hands::Ticket;
use crate::leash::Moment;

/// How long one question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the dispatcher said.
pub(crate) enum Answer {
    /// With the moment at which the question was sent.
    Run(Ticket, Moment),
    Drop(DropReason),
    /// Nobody answered, and we drain: the job is for another runner.
    GivenUp,
}

/// Asks for `job` again and again while the dispatcher is away. The same question gets the same answer.
pub(crate) async fn ask(context: &Context, job: &Job, redelivered: bool) -> Answer {
    let claim = Claim {
        runner: context.name.clone(),
        incarnation: context.incarnation,
        birth: context.birth,
        pool: context.settings.pool.clone(),
        job: job.id,
        redelivered,
    };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut said = false;
    loop {
        let asked = Moment::now();
        let why = match question(context, &claim).await {
            Ok(ClaimAnswer::Run { attempt, token }) => return Answer::Run(Ticket { attempt, token }, asked),
            Ok(ClaimAnswer::Drop { reason }) => return Answer::Drop(reason),
            Err(why) => why,
        };
        if context.is_draining() {
            return Answer::GivenUp;
        }
        if !said {
            tracing::warn!(job = %job.id, why, "no dispatcher answers; the job is held and asked for again");
            said = true;
        }
        backoff.wait().await;
    }
}

async fn question(context: &Context, claim: &Claim) -> Result<ClaimAnswer, String> {
    let id = MessageId(seams::chance::id());
    let envelope = Envelope::of(claim, id).map_err(|cause| cause.to_string())?;
    let outgoing = Outgoing::new(Exchange::Results, Topic::Claim(context.name.clone()).key(), envelope);
    let answer = context.broker.request(outgoing, PATIENCE).await.map_err(|cause| cause.to_string())?;
    answer.open().map_err(|cause| cause.to_string())
}
