//! What the beats of a batch tell about lives, before any claim of the batch is answered. Pure.
//!
//! While no dispatcher reads, claims of runners that are dead by now gather in the queue, with the first
//! words of their next lives behind them. To grant one would start nothing and would only lose an attempt.
//! Must not know: what beats list, leases.

use std::collections::{HashMap, HashSet};

use messages::{Beat, Birth, Claim, Incarnation, RunnerName};

/// The lives that speak in one batch.
#[derive(Debug, Default)]
pub(crate) struct Heralds {
    lives: HashSet<Incarnation>,
    newest: HashMap<RunnerName, Vec<Birth>>,
}

impl Heralds {
    pub(crate) fn of<'b>(beats: impl IntoIterator<Item = &'b Beat>) -> Self {
        let mut heralds = Self::default();
        for beat in beats {
            heralds.lives.insert(beat.incarnation);
            heralds.newest.entry(beat.runner.clone()).or_default().push(beat.birth);
        }
        heralds
    }

    /// Whether the asker is dead: a later life of its folder speaks.
    pub(crate) fn outdate(&self, claim: &Claim) -> bool {
        self.newest.get(&claim.runner).is_some_and(|births| births.iter().any(|birth| claim.birth.is_before(*birth)))
    }

    /// Whether this very life speaks.
    pub(crate) fn name(&self, life: Incarnation) -> bool {
        self.lives.contains(&life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use messages::{JobId, MessageId, PoolName};

    fn birth(folder: &str, number: u64) -> Birth {
        Birth { folder: MessageId::of(&[folder]).0, number }
    }

    fn beat(folder: &str, number: u64) -> Beat {
        Beat {
            runner: "north".parse().expect("a name"),
            incarnation: Incarnation(MessageId::of(&[folder, &number.to_string()]).0),
            birth: birth(folder, number),
            sequence: 1,
            pool: PoolName::default(),
            slots: 1,
            draining: false,
            trouble: None,
            version: String::new(),
            held: Vec::new(),
            running: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn claim(runner: &str, of: &Beat) -> Claim {
        let (incarnation, birth) = (of.incarnation, of.birth);
        let job = JobId(MessageId::of(&["job"]).0);
        let runner = runner.parse().expect("a name");
        Claim { runner, incarnation, birth, pool: PoolName::default(), job, redelivered: false }
    }

    #[test]
    fn a_question_of_a_dead_life_is_known_by_the_first_words_of_the_next_one() {
        let (dead, living) = (beat("folder", 1), beat("folder", 2));
        let heralds = Heralds::of([&living]);
        assert!(heralds.outdate(&claim("north", &dead)));
        assert!(!heralds.outdate(&claim("north", &living)));
        assert!(!heralds.outdate(&claim("south", &dead)), "another runner");
        assert!(!heralds.outdate(&claim("north", &beat("elsewhere", 1))), "there is no order between folders");
        assert!(heralds.name(living.incarnation) && !heralds.name(dead.incarnation));
    }
}
