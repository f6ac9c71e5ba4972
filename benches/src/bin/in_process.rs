//! Orders in process, without HTTP: from N OS threads, durable or not. Prints one JSON
//! line a run: `{"threads":N,"durable":true,"orders":..,"seconds":..,"per_second":..}`.

#![allow(clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use anyhow::Context as _;
use clap::Parser;
use son7shop_actors::{NewProduct, Settings, Shop};
use son7shop_benches::no_sync::NoSync;
use son7shop_engine::{CustomerId, LineRequest, RequestKey, Sku, Won};
use son7shop_persistence::journal::{DiskStorage, Storage};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders that each thread places before the clock starts.
const WARM_UP_ORDERS: u64 = 200;

/// Orders in process from OS threads.
#[derive(Debug, Parser)]
struct Options {
    /// Thread counts, one run each.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,500,2000")]
    threads: Vec<u32>,
    /// How long a run lasts.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Without syncs: what durability costs.
    #[arg(long)]
    no_sync: bool,
    /// Where the data folder is made; must be a real disk for durable runs.
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // As `son7shop serve` does: clearing a huge page holds everybody up, and 2,000 threads
    // have 2,000 heaps.
    rustix::thread::disable_transparent_huge_pages(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for threads in &options.threads {
        let folder = tempfile::tempdir_in(&options.folder)?;
        let storage: Arc<dyn Storage> =
            if options.no_sync { Arc::new(NoSync::default()) } else { Arc::new(DiskStorage) };
        let shop = runtime.block_on(open(folder.path(), storage))?;
        let (orders, seconds) = run(&shop, *threads, Duration::from_secs_f64(options.seconds))?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let per_second = orders as f64 / seconds;
        let line = serde_json::json!({
            "threads": threads, "durable": !options.no_sync, "orders": orders, "seconds": seconds,
            "per_second": per_second.round(),
        });
        println!("{line}");
        runtime.block_on(shop.close(Duration::from_millis(1)));
    }
    Ok(())
}

async fn open(folder: &Path, storage: Arc<dyn Storage>) -> anyhow::Result<Shop> {
    let settings = Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(1),
        ..Settings::default()
    };
    let shop = Shop::open(settings, storage).await?;
    let product = NewProduct { sku: sku()?, name: "Air".into(), price: Won(1000), on_hand: 1_000_000_000, key: None };
    shop.create_product(product).await?;
    Ok(shop)
}

fn sku() -> anyhow::Result<Sku> {
    Sku::parse("air").context("a sku")
}

/// Orders acknowledged, and the seconds that took.
fn run(shop: &Shop, threads: u32, length: Duration) -> anyhow::Result<(u64, f64)> {
    let (stop, placed) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Barrier::new(threads as usize + 1);
    let sku = sku()?;
    let began = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, placed, start, sku) = (&stop, &placed, &start, &sku);
            let worker = move || {
                let parker = Arc::new(Parker(std::thread::current()));
                let buyer = CustomerId::parse(&format!("buyer-{thread}")).expect("letters and digits");
                let buy = |n: u64| {
                    let line = LineRequest { sku: sku.clone(), quantity: 1 };
                    let order = block_on(&parker, shop.place_order(buyer.clone(), key(thread, n), vec![line]));
                    order.expect("there are units enough, and room for every thread");
                };
                // Not counted: until a thread uses its memory again, the kernel clears a page for
                // every few orders, and that would be most of what is measured.
                (0..WARM_UP_ORDERS).for_each(&buy);
                start.wait();
                let mut n = WARM_UP_ORDERS;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    buy(n);
                }
                placed.fetch_add(n - WARM_UP_ORDERS, Ordering::Relaxed);
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, worker).expect("a thread");
        }
        start.wait();
        let began = Instant::now();
        std::thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        began
    });
    Ok((placed.load(Ordering::Relaxed), began.elapsed().as_secs_f64()))
}

/// Wakes a thread that waits.
struct Parker(Thread);

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as an OS thread does: asleep until woken. (A runtime in each thread would cost
/// more memory than the caches of a small machine hold for 2,000 of them.)
fn block_on<T>(parker: &Arc<Parker>, future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::clone(parker));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}

fn key(thread: u32, n: u64) -> RequestKey {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&thread.to_le_bytes());
    bytes[8..].copy_from_slice(&n.to_le_bytes());
    RequestKey { key: bytes, request: bytes }
}
