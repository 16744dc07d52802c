//! The ledger: the truth about commits, builds, jobs, attempts and verdicts
