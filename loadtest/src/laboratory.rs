//! `loadtest lab`: every way of selling, in turn, on this machine; a page, JSON and CSV.

use anyhow::{Context, ensure};
use son7shop_loadtest::lab::load::{Counted, Pace};
use son7shop_loadtest::lab::plan::{Closed, Open, Plan, SellOut, Step};
use son7shop_loadtest::lab::report::Report;
use son7shop_loadtest::lab::report::csv::csv;
use son7shop_loadtest::lab::report::redact::redacted;
use son7shop_loadtest::lab::roster::addresses::{AddressError, check_database, check_redis};
use son7shop_loadtest::lab::roster::{Trials, Wanted, find};
use son7shop_loadtest::lab::run::{Missing, Progress, Record, run as run_plan};
use son7shop_loadtest::lab::summary::Spread;
use son7shop_loadtest::limits::allow_connections;
use son7shop_loadtest::page::date::utc;
use son7shop_loadtest::page::short;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a run that was broken off: that of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Many threads buy one product from this engine and from everything else that people use.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', value_parser = threads, default_value = "1,10,20,50,100,200,500,1000,2000")]
    threads: Vec<usize>,
    /// Rounds.
    #[arg(long, value_parser = rounds, default_value_t = 3)]
    rounds: usize,
    /// Seconds that are counted in each run.
    #[arg(long, value_parser = seconds, default_value_t = 1.0)]
    seconds: f64,
    /// Fewer numbers of threads, one short round: about three minutes.
    #[arg(long, conflicts_with_all = ["threads", "rounds", "seconds"])]
    quick: bool,
    /// Connections that the threads share, where a backend has a pool; by default the best number for
    /// each is found.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pool: Option<u32>,
    /// Only backends whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A MariaDB of one's own, with a database: mysql://user:password@127.0.0.1:3306/lab.
    #[arg(long)]
    mariadb_url: Option<String>,
    /// A MySQL of one's own, with a database.
    #[arg(long)]
    mysql_url: Option<String>,
    /// A Redis of one's own.
    #[arg(long)]
    redis_url: Option<String>,
    /// Allows servers that are not on this machine.
    #[arg(long)]
    beyond_loopback: bool,
    /// The folder that the figures are written to.
    #[arg(long, default_value = "target/lab")]
    out: PathBuf,
}

/// A machine that starts more threads, or somebody who waits for more rounds, is not to be expected.
const THREADS_MAX: usize = 100_000;
const ROUNDS_MAX: usize = 1_000;
const SECONDS_MAX: f64 = 3_600.0;

fn threads(text: &str) -> Result<usize, String> {
    from_one_to(THREADS_MAX, text)
}

fn rounds(text: &str) -> Result<usize, String> {
    from_one_to(ROUNDS_MAX, text)
}

fn from_one_to(most: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("is no number from 1 to {most}"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= SECONDS_MAX);
    number.ok_or_else(|| format!("is no number above 0, up to {SECONDS_MAX}"))
}

impl Args {
    /// Before anything is started: a wrong address is a mistake, not a server that cannot be had.
    fn check_addresses(&self) -> anyhow::Result<()> {
        let databases = [&self.mariadb_url, &self.mysql_url].into_iter().flatten().map(|url| check_database(url));
        let redis = self.redis_url.iter().map(|url| check_redis(url));
        for checked in databases.chain(redis) {
            match checked {
                Err(AddressError::BeyondLoopback { .. }) if self.beyond_loopback => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let mut threads = self.threads.clone();
        threads.sort_unstable();
        // Twice the same would count as another round.
        threads.dedup();
        let most = threads.last().copied().unwrap_or(1);
        let few = |threads: usize| threads.min(most);
        let sell_out = |threads, patience_seconds| SellOut { threads, units: 1_000, patience_seconds };
        // With 24 backends and the planted one, and 0.3 s beside each step (Plan::nominal_seconds):
        // 25 × (3 × 0.9 + 1.3 + 2 × 0.7) s = 135 s. The rest is for starting the servers, and for 2,000
        // threads that wait for their last unit.
        if self.quick {
            return Plan {
                rounds: 1,
                closed: Closed { threads: vec![1, 20, 2000], warmup_seconds: 0.2, window_seconds: 0.4 },
                sell_out: sell_out(vec![200], 1.0),
                open: Open { threads: 200, per_second: vec![1_000.0, 10_000.0], window_seconds: 0.4 },
            };
        }
        // 3 × 25 × (9 × 1.9 + 5.3 + 5 × 1.3) s = 36 min: few backends need the whole patience, and those
        // that do are not tried at the higher rates. The rest is for finding the pools, for starting a
        // shop for every run, and for 2,000 threads that wait for their last unit.
        Plan {
            rounds: self.rounds,
            closed: Closed { threads, warmup_seconds: 0.6, window_seconds: self.seconds },
            sell_out: sell_out(vec![few(2000)], 5.0),
            open: Open {
                threads: few(500),
                per_second: vec![100.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0],
                window_seconds: self.seconds,
            },
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = args.plan();
    args.check_addresses()?;
    check_folder(&args.out)?;
    // The engine inherits the limit and needs as many; beside them are the pools.
    allow_connections(2 * plan.most_threads() + 1_000)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop))?;
    let wanted = Wanted {
        only: args.only.clone(),
        threads: plan.most_threads(),
        pool: args.pool,
        trials: if args.quick { Trials::QUICK } else { Trials::FULL },
        mariadb_url: args.mariadb_url.clone(),
        mysql_url: args.mysql_url.clone(),
        redis_url: args.redis_url.clone(),
        allow_remote: args.beyond_loopback,
        stop: &stop,
    };
    let found = find(&wanted, &mut |what| println!("{}", redacted(what)));
    for missing in &found.missing {
        println!("{}: left blank: {}", missing.name, redacted(&missing.why));
    }
    ensure!(!found.contenders.is_empty(), "there is nothing to measure");
    let (started, steps) = (Instant::now(), plan.steps(found.contenders.len() + 1));
    let nominal = |steps: &[Step]| steps.iter().map(|step| step.load.nominal_seconds()).sum::<f64>();
    let outcome = run_plan(&plan, &found.contenders, &stop, &mut |progress| {
        let (done, left) = steps.split_at(progress.done.min(steps.len()));
        let left = started.elapsed().as_secs_f64() * nominal(left) / nominal(done);
        say(progress, left);
    })?;
    let mut report = Report::new(plan, outcome, found.missing);
    let command: Vec<String> = std::env::args().map(|argument| redacted(&argument)).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    report.made = vec![
        ("ended".to_owned(), utc(now.as_secs())),
        ("command".to_owned(), command.join(" ")),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    write(&args.out, &report)?;
    println!("written to {}", args.out.join("lab.html").display());
    Ok(conclude(&report))
}

/// Says what was asked for and what came of it; 1 where ours was wrong or broke, 130 where the run was
/// broken off.
fn conclude(report: &Report) -> ExitCode {
    let ratios = &report.ratios;
    for row in &ratios.rows {
        let ours = row.ours.iter().map(|one| {
            let ratio = one.ratio.map_or("–".to_owned(), |Spread { median, min, max }| {
                format!("{} ({}–{})", short(median), short(min), short(max))
            });
            format!("{} {ratio}", one.backend)
        });
        let ours = ours.collect::<Vec<_>>().join(", ");
        println!("÷ {:<29} at least {:<4} aim {:<4} {}: {ours}", row.over, row.at_least, row.aim, row.verdict.words());
    }
    if ratios.missed().next().is_some() {
        println!("A SPEED THAT WAS ASKED FOR WAS MISSED");
    }
    match ratios.sold_wrongly_by_ours {
        Some(wrong) => println!("son7shop: {wrong} units sold wrongly, in {} runs", ratios.records_of_ours),
        None => println!("son7shop was not measured"),
    }
    let mut broke = false;
    for Missing { name, why } in report.ours_that_broke() {
        println!("{name} BROKE: {why}");
        broke = true;
    }
    if broke || ratios.ours_is_wrong() {
        return ExitCode::from(1);
    }
    if report.outcome.is_whole { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) }
}

/// The first Ctrl-C or SIGTERM stops the run after its step, the second ends it at once.
fn stop_on_signals(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupts, mut terms) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupts.recv() => {}, _ = terms.recv() => {} }
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
                eprintln!("stopping after this step; once more ends it at once");
            }
        });
    });
    Ok(())
}

fn say(progress: &Progress, seconds_left: f64) {
    let Some(Record { backend, round, load, sale }) = progress.record else { return };
    let mut line = format!("{}/{} round {round} {backend:<28} {:>5} threads", progress.done, progress.of, load.threads);
    let _ = match load.pace {
        Pace::Closed { .. } => write!(line, "        "),
        Pace::Open { per_second, .. } => write!(line, " {per_second:>5.0}/s"),
        Pace::SellOut { .. } => write!(line, " sell out"),
    };
    let Counted { failed, dropped, retries, .. } = sale.counted;
    let _ = write!(line, " {:>9.0}/s", sale.counted.sold_per_second());
    match sale.counted.micros {
        Some(micros) => {
            let _ = write!(line, "  p50 {:>9.0} µs  p99 {:>9.0} µs", micros.p50, micros.p99);
        }
        None => line.push_str("  nothing was sold"),
    }
    let _ = write!(
        line,
        "  wrong units {:>6}  failed {failed}  dropped {dropped}  retries {retries}",
        sale.verdict.wrong_units
    );
    println!("{line}  {seconds_left:.0} s left");
}

/// Makes the folder, and writes into it: when the run has ended it is too late to learn that this fails.
fn check_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    tempfile::tempfile_in(folder).with_context(|| format!("writing into {}", folder.display()))?;
    Ok(())
}

fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    // Somebody may have thrown it away meanwhile.
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    // Whoever reads the folder meanwhile finds whole files.
    let write = |name: &str, text: &str| {
        let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, &path))
            .with_context(|| format!("writing {}", path.display()))
    };
    write("lab.json", &serde_json::to_string_pretty(report)?)?;
    for (name, svg) in report.graphs()?.into_iter().chain(report.headline_graphs()?) {
        write(&format!("{name}.svg"), &svg)?;
    }
    write("lab.csv", &csv(&report.outcome.records))?;
    write("lab.html", &report.html()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::Parser;
    use son7shop_loadtest::lab::run::Outcome;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_server_elsewhere_needs_a_flag_and_a_password_is_not_told() {
        let parsed = |line: &[&str]| Line::try_parse_from(line).unwrap().args.check_addresses();
        for (flag, scheme) in [("mariadb", "mysql"), ("mysql", "mysql"), ("redis", "redis")] {
            let elsewhere = format!("--{flag}-url={scheme}://me:secret@10.0.0.1/0");
            let error = parsed(&["lab", &elsewhere]).unwrap_err().to_string();
            assert!(error.contains("10.0.0.1") && !error.contains("secret"), "{error}");
            assert!(parsed(&["lab", &elsewhere, "--beyond-loopback"]).is_ok());
        }
        assert!(parsed(&["lab", "--redis-url=redis://127.0.0.1:6379"]).is_ok());
        assert!(parsed(&["lab", "--redis-url=secret", "--beyond-loopback"]).is_err());
    }

    #[test]
    fn what_no_run_can_be_made_of_is_refused_at_once() {
        for wrong in [
            "--threads=0",
            "--threads=",
            "--threads=1,,2",
            "--threads=-1",
            "--threads=100001",
            "--rounds=0",
            "--rounds=1001",
            "--seconds=0",
            "--seconds=-1",
            "--seconds=NaN",
            "--seconds=inf",
            "--seconds=3601",
            "--pool=0",
            "--pool=10001",
        ] {
            assert!(Line::try_parse_from(["lab", wrong]).is_err(), "{wrong}");
        }
        for set in ["--threads=1", "--rounds=2", "--seconds=0.5"] {
            assert!(Line::try_parse_from(["lab", "--quick", set]).is_err(), "{set}");
            assert!(Line::try_parse_from(["lab", set, "--pool=1"]).is_ok(), "{set}");
        }
        assert!(Line::try_parse_from(["lab", "--quick", "--pool=1", "--only=a"]).is_ok());
        let plan = Line::try_parse_from(["lab", "--threads=20,1,20"]).unwrap().args.plan();
        assert_eq!((plan.closed.threads, plan.sell_out.threads), (vec![1, 20], vec![20]));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_found_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let (new, file) = (folder.path().join("a/b"), folder.path().join("file"));
        check_folder(&new).unwrap();
        assert_eq!(std::fs::read_dir(&new).unwrap().count(), 0);
        std::fs::write(&file, "").unwrap();
        let error = check_folder(&file).unwrap_err().to_string();
        assert!(error.starts_with("making "), "{error}");
        // Where not even root may make a file.
        let error = check_folder(Path::new("/proc/self")).unwrap_err().to_string();
        assert_eq!(error, "writing into /proc/self");
        // Nothing was started for it.
        let args = Line::try_parse_from(["lab", "--only=none", "--out", file.to_str().unwrap()]).unwrap().args;
        assert!(run(&args).unwrap_err().to_string().starts_with("making "));
    }

    #[test]
    fn a_run_in_which_ours_broke_fails() {
        let plan = Line::try_parse_from(["lab"]).unwrap().args.plan();
        let with = |name: &str, is_whole| {
            let broke = vec![Missing { name: name.to_owned(), why: "gone".to_owned() }];
            let outcome = Outcome { backends: Vec::new(), records: Vec::new(), broke, is_whole };
            let code = conclude(&Report::new(plan.clone(), outcome, Vec::new()));
            // It has no other way to be compared.
            format!("{code:?}")
        };
        let code = |code: ExitCode| format!("{code:?}");
        assert_eq!(with("son7shop-http", true), code(ExitCode::from(1)));
        assert_eq!(with("son7shop-http", false), code(ExitCode::from(1)));
        assert_eq!(with("redis-lock", true), code(ExitCode::SUCCESS));
        assert_eq!(with("redis-lock", false), code(ExitCode::from(INTERRUPTED)));
    }

    #[test]
    fn a_run_with_24_backends_has_an_end() {
        for (line, minutes) in [(&["lab"][..], 45.0), (&["lab", "--quick"], 3.0)] {
            let steps = Line::try_parse_from(line).unwrap().args.plan().steps(25);
            let seconds: f64 = steps.iter().map(|step| step.load.nominal_seconds()).sum();
            assert!(seconds <= minutes * 60.0, "{line:?}: {seconds} s");
        }
    }
}
