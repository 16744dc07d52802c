//! The stories: what must not go wrong, told with real repositories, processes and brokers.
//!
//! One file per promise at least, and a table of them in docs/reliability.md; `one_commit` is the one to read first. `world` has the verbs.

mod world;

mod ancestor;
mod bad_input;
mod both_brokers;
mod broker_is_blocked;
mod broker_restarts;
mod compromised_runner;
mod containers;
mod dead_letters;
mod every_commit_once;
mod everything_at_once;
mod exclusive_jobs;
mod full_disk;
mod hostile_input;
mod killer_job;
mod layers;
mod leader_freezes;
mod ledger_faults;
mod ledger_is_restored;
mod logs_are_whole;
mod malformed_messages;
mod nothing_remains;
mod one_commit;
mod page_and_api;
mod parking_lot;
mod pipeline_files;
mod pipelines;
mod queues_are_lost;
mod readme;
mod recorded_once;
mod roles_die;
mod runner_dies;
mod stop_drains;
mod test_reports;
mod tidy;
