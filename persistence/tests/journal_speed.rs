//! How fast the journal is. Asserts nothing about time; run it by hand:
//! `cargo test --release -p son7shop-persistence --test journal_speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use smallvec::smallvec;
use son7shop_engine::{
    CustomerId, Event, Lsn, OrderId, Partition, PartitionId, PricedLine, Record, RequestKey, Sku, Time, Won,
};
use son7shop_persistence::journal::{
    DataFolder, DiskStorage, FolderOptions, Journal, OpenHints, Reader, Recovered, inspect, snapshot,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PRODUCTS: u64 = 1_000;

fn sku(n: u64) -> Sku {
    Sku::parse(&format!("sku-{n:06}")).unwrap()
}

fn product(n: u64) -> Record {
    let event =
        Event::ProductCreated { sku: sku(n), name: "thing".into(), price: Won(1000), on_hand: 1 << 40, key: None };
    Record { at: Time(1_700_000_000_000), event }
}

fn order(n: u64) -> Record {
    let at = Time(1_700_000_000_000 + i64::try_from(n / 100).unwrap());
    let entropy = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&entropy.to_le_bytes());
    let line = PricedLine { sku: sku(n % PRODUCTS), quantity: 1, unit_price: Won(1000), sale: 0 };
    let event = Event::OrderPlaced {
        id: OrderId::new(at, entropy, PartitionId(0)),
        customer: CustomerId::parse(&format!("customer-{:06}", n % 100_000)).unwrap(),
        key: RequestKey { key, request: key },
        lines: smallvec![line],
        total: Won(1000),
        deadline: at.plus_millis(600_000),
    };
    Record { at, event }
}

/// CPU time of the whole process: unlike the clock, it can be believed on a busy machine.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn per(elapsed: Duration, count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (nanos, count) = (elapsed.as_nanos() as f64, count as f64);
    nanos / count
}

#[test]
#[ignore = "measures; run it in release"]
fn figures() {
    let dir = tempfile::tempdir_in(std::env::var("SON7_BENCH_DIR").unwrap_or_else(|_| ".".into())).unwrap();
    let options = FolderOptions::new(Some(1), [7; 16]);
    let data = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options).unwrap();
    let folder = data.partition(PartitionId(0)).unwrap();
    let Recovered { mut journal, .. } = Journal::open(&folder, OpenHints::default(), 1, &mut |_| {}).unwrap();
    for n in 0..PRODUCTS {
        journal.append(&product(n));
    }
    journal.commit().unwrap();

    let records: Vec<Record> = (0..200_000).map(order).collect();
    for batch in [1_usize, 16, 256, 2000] {
        let preparer = journal.preparer();
        preparer.prepare_next().unwrap();
        let (mut appending, mut committing, mut commits) = (Duration::ZERO, Vec::new(), 0);
        let taken = &records[..(batch * 500).min(records.len())];
        for chunk in taken.chunks(batch) {
            let start = Instant::now();
            for record in chunk {
                journal.append(record);
            }
            appending += start.elapsed();
            let start = Instant::now();
            journal.commit().unwrap();
            committing.push(start.elapsed());
            commits += 1;
        }
        committing.sort_unstable();
        println!(
            "batch {batch:>5}: append {:>5.0} ns a record, commit p50 {:?} p99 {:?} ({commits} commits)",
            per(appending, taken.len() as u64),
            committing[committing.len() / 2],
            committing[committing.len() * 99 / 100],
        );
    }
    drop((journal, folder, data));
    replay(&options);
}

/// A journal of many orders, each once: what a start has to read.
fn replay(options: &FolderOptions) {
    const ORDERS: u64 = 2_000_000;
    let dir = tempfile::tempdir_in(std::env::var("SON7_BENCH_DIR").unwrap_or_else(|_| ".".into())).unwrap();
    let data = DataFolder::open(Arc::new(DiskStorage), dir.path(), options).unwrap();
    let folder = data.partition(PartitionId(0)).unwrap();
    let Recovered { mut journal, .. } = Journal::open(&folder, OpenHints::default(), 1, &mut |_| {}).unwrap();
    for n in 0..PRODUCTS {
        journal.append(&product(n));
    }
    let (mut appending, mut committing) = (Duration::ZERO, Duration::ZERO);
    for chunk in 0..ORDERS / 2000 {
        let records: Vec<Record> = (chunk * 2000..(chunk + 1) * 2000).map(order).collect();
        let start = Instant::now();
        for record in &records {
            journal.append(record);
        }
        appending += start.elapsed();
        let start = Instant::now();
        journal.commit().unwrap();
        committing += start.elapsed();
    }
    let committed = journal.committed();
    println!(
        "{ORDERS} orders in batches of 2000: append {:.0} ns, commit {:.0} ns an order (segments made inline), {} segments",
        per(appending, ORDERS),
        per(committing, ORDERS),
        committed.segment
    );
    let (start, before) = (Instant::now(), cpu());
    let (partition, position, report) = inspect::replay(&folder, 1, &mut |_| {}).unwrap();
    let took = start.elapsed();
    assert_eq!(position, committed.position);
    let used = per(cpu().saturating_sub(before), report.events);
    println!("replay: {:.2} M events/s, {} bytes, {used:.0} ns CPU", 1e3 / per(took, report.events), report.bytes);
    drop(partition);

    let mut reader = Reader::open(&folder, Lsn(0), committed).unwrap();
    let (start, before) = (Instant::now(), cpu());
    let mut events = 0;
    while let Some(frame) = reader.next(committed).unwrap() {
        events += frame.records.len() as u64;
    }
    let (took, used) = (start.elapsed(), per(cpu().saturating_sub(before), events));
    println!("follower: {:.2} M events/s (reading, hashing, decoding), {used:.0} ns CPU", 1e3 / per(took, events));

    let all: Vec<Record> = (0..PRODUCTS).map(product).chain((0..ORDERS).map(order)).collect();
    let mut partition = Partition::new(PartitionId(0), 1);
    let (start, before) = (Instant::now(), cpu());
    for record in &all {
        partition.evolve(record);
    }
    let (took, used) = (start.elapsed(), per(cpu().saturating_sub(before), ORDERS));
    println!("evolve alone: {:.2} M events/s, {used:.0} ns CPU", 1e3 / per(took, ORDERS));
    drop((partition, all));

    let start = Instant::now();
    let made = snapshot::make(&folder, committed, 1).unwrap().unwrap();
    println!("snapshot: {made:?} in {:?}", start.elapsed());
    let start = Instant::now();
    let (_, _, report) = inspect::replay(&folder, 1, &mut |_| {}).unwrap();
    println!("start from that snapshot: {:?} ({} events behind it)", start.elapsed(), report.events);
}
