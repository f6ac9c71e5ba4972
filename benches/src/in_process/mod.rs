//! What sells in the process of its buyers, for the lab: the backends behind the program `in_process`.
//!
//! - [`engine`]: this engine, called without HTTP.
//! - [`mutex`]: one `Mutex` around the same decision.
//! - [`syncs`]: how often the engine synced, by its own counter.
//!
//! Threads, windows and verdict are the lab's harness; must never count anything that the harness counts.

pub mod engine;
pub mod mutex;
mod parker;
pub mod syncs;

use crate::no_sync::NoSync;
use anyhow::Context;
use engine::Engine;
use mutex::MutexShop;
use son7shop_engine::{RequestKey, Sku};
use son7shop_loadtest::lab::backends::in_process::{Settings, Told, Way};
use son7shop_loadtest::lab::harness;
use son7shop_loadtest::lab::load::{Load, Pace};
use son7shop_persistence::journal::{DiskStorage, Storage};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long an order holds its units, in milliseconds: no hold may end while the units are being counted.
const HOLD_MILLIS: i64 = 36_000_000;

/// How a way is set up.
pub fn settings(way: Way) -> Settings {
    let mut settings = match way {
        Way::Engine | Way::EngineUnsynced => engine::settings(),
        Way::Mutex | Way::MutexUnsynced => mutex::settings(),
    };
    let syncs = if way.syncs() { "fdatasync before the answer" } else { "none: what is written stays in the kernel" };
    settings.push(setting("sync", syncs));
    settings
}

/// Sells under a load, with the data in `folder`, which is left behind.
pub fn sell(way: Way, load: &Load, folder: &Path) -> anyhow::Result<Told> {
    let storage: Arc<dyn Storage> = if way.syncs() { Arc::new(DiskStorage) } else { Arc::new(NoSync(DiskStorage)) };
    let sale = match way {
        Way::Engine | Way::EngineUnsynced => {
            let syncs = if way.syncs() { Some(syncs::count()?) } else { None };
            let engine = Engine::open(engine::in_folder(folder), way, storage, syncs)?;
            let sale = harness::sell(&engine, load);
            engine.close();
            sale
        }
        Way::Mutex | Way::MutexUnsynced => harness::sell(&MutexShop::open(folder, way, storage)?, load),
    };
    Ok(Told { sale: sale?, settings: settings(way) })
}

/// Reads a load and refuses one that cannot be sold under: by the harness's threads only once they
/// wait for each other.
pub fn load(text: &str) -> anyhow::Result<Load> {
    let load: Load = serde_json::from_str(text).context("not a load as JSON")?;
    anyhow::ensure!(load.threads > 0, "a load of no threads");
    let lengths = match load.pace {
        Pace::Closed { warmup_seconds, window_seconds } => [warmup_seconds, window_seconds],
        Pace::Open { per_second, window_seconds } => {
            anyhow::ensure!(per_second > 0.0, "{per_second} attempts a second");
            [window_seconds; 2]
        }
        Pace::SellOut { patience_seconds } => [patience_seconds; 2],
    };
    for seconds in lengths {
        Duration::try_from_secs_f64(seconds).with_context(|| format!("a load of {seconds} s"))?;
    }
    Ok(load)
}

/// The product of a run; each has its own.
#[derive(Debug, Clone)]
struct Product {
    run: u32,
    sku: Sku,
}

impl Product {
    fn of_run(run: u32) -> anyhow::Result<Self> {
        Ok(Self { run, sku: Sku::parse(&format!("lab-{run}"))? })
    }

    fn first() -> anyhow::Result<Self> {
        Self::of_run(0)
    }

    fn next(&self) -> anyhow::Result<Self> {
        Self::of_run(self.run + 1)
    }
}

/// The key of a thread's `n`-th order: of no other order in any run.
fn key(run: u32, thread: u32, n: u64) -> RequestKey {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&thread.to_le_bytes());
    bytes[4..8].copy_from_slice(&run.to_le_bytes());
    bytes[8..].copy_from_slice(&n.to_le_bytes());
    RequestKey { key: bytes, request: bytes }
}

/// A setting.
fn setting(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_cannot_be_sold_under_is_refused_before_there_are_threads() {
        let check = |text: &str, wanted: &str| {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(error.contains(wanted), "{text}: {error}");
        };
        check("", "not a load as JSON");
        check("{\"threads\":8}", "missing field `units`");
        check("{\"threads\":0,\"units\":1,\"pace\":{\"sell_out\":{\"patience_seconds\":1.0}}}", "no threads");
        check("{\"threads\":1,\"units\":1,\"pace\":{\"sell_out\":{\"patience_seconds\":-1.0}}}", "a load of -1 s");
        let pace = "{\"closed\":{\"warmup_seconds\":-0.5,\"window_seconds\":1.0}}";
        check(&format!("{{\"threads\":1,\"units\":1,\"pace\":{pace}}}"), "a load of -0.5 s");
        let pace = "{\"open\":{\"per_second\":0.0,\"window_seconds\":1.0}}";
        check(&format!("{{\"threads\":1,\"units\":1,\"pace\":{pace}}}"), "0 attempts a second");
    }

    #[test]
    fn a_load_comes_back_as_it_was_written() {
        let closed = Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 };
        for pace in [closed, Pace::SellOut { patience_seconds: 2.5 }] {
            let written = Load { threads: 8, units: 50, pace };
            assert_eq!(load(&serde_json::to_string(&written).unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn no_two_orders_have_a_key() {
        let keys: std::collections::HashSet<_> =
            [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2)].map(|(run, thread, n)| key(run, thread, n).key).into();
        assert_eq!(keys.len(), 4);
    }
}
