//! How often this process's shop committed its journal, by the counter that the shop itself keeps
//! and `/metrics` shows. Every other metric is dropped.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The shop's counter of commits; each is one write and one sync.
const SYNCS: &str = "son7_journal_syncs_total";

/// Begins to count, for every shop that this process opens from now on; once in a process.
pub fn count() -> anyhow::Result<Arc<AtomicU64>> {
    let syncs = Arc::new(AtomicU64::new(0));
    metrics::set_global_recorder(Only(Arc::clone(&syncs)))
        .map_err(|_| anyhow::anyhow!("syncs are counted in this process already"))?;
    Ok(syncs)
}

/// Keeps one counter, summed over partitions.
struct Only(Arc<AtomicU64>);

impl Recorder for Only {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == SYNCS { Counter::from_arc(Arc::clone(&self.0)) } else { Counter::noop() }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
