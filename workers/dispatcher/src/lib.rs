//! Decides: intake, scheduler, claims, collect, reconcile
