//! The stories: what must not go wrong, told with real repositories, processes and brokers.
//!
//! One file per promise; `one_commit` is the one to read first. `world` has the verbs.

mod world;

mod ancestor;
mod bad_input;
mod broker_is_blocked;
mod broker_restarts;
mod containers;
mod every_commit_once;
mod exclusive_jobs;
mod hostile_input;
mod layers;
mod leader_freezes;
mod ledger_faults;
mod ledger_is_restored;
mod malformed_messages;
mod one_commit;
mod page_and_api;
mod parking_lot;
mod pipeline_files;
mod pipelines;
mod queues_are_lost;
mod readme;
mod roles_die;
mod runner_dies;
mod stop_drains;
mod tidy;
