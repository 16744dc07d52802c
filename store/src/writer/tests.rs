//! Writes that share a transaction do not share their failures.

use tokio::task::JoinSet;

use super::{Write, Writer};
use crate::sqlite::{self, SameFile};
use crate::transaction::Tx;
use crate::writes::cancel::note_order;
use crate::{ChangeSubject, LedgerError};

/// Writes a row and a line of the feed, and then perhaps fails.
struct Half {
    number: u32,
    fails: bool,
}

impl Write for Half {
    type Answer = u32;

    async fn run(&mut self, tx: &mut Tx) -> Result<u32, LedgerError> {
        note_order(tx, if self.fails { "bad" } else { "good" }, "test", &self.number.to_string()).await?;
        tx.next_order();
        tx.touched.subject(&ChangeSubject::Runner(format!("r-{}", self.number).parse().map_err(crate::rows::odd)?));
        if self.fails {
            return Err(LedgerError::Inconsistent { what: "half of it was written".into() });
        }
        Ok(self.number)
    }
}

#[tokio::test]
async fn a_write_that_fails_half_way_is_taken_back_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let (connection, readers) = sqlite::open(&file).await.expect("opens");
    let writer = Writer::start(connection, SameFile::at(&file).expect("there"), 0);
    let mut writes = JoinSet::new();
    for number in 0..60 {
        let (writer, fails) = (writer.clone(), number % 3 == 1);
        writes.spawn(async move {
            let answer = writer.submit(None, Half { number, fails }).await;
            assert_eq!(answer.ok(), (!fails).then_some(number));
        });
    }
    while let Some(outcome) = writes.join_next().await {
        outcome.expect("as expected");
    }
    let count = async |statement: &'static str| -> i64 {
        sqlx::query_scalar(statement).fetch_one(&readers).await.expect("it counts")
    };
    assert_eq!(count("SELECT count(*) FROM orders WHERE who = 'good'").await, 40);
    assert_eq!(count("SELECT count(*) FROM orders WHERE who = 'bad'").await, 0);
    assert_eq!(count("SELECT count(*) FROM changes").await, 40, "the feed tells only of what was saved");
    assert_eq!(count("SELECT order_number FROM ledger_state").await, 40);
    assert_eq!(*writer.changes().borrow(), 40);
}
