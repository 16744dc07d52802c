//! Wrong input, by the million, for everything in Thump that reads what others wrote.
//!
//! A decoder is a name, some right inputs and a function. Inputs are made by changing right ones
//! ([`mutate`]), since most of what is merely random is refused at the first byte. Whatever panics,
//! breaks a promise (an `assert` in the decoder's function) or takes too long is found with its number;
//! the same number always makes the same input. Apart, because no crate of the product may know it.
//!
//! A new decoder is one block in [`decoders`] (in the file of its kind).

mod decoders;
mod examples;
mod mutate;
mod run;
#[path = "../../../workers/settings_file.rs"]
mod settings_file;

pub use decoders::{Decoder, Seen, all};
pub use run::{Find, LIMIT, Row, run};
