//! `loadtest plain`: one request again and again, against any server; to compare this client
//! with other load tools, and servers with each other.

use anyhow::Context;
use son7shop_loadtest::drive::{self, Pace, Plan, Probe, Report, percentile};
use son7shop_loadtest::limits::allow_connections;
use son7shop_loadtest::prepared::Prepared;
use son7shop_loadtest::process::Usage;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::target::require_loopback;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Send one request again and again and print throughput and latencies.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the server listens, such as 127.0.0.1:8080.
    #[arg(long)]
    address: SocketAddr,
    /// The path.
    #[arg(long, default_value = "/v1/orders")]
    path: String,
    /// The JSON body; without one the request is a GET.
    #[arg(long)]
    body: Option<String>,
    /// A bearer token.
    #[arg(long)]
    token: Option<String>,
    /// The status that every answer should have.
    #[arg(long, default_value_t = 201)]
    expect: u16,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Threads of this program.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds that are counted.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seconds that answers are awaited afterwards.
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
    /// Requests a second at even distances (open loop) instead of one after another.
    #[arg(long)]
    rate: Option<f64>,
    /// The server may be on another machine: it will feel the load.
    #[arg(long)]
    beyond_loopback: bool,
}

/// This program's own costs in the window.
#[derive(Default)]
struct OwnCosts {
    opened: Usage,
    used: Usage,
}

impl Probe for OwnCosts {
    fn window_opened(&mut self) {
        self.opened = Usage::of(std::process::id()).unwrap_or_default();
    }

    fn window_closed(&mut self) {
        self.used = Usage::of(std::process::id()).unwrap_or_default().since(&self.opened);
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    allow_connections(args.clients)?;
    require_loopback(args.address, args.beyond_loopback)?;
    let plan = Plan {
        address: args.address,
        connections: args.clients,
        threads: args.threads,
        pace: args.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
        warmup: Duration::try_from_secs_f64(args.warmup).context("--warmup")?,
        window: Some(Duration::try_from_secs_f64(args.seconds).context("--seconds")?),
        patience: Duration::try_from_secs_f64(args.patience).context("--patience")?,
    };
    let workloads = (0..args.threads).map(|thread| Prepared::new(requests(args), thread, args.expect)).collect();
    let mut costs = OwnCosts::default();
    let (report, back) = drive::run(&plan, workloads, &mut costs)?;
    print(&report, &costs.used);
    let unexpected = back.iter().find_map(Prepared::unexpected);
    if let Some(unexpected) = unexpected {
        println!("the first that was not {}: {unexpected}", args.expect);
    }
    let is_sound = unexpected.is_none() && is_answered(&report);
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// There were requests, and all of them were answered.
fn is_answered(report: &Report) -> bool {
    report.answers.sum() > 0 && report.unanswered == 0
}

fn requests(args: &Args) -> Vec<Request> {
    let host = args.address.to_string();
    let run = format!("{:08x}", rand::random::<u32>());
    (0..args.clients)
        .map(|client| {
            let request = Request::to(if args.body.is_some() { "POST" } else { "GET" }, &host, &args.path);
            let request = match &args.token {
                Some(token) => request.bearer(token),
                None => request,
            };
            match &args.body {
                Some(body) => request.numbered_key(&format!("{run}-{client:04x}")).json(body),
                None => request.empty(),
            }
        })
        .collect()
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn print(report: &Report, own: &Usage) {
    println!("{:.0} answers a second over {:.1} s", report.per_second(), report.window.as_secs_f64());
    for (status, count) in report.answers.seen() {
        println!("  {status}: {count}");
    }
    for (name, latency) in [("2xx", &report.latency), ("other", &report.refused_latency)] {
        if !latency.is_empty() {
            let [p50, p90, p99, max] = [50.0, 90.0, 99.0, 100.0].map(|percent| percentile(latency, percent));
            println!("latency of {name}: p50 {p50:.2?}, p90 {p90:.2?}, p99 {p99:.2?}, max {max:.2?}");
        }
    }
    if let Some(open) = &report.open {
        println!(
            "due {}, sent late for want of a free connection {}, never sent {}, unanswered {}",
            open.due, open.delayed, open.unsent, open.unanswered
        );
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percent| percentile(&report.lateness, percent));
        println!("sent after they were due: p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}");
    }
    println!(
        "failures {}, unanswered at the end {}, connections opened anew {}",
        report.failures, report.unanswered, report.reopened
    );
    if let Some(first) = &report.first_failure {
        println!("  the first failure: {first}");
    }
    let answers = report.answers.sum().max(1) as f64;
    println!(
        "this client: {:.2} µs of processor time and {:.3} context switches an answer",
        own.cpu.as_secs_f64() * 1e6 / answers,
        own.switches() as f64 / answers
    );
}
