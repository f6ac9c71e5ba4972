//! `loadtest lab`: every way of selling, in turn, on this machine; figures as a table, JSON
//! and CSV.

use anyhow::{Context, ensure};
use son7shop_loadtest::lab::backend::Backend;
use son7shop_loadtest::lab::backends::engine::Engine;
use son7shop_loadtest::lab::backends::planted::ReleasedEarly;
use son7shop_loadtest::lab::backends::redis::{Fsync, Lease, Lock, Lua};
use son7shop_loadtest::lab::backends::sql::{Sql, Way};
use son7shop_loadtest::lab::report::Report;
use son7shop_loadtest::lab::run::{Plan, Record, run as run_plan};
use son7shop_loadtest::limits::allow_connections;
use son7shop_loadtest::servers::{Kind, Server};
use son7shop_loadtest::shop::binary_beside_this_one;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A lease that is shorter than some of the work under it.
const SHORT_LEASE: Duration = Duration::from_millis(5);

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
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Fewer numbers of threads, one short round: about three minutes.
    #[arg(long)]
    quick: bool,
    /// Connections that the threads share, where a backend has a pool.
    #[arg(long, default_value_t = 32)]
    pool: u32,
    /// Only backends whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The folder that the figures are written to.
    #[arg(long, default_value = "lab")]
    out: PathBuf,
}

/// What is there to measure, and what is not, with the reason.
struct Found {
    backends: Vec<Box<dyn Backend>>,
    missing: Vec<(String, String)>,
    /// They run for as long as they are kept.
    servers: Vec<Server>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = if args.quick {
        Plan { threads: vec![1, 20, 200, 2000], rounds: 1, warmup_seconds: 0.5, window_seconds: 1.5 }
    } else {
        let Args { threads, rounds, seconds, .. } = args;
        Plan { threads: threads.clone(), rounds: *rounds, warmup_seconds: 1.0, window_seconds: *seconds }
    };
    let most = plan.threads.iter().copied().max().context("no number of threads")?;
    // The engine inherits the limit and needs as many.
    allow_connections(most + 2 * args.pool as usize)?;
    let found = find(args, most);
    for (name, why) in &found.missing {
        println!("{name}: left blank: {why}");
    }
    ensure!(!found.backends.is_empty(), "there is nothing to measure");
    let mut say = |record: &Record| println!("{}", line(record));
    let records = run_plan(&plan, &found.backends, &mut say)?;
    drop(found.backends);
    drop(found.servers);
    let report = Report::new(plan, records, found.missing, true);
    write(&args.out, &report)?;
    println!("written to {}", args.out.join("lab.html").display());
    Ok(ExitCode::SUCCESS)
}

fn find(args: &Args, threads: usize) -> Found {
    let mut found = Found { backends: Vec::new(), missing: Vec::new(), servers: Vec::new() };
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|part| name.contains(part.as_str()));
    let mut add = |name: &str, backend: anyhow::Result<Box<dyn Backend>>| match backend {
        Ok(backend) => found.backends.push(backend),
        Err(error) => found.missing.push((name.to_owned(), format!("{error:#}"))),
    };
    // First, and in every run: a lab that does not find it finds nothing.
    add("planted", Ok(Box::new(ReleasedEarly::default())));
    if wanted("son7shop-http") {
        let engine = binary_beside_this_one().map_err(Into::into).and_then(|binary| {
            ensure!(binary.is_file(), "{} is not there: build it", binary.display());
            Engine::start(&binary, threads)
        });
        add("son7shop-http", engine.map(|engine| Box::new(engine) as Box<dyn Backend>));
    }
    let mut servers = Vec::new();
    let mut mariadb = None;
    for (name, kind) in [("mariadb", Kind::MariaDb), ("mysql", Kind::MySql)] {
        let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| wanted(&format!("{name}-{}", way.name()))).collect();
        if ways.is_empty() && !(kind == Kind::MariaDb && wanted("redis-lock")) {
            continue;
        }
        match Server::start(kind, &[]) {
            Ok(server) => {
                for way in ways {
                    let sql = Sql::connect(name, &server.url(), way, args.pool);
                    add(&format!("{name}-{}", way.name()), sql.map(|sql| Box::new(sql) as Box<dyn Backend>));
                }
                if kind == Kind::MariaDb {
                    mariadb = Some(server.url());
                }
                servers.push(server);
            }
            Err(error) => add(name, Err(error.into())),
        }
    }
    let fsyncs: Vec<Fsync> = [Fsync::Always, Fsync::EverySecond]
        .into_iter()
        .filter(|fsync| wanted(&format!("redis-lua-{}", fsync.setting())))
        .collect();
    if !fsyncs.is_empty() || wanted("redis-lock") {
        match Server::start(Kind::Redis, &[]) {
            Ok(server) => {
                let url = server.url();
                for fsync in fsyncs {
                    // A server of its own for each: the setting is the server's.
                    let lua = Server::start(Kind::Redis, &[]).map_err(Into::into).and_then(|own| {
                        let lua = Lua::connect(&own.url(), fsync, args.pool as usize);
                        servers.push(own);
                        lua
                    });
                    let name = format!("redis-lua-{}", fsync.setting());
                    add(&name, lua.map(|lua| Box::new(lua) as Box<dyn Backend>));
                }
                if let Some(database) = mariadb.as_ref().filter(|_| wanted("redis-lock")) {
                    // Makes the tables.
                    let tables = Sql::connect("mariadb", database, Way::Naive, 1).map(drop);
                    for lease in [Lease::Watched, Lease::RunsOut(SHORT_LEASE)] {
                        let lock = tables.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"));
                        let lock = lock.and_then(|()| Lock::connect(&url, database, lease, args.pool));
                        add("redis-lock", lock.map(|lock| Box::new(lock) as Box<dyn Backend>));
                    }
                }
                servers.push(server);
            }
            Err(error) => add("redis", Err(error.into())),
        }
    }
    found.servers = servers;
    found
}

fn line(record: &Record) -> String {
    let Record { backend, threads, round, sold_per_second, failed, retries, micros, verdict, .. } = record;
    let mut line = format!("{round} {threads:>5} {backend:<28} {sold_per_second:>9.0}/s");
    match micros {
        Some(micros) => {
            let _ = write!(line, "  p50 {:>9.0} µs  p99 {:>9.0} µs", micros.p50, micros.p99);
        }
        None => line.push_str("  nothing was sold"),
    }
    let _ = write!(line, "  wrong {:>6}  failed {failed}  retries {retries}", verdict.wrong_units);
    line
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
    let mut csv = "backend,threads,round,sold_per_second,p50_us,p90_us,p99_us,p999_us,max_us,wrong_units,oversold,refused,failed,retries\n".to_owned();
    for record in &report.records {
        let Record { backend, threads, round, sold_per_second, refused, failed, retries, verdict, .. } = record;
        // A blank is not a zero.
        let micros = record.micros.map_or(",,,,".to_owned(), |m| {
            format!("{:.1},{:.1},{:.1},{:.1},{:.1}", m.p50, m.p90, m.p99, m.p999, m.max)
        });
        writeln!(
            csv,
            "{backend},{threads},{round},{sold_per_second:.1},{micros},{},{},{refused},{failed},{retries}",
            verdict.wrong_units, verdict.oversold
        )?;
    }
    write("lab.csv", &csv)
}
