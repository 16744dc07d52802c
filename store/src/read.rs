//! The questions that dispatcher, pages, API and command ask. Reads only; never counts over history.

mod builds;
mod feed;
mod jobs;
mod letters;
mod parked;
mod pools;
mod tests;
mod work;
