//! Messages that were put aside, kept so that a person can look at them, and what that person orders.
//!
//! Bounded: beyond a number and a sum of bytes the oldest go, settled ones first, and those that nobody
//! has looked at yet are counted. One that dies again while it is parked is counted and not listed twice,
//! so a message that comes in a loop costs a count and not a table.

use sha2::{Digest, Sha256};

use crate::parking::{NoLetter, Replayed};
use crate::rows::{to_count, to_json};
use crate::transaction::Tx;
use crate::writer::Write;
use crate::writes::cancel::note_order;
use crate::{ChangeSubject, LedgerError, NewDeadLetter};

/// The longest body that is kept of a message that cannot be replayed, in bytes. Of others all is kept.
const BODY_BYTES: usize = 64 * 1024;
/// How many are kept, and how many bytes of bodies.
const KEPT: i64 = 10_000;
const KEPT_BYTES: i64 = 256 * 1024 * 1024;
/// The longest note about a replay, in characters.
const NOTE: usize = 1000;

/// [`crate::Ledger::record_dead_letter`].
pub(crate) struct Keep(pub(crate) NewDeadLetter);

/// [`crate::Ledger::replay_letter`].
pub(crate) struct Replay {
    pub(crate) number: i64,
    pub(crate) who: String,
}

/// [`crate::Ledger::discard_letter`].
pub(crate) struct Discard {
    pub(crate) number: i64,
    pub(crate) who: String,
}

/// [`crate::Ledger::letter_replayed`].
pub(crate) struct Settle {
    pub(crate) number: i64,
    pub(crate) outcome: Replayed,
}

impl Write for Keep {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        let Self(letter) = self;
        let bytes = to_count(letter.body.len() as u64);
        let fingerprint = fingerprint(letter);
        let known: Option<(i64, i64, String)> = sqlx::query_as(
            "SELECT number, deaths, state FROM dead_letters WHERE fingerprint = $1 ORDER BY number DESC LIMIT 1",
        )
        .bind(fingerprint.clone())
        .fetch_optional(&mut tx.conn)
        .await?;
        match &known {
            // Recorded, and then its ack was lost.
            Some((_, _, state)) if letter.redelivered && (state == "parked" || state == "replaying") => return Ok(()),
            Some((number, deaths, state)) if state == "parked" => {
                sqlx::query("UPDATE dead_letters SET deaths = $2, reason = $3, last_at = $4 WHERE number = $1")
                    .bind(*number)
                    .bind(deaths + 1)
                    .bind(letter.reason.clone())
                    .bind(tx.now)
                    .execute(&mut tx.conn)
                    .await?;
                tx.touched.subject(&ChangeSubject::DeadLetter(*number));
                return Ok(());
            }
            _ => {}
        }
        let head = letter.head.as_ref().map(to_json).transpose()?;
        if head.is_none() {
            letter.body.truncate(BODY_BYTES);
        }
        let kept = to_count(letter.body.len() as u64);
        let number: i64 = sqlx::query_scalar(
            "UPDATE dead_letter_totals SET last_number = last_number + 1, kept = kept + 1, bytes = bytes + $1 \
             WHERE id = 1 RETURNING last_number",
        )
        .bind(kept)
        .fetch_one(&mut tx.conn)
        .await?;
        sqlx::query(
            "INSERT INTO dead_letters (number, queue, reason, key, body, recorded_at, exchange, head, bytes, deaths, \
             fingerprint, state, last_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'parked', $6)",
        )
        .bind(number)
        .bind(letter.queue.clone())
        .bind(letter.reason.clone())
        .bind(letter.key.clone())
        .bind(letter.body.clone())
        .bind(tx.now)
        .bind(letter.exchange.clone())
        .bind(head)
        .bind(bytes)
        .bind(known.map_or(0, |(_, deaths, _)| deaths) + to_count(letter.deaths.max(1)))
        .bind(fingerprint)
        .execute(&mut tx.conn)
        .await?;
        tx.touched.subject(&ChangeSubject::DeadLetter(number));
        bound(tx).await
    }
}

impl Write for Replay {
    type Answer = Result<(), NoLetter>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        let row: Option<(String, Option<String>, Option<String>)> =
            sqlx::query_as("SELECT state, exchange, head FROM dead_letters WHERE number = $1")
                .bind(self.number)
                .fetch_optional(&mut tx.conn)
                .await?;
        match row {
            None => return Ok(Err(NoLetter::Unknown)),
            Some((state, ..)) if state == "replaying" => return Ok(Err(NoLetter::Replaying)),
            Some((state, ..)) if state == "replayed" => return Ok(Err(NoLetter::Replayed)),
            Some((_, Some(_), Some(_))) => {}
            Some(_) => return Ok(Err(NoLetter::Nameless)),
        }
        set(tx, self.number, "replaying", None).await?;
        note_order(tx, &self.who, "replay_letter", &self.number.to_string()).await?;
        Ok(Ok(()))
    }
}

impl Write for Discard {
    type Answer = Result<(), NoLetter>;

    async fn run(&mut self, tx: &mut Tx) -> Result<Self::Answer, LedgerError> {
        match state(tx, self.number).await?.as_deref() {
            None => return Ok(Err(NoLetter::Unknown)),
            Some("discarded") => return Ok(Err(NoLetter::Discarded)),
            Some("replayed") => return Ok(Err(NoLetter::Replayed)),
            Some(_) => {}
        }
        set(tx, self.number, "discarded", None).await?;
        note_order(tx, &self.who, "discard_letter", &self.number.to_string()).await?;
        Ok(Ok(()))
    }
}

impl Write for Settle {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        // Discarded meanwhile: that order was the later one.
        if state(tx, self.number).await?.as_deref() != Some("replaying") {
            return Ok(());
        }
        match &self.outcome {
            Replayed::Done => set(tx, self.number, "replayed", None).await,
            Replayed::Waits(why) => set(tx, self.number, "replaying", Some(why)).await,
            Replayed::Refused(why) => set(tx, self.number, "parked", Some(why)).await,
        }
    }
}

async fn state(tx: &mut Tx, number: i64) -> Result<Option<String>, LedgerError> {
    Ok(sqlx::query_scalar("SELECT state FROM dead_letters WHERE number = $1")
        .bind(number)
        .fetch_optional(&mut tx.conn)
        .await?)
}

async fn set(tx: &mut Tx, number: i64, state: &'static str, note: Option<&str>) -> Result<(), LedgerError> {
    sqlx::query("UPDATE dead_letters SET state = $2, note = $3 WHERE number = $1")
        .bind(number)
        .bind(state)
        .bind(note.map(|note| note.chars().take(NOTE).collect::<String>()))
        .execute(&mut tx.conn)
        .await?;
    tx.touched.subject(&ChangeSubject::DeadLetter(number));
    Ok(())
}

/// The same for every copy of the same message, whatever it died of.
fn fingerprint(letter: &NewDeadLetter) -> String {
    let mut hash = Sha256::new();
    let id = letter.head.as_ref().map(|head| head.id.clone()).unwrap_or_default();
    for part in [letter.queue.as_bytes(), letter.key.as_bytes(), id.as_bytes(), &letter.body] {
        hash.update(to_count(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets the oldest go until the limits hold.
async fn bound(tx: &mut Tx) -> Result<(), LedgerError> {
    loop {
        let (kept, bytes): (i64, i64) =
            sqlx::query_as("SELECT kept, bytes FROM dead_letter_totals WHERE id = 1").fetch_one(&mut tx.conn).await?;
        if kept <= KEPT && bytes <= KEPT_BYTES {
            return Ok(());
        }
        let mut gone = None;
        for state in ["replayed", "discarded", "parked", "replaying"] {
            gone = sqlx::query_as::<_, (i64, i64)>(
                "SELECT number, length(body) FROM dead_letters WHERE state = $1 ORDER BY number LIMIT 1",
            )
            .bind(state)
            .fetch_optional(&mut tx.conn)
            .await?
            .map(|(number, length)| (number, length, i64::from(state == "parked" || state == "replaying")));
            if gone.is_some() {
                break;
            }
        }
        let Some((number, length, dropped)) = gone else { return Ok(()) };
        sqlx::query("DELETE FROM dead_letters WHERE number = $1").bind(number).execute(&mut tx.conn).await?;
        sqlx::query(
            "UPDATE dead_letter_totals SET kept = kept - 1, bytes = bytes - $1, dropped = dropped + $2 WHERE id = 1",
        )
        .bind(length)
        .bind(dropped)
        .execute(&mut tx.conn)
        .await?;
    }
}
