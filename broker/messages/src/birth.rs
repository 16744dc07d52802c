//! Which of two lives of a runner came first.
//!
//! An [`Incarnation`](crate::Incarnation) tells lives apart but does not order them, and a queue does not either: what a dead life
//! said may be delivered after the first words of the next one, because a dispatcher that held it died.
//! So each life counts itself in the runner's own folder before it says anything.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a life stands among those that began in the same folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Birth {
    /// The folder that counts. Two lives of one name from different folders have no order.
    pub folder: Uuid,
    /// Which life of this folder it is, from 1.
    pub number: u64,
}

impl Birth {
    /// Whether this life had ended before `other` began: a folder belongs to one life at a time.
    pub fn is_before(self, other: Self) -> bool {
        self.folder == other.folder && self.number < other.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lives_of_one_folder_have_an_order() {
        let life = |folder, number| Birth { folder: Uuid::from_u128(folder), number };
        assert!(life(1, 1).is_before(life(1, 2)));
        assert!(!life(1, 2).is_before(life(1, 1)) && !life(1, 1).is_before(life(1, 1)));
        assert!(!life(1, 1).is_before(life(2, 2)), "a name that moved to another machine");
    }
}
