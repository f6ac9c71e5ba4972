//! An owner by itself, at times that the tests say.

use super::*;
use crate::recent::RECENT_MAX;
use actix::Context;
use son7shop_engine::{LineRequest, PartRequest, PartitionId, PlaceOrder, PricedLine, RequestKey, Won};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{DataFolder, FolderOptions, OpenHints};
use std::path::Path;

const SEGMENT: u64 = 64 << 10;
const HERE: PartitionId = PartitionId(0);
const THERE: PartitionId = PartitionId(1);

/// An owner of partition 0 in a new folder, which sells `air`.
fn owner(limit_bytes: u64) -> Owner {
    let options = FolderOptions { segment_bytes: SEGMENT, limit_bytes, ..FolderOptions::new(Some(2), [7; 16]) };
    let data = DataFolder::open(Arc::new(MemoryStorage::new()), Path::new("/shop"), &options).unwrap();
    let recovered = Journal::open(&data.partition(HERE).unwrap(), OpenHints::default(), 1, &mut |_| {}).unwrap();
    let mut owner = Owner::new(Parts {
        gate: Arc::new(Gate::new(HERE, 8, recovered.journal.committed())),
        partition: recovered.partition,
        journal: recovered.journal,
        keys: Arc::new(KeyIndex::new(2)),
        ended: watch::Sender::new(None),
    });
    let product =
        Command::CreateProduct { sku: sku("air"), name: "Air".into(), price: Won(1000), on_hand: 1_000_000, key: None };
    assert!(matches!(owner.step(Time(0), &product), Outcome::Accepted(_)));
    owner
}

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).unwrap()
}

fn lines(text: &str) -> Vec<LineRequest> {
    vec![LineRequest { sku: sku(text), quantity: 1 }]
}

fn order_id(n: u64) -> OrderId {
    OrderId::new(Time(0), n, HERE)
}

/// Order `n` of one unit; a basket where it has `parts`.
fn place(n: u64, hold_millis: i64, parts: Vec<PartRequest>) -> Command {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    Command::PlaceOrder(PlaceOrder {
        id: order_id(n),
        customer: customer("kim"),
        key: RequestKey { key, request: key },
        lines: lines("air").into(),
        parts,
        hold_millis,
    })
}

fn elsewhere() -> Vec<PartRequest> {
    vec![PartRequest { partition: THERE, lines: lines("bee") }]
}

/// Has the owner decide; gives where the answer comes.
fn decide(owner: &mut Owner, command: Command) -> oneshot::Receiver<Reply> {
    let (caller, answer) = Caller::new(None, None);
    owner.decide(&mut Context::new(), Decide { command, caller, bar: None });
    answer
}

#[test]
fn a_basket_whose_deadline_came_is_not_told_another_baskets_refusal() {
    let mut owner = owner(u64::MAX);
    let mut answers = Vec::new();
    for (n, hold_millis) in [(1, 10_000), (2, 600)] {
        owner.step(Time(0), &place(n, hold_millis, elsewhere()));
        let (caller, answer) = Caller::new(None, None);
        owner.baskets.insert(order_id(n), caller);
        answers.push(answer);
    }
    let refusal = Refusal::SoldOut { sku: sku("bee"), requested: 1, available: 0 };
    owner.step(Time(700), &Command::RefuseParts { order: order_id(1), refusal: refusal.clone() });
    owner.flush(&mut Context::new());
    let told: Vec<Reply> = answers.iter_mut().map(|answer| answer.try_recv().unwrap()).collect();
    assert_eq!(told, [Ok(Outcome::Refused(refusal)), Ok(Outcome::Refused(Refusal::DeadlineBeforePlaced))]);
}

/// The orders that a list of `of` adds to what the database has up to `stored`.
fn listed(owner: &Owner, stored: u64, of: Option<&str>) -> Option<Vec<OrderId>> {
    let changed = owner.changed_after(Lsn(stored), of.map(customer).as_ref())?;
    Some(changed.into_iter().map(|order| order.id).collect())
}

#[test]
fn a_list_adds_each_order_once_as_it_last_changed() {
    let mut owner = owner(u64::MAX);
    for n in 1..=3 {
        owner.step(Time(0), &place(n, 600, Vec::new()));
    }
    owner.step(Time(1), &Command::ConfirmOrder { order: order_id(1) });
    let all = vec![order_id(2), order_id(3), order_id(1)];
    assert_eq!(listed(&owner, 0, None), Some(all.clone()));
    assert_eq!(listed(&owner, 0, Some("kim")), Some(all));
    assert_eq!(listed(&owner, 0, Some("lee")), Some(Vec::new()));
    assert_eq!(listed(&owner, 3, None), Some(vec![order_id(3), order_id(1)]), "the database has the first two");
}

#[test]
fn lists_are_refused_while_the_database_is_further_behind_than_is_kept() {
    let mut owner = owner(u64::MAX);
    let beyond = 10;
    for n in 1..=RECENT_MAX as u64 + beyond {
        owner.step(Time(0), &place(n, 600, Vec::new()));
    }
    // The first event was the product's.
    let (too_far, far) = (beyond, beyond + 1);
    for restarted in [false, true] {
        if restarted {
            owner.recent = Recent::after(Lsn(0), &owner.partition);
        }
        assert_eq!(listed(&owner, too_far, None), None);
        assert_eq!(listed(&owner, far, None).map(|orders| orders.len()), Some(RECENT_MAX));
    }
    assert!(owner.order(order_id(1)).is_some(), "a single order is there all the same");
}

#[test]
fn at_the_disk_limit_a_basket_is_not_placed_over_what_open_orders_need() {
    let mut owner = owner(4 * SEGMENT);
    let hour = 3_600_000;
    decide(&mut owner, place(0, hour, elsewhere()));
    let full = ShopError::JournalFull { partition: HERE };
    for n in 1.. {
        let mut answer = decide(&mut owner, place(n, hour, Vec::new()));
        owner.flush(&mut Context::new());
        if answer.try_recv().unwrap() == Err(full.clone()) {
            break;
        }
    }
    let held = vec![PricedLine { sku: sku("bee"), quantity: 1, unit_price: Won(5), sale: 0 }];
    let accept = Command::AcceptParts { order: order_id(0), parts: vec![(THERE, held)] };
    assert_eq!(decide(&mut owner, accept).try_recv().unwrap(), Err(full));
    let refuse = Command::RefuseParts { order: order_id(0), refusal: Refusal::PartEnded };
    let mut ended = decide(&mut owner, refuse);
    owner.flush(&mut Context::new());
    assert_eq!(ended.try_recv().unwrap(), Ok(Outcome::Accepted(Answer::Done)));
}

#[test]
fn callers_are_let_in_when_all_that_is_overdue_has_ended() {
    actix::System::new().block_on(async {
        let mut owner = owner(u64::MAX);
        let overdue = 2 * ENDS_AT_ONCE as u64 + 1;
        for n in 0..overdue {
            owner.step(Time(0), &place(n, 600, Vec::new()));
        }
        assert!(!owner.end_overdue(Time(600)), "in pieces");
        assert_eq!(owner.partition.open_holds() as u64, overdue - ENDS_AT_ONCE as u64);
        let gate = Arc::clone(&owner.gate);
        owner.start();
        gate.until_open().await;
        let look = |owner: &Owner| (owner.partition.open_holds(), owner.journal.pending());
        assert_eq!(crate::calls::read(&gate, look).await, Ok((0, 0)));
        assert_eq!(gate.committed().position.lsn, Lsn(1 + 2 * overdue));
    });
}
