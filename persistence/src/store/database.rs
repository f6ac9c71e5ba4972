//! A [`Store`] over any dialect: transactions, time limits, and what to do when COMMIT is
//! not answered.

use super::link::{Dialect, Link};
use super::plan::Plan;
use super::write::{self, Arrival};
use super::{AuditSink, Batch, OrdersPage, PaymentCursor, PaymentReference, Store, StoreError, read, read_paying};
use crate::Position;
use futures_util::future::BoxFuture;
use son7shop_engine::{OrderId, OrderView, PartitionId};
use std::time::Duration;

/// How long a batch may take, from the first statement to the answer to COMMIT. Longer
/// than a database waits for a lock, so that this names a database that hangs.
const APPLY_SECONDS: u64 = 60;
/// How long a read may take.
const READ_SECONDS: u64 = 10;
/// How often the position is read after a COMMIT without an answer, and the pause between.
const SETTLE_TRIES: u32 = 3;
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// A store of one dialect.
#[derive(Debug)]
pub(super) struct Database<D> {
    dialect: D,
}

impl<D: Dialect> Database<D> {
    pub(super) fn new(dialect: D) -> Self {
        Self { dialect }
    }

    async fn apply_batch(&self, batch: &Batch<'_>) -> Result<Position, StoreError> {
        check(batch)?;
        let plan = Plan::new(batch)?;
        let mut committing = false;
        let transaction = within(APPLY_SECONDS, self.transaction(batch, &plan, &mut committing));
        match transaction.await {
            Ok(()) => Ok(batch.after),
            Err(error) if committing => self.settle(batch, error).await,
            Err(error) => Err(error),
        }
    }

    async fn transaction(&self, batch: &Batch<'_>, plan: &Plan<'_>, committing: &mut bool) -> Result<(), StoreError> {
        let mut link = self.dialect.writer().await?;
        link.run_plain(D::BEGIN_WRITE).await?;
        match write::write(&mut link, batch, plan).await {
            Ok(Arrival::Now) => {
                *committing = true;
                link.run_plain("COMMIT").await?;
            }
            Ok(Arrival::Before) => link.run_plain("ROLLBACK").await?,
            // Dropping the link closes it, which rolls back.
            Err(error) => return Err(error),
        }
        link.give_back();
        Ok(())
    }

    /// COMMIT failed with `error`: did it happen? Where the position says no, it may still
    /// be on its way; sending the batch again is safe, since that waits for the lock on
    /// the position row and then compares.
    async fn settle(&self, batch: &Batch<'_>, error: StoreError) -> Result<Position, StoreError> {
        let mut unread = None;
        for _ in 0..SETTLE_TRIES {
            match self.read_position(batch.partition).await {
                Ok(Some(found)) if found == batch.after => return Ok(found),
                Ok(_) => return Err(error),
                Err(error) => unread = Some(error),
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Err(StoreError::OutcomeUnknown(Box::new(unread.unwrap_or(error))))
    }

    async fn read_position(&self, partition: PartitionId) -> Result<Option<Position>, StoreError> {
        within(READ_SECONDS, async {
            let mut link = self.dialect.reader().await?;
            let position = read::position(&mut link, partition).await?;
            link.give_back();
            Ok(position)
        })
        .await
    }

    async fn audit_all(&self, sink: AuditSink<'_>) -> Result<(), StoreError> {
        let mut link = self.dialect.reader().await?;
        link.run_plain(D::BEGIN_READ).await?;
        read::audit(&mut link, sink).await?;
        link.run_plain("ROLLBACK").await?;
        link.give_back();
        Ok(())
    }
}

impl<D: Dialect> Store for Database<D> {
    fn position(&self, partition: PartitionId) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        Box::pin(self.read_position(partition))
    }

    fn positions(&self) -> BoxFuture<'_, Result<Vec<(PartitionId, Position)>, StoreError>> {
        Box::pin(within(READ_SECONDS, async {
            let mut link = self.dialect.reader().await?;
            let positions = read::positions(&mut link).await?;
            link.give_back();
            Ok(positions)
        }))
    }

    fn apply<'a>(&'a self, batch: &'a Batch<'a>) -> BoxFuture<'a, Result<Position, StoreError>> {
        Box::pin(self.apply_batch(batch))
    }

    fn order(&self, id: OrderId) -> BoxFuture<'_, Result<Option<OrderView>, StoreError>> {
        Box::pin(within(READ_SECONDS, async move {
            let mut link = self.dialect.reader().await?;
            let order = read::order(&mut link, id).await?;
            link.give_back();
            Ok(order)
        }))
    }

    fn orders_page<'a>(&'a self, page: &'a OrdersPage<'a>) -> BoxFuture<'a, Result<Vec<OrderView>, StoreError>> {
        Box::pin(within(READ_SECONDS, async move {
            let mut link = self.dialect.reader().await?;
            let orders = read::orders_page(&mut link, page).await?;
            link.give_back();
            Ok(orders)
        }))
    }

    fn audit<'a>(&'a self, sink: AuditSink<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.audit_all(sink))
    }

    fn payment_references(
        &self,
        after: Option<PaymentCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<PaymentReference>, StoreError>> {
        Box::pin(within(READ_SECONDS, async move {
            let mut link = self.dialect.reader().await?;
            let references = read_paying::references(&mut link, after, limit).await?;
            link.give_back();
            Ok(references)
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.dialect.close())
    }
}

/// Whether the batch's positions and events fit each other.
fn check(batch: &Batch<'_>) -> Result<(), StoreError> {
    let before = batch.first_lsn().0 - 1;
    if before.checked_add(batch.records.len() as u64) != Some(batch.after.lsn.0) {
        return Err(StoreError::BadBatch("the positions are not as many events apart as there are"));
    }
    if batch.before.is_some_and(|before| before.journal != batch.after.journal) {
        return Err(StoreError::BadBatch("the positions are of two journals"));
    }
    Ok(())
}

/// `call`, or [`StoreError::TimedOut`] after so many seconds.
pub(super) async fn within<T>(
    seconds: u64,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(Duration::from_secs(seconds), call).await.unwrap_or(Err(StoreError::TimedOut { seconds }))
}
