//! What the journal's tests share: a shop that decides, a model of its journal, a draw.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod written;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use smallvec::smallvec;
use son7shop_engine::{
    Command, CustomerId, LineRequest, Lsn, OrderId, Partition, PartitionId, PlaceOrder, Record, RequestKey, Requester,
    Sku, Time, Won,
};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{
    Committed, DataFolder, FolderOptions, Journal, JournalError, OpenHints, PartitionFolder, Reader, Recovered,
};
use std::path::Path;
use std::sync::Arc;

/// The partition that the tests write.
pub(crate) const PARTITION: PartitionId = PartitionId(0);
/// Where the data folder is in a storage of memory.
pub(crate) const DATA: &str = "/shop/data";

/// The seeds of a run: `SON7_SEED` alone, where it is set.
pub(crate) fn seeds(fallback: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("SON7_SEED") {
        Ok(seed) => vec![seed.parse().expect("SON7_SEED is a number")],
        Err(_) => fallback.collect(),
    }
}

pub(crate) fn options(segment_bytes: u64) -> FolderOptions {
    FolderOptions { segment_bytes, ..FolderOptions::new(Some(1), [7; 16]) }
}

pub(crate) fn data_folder(storage: &MemoryStorage, segment_bytes: u64) -> Result<DataFolder, JournalError> {
    DataFolder::open(Arc::new(storage.clone()), Path::new(DATA), &options(segment_bytes))
}

pub(crate) fn folder_of(data: &DataFolder) -> PartitionFolder {
    data.partition(PARTITION).expect("there is a partition 0")
}

pub(crate) fn open(folder: &PartitionFolder, hints: OpenHints) -> Result<Recovered, JournalError> {
    Journal::open(folder, hints, 3, &mut |_| {})
}

/// Every event after `after` that a follower reads.
pub(crate) fn read_all(
    folder: &PartitionFolder,
    committed: Committed,
    after: Lsn,
) -> Result<Vec<Record>, JournalError> {
    let mut reader = Reader::open(folder, after, committed)?;
    let mut records = Vec::new();
    while let Some(frame) = reader.next(committed)? {
        assert_eq!(frame.first_lsn.0, after.0 + records.len() as u64 + 1);
        records.extend(frame.records);
        assert_eq!(frame.position_after.lsn.0, after.0 + records.len() as u64);
    }
    Ok(records)
}

/// A shop that decides what happens, and remembers all of it.
pub(crate) struct Shop {
    pub(crate) partition: Partition,
    pub(crate) records: Vec<Record>,
    pub(crate) rng: SmallRng,
    clock: i64,
    orders: Vec<OrderId>,
}

impl Shop {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            partition: Partition::new(PARTITION, seed),
            records: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            clock: 1_700_000_000_000,
            orders: Vec::new(),
        }
    }

    /// The state after the first `lsn` records.
    pub(crate) fn state_at(&self, lsn: Lsn) -> Partition {
        let mut partition = Partition::new(PARTITION, 77);
        self.records.iter().take(usize::try_from(lsn.0).unwrap()).for_each(|record| partition.evolve(record));
        partition
    }

    /// Forgets what the journal does not have.
    pub(crate) fn roll_back(&mut self, lsn: Lsn) {
        self.partition = self.state_at(lsn);
        self.records.truncate(usize::try_from(lsn.0).unwrap());
        let partition = &self.partition;
        self.orders.retain(|order| partition.order(*order).is_some());
    }

    /// Decides one command, whichever; passes what happened to `each`.
    pub(crate) fn step(&mut self, mut each: impl FnMut(&Record)) {
        self.clock += self.rng.random_range(0..50);
        let command = self.command();
        let records = &mut self.records;
        self.partition.step(Time(self.clock), &command, |record| {
            each(record);
            records.push(record.clone());
        });
    }

    fn command(&mut self) -> Command {
        let sku = Sku::parse(&format!("sku-{}", self.rng.random_range(0..8))).unwrap();
        let key = RequestKey { key: self.rng.random(), request: self.rng.random() };
        match self.rng.random_range(0..10) {
            0 => Command::CreateProduct { sku, name: "thing".into(), price: Won(900), on_hand: 1000, key: Some(key) },
            1 => Command::AdjustStock { sku, delta: self.rng.random_range(1..50), reason: "count".into(), key },
            2 | 3 => match self.orders.pop() {
                Some(order) => Command::CancelOrder { order, by: Requester::Admin },
                None => Command::Tick,
            },
            4 => match self.orders.pop() {
                Some(order) => Command::ConfirmOrder { order },
                None => Command::Tick,
            },
            _ => {
                let id = OrderId::new(Time(self.clock), self.rng.random(), PARTITION);
                self.orders.push(id);
                Command::PlaceOrder(PlaceOrder {
                    id,
                    customer: CustomerId::parse(&format!("customer-{}", self.rng.random_range(0..30))).unwrap(),
                    key,
                    lines: smallvec![LineRequest { sku, quantity: self.rng.random_range(1..4) }],
                    parts: Vec::new(),
                    hold_millis: 5_000,
                })
            }
        }
    }
}
