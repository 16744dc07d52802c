//! The ledger's promises as stories. Each story takes a [`fixture::World`], so that another database only
//! needs another way to make one.

mod stories {
    pub(crate) mod cancel;
    pub(crate) mod caps;
    pub(crate) mod claim;
    pub(crate) mod crash;
    pub(crate) mod feed;
    pub(crate) mod fixture;
    pub(crate) mod health;
    pub(crate) mod intake;
    pub(crate) mod invariants;
    pub(crate) mod leader;
    pub(crate) mod letters;
    pub(crate) mod logs;
    pub(crate) mod needs;
    pub(crate) mod opening;
    pub(crate) mod outbox;
    pub(crate) mod parking;
    pub(crate) mod report;
    pub(crate) mod retry;
    pub(crate) mod runners;
    pub(crate) mod test_results;
}
