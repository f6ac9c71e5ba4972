//! Measures the product against the bare program over HTTP, in rounds: each load is put on one side
//! and then on the other, so that whatever else the machine does meets both.

use crate::disk;
use crate::measure::{Load, Sample, measure};
use crate::side::{Side, Sides};
use son7shop_loadtest::drive::{OpenCounts, Pace};
use std::collections::BTreeMap;
use std::time::Duration;

/// The open loop's rate, as a share of the product's throughput in the same round.
pub const OPEN_SHARE: f64 = 0.7;

/// The open loop's window, at least: a hundredth of a short one is a single hiccup of the machine.
const OPEN_WINDOW_MIN: Duration = Duration::from_secs(10);

/// Syncs that are timed in each round.
const SYNCS: usize = 1_000;

/// The two loads that most rows name.
pub const MANY: usize = 2_000;
/// See [`MANY`].
pub const FEW: usize = 64;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections, each count a load.
    pub connections: Vec<usize>,
    /// Rounds.
    pub rounds: usize,
    /// Load before each window.
    pub warmup: Duration,
    /// The counted window.
    pub window: Duration,
    /// Whether the loads without a database are measured too.
    pub without_database: bool,
}

/// One round of the open loop.
#[derive(Debug, Clone)]
pub struct OpenRound {
    /// Requests a second, on both sides.
    pub per_second: f64,
    /// The product.
    pub product: Sample,
    /// The bare program.
    pub bare: Sample,
    /// The 99th percentile of a sync, with nobody else on the disk.
    pub sync_p99: Duration,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// Samples by side and connections, one for each round.
    pub closed: BTreeMap<(Side, usize), Vec<Sample>>,
    /// The open loop's rounds.
    pub open: Vec<OpenRound>,
    /// Why the loads without a database are missing, if they are.
    pub no_database: Option<String>,
}

/// Measures everything, round by round. `say` hears about each measurement.
pub fn collect(sides: &Sides, settings: &Settings, say: &mut dyn FnMut(&str)) -> anyhow::Result<Collected> {
    let mut collected = Collected::default();
    for round in 1..=settings.rounds {
        say(&format!("round {round} of {}", settings.rounds));
        for &connections in &settings.connections {
            closed(sides, settings, connections, &mut collected, say)?;
        }
        if let Some(per_second) = collected.last_rate() {
            collected.open.push(open(sides, settings, per_second * OPEN_SHARE, say)?);
        }
    }
    Ok(collected)
}

impl Collected {
    /// The product's throughput in the round under way.
    fn last_rate(&self) -> Option<f64> {
        self.closed.get(&(Side::Product, MANY))?.last().map(|sample| sample.per_second)
    }
}

fn closed(
    sides: &Sides,
    settings: &Settings,
    connections: usize,
    collected: &mut Collected,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let load = Load { connections, pace: Pace::Closed, warmup: settings.warmup, window: settings.window };
    let without_database = settings.without_database && matches!(connections, MANY | FEW);
    for side in [Side::Bare, Side::Product, Side::ProductWithoutDatabase] {
        if side == Side::ProductWithoutDatabase && !without_database {
            continue;
        }
        let running = match sides.start(side, connections) {
            Ok(running) => running,
            Err(error) if side == Side::ProductWithoutDatabase => {
                collected.no_database.get_or_insert(format!("{error:#}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let sample = measure(&running, &load)?;
        say(&format!("  {connections:>5} connections, {side:?}: {}", shown(&sample)));
        collected.closed.entry((side, connections)).or_default().push(sample);
    }
    Ok(())
}

fn open(sides: &Sides, settings: &Settings, per_second: f64, say: &mut dyn FnMut(&str)) -> anyhow::Result<OpenRound> {
    let window = settings.window.max(OPEN_WINDOW_MIN);
    let load = Load { connections: MANY, pace: Pace::Open { per_second }, warmup: settings.warmup, window };
    let bare = measure(&sides.start(Side::Bare, MANY)?, &load)?;
    say(&format!("  open loop, {per_second:.0}/s, Bare: {}", shown(&bare)));
    let syncs = disk::sync_times(&sides.folder, SYNCS)?;
    let sync_p99 = disk::percentile(&syncs, 99);
    say(&format!("  sync: p50 {:.2?}, p99 {sync_p99:.2?}", disk::percentile(&syncs, 50)));
    let product = measure(&sides.start(Side::Product, MANY)?, &load)?;
    say(&format!("  open loop, {per_second:.0}/s, Product: {}", shown(&product)));
    Ok(OpenRound { per_second, product, bare, sync_p99 })
}

fn shown(sample: &Sample) -> String {
    let Sample { per_second, p50, p99, wrong, open, lateness_p99, costs } = sample;
    let mut parts = vec![format!(
        "{per_second:.0}/s, p50 {p50:.2?}, p99 {p99:.2?}, server {:.1} µs and {:.2} switches, client {:.1} µs an order",
        costs.cpu_micros, costs.switches, costs.client_cpu_micros
    )];
    parts.extend(costs.orders_per_sync.map(|orders| format!("{orders:.1} orders a sync")));
    parts.extend(costs.lag_events.map(|lag| format!("{lag:.0} events behind")));
    parts.extend(open.map(|open| {
        let OpenCounts { due, delayed, unsent, unanswered } = open;
        format!(
            "{delayed} of {due} without a connection, {} unsent, sent late p99 {lateness_p99:.2?}",
            unsent + unanswered
        )
    }));
    parts.extend(wrong.clone());
    parts.join(", ")
}
