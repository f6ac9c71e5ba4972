//! Lists of orders: the database's rows, and what the owners know that it has not yet.

use crate::ShopError;
use crate::calls::read;
use crate::error::with_sources;
use crate::shop::Shop;
use son7shop_engine::{CustomerId, OrderId, OrderView, Time};
use son7shop_persistence::store::{OrderCursor, OrdersPage as StorePage, StoreError};
use std::collections::BTreeMap;

/// One page of orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// Where the next page begins, if there is one: the last order's (placed_at, id).
    pub next: Option<(Time, OrderId)>,
}

impl Shop {
    /// Orders, newest first by (placed_at, id), below `after`; `of`: only this customer's.
    ///
    /// While the database is away, or further behind than the owners remember (some ten
    /// thousand events for each partition), lists are [`ShopError::DatabaseUnavailable`];
    /// single orders still answer.
    pub async fn orders(
        &self,
        of: Option<CustomerId>,
        after: Option<(Time, OrderId)>,
        limit: u32,
    ) -> Result<OrdersPage, ShopError> {
        // Without a database, owners are not asked.
        self.inner.database.read(|_| async { Ok(()) }).await.map_err(ShopError::from_store)?;
        // The owners before the rows: whatever they hand over to the database meanwhile is found twice, not lost.
        let mut newer = Vec::new();
        for gate in self.inner.gates.iter() {
            let (stored, of) = (gate.stored(), of.clone());
            let changed = read(gate, move |owner| owner.changed_after(stored, of.as_ref())).await?;
            newer.extend(changed.ok_or_else(|| {
                ShopError::DatabaseUnavailable("it is too far behind to answer for lists".to_owned())
            })?);
        }
        let cursor = after.map(|(placed_at, id)| OrderCursor { placed_at, id });
        let rows = self.inner.database.read(move |store| async move {
            let page = StorePage { customer: of.as_ref(), after: cursor, limit: limit.saturating_add(1) };
            store.orders_page(&page).await
        });
        let rows = rows.await.map_err(ShopError::from_store)?;
        Ok(merge(rows, newer, after, limit as usize))
    }
}

impl ShopError {
    #[expect(clippy::needless_pass_by_value, reason = "it is an adapter for map_err")]
    pub(crate) fn from_store(error: StoreError) -> Self {
        Self::DatabaseUnavailable(with_sources(&error))
    }
}

/// Of two views of an order the later one counts.
fn merge(rows: Vec<OrderView>, newer: Vec<OrderView>, after: Option<(Time, OrderId)>, limit: usize) -> OrdersPage {
    let mut orders: BTreeMap<(Time, OrderId), OrderView> = BTreeMap::new();
    for view in rows.into_iter().chain(newer) {
        let place = (view.placed_at, view.id);
        let below = after.is_none_or(|after| place < after);
        if below && orders.get(&place).is_none_or(|known| known.lsn < view.lsn) {
            orders.insert(place, view);
        }
    }
    let more = orders.len() > limit;
    let orders: Vec<OrderView> = orders.into_values().rev().take(limit).collect();
    let next = orders.last().filter(|_| more).map(|last| (last.placed_at, last.id));
    OrdersPage { orders, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::{Lsn, OrderStatus, PartitionId, PricedLines, Won};

    fn view(placed_at: i64, lsn: u64, status: OrderStatus) -> OrderView {
        OrderView {
            id: OrderId::new(Time(placed_at), 7, PartitionId(0)),
            customer: CustomerId::parse("kim").unwrap(),
            status,
            lines: PricedLines::new(),
            total: Won(0),
            placed_at: Time(placed_at),
            deadline: Time(placed_at + 10),
            ended_at: None,
            payment: None,
            lsn: Lsn(lsn),
        }
    }

    /// Rows, what owners add, the cursor and the limit, and what the page shows.
    fn check(
        rows: &[(i64, u64)],
        newer: &[(i64, u64)],
        after: Option<i64>,
        limit: usize,
        shown: &[(i64, u64)],
        more: bool,
    ) {
        let of = |orders: &[(i64, u64)]| -> Vec<OrderView> {
            orders.iter().map(|(at, lsn)| view(*at, *lsn, OrderStatus::Held)).collect()
        };
        let after = after.map(|at| (Time(at), view(at, 0, OrderStatus::Held).id));
        let page = merge(of(rows), of(newer), after, limit);
        let got: Vec<(i64, u64)> = page.orders.iter().map(|order| (order.placed_at.0, order.lsn.0)).collect();
        assert_eq!((got.as_slice(), page.next.is_some()), (shown, more));
    }

    #[test]
    fn pages_merge_what_the_database_has_with_what_the_owners_add() {
        check(&[], &[], None, 2, &[], false);
        check(&[(2, 2), (1, 1)], &[], None, 2, &[(2, 2), (1, 1)], false);
        check(&[(2, 2), (1, 1)], &[(3, 3)], None, 2, &[(3, 3), (2, 2)], true);
        // The owner saw order 1 change; the row is older.
        check(&[(2, 2), (1, 1)], &[(1, 5)], None, 9, &[(2, 2), (1, 5)], false);
        // The row came in after the owner was asked: found twice, shown once.
        check(&[(3, 3), (2, 2)], &[(3, 3)], None, 9, &[(3, 3), (2, 2)], false);
        // Only what is below the cursor.
        check(&[(1, 1)], &[(4, 4), (3, 3)], Some(3), 9, &[(1, 1)], false);
    }
}
