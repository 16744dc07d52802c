//! What comes from a broker or names one, opened for the fuzzing of it and for nothing else.
//!
//! Each function decodes; where there is an encoder too, it gives back what was decoded, encoded again.

use lapin::BasicProperties;
use lapin::protocol::basic::{gen_properties, parse_properties};
use messages::Envelope;

use super::address::Address;
use super::{greeting, properties};
use crate::{BrokerUrlError, Death};

/// Properties in the form of the wire (AMQP 0-9-1, section 4.2.6.1), and a body.
pub fn envelope(wire: &[u8], body: &[u8]) -> Option<Envelope> {
    properties::decode(&parse_properties(wire).ok()?.1, body).ok()
}

/// An envelope's properties in the form of the wire, if they fit.
pub fn wire(envelope: &Envelope) -> Option<Vec<u8>> {
    written(&properties::encode(envelope, true).ok()?)
}

/// Why a message is dead, in its properties; and what they say when it is put aside for that reason.
pub fn death(wire: &[u8]) -> Option<(Death, Vec<u8>)> {
    let given = parse_properties(wire).ok()?.1;
    let death = properties::death(&given)?;
    let again = written(&properties::put_aside(&given, &death))?;
    Some((death, again))
}

fn written(properties: &BasicProperties) -> Option<Vec<u8>> {
    Some(gen_properties(properties)(Vec::new().into()).ok()?.into_inner().0)
}

/// A broker's URL: host and port.
///
/// # Errors
/// What is wrong with it, without its password.
pub fn url(text: &str) -> Result<String, BrokerUrlError> {
    Address::parse(text).map(|address| address.at)
}

/// The payload of a broker's first frame: its version, and whether that is new enough.
pub fn greeting(payload: &[u8]) -> Option<(String, bool)> {
    let version = greeting::version_in(payload)?;
    let new_enough = greeting::is_new_enough(&version);
    Some((version, new_enough))
}
