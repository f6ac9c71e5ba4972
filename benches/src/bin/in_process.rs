//! The lab's backends that sell in the process of their buyers: OS threads that sleep until woken, one
//! run of one way, by the lab's own harness. Prints one line of JSON: `{"sale":…,"settings":[[name,value],…]}`.
//!
//! What it needs is in a folder of its own, which goes when it ends. Exits 2 for what it was not told
//! right, 1 for what could not be measured.

use anyhow::Context;
use clap::Parser;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use son7shop_benches::in_process::{load, sell, settings};
use son7shop_loadtest::lab::backends::in_process::Way;
use son7shop_loadtest::lab::load::Load;
use std::path::PathBuf;
use std::process::ExitCode;

/// The shop's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sell in process, to OS threads.
#[derive(Debug, Parser)]
struct Args {
    /// What sells: engine, engine-unsynced, mutex or mutex-unsynced.
    #[arg(long)]
    way: Way,
    /// The load, as JSON.
    #[arg(long, value_parser = read_load, required_unless_present = "settings")]
    load: Option<Load>,
    /// Where the data folder is made, on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// The process that wants to know: nothing is sold if it is gone already.
    #[arg(long)]
    parent: Option<i32>,
    /// Only say how the way is set up, as JSON.
    #[arg(long)]
    settings: bool,
}

fn read_load(text: &str) -> Result<Load, String> {
    load(text).map_err(|error| format!("{error:#}"))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("in_process: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let Some(load) = args.load.filter(|_| !args.settings) else {
        println!("{}", serde_json::to_string(&settings(args.way))?);
        return Ok(());
    };
    // Two thousand threads must not go on when whoever wants to know is gone.
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking for the end with the parent")?;
    // It may have gone before we asked; then nobody sends that signal.
    let parent = Pid::as_raw(getppid());
    anyhow::ensure!(args.parent.is_none_or(|wanted| wanted == parent), "whoever started this is gone");
    // As `son7shop serve` does: clearing a huge page holds everybody up, and 2,000 threads
    // have 2,000 heaps.
    rustix::thread::disable_transparent_huge_pages(true).context("disabling huge pages")?;
    let folder = tempfile::tempdir_in(&args.folder)
        .with_context(|| format!("making a data folder in {}", args.folder.display()))?;
    let told = sell(args.way, &load, folder.path())?;
    folder.close().context("removing the data folder")?;
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}
