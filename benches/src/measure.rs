//! One load on one running side: how many orders a second, how long they took, and what an order
//! cost the server. Counts are taken from the kernel and the server at the window's two ends.

use crate::side::Running;
use anyhow::Context;
use son7shop_loadtest::drive::{self, OpenCounts, Pace, Plan, Probe, Report};
use son7shop_loadtest::metrics::Metrics;
use son7shop_loadtest::prepared::Prepared;
use son7shop_loadtest::process::Usage;
use std::net::SocketAddr;
use std::time::Duration;

/// How long outstanding answers are awaited after a window.
const PATIENCE: Duration = Duration::from_secs(10);

/// The load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Closed or open.
    pub pace: Pace,
    /// Before the window.
    pub warmup: Duration,
    /// What is counted.
    pub window: Duration,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Sample {
    /// 201 answers a second.
    pub per_second: f64,
    /// The 99th percentile of the latency.
    pub p99: Duration,
    /// The median latency.
    pub p50: Duration,
    /// The first answer that was not 201, and how many there were; every answer should be.
    pub wrong: Option<String>,
    /// Of an open loop.
    pub open: Option<OpenCounts>,
    /// Of an open loop: the 99th percentile of how long after they were due requests were sent.
    pub lateness_p99: Duration,
    /// What an order cost.
    pub costs: Costs,
}

/// What an order cost, on average over the window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Costs {
    /// The server's processor time, in microseconds.
    pub cpu_micros: f64,
    /// The server's context switches.
    pub switches: f64,
    /// This client's processor time, in microseconds.
    pub client_cpu_micros: f64,
    /// Orders to a sync of the journal; None when the server counts none.
    pub orders_per_sync: Option<f64>,
    /// Events that write-behind carried a second in the window; None when the server counts none.
    pub carried_per_second: Option<f64>,
    /// Events that the database did not have at the window's end.
    pub lag_events: Option<f64>,
}

/// What the server had used, and counted, at one moment.
#[derive(Default)]
struct Moment {
    usage: Usage,
    own: Usage,
    metrics: Metrics,
}

struct ServerProbe {
    pid: u32,
    address: SocketAddr,
    opened: Moment,
    closed: Moment,
    error: Option<anyhow::Error>,
}

impl ServerProbe {
    fn look(&mut self) -> Moment {
        let look = || -> anyhow::Result<Moment> {
            let usage = Usage::of(self.pid)?;
            let own = Usage::of(std::process::id())?;
            Ok(Moment { usage, own, metrics: Metrics::of(self.address)? })
        };
        look().unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            Moment::default()
        })
    }
}

impl Probe for ServerProbe {
    fn window_opened(&mut self) {
        self.opened = self.look();
    }

    fn window_closed(&mut self) {
        self.closed = self.look();
    }
}

/// Puts the load on the side and measures.
pub fn measure(running: &Running, load: &Load) -> anyhow::Result<Sample> {
    let plan = Plan {
        address: running.program.address(),
        connections: load.connections,
        threads: 1,
        pace: load.pace,
        warmup: load.warmup,
        window: Some(load.window),
        patience: PATIENCE,
    };
    let mut probe = ServerProbe {
        pid: running.program.pid(),
        address: running.program.address(),
        opened: Moment::default(),
        closed: Moment::default(),
        error: None,
    };
    let workload = Prepared::new(running.requests.clone(), 0, 201);
    let (report, workloads) = drive::run(&plan, vec![workload], &mut probe)?;
    if let Some(error) = probe.error {
        return Err(error).context("reading the server's counts");
    }
    Ok(Sample {
        per_second: count(report.answers.of(201)) / load.window.as_secs_f64(),
        p99: drive::percentile(&report.latency, 99.0),
        p50: drive::percentile(&report.latency, 50.0),
        wrong: wrong(&report, workloads.iter().find_map(Prepared::unexpected)),
        open: report.open,
        lateness_p99: drive::percentile(&report.lateness, 99.0),
        costs: costs(&probe.opened, &probe.closed, report.answers.of(201), load.window),
    })
}

/// Says what was not 201, in the whole run.
fn wrong(report: &Report, first: Option<&str>) -> Option<String> {
    let others = report.answers_in_all.sum() - report.answers_in_all.of(201) + report.failures + report.unanswered;
    (others > 0)
        .then(|| format!("{others} requests were not answered 201; the first: {}", first.unwrap_or("no answer")))
}

fn costs(opened: &Moment, closed: &Moment, orders: u64, window: Duration) -> Costs {
    let orders = count(orders.max(1));
    let (used, own) = (closed.usage.since(&opened.usage), closed.own.since(&opened.own));
    let grown = |name| closed.metrics.grown(&opened.metrics, name);
    let syncs = grown("son7_journal_syncs_total").filter(|syncs| *syncs > 0.0);
    Costs {
        cpu_micros: used.cpu.as_secs_f64() * 1e6 / orders,
        switches: count(used.switches()) / orders,
        client_cpu_micros: own.cpu.as_secs_f64() * 1e6 / orders,
        orders_per_sync: grown("son7_orders_placed_total").zip(syncs).map(|(placed, syncs)| placed / syncs),
        carried_per_second: grown("son7_write_behind_events_total").map(|events| events / window.as_secs_f64()),
        lag_events: closed.metrics.get("son7_write_behind_lag_events"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}
