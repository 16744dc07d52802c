//! The parking lot: what waits for a person, with the evidence, as API and pages.
//!
//! Apart from the other pages because its ids name two kinds of things, jobs (a UUID) and dead letters
//! (a number). Reads the ledger and log files only: nothing is consumed for a look.

mod api;
mod body;
mod evidence;
mod json;
mod letter_pages;
mod letters_json;
mod pages;

pub(crate) use api::{discard, entry, list, replay};
pub(crate) use pages::{entry as entry_page, list as list_page};
