//! Jobs that lie in their pool's queue, or are on the way there, and are not claimed yet. Pure.
//!
//! The window counts these. It is an opinion about the broker, so it is set right from the ledger from
//! time to time; what happens while the ledger is being read is remembered and wins.

use std::collections::{BTreeMap, HashMap, HashSet};

use messages::{JobId, PoolName};

#[derive(Debug, Default)]
pub(crate) struct Afloat {
    jobs: BTreeMap<JobId, Place>,
    counts: HashMap<PoolName, usize>,
    /// What was claimed since [`Afloat::begin_review`].
    landed: Option<HashSet<JobId>>,
}

#[derive(Debug)]
struct Place {
    pool: PoolName,
    /// Whether the ledger knows of the publication.
    marked: bool,
    /// For how many own ticks it has been afloat, as far as this term knows.
    ticks: u32,
}

impl Afloat {
    /// A job that is about to be published, or that the ledger knows as published (`marked`).
    pub(crate) fn insert(&mut self, job: JobId, pool: PoolName, marked: bool) {
        self.remove(job);
        *self.counts.entry(pool.clone()).or_default() += 1;
        self.jobs.insert(job, Place { pool, marked, ticks: 0 });
    }

    /// The copy was claimed, or never went out.
    pub(crate) fn land(&mut self, job: JobId) {
        if let Some(landed) = &mut self.landed {
            landed.insert(job);
        }
        self.remove(job);
    }

    fn remove(&mut self, job: JobId) {
        let Some(place) = self.jobs.remove(&job) else { return };
        if let Some(count) = self.counts.get_mut(&place.pool) {
            *count -= 1;
        }
    }

    /// One own tick passed.
    pub(crate) fn tick(&mut self) {
        self.jobs.values_mut().for_each(|place| place.ticks = place.ticks.saturating_add(1));
    }

    /// For how many own ticks the job has been afloat; `None`: it is not.
    pub(crate) fn ticks(&self, job: JobId) -> Option<u32> {
        self.jobs.get(&job).map(|place| place.ticks)
    }

    pub(crate) fn has(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn count(&self, pool: &PoolName) -> usize {
        self.counts.get(pool).copied().unwrap_or(0)
    }

    /// The ledger knows of these publications now.
    pub(crate) fn mark(&mut self, jobs: &[JobId]) {
        for job in jobs {
            if let Some(place) = self.jobs.get_mut(job) {
                place.marked = true;
            }
        }
    }

    /// The pool's queue was lost with all that lay in it.
    pub(crate) fn lose(&mut self, pool: &PoolName) {
        self.jobs.retain(|_, place| place.pool != *pool);
        self.counts.remove(pool);
    }

    /// The ledger is about to be read.
    pub(crate) fn begin_review(&mut self) {
        self.landed = Some(HashSet::new());
    }

    /// What the ledger knew as published. Publications that it does not know of yet stay counted.
    pub(crate) fn end_review(&mut self, published: impl IntoIterator<Item = (JobId, PoolName)>) {
        let landed = self.landed.take().unwrap_or_default();
        let before = std::mem::take(&mut self.jobs);
        self.counts.clear();
        for (job, pool) in published {
            if !landed.contains(&job) {
                self.insert(job, pool, true);
            }
        }
        for (job, place) in before {
            if !place.marked {
                self.insert(job, place.pool, false);
            }
            // To be read again makes nothing younger.
            if let Some(now) = self.jobs.get_mut(&job) {
                now.ticks = place.ticks;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobId {
        JobId(messages::MessageId::of(&[name]).0)
    }

    #[test]
    fn what_happens_while_the_ledger_is_read_wins_over_what_was_read() {
        let pool = PoolName::default();
        let mut afloat = Afloat::default();
        for name in ["claimed", "purged", "waiting"] {
            afloat.insert(job(name), pool.clone(), true);
        }
        afloat.tick();
        afloat.begin_review();
        afloat.land(job("claimed"));
        afloat.insert(job("just published"), pool.clone(), false);
        afloat.end_review([(job("claimed"), pool.clone()), (job("waiting"), pool.clone())]);
        assert!(!afloat.has(job("claimed")), "it would narrow the window for nothing");
        assert!(!afloat.has(job("purged")));
        assert!(afloat.has(job("waiting")) && afloat.has(job("just published")));
        assert_eq!((afloat.count(&pool), afloat.len()), (2, 2));
        assert_eq!(afloat.ticks(job("waiting")), Some(1), "to be read again makes it no younger");
        assert_eq!(afloat.ticks(job("just published")), Some(0));
    }
}
