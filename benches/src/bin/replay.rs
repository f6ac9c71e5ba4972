//! Replay of a journal: how many events a second recovery reads, checks and applies. The journal is
//! written once; each round opens it as a start after a kill does, from its segments alone.
//! Prints one JSON line: the events, and each round's million events a second.

use anyhow::{Context, ensure};
use clap::Parser;
use son7shop_benches::history;
use son7shop_engine::PartitionId;
use son7shop_persistence::journal::{
    DataFolder, DiskStorage, FolderOptions, Journal, OpenHints, PartitionFolder, Recovered,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events in a batch, as under load.
const BATCH_EVENTS: usize = 500;

/// Replay of a journal.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Orders in the journal; each is an event, and half of them end by another.
    #[arg(long, default_value_t = 1_000_000)]
    orders: u64,
    /// Where the data folder is made.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir_in(&options.folder)?;
    let events = write(folder.path(), options.orders)?;
    let mut rounds = Vec::new();
    let mut bytes = 0;
    for _ in 0..options.rounds {
        let partition = open_folder(folder.path())?;
        let begun = Instant::now();
        let recovered = recover(&partition)?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(recovered.report.events == events, "{} of {events} events were replayed", recovered.report.events);
        bytes = recovered.report.bytes;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        rounds.push(events as f64 / seconds / 1e6);
    }
    println!("{}", serde_json::json!({ "events": events, "bytes": bytes, "rounds": rounds }));
    Ok(())
}

fn write(path: &Path, orders: u64) -> anyhow::Result<u64> {
    let mut journal = recover(&open_folder(path)?)?.journal;
    let mut failed = None;
    let events = history::tell(orders, &mut |record| {
        journal.append(record);
        if journal.pending() >= BATCH_EVENTS && failed.is_none() {
            failed = journal.commit().err();
        }
    })?;
    failed.map_or(Ok(()), Err)?;
    journal.commit()?;
    Ok(events)
}

fn open_folder(path: &Path) -> anyhow::Result<PartitionFolder> {
    let folder = DataFolder::open(Arc::new(DiskStorage), path, &FolderOptions::new(Some(1), [7; 16]))?;
    folder.partition(PartitionId(0)).context("the only partition")
}

fn recover(folder: &PartitionFolder) -> anyhow::Result<Recovered> {
    Ok(Journal::open(folder, OpenHints::default(), 7, &mut |_| {})?)
}
