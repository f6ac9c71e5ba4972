//! The database: what follows the journal, for the shop's other software and for people.
//!
//! One trait, [`Store`]; one module for each dialect (`sqlite`, and `mysql`, which is
//! MariaDB's too); one contract test suite that runs on all of them. What a batch of
//! events means for the tables is worked out in `plan`, once, for all dialects.
//!
//! A batch is one transaction, and the same transaction moves the partition's position
//! row, by comparing it with where the batch starts. So a batch is in the database
//! exactly once, however often it is sent and whatever was lost on the way.
//!
//! This module must never decide anything about stock or orders, never change a row that
//! no event speaks of, and never skip an event. Nothing here is between an order and its
//! answer.

mod database;
mod error;
mod lent;
mod link;
mod migrations;
mod mysql;
mod pay_rows;
mod pay_statements;
mod paying;
mod plan;
mod read;
mod read_paying;
mod rows;
mod sqlite;
mod statements;
mod types;
mod values;
mod write;

pub use error::StoreError;
pub use types::{
    AuditRow, AuditSink, Batch, OrderCursor, OrdersPage, PaymentCursor, PaymentReference, ProductRow, SaleRow,
};
pub use values::{as_stored, order_as_stored};

use crate::Position;
use database::Database;
use futures_util::future::BoxFuture;
use mysql::MySqlDialect;
use son7shop_engine::{OrderId, OrderView, PartitionId};
use sqlite::SqliteDialect;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A database that follows the journal.
///
/// Every call is bounded in time, and every error says by [`StoreError::is_retryable`]
/// whether waiting may help.
pub trait Store: Send + Sync + fmt::Debug {
    /// Where the database stands in a partition's journal; `None` before its first batch.
    fn position(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Position>, StoreError>>;

    /// Where the database stands in every partition that it has heard of, by partition.
    fn positions(&self) -> BoxFuture<'_, Result<Vec<(PartitionId, Position)>, StoreError>>;

    /// Brings one batch in, in one transaction, and returns where the database stands
    /// then: always `batch.after`.
    ///
    /// A batch that is already there is not applied again and is answered the same. After
    /// a COMMIT without an answer the position is read before anything else; where that
    /// shows the batch committed, the answer is `Ok`. After a retryable error the same
    /// batch may be sent again.
    ///
    /// Batches of one partition must come one after another; batches of different
    /// partitions may come at the same time.
    fn apply<'a>(&'a self, batch: &'a Batch<'a>) -> BoxFuture<'a, Result<Position, StoreError>>;

    /// One order with its lines and payments, without the addresses of payment pages; `None` also for a basket whose partitions have not all
    /// answered yet.
    fn order(&self, id: OrderId) -> BoxFuture<'_, Result<Option<OrderView>, StoreError>>;

    /// A page of orders as [`Store::order`] shows them, newest first by `(placed_at, id)`.
    fn orders_page<'a>(&'a self, page: &'a OrdersPage<'a>) -> BoxFuture<'a, Result<Vec<OrderView>, StoreError>>;

    /// Shows `sink` everything that a replay can be compared with, in one consistent
    /// view of the database: first the positions, then the products by sku, then the
    /// orders by id (opening ones among them). Stops when the sink says so. Memory does
    /// not grow with the database. This call alone may take long.
    fn audit<'a>(&'a self, sink: AuditSink<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// A page of the attempts that a gateway has a name for, by order and number: what a gateway's
    /// records can be compared with. `after`: only those behind it.
    fn payment_references(
        &self,
        after: Option<PaymentCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<PaymentReference>, StoreError>>;

    /// Closes every connection; later calls fail.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Opens the database at `url` (`sqlite:PATH`, or `mysql://USER:PASSWORD@HOST:PORT/NAME`
/// for MySQL and MariaDB; `mariadb://` means the same), makes it where it is missing, and
/// brings its tables up to this version.
///
/// # Errors
/// [`StoreError::Url`] for an address that is none; [`StoreError::SchemaNewer`] for a
/// database made by a newer version; retryable ones while the server cannot be reached.
pub async fn connect(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Arc::new(Database::new(SqliteDialect::open(url).await?))),
        Some(("mysql" | "mariadb", _)) => Ok(Arc::new(Database::new(MySqlDialect::open(url).await?))),
        _ => Err(StoreError::Url("it begins with none of sqlite:, mysql:// and mariadb://".to_owned())),
    }
}

/// Opens the SQLite file at `path`, whatever characters the path has; otherwise as [`connect`].
///
/// # Errors
/// As [`connect`].
pub async fn connect_file(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(Database::new(SqliteDialect::open_file(path).await?)))
}
