//! What may be done to the bytes of a connection, apart for each direction.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What happens to the bytes of one direction. The default lets them pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// How much later everything arrives.
    pub delay: Option<Duration>,
    /// How much arrives in a second.
    pub bytes_per_second: Option<NonZeroU32>,
    /// How much arrives at once, at most.
    pub slice: Option<NonZeroUsize>,
    /// Nothing arrives, the end of the connection included. What was on its way arrives when the hole closes, as in
    /// a network whose cable is put back: TCP would have repeated it.
    pub black_hole: bool,
    /// The connection is reset when so many bytes of its life have gone this way.
    pub cut_at: Option<u64>,
}

/// What happens in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// From the client to the server.
    pub to_server: Rule,
    /// From the server to the client.
    pub to_client: Rule,
}

impl Rule {
    /// Everything arrives later.
    pub fn delay(delay: Duration) -> Self {
        Self { delay: Some(delay), ..Self::default() }
    }

    /// A thin line. Zero counts as one byte in a second.
    pub fn bandwidth(bytes_per_second: u32) -> Self {
        Self { bytes_per_second: NonZeroU32::new(bytes_per_second.max(1)), ..Self::default() }
    }

    /// Everything arrives in pieces. Zero counts as one byte.
    pub fn slice(bytes: usize) -> Self {
        Self { slice: NonZeroUsize::new(bytes.max(1)), ..Self::default() }
    }

    /// Nothing arrives.
    pub fn black_hole() -> Self {
        Self { black_hole: true, ..Self::default() }
    }

    /// The connection is reset at this byte of its life.
    pub fn cut_at(byte: u64) -> Self {
        Self { cut_at: Some(byte), ..Self::default() }
    }
}

impl Rules {
    /// The same in both directions.
    pub fn both(rule: Rule) -> Self {
        Self { to_server: rule, to_client: rule }
    }

    /// One direction only; the other one passes.
    pub fn one(direction: Direction, rule: Rule) -> Self {
        let mut rules = Self::default();
        *rules.of_mut(direction) = rule;
        rules
    }

    pub(crate) fn of(&self, direction: Direction) -> Rule {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub(crate) fn of_mut(&mut self, direction: Direction) -> &mut Rule {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
