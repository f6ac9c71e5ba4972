//! The lab's backends in process, by the program and beside it: they sell what there is and no more,
//! and what the mutex answered is on disk.

#![allow(clippy::unwrap_used, reason = "tests")]

use son7shop_benches::in_process::engine::{Engine, in_folder};
use son7shop_benches::in_process::mutex::MutexShop;
use son7shop_benches::no_sync::NoSync;
use son7shop_engine::{Partition, PartitionId, Sku, invariants};
use son7shop_loadtest::lab::backend::{Backend, Bought, Contender};
use son7shop_loadtest::lab::backends::in_process::{InProcess, Told, Way};
use son7shop_loadtest::lab::harness;
use son7shop_loadtest::lab::load::{Load, PLENTY, Pace, Sale};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{DataFolder, DiskStorage, Storage, inspect};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

const SELL_OUT: Load = Load { threads: 8, units: 50, pace: Pace::SellOut { patience_seconds: 20.0 } };
const CLOSED: Load =
    Load { threads: 8, units: PLENTY, pace: Pace::Closed { warmup_seconds: 0.05, window_seconds: 0.2 } };

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_in_process"))
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// Everything was sold, and every thread was told so.
fn check_sold_out(sale: &Sale) {
    let counted = &sale.counted;
    assert_eq!((counted.sold, counted.sold_in_all, counted.failed), (50, 50, 0), "{sale:?}");
    assert_eq!(counted.refused, 8, "{sale:?}");
    assert!(sale.verdict.is_right(), "{sale:?}");
}

#[test]
fn every_way_sells_out_exactly_and_leaves_nothing_behind() {
    for way in Way::ALL {
        let folder = tempfile::tempdir().unwrap();
        let backend = InProcess::new(way, program(), folder.path()).unwrap();
        assert!(!backend.settings().is_empty());
        let sale = backend.sell(&SELL_OUT).unwrap();
        check_sold_out(&sale);
        match (way, sale.costs.syncs) {
            (Way::Engine, Some(syncs)) => assert!(syncs > 0.0 && syncs <= 1.0, "{syncs} syncs an order"),
            (Way::Mutex, Some(syncs)) => assert!((syncs - 1.0).abs() < 1e-9, "{syncs} syncs an order"),
            (Way::EngineUnsynced | Way::MutexUnsynced, None) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{way:?} left its data");
    }
}

#[test]
fn every_way_sells_rightly_where_there_is_plenty() {
    for way in Way::ALL {
        let folder = tempfile::tempdir().unwrap();
        let sale = InProcess::new(way, program(), folder.path()).unwrap().sell(&CLOSED).unwrap();
        assert!(sale.counted.sold > 0 && sale.counted.failed == 0 && sale.counted.refused == 0, "{sale:?}");
        assert!(sale.verdict.is_right() && sale.counted.micros.is_some(), "{sale:?}");
    }
}

#[test]
fn the_program_prints_one_line_and_removes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let load = serde_json::to_string(&SELL_OUT).unwrap();
    let output = run(&["--way", "mutex", "--load", &load, "--folder", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let told: Told = serde_json::from_str(&text).unwrap();
    check_sold_out(&told.sale);
    assert!(told.settings.iter().any(|(name, _)| name == "lock"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_it_was_not_told_right_is_said_with_exit_code_2_and_what_cannot_be_done_with_1() {
    let good = serde_json::to_string(&SELL_OUT).unwrap();
    let check = |arguments: &[&str], code, wanted: &str| {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(wanted) && output.stdout.is_empty(), "{arguments:?}: {stderr}");
    };
    check(&["--way", "engine", "--load", "{\"threads\":8"], 2, "not a load as JSON: EOF");
    check(&["--way", "engine", "--load", &good.replace('8', "0")], 2, "no threads");
    check(&["--way", "lock", "--load", &good], 2, "engine-unsynced");
    check(&["--way", "engine"], 2, "--load");
    check(&["--way", "engine", "--load", &good, "--folder", "/no/such/folder"], 1, "/no/such/folder");
    // Not the process that starts it.
    check(&["--way", "mutex", "--load", &good, "--parent", "0"], 1, "whoever started this is gone");
    let too_many = good.replace("50", "9000000000000");
    check(&["--way", "engine", "--load", &too_many, "--folder", env!("CARGO_TARGET_TMPDIR")], 1, "making the product");
}

#[test]
fn it_ends_with_whoever_started_it() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough that only a kill ends it early; then its line is missing.
    let load = Load { pace: Pace::Closed { warmup_seconds: 0.0, window_seconds: 20.0 }, ..CLOSED };
    let mut starter = Command::new("sh");
    starter.args(["-c", "\"$0\" --way mutex-unsynced --load \"$1\" --folder \"$2\" & wait"]);
    starter.arg(program()).arg(serde_json::to_string(&load).unwrap()).arg(folder.path());
    let mut starter = starter.stdout(Stdio::piped()).spawn().unwrap();
    // It has asked for its end before it makes a folder. No event tells of that.
    while std::fs::read_dir(folder.path()).unwrap().next().is_none() {
        assert!(starter.try_wait().unwrap().is_none(), "it ended at once");
        std::thread::sleep(Duration::from_millis(1));
    }
    starter.kill().unwrap();
    // Both write to the pipe: it ends with the last of them.
    let output = starter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "it lived on to the end of its load");
}

#[test]
fn each_run_of_a_shop_has_a_product_and_keys_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(in_folder(folder.path()), Way::Engine, Arc::new(DiskStorage), None).unwrap();
    check_sold_out(&harness::sell(&engine, &SELL_OUT).unwrap());
    check_sold_out(&harness::sell(&engine, &SELL_OUT).unwrap());
    engine.close();
}

#[test]
fn a_buyer_that_is_told_too_busy_comes_back_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let settings = son7shop_actors::Settings { orders_max: 1, ..in_folder(folder.path()) };
    let engine = Engine::open(settings, Way::Engine, Arc::new(DiskStorage), None).unwrap();
    let sale = harness::sell(&engine, &SELL_OUT).unwrap();
    check_sold_out(&sale);
    // Whoever has the only place sleeps until a sync is done, and the others are awake meanwhile.
    assert!(sale.counted.retries > 0, "{sale:?}");
    engine.close();
}

/// The first partition of the journal in `folder`, as its files say.
fn replayed(storage: Arc<dyn Storage>, folder: &Path) -> Partition {
    let folder = DataFolder::look(storage, folder).unwrap().partition(PartitionId(0)).unwrap();
    let (partition, _, _) = inspect::replay(&folder, 3, &mut |_| {}).unwrap();
    invariants::check(&partition).unwrap();
    partition
}

#[test]
fn the_mutexs_journal_replays_to_the_stock_that_it_showed() {
    let folder = tempfile::tempdir().unwrap();
    let shop = MutexShop::open(folder.path(), Way::Mutex, Arc::new(DiskStorage)).unwrap();
    check_sold_out(&harness::sell(&shop, &SELL_OUT).unwrap());
    let sale = harness::sell(&shop, &Load { units: 1_000_000, ..CLOSED }).unwrap();
    let shelf = shop.shelf().unwrap();
    drop(shop);
    let partition = replayed(Arc::new(DiskStorage), folder.path());
    let stock = |sku| partition.product(&Sku::parse(sku).unwrap()).unwrap().stock;
    assert_eq!((stock("lab-1").available(), stock("lab-1").held), (0, 50));
    assert_eq!((i64::try_from(stock("lab-2").available()).unwrap(), stock("lab-2").held), (shelf.left, shelf.orders));
    assert_eq!(shelf.orders, sale.counted.sold_in_all);
    assert_eq!(partition.orders().count() as u64, 50 + shelf.orders);
}

/// Orders that are there after three were answered and the power failed.
fn left_after_a_crash(storage: impl Storage + 'static, memory: &MemoryStorage) -> usize {
    let folder = Path::new("/shop");
    let shop = MutexShop::open(folder, Way::Mutex, Arc::new(storage)).unwrap();
    shop.stock_up(10).unwrap();
    {
        let mut till = shop.till(0).unwrap();
        for _ in 0..3 {
            assert_eq!(till.buy().unwrap().bought, Bought::Sold);
        }
        memory.crash(1);
    }
    drop(shop);
    // Without a sync there may be no journal at all.
    let found = DataFolder::look(Arc::new(memory.clone()), folder).is_ok();
    if found { replayed(Arc::new(memory.clone()), folder).orders().count() } else { 0 }
}

#[test]
fn what_the_mutex_answered_outlives_a_crash_and_without_the_sync_it_does_not() {
    let synced = MemoryStorage::new();
    assert_eq!(left_after_a_crash(synced.clone(), &synced), 3);
    let unsynced = MemoryStorage::new();
    assert!(left_after_a_crash(NoSync(unsynced.clone()), &unsynced) < 3);
}
