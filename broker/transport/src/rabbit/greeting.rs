//! The broker's first words: who it is and which version, before any credentials are sent.
//!
//! Apart because lapin keeps the server's properties to itself, and because a socket of our own can be
//! given up when nobody answers, which a half-open connection of lapin cannot. Knows a few bytes of
//! AMQP 0-9-1 and no more of it.

use std::io;
use std::pin::pin;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use lapin::uri::AMQPUri;

/// The protocol header, AMQP 0-9-1 section 4.2.2.
const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// RabbitMQ's greeting has some 500 bytes.
const LONGEST_GREETING: u32 = 64 * 1024;
/// The first with at-least-once dead-lettering.
const OLDEST: (u32, u32) = (3, 10);

/// Connects, hears the greeting and hangs up. Returns the version that the broker gives itself.
///
/// # Errors
/// It cannot be reached, or whoever is there does not speak AMQP.
pub(super) async fn version(uri: &AMQPUri) -> io::Result<String> {
    let runtime = lapin::runtime::default_runtime().map_err(io::Error::other)?;
    let config = OwnedTLSConfig::default();
    let stream = uri.connect_with_config_async(config.as_ref(), &runtime).await?;
    let mut stream = pin!(stream);
    stream.write_all(HEADER).await?;
    stream.flush().await?;
    // Section 4.2.3: type, channel, size of the payload.
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).await?;
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "whatever listens there does not speak AMQP 0-9-1");
    let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]);
    if frame[..3] != [1, 0, 0] || size > LONGEST_GREETING {
        return Err(strange());
    }
    let mut payload = vec![0; size as usize];
    stream.read_exact(&mut payload).await?;
    version_in(&payload).ok_or_else(strange)
}

/// Finds the field `version` (a long string) among the server's properties in connection.start.
pub(super) fn version_in(start: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\x07versionS";
    // Class 10, method 10: connection.start.
    let properties = start.strip_prefix(&[0, 10, 0, 10])?;
    let at = properties.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let (length, rest) = properties.get(at..)?.split_first_chunk::<4>()?;
    let version = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let printable = |c: &char| c.is_ascii_graphic();
    Some(String::from_utf8_lossy(version).chars().filter(printable).take(40).collect())
}

/// Whether a version has what Thump relies on. What cannot be read as a version is let through: it is
/// a build of somebody's own, and who made it knows why.
pub(super) fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_without_safe_dead_lettering_are_too_old() {
        for old in ["3.9.29", "3.8.0", "2.8.7", "3.9.0-rc.1"] {
            assert!(!is_new_enough(old), "{old}");
        }
        for new in ["3.10.0", "3.10.8", "3.13.7", "4.0.0-beta.5", "4.2.1", "10.1", "my build", ""] {
            assert!(is_new_enough(new), "{new}");
        }
    }

    #[test]
    fn the_version_is_found_in_the_greeting_and_garbage_is_not_read() {
        let greeting = b"\0\x0a\0\x0a\0\x09\0\0\0\x20\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8 rest";
        assert_eq!(version_in(greeting).as_deref(), Some("3.10.8"));
        assert_eq!(version_in(b"\0\x0a\0\x0a\x07versionS\xff\xff\xff\xff3.10"), None);
        assert_eq!(version_in(b"\0\x0a\0\x0a\x07versionS\0\0"), None);
        assert_eq!(version_in(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(version_in(b""), None);
    }
}
