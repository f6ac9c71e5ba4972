//! Cases about reads.

use super::Case;
use crate::store_support::history::{PARTITIONS, World, bring};
use crate::store_support::{Contents, contents};
use son7shop_engine::{CustomerId, OrderId, OrderView, Partition, PartitionId, Time};
use son7shop_persistence::store::{AuditRow, OrderCursor, OrdersPage, order_as_stored};
use std::ops::ControlFlow;

pub(super) async fn empty(case: Case) {
    let store = &*case.store;
    assert_eq!(store.position(PartitionId(0)).await.unwrap(), None);
    assert_eq!(store.positions().await.unwrap(), []);
    assert_eq!(store.order(OrderId::new(Time(1), 1, PartitionId(0))).await.unwrap(), None);
    let page = OrdersPage { customer: None, after: None, limit: 10 };
    assert_eq!(store.orders_page(&page).await.unwrap(), []);
    assert_eq!(contents(store).await, Contents::default());
}

async fn all_pages(case: &Case, customer: Option<&CustomerId>, limit: u32) -> Vec<OrderView> {
    let mut all: Vec<OrderView> = Vec::new();
    loop {
        let after = all.last().map(|order| OrderCursor { placed_at: order.placed_at, id: order.id });
        let page = case.store.orders_page(&OrdersPage { customer, after, limit }).await.unwrap();
        assert!(page.len() <= limit as usize);
        let last = page.len() < limit as usize;
        all.extend(page);
        if last {
            return all;
        }
    }
}

pub(super) async fn pages(case: Case) {
    // Time stands still in many steps: orders with the same `placed_at` are common.
    let mut world = World::new(21, 12);
    world.run(2500);
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        bring(&*case.store, partition, journal, 0, || 900).await.unwrap();
    }
    let mut expected: Vec<OrderView> =
        world.partitions.iter().flat_map(Partition::orders).map(order_as_stored).collect();
    expected.sort_unstable_by_key(|order| std::cmp::Reverse((order.placed_at, order.id)));
    assert!(expected.windows(2).any(|pair| pair[0].placed_at == pair[1].placed_at));
    for limit in [1000, 100, 33] {
        assert_eq!(all_pages(&case, None, limit).await, expected);
    }
    let customer = &expected[0].customer;
    let theirs: Vec<OrderView> = expected.iter().filter(|order| order.customer == *customer).cloned().collect();
    for limit in [100, 7, 1] {
        assert_eq!(all_pages(&case, Some(customer), limit).await, theirs);
    }
    let nobody = CustomerId::parse("nobody").unwrap();
    assert_eq!(all_pages(&case, Some(&nobody), 5).await, []);
    for order in expected.iter().step_by(50) {
        assert_eq!(case.store.order(order.id).await.unwrap().as_ref(), Some(order));
    }
}

pub(super) async fn audit_stops(case: Case) {
    let mut world = World::new(22, 12);
    world.run(100);
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        bring(&*case.store, partition, journal, 0, || 900).await.unwrap();
    }
    for stop in [1, 5, 20] {
        let mut seen = 0;
        let mut sink = |_: AuditRow| {
            seen += 1;
            if seen == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        case.store.audit(&mut sink).await.unwrap();
        assert_eq!(seen, stop);
    }
    // What the audit used is free again.
    world.check(&contents(&*case.store).await);
}
