//! Marks on outbox rows: confirmed, or to be published again.

use messages::JobId;
use sqlx::QueryBuilder;

use crate::LedgerError;
use crate::ledger::Unpublish;
use crate::rows::texts;
use crate::sql::{lists, push_list};
use crate::sqlite::Db;
use crate::transaction::Tx;
use crate::writer::Write;

/// [`crate::Ledger::mark_published`].
pub(crate) struct MarkPublished(pub(crate) Vec<JobId>);

/// [`crate::Ledger::mark_unpublished`].
pub(crate) struct MarkUnpublished(pub(crate) Unpublish);

impl Write for MarkPublished {
    type Answer = ();

    async fn run(&mut self, tx: &mut Tx) -> Result<(), LedgerError> {
        // A job that was claimed faster than its confirm came has no row any more: nothing to mark.
        for list in lists(&self.0) {
            let mut query = QueryBuilder::<Db>::new("UPDATE outbox SET published_at = ");
            query.push_bind(tx.now).push(", publications = publications + 1 WHERE job IN ");
            push_list(&mut query, &texts(list));
            query.build().execute(&mut tx.conn).await?;
        }
        Ok(())
    }
}

impl Write for MarkUnpublished {
    type Answer = u64;

    async fn run(&mut self, tx: &mut Tx) -> Result<u64, LedgerError> {
        const FORGET: &str = "UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL";
        let mut query = QueryBuilder::<Db>::new(FORGET);
        match &self.0 {
            Unpublish::Everything => {}
            Unpublish::Pool(pool) => {
                query.push(" AND pool = ").push_bind(pool.to_string());
            }
            Unpublish::Jobs(jobs) => {
                let mut forgotten = 0;
                for list in lists(jobs) {
                    let mut query = QueryBuilder::<Db>::new(FORGET);
                    query.push(" AND job IN ");
                    push_list(&mut query, &texts(list));
                    forgotten += query.build().execute(&mut tx.conn).await?.rows_affected();
                }
                return Ok(forgotten);
            }
        }
        Ok(query.build().execute(&mut tx.conn).await?.rows_affected())
    }
}
