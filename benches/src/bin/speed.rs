//! `make bench`: measures the speed table and prints it as Markdown. What was measured is on standard
//! output; the progress is on standard error. Exits 1 when a figure misses what is asked at least, or
//! was to be measured and was not.

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use son7shop_benches::rows::memory::{Size, memory};
use son7shop_benches::rows::{http, in_process, payments};
use son7shop_benches::side::Sides;
use son7shop_benches::table::{Asked, Measured, Row, Table};
use son7shop_loadtest::limits::allow_connections;
use son7shop_loadtest::shop::BINARY;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measure the speed table.
#[derive(Debug, Parser)]
struct Args {
    /// The product's binary; by default the one beside this program.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Rounds; each measures every side once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that are counted for each side and load.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of load before that.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Connections, each count a load.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,256,1000,2000")]
    connections: Vec<usize>,
    /// Threads that serve on both sides, and the product's partitions; by default half the cores.
    #[arg(long)]
    threads: Option<u16>,
    /// Where data folders are made, on the disk that is to be measured; by default beside the programs.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Products, for the memory.
    #[arg(long, default_value_t = 1_000_000)]
    products: u64,
    /// Open holds, for the memory.
    #[arg(long, default_value_t = 100_000)]
    holds: u64,
    /// Sagas that are open at once; 0: that is left out. It takes about six minutes.
    #[arg(long, default_value_t = 100_000)]
    sagas: u64,
    /// Seconds that their orders may be paid: longer than it takes to open them all.
    #[arg(long, default_value_t = 240)]
    saga_seconds: u64,
    /// What to measure.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "http,database-stopped,in-process,decisions,replay,write-behind,memory,payments"
    )]
    parts: Vec<Part>,
    /// Put the bare program in the product's place, to try this program out: prints no figure of the product.
    #[arg(long)]
    stand_in: bool,
}

/// Parts of the table, by what it takes to measure them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The product against the bare program.
    Http,
    /// The same with the database stopped.
    DatabaseStopped,
    /// Orders from OS threads.
    InProcess,
    /// Decisions.
    Decisions,
    /// Replay of a journal.
    Replay,
    /// Write-behind alone.
    WriteBehind,
    /// Memory with many products and holds.
    Memory,
    /// Paying, through the gateway's sandbox.
    Payments,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("speed: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let programs = std::env::current_exe()?.parent().context("this program is in no folder")?.to_path_buf();
    let folder = args.folder.clone().unwrap_or_else(|| programs.join("bench-data"));
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let cores = std::thread::available_parallelism()?.get();
    let threads = args.threads.unwrap_or_else(|| u16::try_from(cores / 2).unwrap_or(u16::MAX).max(1));
    allow_connections(args.connections.iter().copied().max().unwrap_or(0))?;
    let mut say = |line: &str| eprintln!("{line}");
    let mut table = Table::default();
    let product = args.server.clone().unwrap_or_else(|| programs.join(BINARY));
    let sides = Sides {
        bare: programs.join("bare"),
        product: Some(product).filter(|product| product.is_file() || args.stand_in),
        folder: folder.clone(),
        threads,
        stand_in: args.stand_in,
    };
    if args.parts.contains(&Part::Http) || args.parts.contains(&Part::DatabaseStopped) {
        let settings = http_settings(args)?;
        let rows = http_rows(args, &sides, &settings, &mut say);
        add(&mut table, "durable `POST /v1/orders` ÷ bare warp JSON POST", rows);
    }
    if args.parts.contains(&Part::InProcess) {
        let rows = in_process::orders(&programs, &folder, args.rounds, &mut say);
        add(&mut table, "durable orders in process", rows);
    }
    if args.parts.contains(&Part::Decisions) {
        let rows = in_process::decisions(&programs, args.rounds, &mut say).map(|row| vec![row]);
        add(&mut table, "decisions through one `Partition` in process, no I/O", rows);
    }
    if args.parts.contains(&Part::Replay) {
        let rows = in_process::replay(&programs, &folder, args.rounds, &mut say).map(|row| vec![row]);
        add(&mut table, "replay of a journal", rows);
    }
    if args.parts.contains(&Part::WriteBehind) {
        let rows = in_process::write_behind(&programs, args.rounds, &mut say);
        add(&mut table, "write-behind, alone", rows);
    }
    if args.parts.contains(&Part::Memory) {
        let size = Size { products: args.products, holds: args.holds };
        add(&mut table, "memory", memory(&sides, size, &mut say).map(|row| vec![row]));
    }
    if args.parts.contains(&Part::Payments) {
        add_payments(args, &sides, &mut table, &mut say)?;
    }
    if args.stand_in {
        println!("TRIAL: the bare program stood in for the product over HTTP; those rows say nothing about it.\n");
    }
    println!("{cores} cores, {threads} serving, {} rounds of {} s.\n\n{table}", args.rounds, args.seconds);
    let (missed, not_measured) = (table.missed().count(), table.not_measured().count());
    println!("{missed} figures miss what is asked at least, {not_measured} not measured.");
    Ok(if missed + not_measured == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn add_payments(args: &Args, sides: &Sides, table: &mut Table, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let settings = payments::Settings {
        rounds: args.rounds,
        warmup: Duration::try_from_secs_f64(args.warmup).context("--warmup")?,
        window: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
    };
    add(table, "order rate while the gateway hangs", payments::hanging(sides, &settings, say));
    add(table, "complete journeys", payments::journeys(sides, &settings, say).map(|row| vec![row]));
    if args.sagas > 0 {
        let row = payments::open_sagas(sides, args.sagas, args.saga_seconds, say);
        add(table, "open sagas", row.map(|row| vec![row]));
    }
    Ok(())
}

fn http_settings(args: &Args) -> anyhow::Result<http::Settings> {
    Ok(http::Settings {
        connections: args.connections.clone(),
        rounds: args.rounds,
        warmup: Duration::try_from_secs_f64(args.warmup).context("--warmup")?,
        window: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
        without_database: args.parts.contains(&Part::DatabaseStopped),
    })
}

fn http_rows(
    args: &Args,
    sides: &Sides,
    settings: &http::Settings,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Row>> {
    ensure!(args.parts.contains(&Part::Http), "`database-stopped` is measured in the rounds of `http`: ask for both");
    ensure!(
        sides.product.is_some(),
        "the binary {BINARY} is not beside this program; build it, or name it by --server"
    );
    Ok(http::collect(sides, settings, say)?.rows())
}

/// A part that fails leaves a row that says why; the others are still measured.
fn add(table: &mut Table, figure: &str, rows: anyhow::Result<Vec<Row>>) {
    match rows {
        Ok(rows) => table.0.extend(rows),
        Err(error) => table.0.push(not_measured(figure, format!("{error:#}"))),
    }
}

fn not_measured(figure: &str, why: String) -> Row {
    let measured = Measured::Not(why);
    Row { figure: figure.to_owned(), asked: Asked::Nothing, unit: "", measured, beside: String::new() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_is_not_measured() {
        let args = Args::parse_from(["speed", "--parts", "database-stopped"]);
        let sides = Sides { bare: PathBuf::new(), product: None, folder: PathBuf::new(), threads: 1, stand_in: false };
        let rows = http_rows(&args, &sides, &http_settings(&args).unwrap(), &mut |_| {});
        let mut table = Table::default();
        add(&mut table, "a figure", rows);
        assert_eq!((table.missed().count(), table.not_measured().count()), (0, 1));
        assert!(table.to_string().contains("ask for both"), "{table}");
    }
}
