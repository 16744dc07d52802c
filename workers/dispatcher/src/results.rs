//! Reads the reply queue: claims, results, beats and own ticks, a batch at a time.
//!
//! Ended attempts and claims of one batch are committed together; they are what somebody waits for.
//! Beats come after them, so that a result is never asked for again that lies in the same batch (only which
//! lives they tell of is looked at before, so that nothing is started for a dead one); ticks
//! come last and count as one, so that time never passes before what was heard in it.

use std::sync::Arc;

use broker::{Delivery, Queue};
use messages::{Beat, Claim, Finished, HandBack, Malformed, Message, Tick};
use tracing::debug;

use crate::desk::Desk;
use crate::heralds::Heralds;
use crate::mailbox::{Mail, Mailbox, ack_all, put_aside};
use crate::term::Halt;
use crate::{beats, claims, clock, collect, probes};

/// What one transaction takes at most.
const BATCH: u16 = 256;

pub(crate) async fn run(desk: Arc<Desk>) -> Result<(), Halt> {
    let mut mailbox = Mailbox::open(&desk.broker, Queue::Results, BATCH);
    loop {
        match mailbox.next(&desk.stop).await? {
            Mail::Stopped => return Ok(()),
            // Nothing could be heard meanwhile, so silence meant nothing.
            Mail::Resumed => desk.board().refresh(),
            Mail::Batch(batch) => {
                // After a freeze these may be somebody else's to answer, and a beat's answer is in no ledger.
                desk.ledger.confirm(desk.epoch).await?;
                handle(&desk, batch).await?;
            }
        }
    }
}

/// A batch by kind; each keeps the queue's order.
#[derive(Default)]
struct Sorted {
    claims: Vec<(Delivery, Claim)>,
    finished: Vec<(Delivery, Finished)>,
    hand_backs: Vec<(Delivery, HandBack)>,
    beats: Vec<(Delivery, Beat)>,
    ticks: Vec<(Delivery, Tick)>,
}

async fn handle(desk: &Arc<Desk>, batch: Vec<Delivery>) -> Result<(), Halt> {
    let mut sorted = Sorted::default();
    for delivery in batch {
        if let Some((delivery, cause)) = sorted.add(delivery) {
            put_aside(delivery, &cause.to_string()).await;
        }
    }
    let Sorted { claims, finished, hand_backs, beats, ticks } = sorted;
    let heralds = Heralds::of(beats.iter().map(|(_, beat)| beat));
    let (recorded, answered) = tokio::join!(collect::record(desk, finished), claims::answer(desk, claims, &heralds));
    recorded?;
    answered?;
    collect::take_back(desk, hand_backs).await?;
    beats::answer(desk, beats).await?;
    // Of the clock's ticks one counts, however many gathered: those that lie before a claim in the queue would
    // otherwise be counted against the lease that it was just given, and end it at once.
    let last = ticks.iter().rposition(|(_, tick)| tick.incarnation == desk.life);
    for (place, (delivery, tick)) in ticks.into_iter().enumerate() {
        if tick.incarnation != desk.life || last == Some(place) {
            clock::came_back(desk, &tick).await?;
        }
        ack_all([delivery]).await;
    }
    probes::settle(desk).await
}

impl Sorted {
    /// Returns what it cannot place, and why.
    fn add(&mut self, delivery: Delivery) -> Option<(Delivery, Malformed)> {
        let kind = match &delivery.envelope {
            Ok(envelope) => envelope.kind.clone(),
            Err(cause) => {
                let cause = cause.clone();
                return Some((delivery, cause));
            }
        };
        debug!(kind, key = delivery.key, redelivered = delivery.redelivered, "received");
        match kind.as_str() {
            Claim::KIND => place(delivery, &mut self.claims),
            Finished::KIND => place(delivery, &mut self.finished),
            HandBack::KIND => place(delivery, &mut self.hand_backs),
            Beat::KIND => place(delivery, &mut self.beats),
            Tick::KIND => place(delivery, &mut self.ticks),
            _ => {
                let found = kind.chars().take(100).collect();
                Some((delivery, Malformed::Kind { found, expected: "claim, result, beat or tick".to_owned() }))
            }
        }
    }
}

fn place<M: Message>(delivery: Delivery, into: &mut Vec<(Delivery, M)>) -> Option<(Delivery, Malformed)> {
    let opened = match &delivery.envelope {
        Ok(envelope) => envelope.open::<M>(),
        Err(cause) => Err(cause.clone()),
    };
    match opened {
        Ok(message) => {
            into.push((delivery, message));
            None
        }
        Err(cause) => Some((delivery, cause)),
    }
}
