//! Moves the bytes of one direction by the rule that holds at the moment.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::rule::{Direction, Rule, Rules};

/// How much may be on its way. Enough that a delay does not become a thin line.
const ON_THE_WAY: usize = 4 << 20;
const PIECE: usize = 64 << 10;

/// A piece that was read and is not written yet.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

/// Runs until the sender has closed and everything has arrived. An error means that the whole connection is to be
/// reset: because one side did so, or because the rule says so.
pub(crate) async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    direction: Direction,
    mut rules: watch::Receiver<Rules>,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut pieces: VecDeque<Piece> = VecDeque::new();
    let mut on_the_way = 0;
    let mut closed = false;
    let mut next_write = Instant::now();
    loop {
        let rule = rules.borrow_and_update().of(direction);
        let gone = passed.load(Ordering::Relaxed);
        let left = rule.cut_at.map(|at| at.saturating_sub(gone));
        if left == Some(0) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if closed && pieces.is_empty() && !rule.black_hole {
            return to.shutdown().await;
        }
        let reads = !closed && !rule.black_hole && on_the_way < ON_THE_WAY;
        let front = pieces.front().filter(|_| !rule.black_hole);
        let writes = front.is_some();
        tokio::select! {
            // A new rule comes first: what is read after it was set falls under it.
            biased;
            changed = rules.changed() => {
                if changed.is_err() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            read = from.read(&mut buffer), if reads => match read? {
                0 => closed = true,
                length => {
                    let due = Instant::now() + rule.delay.unwrap_or_default();
                    pieces.push_back(Piece { due, bytes: buffer[..length].to_vec(), written: 0 });
                    on_the_way += length;
                }
            },
            wrote = write(to, front, next_write, most_at_once(rule, left)), if writes => {
                let length = wrote?;
                on_the_way -= length;
                passed.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::Relaxed);
                if let Some(rate) = rule.bytes_per_second {
                    let takes = f64::from(u32::try_from(length).unwrap_or(u32::MAX)) / f64::from(rate.get());
                    next_write = Instant::now() + Duration::from_secs_f64(takes);
                }
                if let Some(piece) = pieces.front_mut() {
                    piece.written += length;
                    if piece.written == piece.bytes.len() {
                        pieces.pop_front();
                    }
                }
            }
        }
    }
}

/// One write of the oldest piece, when it is due. Writes all that it counts or nothing, so it may be given up.
async fn write(to: &mut WriteHalf<'_>, piece: Option<&Piece>, not_before: Instant, most: usize) -> io::Result<usize> {
    let Some(piece) = piece else { return std::future::pending().await };
    sleep_until(piece.due.max(not_before)).await;
    let rest = &piece.bytes[piece.written..];
    match to.write(&rest[..rest.len().min(most)]).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        length => Ok(length),
    }
}

fn most_at_once(rule: Rule, left: Option<u64>) -> usize {
    let slice = rule.slice.map_or(PIECE, std::num::NonZeroUsize::get);
    // A thin line trickles; it does not stop for a second and then burst.
    let trickle = rule.bytes_per_second.map_or(PIECE, |rate| usize::try_from(rate.get() / 50).unwrap_or(PIECE).max(1));
    let left = left.map_or(PIECE, |left| usize::try_from(left).unwrap_or(PIECE));
    slice.min(trickle).min(left)
}
