//! This engine, called by the buyers' own threads: a customer for each thread, a key for each order,
//! one partition. Write-behind to SQLite runs beside it, as it does in a shop.

use super::parker::Parker;
use super::{HOLD_MILLIS, Product, key, setting};
use anyhow::{Context, bail, ensure};
use son7shop_actors::{NewProduct, Settings, Shop, ShopError};
use son7shop_engine::{CustomerId, LineRequest, Refusal, Won};
use son7shop_loadtest::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use son7shop_loadtest::lab::backends::in_process::{self, Way};
use son7shop_persistence::journal::Storage;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads of the runtime beside the owner's.
const RUNTIME_THREADS: usize = 2;
/// How often a buyer that was told "too busy" comes back, and how long it waits before.
const AGAIN_MAX: u32 = 1_000;
const AGAIN_AFTER: Duration = Duration::from_millis(1);
/// How long write-behind may go on when the selling is over: nobody reads what it would write.
const CLOSE_PATIENCE: Duration = Duration::from_millis(1);

/// A shop with its data in this folder: one partition, all else as a shop has it.
pub fn in_folder(folder: &Path) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(1),
        hold_millis: HOLD_MILLIS,
        ..Settings::default()
    }
}

/// For whoever repeats it.
pub(super) fn settings() -> in_process::Settings {
    let settings = in_folder(Path::new(""));
    vec![
        setting("partitions", "1"),
        setting("orders under way at most", settings.orders_max.to_string()),
        setting("hold", format!("{} s", settings.hold_millis / 1_000)),
        setting("journal segments", format!("{} MiB", settings.segment_bytes >> 20)),
        setting("journal at most", format!("{} MiB", settings.journal_limit_bytes >> 20)),
        setting("runtime threads", RUNTIME_THREADS.to_string()),
        setting("database", "SQLite in the same folder, by write-behind"),
        setting("allocator", "mimalloc, no huge pages"),
    ]
}

/// A shop of this engine in this process.
pub struct Engine {
    way: Way,
    shop: Shop,
    syncs: Option<Arc<AtomicU64>>,
    product: Mutex<Product>,
    // Last: the shop's tasks run on it.
    runtime: Runtime,
}

impl Engine {
    /// Opens a shop. `syncs` is what counts its syncs, where they are counted.
    pub fn open(
        settings: Settings,
        way: Way,
        storage: Arc<dyn Storage>,
        syncs: Option<Arc<AtomicU64>>,
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
        let shop = runtime.block_on(Shop::open(settings, storage))?;
        Ok(Self { way, shop, syncs, product: Mutex::new(Product::first()?), runtime })
    }

    /// Ends everything that it runs.
    pub fn close(self) {
        self.runtime.block_on(self.shop.close(CLOSE_PATIENCE));
    }

    fn product(&self) -> Product {
        self.product.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend for Engine {
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
        let new =
            NewProduct { sku: product.sku.clone(), name: "Air".into(), price: Won(1_000), on_hand: units, key: None };
        self.runtime.block_on(self.shop.create_product(new)).context("making the product")?;
        *self.product.lock().unwrap_or_else(PoisonError::into_inner) = product;
        Ok(())
    }

    /// Called by the thread that buys: it is the one that is woken.
    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let thread = u32::try_from(thread)?;
        let buyer = CustomerId::parse(&format!("buyer-{thread}"))?;
        let (product, parker) = (self.product(), Parker::new());
        Ok(Box::new(EngineTill { shop: &self.shop, parker, thread, buyer, product, orders: 0 }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        let product = self.runtime.block_on(self.shop.product(self.product().sku)).context("reading the stock")?;
        // Every order here is of one unit, and holds it.
        Ok(Shelf { left: i64::try_from(product.stock.available())?, orders: product.stock.held })
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.as_ref()?.load(Ordering::Relaxed))
    }
}

struct EngineTill<'a> {
    shop: &'a Shop,
    parker: Parker,
    thread: u32,
    buyer: CustomerId,
    product: Product,
    /// Orders tried.
    orders: u64,
}

impl Till for EngineTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        self.orders += 1;
        let key = key(self.product.run, self.thread, self.orders);
        for retries in 0..AGAIN_MAX {
            let lines = vec![LineRequest { sku: self.product.sku.clone(), quantity: 1 }];
            match self.parker.block_on(self.shop.place_order(self.buyer.clone(), key, lines)) {
                Ok(done) => {
                    ensure!(!done.repeated, "a new key was answered as if it had been there before");
                    return Ok(Attempt { bought: Bought::Sold, retries });
                }
                Err(ShopError::Refused(Refusal::SoldOut { .. })) => {
                    return Ok(Attempt { bought: Bought::SoldOut, retries });
                }
                // The same key again: it cannot be sold twice.
                Err(ShopError::Overloaded) => std::thread::sleep(AGAIN_AFTER),
                Err(error) => return Err(error.into()),
            }
        }
        bail!("too busy, {AGAIN_MAX} times")
    }
}
