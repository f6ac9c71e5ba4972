//! A pooled connection that is closed, not given back, unless somebody says that it is
//! clean. The pool cannot know that a transaction is open on it; closing ends that too.

use sqlx::pool::PoolConnection;

/// A connection on loan from a pool.
#[derive(Debug)]
pub(super) struct Lent<DB: sqlx::Database>(Option<PoolConnection<DB>>);

impl<DB: sqlx::Database> Lent<DB> {
    pub(super) fn new(connection: PoolConnection<DB>) -> Self {
        Self(Some(connection))
    }

    /// The connection.
    pub(super) fn get(&mut self) -> Result<&mut DB::Connection, sqlx::Error> {
        // Only `give_back` empties it, and that ends the loan.
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Ends the loan of a clean connection.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl<DB: sqlx::Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
