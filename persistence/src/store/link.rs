//! What a dialect has to bring: connections that run a statement. All else is written
//! once, on top of these two traits.

use super::StoreError;
use super::statements::Statements;
use super::values::{Cells, Values};
use std::fmt;

/// How to get a connection of one kind of database.
pub(super) trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Its connections.
    type Link: Link;

    /// Begins a transaction that will write.
    const BEGIN_WRITE: &'static str;
    /// Begins a transaction that sees one state of the database until it ends.
    const BEGIN_READ: &'static str;

    /// A connection for a batch.
    fn writer(&self) -> impl Future<Output = Result<Self::Link, StoreError>> + Send;
    /// A connection for reads.
    fn reader(&self) -> impl Future<Output = Result<Self::Link, StoreError>> + Send;
    /// Closes all connections.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A connection, on loan. One that is dropped without [`Link::give_back`] is closed, and
/// with it whatever transaction it was in: an error or a cancelled call can never leave a
/// half-done transaction to the next user.
pub(super) trait Link: Send {
    /// How its statements take values.
    type Values: Values;
    /// What its rows are.
    type Row: Cells + Send;

    /// Its SQL.
    fn statements() -> &'static Statements;
    /// Runs a statement without values.
    fn run_plain(&mut self, sql: &'static str) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Runs a statement; returns how many rows it inserted, or found and changed.
    fn run(&mut self, sql: &'static str, values: Self::Values) -> impl Future<Output = Result<u64, StoreError>> + Send;
    /// Reads rows.
    fn read(
        &mut self,
        sql: &'static str,
        values: Self::Values,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
    /// Ends the loan of a connection that is in no transaction.
    fn give_back(self);
}
