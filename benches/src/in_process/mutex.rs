//! One plain `Mutex` around the same decision, as a careful user would write it: decide, put the
//! record into the journal, sync it, and only then let go and answer.
//!
//! The decision is the engine's own, with its holds and keys, and so is the journal: what differs
//! is that every order waits for a sync of its own.

use super::{HOLD_MILLIS, Product, key, setting};
use crate::history::mixed;
use anyhow::{Context, bail};
use son7shop_engine::{
    Answer, Basket, Command, CustomerId, LineRequest, OrderId, Outcome, Partition, PartitionId, PlaceOrder, Refusal,
    Time, Won,
};
use son7shop_loadtest::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use son7shop_loadtest::lab::backends::in_process::{Settings, Way};
use son7shop_persistence::journal::{
    DataFolder, FolderOptions, Journal, OpenHints, PartitionFolder, Preparer, Recovered, Storage,
};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The only partition.
const PARTITION: PartitionId = PartitionId(0);
/// The seed of the partition's hash maps.
const SEED: u64 = 7;
/// How often it is looked whether the journal needs its next segment: as in the engine.
const PREPARE: Duration = Duration::from_millis(500);

/// For whoever repeats it.
pub(super) fn settings() -> Settings {
    vec![
        setting("lock", "std::sync::Mutex"),
        setting("hold", format!("{} s", HOLD_MILLIS / 1_000)),
        setting(
            "journal segments",
            format!("{} MiB, made ahead", FolderOptions::new(None, [0; 16]).segment_bytes >> 20),
        ),
        setting("database", "none"),
        setting("allocator", "mimalloc, no huge pages"),
    ]
}

/// A shop behind a mutex.
pub struct MutexShop {
    way: Way,
    shop: Mutex<Locked>,
    /// Commits since it was opened; beside the lock, so that nobody queues for it.
    commits: AtomicU64,
    product: Mutex<Product>,
    /// Makes segments ahead for as long as this lives.
    _ahead: Ahead,
}

/// What the mutex guards.
struct Locked {
    partition: Partition,
    journal: Journal,
}

impl MutexShop {
    /// Opens the journal in `folder`, or makes it.
    pub fn open(folder: &Path, way: Way, storage: Arc<dyn Storage>) -> anyhow::Result<Self> {
        let folder = DataFolder::open(storage, folder, &FolderOptions::new(Some(1), [7; 16]))?;
        let folder: PartitionFolder = folder.partition(PARTITION).context("the only partition")?;
        let Recovered { partition, journal, .. } = Journal::open(&folder, OpenHints::default(), SEED, &mut |_| {})?;
        let ahead = Ahead::start(journal.preparer())?;
        Ok(Self {
            way,
            shop: Mutex::new(Locked { partition, journal }),
            commits: AtomicU64::new(0),
            product: Mutex::new(Product::first()?),
            _ahead: ahead,
        })
    }

    /// Decides a command and makes it durable; nobody hears of it before.
    fn decide(&self, command: &Command) -> anyhow::Result<Outcome> {
        let mut shop = self.lock()?;
        let Locked { partition, journal } = &mut *shop;
        let outcome = partition.step(now(), command, |record| {
            journal.append(record);
        });
        let news = journal.pending() > 0;
        // Where nothing happened this costs nothing; where a commit failed before, it fails again: what
        // the partition knows beyond the journal is told to nobody.
        journal.commit()?;
        drop(shop);
        self.commits.fetch_add(u64::from(news), Ordering::Relaxed);
        Ok(outcome)
    }

    fn lock(&self) -> anyhow::Result<MutexGuard<'_, Locked>> {
        self.shop.lock().map_err(|_| anyhow::anyhow!("somebody panicked under the lock"))
    }

    fn product(&self) -> Product {
        self.product.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend for MutexShop {
    fn name(&self) -> &str {
        self.way.name()
    }

    fn about(&self) -> &str {
        self.way.about()
    }

    fn promise(&self) -> Promise {
        self.way.promise()
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        let product = self.product().next()?;
        let sku = product.sku.clone();
        let create = Command::CreateProduct { sku, name: "Air".into(), price: Won(1_000), on_hand: units, key: None };
        match self.decide(&create)? {
            Outcome::Accepted(_) => {}
            outcome => bail!("the product was not made: {outcome:?}"),
        }
        *self.product.lock().unwrap_or_else(PoisonError::into_inner) = product;
        Ok(())
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let thread = u32::try_from(thread)?;
        let buyer = CustomerId::parse(&format!("buyer-{thread}"))?;
        Ok(Box::new(MutexTill { shop: self, thread, buyer, product: self.product(), orders: 0 }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        let product = self.lock()?.partition.product(&self.product().sku).context("there is no product")?;
        // Every order here is of one unit, and holds it.
        Ok(Shelf { left: i64::try_from(product.stock.available())?, orders: product.stock.held })
    }

    fn syncs(&self) -> Option<u64> {
        // Each commit is one sync, where anything syncs.
        self.way.syncs().then(|| self.commits.load(Ordering::Relaxed))
    }
}

struct MutexTill<'a> {
    shop: &'a MutexShop,
    thread: u32,
    buyer: CustomerId,
    product: Product,
    /// Orders tried.
    orders: u64,
}

impl MutexTill<'_> {
    /// All that can be done before the lock is taken.
    fn order(&self) -> anyhow::Result<PlaceOrder> {
        let lines = vec![LineRequest { sku: self.product.sku.clone(), quantity: 1 }];
        let Basket { lines, parts, home } = Basket::new(lines, 1).context("an order has a line")?;
        let drawn = mixed(u64::from(self.product.run) << 56 ^ u64::from(self.thread) << 32 ^ self.orders);
        Ok(PlaceOrder {
            id: OrderId::new(now(), drawn, home),
            customer: self.buyer.clone(),
            key: key(self.product.run, self.thread, self.orders),
            lines,
            parts,
            hold_millis: HOLD_MILLIS,
        })
    }
}

impl Till for MutexTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        self.orders += 1;
        let bought = match self.shop.decide(&Command::PlaceOrder(self.order()?))? {
            Outcome::Accepted(Answer::Order(_)) => Bought::Sold,
            Outcome::Refused(Refusal::SoldOut { .. }) => Bought::SoldOut,
            outcome => bail!("the order had another outcome: {outcome:?}"),
        };
        Ok(Attempt { bought, retries: 0 })
    }
}

/// Makes the journal's next segment before it is needed, on a thread of its own, until it is dropped.
struct Ahead {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    fn start(preparer: Preparer) -> anyhow::Result<Self> {
        let (end, ended) = channel::<()>();
        let look = move || {
            loop {
                if let Err(error) = preparer.prepare_next() {
                    // Whoever writes then makes the segment, and hears of it if that fails too.
                    eprintln!("in_process: making a segment ahead failed: {error}");
                }
                if !matches!(ended.recv_timeout(PREPARE), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().spawn(look)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It ended by a panic: its message is on standard error already.
            let _ = thread.join();
        }
    }
}

/// Milliseconds since the Unix epoch, UTC; 0 for a clock set before it.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
