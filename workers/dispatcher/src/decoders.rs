//! What the dispatcher reads besides whole messages, opened for the fuzzing of it and for nothing else.

use messages::ObserverName;

/// The observer's name out of an announcement that may be wrong everywhere else.
pub fn observer_of(body: &[u8]) -> Option<ObserverName> {
    crate::intake::observer_of(body)
}
