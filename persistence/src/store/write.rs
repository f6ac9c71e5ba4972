//! Bringing a batch in: one transaction, position first.
//!
//! The position row is moved before anything else is written, so that its lock makes two
//! writers of one partition wait for each other, and a batch that is out of place is found
//! out before it costs anything.

use super::link::Link;
use super::pay_rows::Numbered;
use super::pay_statements::PaymentStatements;
use super::paying::PaymentPlan;
use super::plan::Plan;
use super::read;
use super::rows::{Change, Row};
use super::statements::{ByKeys, CHANGES, DELETE_SALE, FIRST_POSITION, Insert, MOVE_POSITION, Sizes, Update};
use super::values::Values;
use super::{Batch, StoreError};
use crate::Position;
use son7shop_engine::{OrderId, Time};

/// When a batch came to the database, as the position says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Now: the position is moved to the batch's end.
    Now,
    /// Before: the position stood there already.
    Before,
}

/// Moves the batch's position, and where that succeeds writes `plan`.
pub(super) async fn write<L: Link>(link: &mut L, batch: &Batch<'_>, plan: &Plan<'_>) -> Result<Arrival, StoreError> {
    if move_position(link, batch, plan.last_event_at).await? == Arrival::Before {
        return Ok(Arrival::Before);
    }
    let sql = L::statements();
    insert(link, &sql.products, &plan.products).await?;
    update(link, &sql.held, &plan.held, None).await?;
    update(link, &sql.stock, &plan.stock, None).await?;
    insert(link, &sql.adjustments, &plan.adjustments).await?;
    for (sku, at) in &plan.deleted_sales {
        let mut values = L::Values::with_capacity(2);
        values.time(*at);
        values.text(sku.as_str());
        expect("sales", 1, link.run(DELETE_SALE, values).await?)?;
    }
    insert(link, &sql.sales, &plan.sales).await?;
    insert(link, &sql.orders, &plan.orders).await?;
    insert(link, &sql.lines, &plan.lines).await?;
    update(link, &sql.placed, &plan.placed, None).await?;
    update(link, &sql.ended, &plan.ended, None).await?;
    update(link, &sql.moved, &plan.moved, None).await?;
    update(link, &sql.touched, &plan.touched, None).await?;
    let refused = delete(link, &sql.refused_orders, &plan.refused).await?;
    expect("orders", plan.refused.len() as u64, refused)?;
    delete(link, &sql.refused_lines, &plan.refused).await?;
    insert(link, &sql.part_lines, &plan.part_lines).await?;
    update(link, &sql.ended_parts, &plan.ended_parts, Some(batch.partition.0.into())).await?;
    payments(link, &sql.payments, &plan.payments).await?;
    insert(link, &sql.timeline, &plan.timeline).await?;
    Ok(Arrival::Now)
}

/// What is live in the table ends before anything else: the batch's own attempts are not meant.
async fn payments<L: Link>(
    link: &mut L,
    sql: &'static PaymentStatements,
    plan: &PaymentPlan<'_>,
) -> Result<(), StoreError> {
    update(link, &sql.superseded, &plan.superseded, None).await?;
    update(link, &sql.closed, &plan.closed, None).await?;
    insert(link, &sql.attempts, &plan.attempts).await?;
    update_numbered(link, &sql.begun, &plan.begun).await?;
    update_numbered(link, &sql.moved, &plan.moved).await?;
    update_numbered(link, &sql.captured, &plan.captured).await?;
    update_numbered(link, &sql.refunded, &plan.refunded).await?;
    insert(link, &sql.refunds, &plan.refunds).await?;
    update_numbered(link, &sql.sized, &plan.sized).await?;
    update_numbered(link, &sql.ended, &plan.ended).await?;
    insert(link, &sql.refund_lines, &plan.refund_lines).await?;
    insert(link, &sql.told, &plan.told).await
}

async fn move_position<L: Link>(link: &mut L, batch: &Batch<'_>, at: Option<Time>) -> Result<Arrival, StoreError> {
    let mut values = L::Values::with_capacity(8);
    give_position(&mut values, &batch.after);
    values.maybe_time(at);
    values.int(batch.partition.0.into());
    if let Some(before) = &batch.before {
        give_position(&mut values, before);
        if link.run(MOVE_POSITION, values).await? == 1 {
            return Ok(Arrival::Now);
        }
        return judge(batch, read::position(link, batch.partition).await?);
    }
    let known = read::positions(link).await?;
    if let Some((_, found)) = known.iter().find(|(_, found)| found.journal != batch.after.journal) {
        return Err(StoreError::ForeignJournal { expected: batch.after.journal, found: found.journal });
    }
    if let Some((_, found)) = known.iter().find(|(partition, _)| *partition == batch.partition) {
        return judge(batch, Some(*found));
    }
    match link.run(FIRST_POSITION, values).await {
        Ok(_) => Ok(Arrival::Now),
        // Since `known` was read, a COMMIT that nobody had answered was done after all: this
        // statement waited for its lock, and then found its row.
        Err(StoreError::Diverged(said)) => match read::position(link, batch.partition).await? {
            None => Err(StoreError::Diverged(said)),
            found => judge(batch, found),
        },
        Err(error) => Err(error),
    }
}

/// Says what it means that the position is at `found`, and not where the batch starts.
fn judge(batch: &Batch<'_>, found: Option<Position>) -> Result<Arrival, StoreError> {
    match found {
        Some(found) if found.journal != batch.after.journal => {
            Err(StoreError::ForeignJournal { expected: batch.after.journal, found: found.journal })
        }
        Some(found) if found == batch.after => Ok(Arrival::Before),
        found => Err(StoreError::PositionConflict {
            partition: batch.partition,
            expected: batch.before.map(Box::new),
            found: found.map(Box::new),
        }),
    }
}

fn give_position<V: Values>(values: &mut V, position: &Position) {
    values.text(&position.journal.to_string());
    values.lsn(position.lsn);
    values.text(&read::hex(&position.chain));
}

/// Cuts `rows` into statements of the sizes there are, from large to small, and calls for
/// each with its size's index.
fn cut<T>(rows: &[T], sizes: Sizes) -> impl Iterator<Item = (usize, &[T])> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let at = sizes.iter().position(|&size| size <= rest.len())?;
        let (now, later) = rest.split_at(sizes[at]);
        rest = later;
        Some((at, now))
    })
}

async fn insert<L: Link, R: Row + Sync>(link: &mut L, insert: &'static Insert, rows: &[R]) -> Result<(), StoreError> {
    for (size, rows) in cut(rows, L::statements().rows) {
        let mut values = L::Values::with_capacity(rows.len() * insert.columns);
        for row in rows {
            row.give(&mut values);
        }
        link.run(&insert.sql[size], values).await?;
    }
    Ok(())
}

async fn update<L: Link, C: Change + Sync>(
    link: &mut L,
    update: &'static Update,
    changes: &[C],
    last: Option<i64>,
) -> Result<(), StoreError> {
    for (size, changes) in cut(changes, &CHANGES) {
        let mut values = L::Values::with_capacity(changes.len() * (2 * C::COLUMNS + 1) + 1);
        for column in 0..C::COLUMNS {
            for change in changes {
                change.key(&mut values);
                change.column(column, &mut values);
            }
        }
        for change in changes {
            change.key(&mut values);
        }
        if let Some(last) = last {
            values.int(last);
        }
        let found = link.run(&update.sql[size], values).await?;
        if C::CERTAIN {
            expect(C::TABLE, changes.iter().map(Change::rows).sum(), found)?;
        }
    }
    Ok(())
}

/// `changes` are sorted by their numbers; those of one number share statements.
async fn update_numbered<L: Link, C: Numbered + Sync>(
    link: &mut L,
    sql: &'static Update,
    changes: &[C],
) -> Result<(), StoreError> {
    for changes in changes.chunk_by(|a, b| a.number() == b.number()) {
        let number = changes.first().map(|change| change.number().into());
        update(link, sql, changes, number).await?;
    }
    Ok(())
}

async fn delete<L: Link>(link: &mut L, delete: &'static ByKeys, orders: &[OrderId]) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for (size, orders) in cut(orders, L::statements().rows) {
        let mut values = L::Values::with_capacity(orders.len());
        for order in orders {
            values.order(*order);
        }
        deleted += link.run(&delete.sql[size], values).await?;
    }
    Ok(deleted)
}

fn expect(table: &'static str, rows: u64, found: u64) -> Result<(), StoreError> {
    if rows == found {
        return Ok(());
    }
    Err(StoreError::Diverged(format!(
        "{rows} rows of {table} were to change, {found} are there as the journal left them"
    )))
}
