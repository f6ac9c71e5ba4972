//! Journals that cannot have come about: an event that does not fit neither panics nor
//! wraps a number; it is remembered, and the invariants tell where it was.
//!
//! `SON7_SEED=n` runs one damaged journal again.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use son7shop_engine::invariants::{self, Violation};
use son7shop_engine::{
    Command, CustomerId, Event, LineRequest, Lsn, OrderId, PartHold, PartRequest, Partition, PartitionId,
    PartitionImage, PlaceOrder, PricedLine, Record, RequestKey, Requester, SaleTerms, Sku, Time, Won,
};

fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("a sku")
}

fn customer() -> CustomerId {
    CustomerId::parse("ann").expect("a customer")
}

fn order_id(n: u64) -> OrderId {
    OrderId::new(Time(0), n, PartitionId(0))
}

fn place(n: u8, parts: Vec<PartRequest>) -> Command {
    Command::PlaceOrder(PlaceOrder {
        id: order_id(u64::from(n)),
        customer: customer(),
        key: RequestKey { key: [n; 16], request: [0; 16] },
        lines: std::iter::once(LineRequest { sku: sku("air"), quantity: 2 }).collect(),
        parts,
        hold_millis: 600,
    })
}

/// A journal with an event of every kind.
fn journal() -> Vec<Record> {
    let bee = || vec![LineRequest { sku: sku("bee"), quantity: 1 }];
    let basket = || vec![PartRequest { partition: PartitionId(1), lines: bee() }];
    let held = || vec![PricedLine { sku: sku("bee"), quantity: 1, unit_price: Won(5), sale: 0 }];
    let part = |n| {
        Command::HoldPart(PartHold {
            order: order_id(n),
            customer: customer(),
            lines: vec![LineRequest { sku: sku("air"), quantity: 1 }],
            deadline: Time(5000),
        })
    };
    let key = |n| RequestKey { key: [n; 16], request: [0; 16] };
    let terms = SaleTerms { opens_at: Time(0), closes_at: Time(9000), price: Won(70), per_customer_limit: 50 };
    let commands = [
        Command::CreateProduct {
            sku: sku("air"),
            name: "Air".into(),
            price: Won(100),
            on_hand: 50,
            key: Some(key(100)),
        },
        Command::AdjustStock { sku: sku("air"), delta: -1, reason: "broken".into(), key: key(101) },
        Command::SetSale { sku: sku("air"), terms },
        place(1, vec![]),
        place(2, vec![]),
        place(3, vec![]),
        place(4, basket()),
        place(5, basket()),
        Command::AcceptParts { order: order_id(4), parts: vec![(PartitionId(1), held())] },
        Command::RefuseParts { order: order_id(5), refusal: son7shop_engine::Refusal::PartEnded },
        part(20),
        part(21),
        Command::ConfirmOrder { order: order_id(1) },
        Command::CancelOrder { order: order_id(2), by: Requester::Admin },
        Command::ReleasePart { order: order_id(20) },
        Command::ConfirmPart { order: order_id(21) },
        Command::ReleasePart { order: order_id(22) },
        Command::DeleteSale { sku: sku("air") },
        Command::Tick,
        Command::Forget { stored: Lsn(12), ended_by: Time(9000) },
    ];
    let mut partition = Partition::new(PartitionId(0), 1);
    let mut records = Vec::new();
    for (at, command) in (0_i64..).zip(&commands) {
        let clock = if *command == Command::Tick { 2000 } else { 10 * at };
        partition.step(Time(clock), command, |record| records.push(record.clone()));
    }
    invariants::check(&partition).expect("the journal itself is sound");
    records
}

fn replay(records: &[Record]) -> Partition {
    let mut partition = Partition::new(PartitionId(0), 1);
    for record in records {
        partition.evolve(record);
    }
    partition
}

#[test]
fn the_journal_has_an_event_of_every_kind() {
    let kind = |record: &Record| std::mem::discriminant(&record.event);
    let mut kinds: Vec<_> = journal().iter().map(kind).collect();
    kinds.dedup();
    let mut different = Vec::new();
    for kind in kinds {
        if !different.contains(&kind) {
            different.push(kind);
        }
    }
    // A match without `_`: a new event does not compile before this test has one.
    let all = |event: &Event| match event {
        Event::ProductCreated { .. }
        | Event::StockAdjusted { .. }
        | Event::SaleSet { .. }
        | Event::SaleDeleted { .. } => 4,
        Event::OrderPlaced { .. } | Event::OrderOpened { .. } | Event::BasketPlaced { .. } | Event::OrderRefused(_) => {
            8
        }
        Event::OrderConfirmed(_) | Event::OrderCancelled { .. } | Event::OrderExpired(_) => 11,
        Event::PartHeld { .. } | Event::PartReleased { .. } | Event::PartConfirmed { .. } | Event::Forgotten { .. } => {
            15
        }
        // Those about paying are in payments.rs.
        _ => 0,
    };
    assert_eq!(different.len(), journal().iter().map(|record| all(&record.event)).max().unwrap_or(0));
}

#[test]
fn an_event_that_comes_twice_is_told_at_its_second_coming() {
    for (at, record) in journal().iter().enumerate() {
        if matches!(record.event, Event::SaleSet { .. }) {
            continue; // The same terms again change nothing.
        }
        let mut twice = journal()[..=at].to_vec();
        twice.push(record.clone());
        let partition = replay(&twice);
        let lsn = Lsn(u64::try_from(twice.len()).expect("few"));
        assert_eq!(partition.misfit(), Some(lsn), "{:?}", record.event);
        assert_eq!(invariants::check(&partition), Err(Violation::History { lsn }), "{:?}", record.event);
    }
}

#[test]
fn a_snapshot_does_not_hide_a_wrong_journal() {
    let mut records = journal();
    records.insert(5, records[4].clone());
    let bytes = postcard::to_allocvec(&replay(&records).image()).expect("a picture is written");
    let image: PartitionImage = postcard::from_bytes(&bytes).expect("a picture reads back");
    assert_eq!(invariants::check(&image.restore(9)), Err(Violation::History { lsn: Lsn(6) }));
}

#[test]
fn time_that_runs_backwards_is_told() {
    let mut records = journal();
    let last = records.len() - 1;
    records[last].at = Time(1);
    let partition = replay(&records);
    assert!(partition.misfit().is_some());
    assert_eq!(partition.time(), Time(2000));
}

/// Drops, repeats and swaps events: whatever is left, replaying it ends, and a state
/// that passes the other invariants goes on taking commands.
#[test]
fn no_damage_panics() {
    let one = std::env::var("SON7_SEED").ok().map(|text| text.parse::<u64>().expect("SON7_SEED is a number"));
    let (mut told, seeds) = (0, one.map_or(0..3000, |seed| seed..seed + 1));
    for seed in seeds.clone() {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut records = journal();
        for _ in 0..rng.random_range(1..4) {
            let (a, b) = (rng.random_range(0..records.len()), rng.random_range(0..records.len()));
            match rng.random_range(0..4) {
                0 => drop(records.remove(a)),
                1 => records.insert(a, records[b].clone()),
                2 => records.swap(a, b),
                _ => {
                    let (at, event) = (records[b].at, records.choose(&mut rng).expect("events").event.clone());
                    records.insert(a, Record { at, event });
                }
            }
        }
        println!("SON7_SEED={seed}");
        let mut partition = replay(&records);
        told += u32::from(invariants::check(&partition).is_err());
        partition.step(Time(5000), &Command::Tick, |_| ());
        partition.step(Time(5000), &place(50, vec![]), |_| ());
        partition.step(Time(9000), &Command::Forget { stored: Lsn(99), ended_by: Time(9000) }, |_| ());
    }
    assert!(one.is_some() || told > 1000, "hardly any damage was told: {told} of {seeds:?}");
}
