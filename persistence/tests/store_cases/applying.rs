//! Cases about batches.

use super::Case;
use crate::store_support::history::{PARTITIONS, World, bring};
use crate::store_support::{Contents, contents, execute, number, position, position_of, seeds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use son7shop_engine::{Event, OrderStatus, PartStatus, Partition, PartitionId, Record};
use son7shop_persistence::JournalId;
use son7shop_persistence::store::{Batch, StoreError, order_as_stored};
use std::time::Duration;

fn batch(records: &[Record], from: usize, to: usize) -> Batch<'_> {
    let before = (from > 0).then(|| position(from as u64));
    Batch { partition: PartitionId(0), before, after: position(to as u64), records: &records[from..to] }
}

/// The journal of one partition that is at least so long.
fn journal(seed: u64, length: usize) -> Vec<Record> {
    let mut world = World::new(seed, 9);
    while world.journals[0].len() < length {
        world.run(50);
    }
    world.journals.swap_remove(0)
}

pub(super) async fn converges(case: Case) {
    for seed in seeds(1) {
        println!("SON7_SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed, 12);
        let mut stored = vec![0; usize::from(PARTITIONS)];
        for round in 0..6 {
            world.run(250);
            if round == 5 {
                world.settle();
            }
            for partition in 0..PARTITIONS {
                let at = usize::from(partition);
                let most = *[1, 7, 60, 2000].get(rng.random_range(0..4)).unwrap_or(&1);
                let size = || rng.random_range(1..=most);
                bring(&*case.store, partition, &world.journals[at], stored[at], size).await.unwrap();
                stored[at] = world.journals[at].len();
            }
            world.check(&contents(&*case.store).await);
        }
        for (status, text) in
            [(PartStatus::Held, "held"), (PartStatus::Confirmed, "confirmed"), (PartStatus::Released, "released")]
        {
            let sql = format!("SELECT COUNT(DISTINCT order_id, partition_id) FROM part_lines WHERE status = '{text}'");
            let sql = if case.url.starts_with("sqlite") {
                sql.replace("DISTINCT order_id, partition_id", "DISTINCT order_id || '/' || partition_id")
            } else {
                sql
            };
            assert_eq!(number(&case.url, &sql).await, world.parts(status), "{text}");
        }
        let told = |event: &Event| {
            !matches!(
                event,
                Event::ProductCreated { .. }
                    | Event::StockAdjusted { .. }
                    | Event::SaleSet { .. }
                    | Event::SaleDeleted { .. }
                    | Event::Forgotten { .. }
            )
        };
        let events = world.journals.iter().flatten().filter(|record| told(&record.event)).count();
        assert_eq!(number(&case.url, "SELECT COUNT(*) FROM timeline").await, i64::try_from(events).unwrap());
    }
}

pub(super) async fn side_by_side(case: Case) {
    let mut world = World::new(5, 12);
    world.run(1500);
    let mut tasks = Vec::new();
    for (partition, journal) in (0..PARTITIONS).zip(world.journals.clone()) {
        let store = case.store.clone();
        tasks.push(tokio::spawn(async move {
            let mut at = 0;
            while at < journal.len() {
                match bring(&*store, partition, &journal[..journal.len().min(at + 40)], at, || 40).await {
                    Ok(()) => at = journal.len().min(at + 40),
                    Err(error) => assert!(error.is_retryable(), "{error:?}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.check(&contents(&*case.store).await);
}

pub(super) async fn repeated(case: Case) {
    let records = journal(1, 300);
    for (from, to) in [(0, 100), (0, 100), (100, 101), (100, 101), (101, 300), (101, 300)] {
        let batch = batch(&records, from, to);
        let before = contents(&*case.store).await;
        let known = case.store.position(PartitionId(0)).await.unwrap() == Some(batch.after);
        assert_eq!(case.store.apply(&batch).await.unwrap(), batch.after);
        let after = contents(&*case.store).await;
        assert_eq!(before == after, known, "{from}..{to}");
    }
}

pub(super) async fn out_of_place(case: Case) {
    let records = journal(2, 60);
    case.store.apply(&batch(&records, 0, 20)).await.unwrap();
    let before = contents(&*case.store).await;
    // A gap, a step back, a first batch again with another end, another history.
    let mut other = batch(&records, 20, 30);
    other.before = Some(position_of(super::super::store_support::JOURNAL, 20));
    if let Some(before) = &mut other.before {
        before.chain[31] ^= 1;
    }
    for wrong in [batch(&records, 30, 40), batch(&records, 10, 15), batch(&records, 0, 10), other] {
        match case.store.apply(&wrong).await {
            Err(error @ StoreError::PositionConflict { .. }) => {
                assert!(!error.is_retryable());
                let StoreError::PositionConflict { found, .. } = error else { unreachable!() };
                assert_eq!(found.as_deref(), Some(&position(20)));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut wrong = batch(&records, 20, 30);
    wrong.after = position(31);
    assert!(matches!(case.store.apply(&wrong).await, Err(StoreError::BadBatch(_))));
    assert_eq!(contents(&*case.store).await, before);
    case.store.apply(&batch(&records, 20, 30)).await.unwrap();
}

pub(super) async fn foreign(case: Case) {
    let records = journal(3, 40);
    let theirs = JournalId([9; 16]);
    case.store.apply(&batch(&records, 0, 20)).await.unwrap();
    let before = contents(&*case.store).await;
    let next =
        Batch { before: Some(position_of(theirs, 20)), after: position_of(theirs, 30), ..batch(&records, 20, 30) };
    let first = Batch { partition: PartitionId(1), after: position_of(theirs, 20), ..batch(&records, 0, 20) };
    for wrong in [next, first] {
        let said = case.store.apply(&wrong).await;
        assert!(
            matches!(said, Err(StoreError::ForeignJournal { found, .. }) if found == position(0).journal),
            "{said:?}"
        );
    }
    assert_eq!(contents(&*case.store).await, before);
}

pub(super) async fn given_up(case: Case) {
    for seed in seeds(1) {
        println!("SON7_SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed, 12);
        world.run(1200);
        for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
            let mut at = 0;
            while at < journal.len() {
                let to = journal.len().min(at + rng.random_range(1..200));
                let next = Batch { partition: PartitionId(partition), ..batch(journal, at, to) };
                let limit = Duration::from_micros(rng.random_range(0..20_000));
                if let Ok(applied) = tokio::time::timeout(limit, case.store.apply(&next)).await {
                    assert_eq!(applied.unwrap(), next.after);
                } else {
                    let found = case.store.position(PartitionId(partition)).await.unwrap();
                    assert!(found == next.before || found == Some(next.after));
                    // COMMIT may still be on its way: the same batch, until it is there.
                    assert_eq!(case.store.apply(&next).await.unwrap(), next.after);
                }
                at = to;
            }
        }
        world.check(&contents(&*case.store).await);
    }
}

pub(super) async fn diverged(case: Case) {
    let records = journal(4, 400);
    let ends = |record: &Record| matches!(record.event, Event::OrderConfirmed(_) | Event::OrderCancelled { .. });
    let end = records.iter().rposition(ends).unwrap();
    case.store.apply(&batch(&records, 0, end)).await.unwrap();
    execute(&case.url, "DELETE FROM orders").await;
    let said = case.store.apply(&batch(&records, end, end + 1)).await;
    assert!(matches!(said, Err(StoreError::Diverged(_))), "{said:?}");
    assert_eq!(case.store.position(PartitionId(0)).await.unwrap(), Some(position(end as u64)));
    execute(&case.url, "UPDATE products SET held = 0, supplied = sold").await;
    let said = case.store.apply(&batch(&records, end, end + 1)).await;
    assert!(matches!(said, Err(StoreError::Diverged(_))), "more given back than held: {said:?}");
}

pub(super) async fn baskets(case: Case) {
    let mut world = World::new(8, 9);
    while world.partitions.iter().flat_map(Partition::opening_orders).count() < 5 {
        world.run(20);
    }
    let opening: Vec<_> = world.partitions.iter().flat_map(Partition::opening_orders).collect();
    let mut stored = Vec::new();
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        bring(&*case.store, partition, journal, 0, || 50).await.unwrap();
        stored.push(journal.len());
    }
    for id in &opening {
        assert_eq!(case.store.order(*id).await.unwrap(), None);
    }
    world.settle();
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        bring(&*case.store, partition, journal, stored[usize::from(partition)], || 50).await.unwrap();
    }
    for id in &opening {
        let expected = world.partitions[usize::from(id.home().0)].order(*id).map(order_as_stored);
        assert_eq!(case.store.order(*id).await.unwrap(), expected);
        if expected.is_none() {
            let rows = format!("SELECT COUNT(*) FROM order_lines WHERE order_id = '{id}'");
            assert_eq!(number(&case.url, &rows).await, 0);
        }
    }
    let shown: Contents = contents(&*case.store).await;
    assert!(shown.orders.iter().all(|order| order.status != OrderStatus::Opening));
    world.check(&shown);
}
