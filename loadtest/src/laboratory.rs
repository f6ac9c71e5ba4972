//! `loadtest lab`: every way of selling, in turn, on this machine; a page, JSON and CSV.

use anyhow::{Context, ensure};
use son7shop_loadtest::lab::load::{Counted, Pace};
use son7shop_loadtest::lab::plan::{Closed, Open, Plan, SellOut};
use son7shop_loadtest::lab::report::Report;
use son7shop_loadtest::lab::roster::{Trials, Wanted, find};
use son7shop_loadtest::lab::run::{Progress, Record, run as run_plan};
use son7shop_loadtest::limits::allow_connections;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Many threads buy one product from this engine and from everything else that people use.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1,10,20,50,100,200,500,1000,2000")]
    threads: Vec<usize>,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that are counted in each run.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Fewer numbers of threads, one short round: about three minutes.
    #[arg(long)]
    quick: bool,
    /// Connections that the threads share, where a backend has a pool; if not set, the best number for
    /// each is found.
    #[arg(long)]
    pool: Option<u32>,
    /// Only backends whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The folder that the figures are written to.
    #[arg(long, default_value = "lab")]
    out: PathBuf,
}

impl Args {
    fn plan(&self) -> Plan {
        let most = self.threads.iter().copied().max().unwrap_or(1);
        let few = |threads: usize| threads.min(most);
        let sell_out = |mut threads: Vec<usize>| {
            threads.dedup();
            SellOut { threads, units: 1_000, patience_seconds: 10.0 }
        };
        if self.quick {
            return Plan {
                rounds: 1,
                closed: Closed { threads: vec![1, 20, 2000], warmup_seconds: 0.4, window_seconds: 1.0 },
                sell_out: sell_out(vec![2000]),
                open: Open { threads: 200, per_second: vec![1_000.0, 10_000.0], window_seconds: 1.0 },
            };
        }
        Plan {
            rounds: self.rounds,
            closed: Closed { threads: self.threads.clone(), warmup_seconds: 0.5, window_seconds: self.seconds },
            sell_out: sell_out(vec![few(20), few(200), few(2000)]),
            open: Open {
                threads: few(500),
                per_second: vec![100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0],
                window_seconds: self.seconds,
            },
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = args.plan();
    ensure!(plan.most_threads() > 0, "no number of threads");
    // The engine inherits the limit and needs as many.
    allow_connections(2 * plan.most_threads() + 1_000)?;
    let stop = AtomicBool::new(false);
    let wanted = Wanted {
        only: args.only.clone(),
        threads: plan.most_threads(),
        pool: args.pool,
        trials: if args.quick { Trials::QUICK } else { Trials::FULL },
        mariadb_url: None,
        mysql_url: None,
        redis_url: None,
        allow_remote: false,
        stop: &stop,
    };
    let found = find(&wanted, &mut |what| println!("{what}"));
    for missing in &found.missing {
        println!("{}: left blank: {}", missing.name, missing.why);
    }
    ensure!(!found.contenders.is_empty(), "there is nothing to measure");
    let outcome = run_plan(&plan, &found.contenders, &stop, &mut say)?;
    let report = Report::new(plan, outcome, found.missing);
    write(&args.out, &report)?;
    println!("written to {}", args.out.join("lab.html").display());
    Ok(ExitCode::SUCCESS)
}

fn say(progress: &Progress) {
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
    let _ =
        write!(line, "  wrong {:>6}  failed {failed}  dropped {dropped}  retries {retries}", sale.verdict.wrong_units);
    println!("{line}");
}

fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("lab.json", &serde_json::to_string_pretty(report)?)?;
    write("lab.html", &report.html()?)?;
    for (name, svg) in report.graphs()? {
        write(&format!("{name}.svg"), &svg)?;
    }
    let mut csv = "backend,round,pace,threads,offered_per_second,units,seconds,sold,sold_per_second,refused,failed,dropped,retries,\
         p50_us,p90_us,p99_us,p999_us,max_us,wrong_units,oversold,missing_orders,unknown,\
         backend_cpu_us,buyers_cpu_us,syncs,disk_flushes\n"
        .to_owned();
    for record in &report.outcome.records {
        csv_line(&mut csv, record)?;
    }
    write("lab.csv", &csv)
}

/// What is not known is blank, not zero.
fn csv_line(csv: &mut String, record: &Record) -> std::fmt::Result {
    let Record { backend, round, load, sale } = record;
    let figure = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.3}"));
    let (pace, offered) = match load.pace {
        Pace::Closed { .. } => ("closed", None),
        Pace::Open { per_second, .. } => ("open", Some(per_second)),
        Pace::SellOut { .. } => ("sell_out", None),
    };
    let Counted { seconds, sold, refused, failed, dropped, retries, micros, .. } = &sale.counted;
    write!(csv, "{backend},{round},{pace},{},{},{},{seconds:.3},{sold},", load.threads, figure(offered), load.units)?;
    write!(csv, "{:.1},{refused},{failed},{dropped},{retries},", sale.counted.sold_per_second())?;
    let micros = micros.map_or([None; 5], |m| [m.p50, m.p90, m.p99, m.p999, m.max].map(Some));
    for micros in micros {
        write!(csv, "{},", figure(micros))?;
    }
    let verdict = &sale.verdict;
    write!(csv, "{},{},{},{},", verdict.wrong_units, verdict.oversold, verdict.missing_orders, verdict.unknown)?;
    let costs = &sale.costs;
    let [backend_cpu, buyers_cpu, syncs, flushes] =
        [costs.backend_cpu_micros, costs.buyers_cpu_micros, costs.syncs, costs.disk_flushes].map(figure);
    writeln!(csv, "{backend_cpu},{buyers_cpu},{syncs},{flushes}")
}
