//! The stories: what must not go wrong, told with real repositories, processes and brokers.
//!
//! One file per promise, in reading order. `world` has the verbs.

#![expect(clippy::print_stderr, reason = "a skipped story says so")]

mod world;

mod one_commit;
mod every_commit_once;
mod runner_dies;
mod roles_die;
mod broker_restarts;
mod queues_are_lost;
mod malformed_messages;
mod stop_drains;
mod pipeline_files;
mod bad_input;
mod ancestor;
mod page_and_api;
mod layers;
mod tidy;
mod readme;
