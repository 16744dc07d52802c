//! Chooses free ports on the loopback.
//!
//! Never from the range that the kernel gives to outgoing connections. A client that retries against a port of that
//! range while the node is down ends up, sooner or later, connected to itself, and then the node cannot come back.

use crate::NodeError;
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

const LOWEST: u16 = 10_240;
/// Linux's default start of the outgoing range, for when it cannot be read.
const OUTGOING_FROM: u16 = 32_768;
const TRIES: usize = 1_000;

/// Picks `N` ports at random that nobody listens on right now.
///
/// At random, so that test binaries that start at once seldom want the same; the loser of that race fails to boot and
/// tries again.
pub(crate) fn free<const N: usize>() -> Result<[u16; N], NodeError> {
    let outgoing_from = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|from| *from > LOWEST + 1_000)
        .unwrap_or(OUTGOING_FROM);
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for _ in 0..TRIES {
        if held.len() == N {
            break;
        }
        let port = LOWEST + u16::try_from(random() % u64::from(outgoing_from - LOWEST)).unwrap_or(0);
        // On all addresses: a neighbour that listens on one of them is in the way as well.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            ports[held.len()] = port;
            held.push(listener);
        }
    }
    if held.len() == N { Ok(ports) } else { Err(NodeError::NoFreePorts { wanted: N }) }
}

/// Good enough for ports and names, and saves a dependency.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
