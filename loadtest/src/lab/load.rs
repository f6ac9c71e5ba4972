//! How much load a backend gets, and what came of it. Both can be written down: a backend
//! in another process is told and tells by these.

use super::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Units on the shelf where nobody is to find it empty: more than any run can sell.
pub const PLENTY: u64 = 1_000_000_000;

/// Threads that buy units of one product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Threads.
    pub threads: usize,
    /// Units on the shelf.
    pub units: u64,
    /// When they buy.
    pub pace: Pace,
}

/// When threads buy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Each buys again as soon as it has an answer.
    Closed {
        /// Seconds of buying before anything is counted.
        warmup_seconds: f64,
        /// Seconds that are counted.
        window_seconds: f64,
    },
    /// Attempts are due at even distances, whatever the backend does, and a latency counts
    /// from when the attempt was due: a backend that stalls cannot hide the attempts that it
    /// kept from being made (coordinated omission).
    Open {
        /// Attempts a second, over all threads.
        per_second: f64,
        /// Seconds in which attempts are due. All of them are counted.
        window_seconds: f64,
    },
    /// Each buys until it is told that nothing is left.
    SellOut {
        /// Seconds after which it stops anyway.
        patience_seconds: f64,
    },
}

/// What came of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sale {
    /// What the threads counted.
    pub counted: Counted,
    /// What it cost.
    pub costs: Costs,
    /// What the stock says about it.
    pub verdict: Verdict,
}

/// What the threads counted. Of a closed loop only the window counts, but for `_in_all`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// How long the window really was. Of a sell-out: until the last thread had its last answer.
    pub seconds: f64,
    /// Units sold.
    pub sold: u64,
    /// Attempts that were told that nothing is left.
    pub refused: u64,
    /// Attempts that ended in an error.
    pub failed: u64,
    /// The first error's words.
    pub first_failure: Option<String>,
    /// Lost races and refused locks.
    pub retries: u64,
    /// Open loop only: attempts that were due and could not be made before the window closed.
    /// They are in the latencies with the time they had waited.
    pub dropped: u64,
    /// Units sold in the whole run, warming up included: what the shelf has to have lost.
    pub sold_in_all: u64,
    /// Attempts of the whole run whose outcome is not known.
    pub unknown_in_all: u64,
    /// Latencies of the attempts that sold a unit, those of a closed loop included that were
    /// waiting when the window closed, and of those that were dropped; nothing where there were
    /// none.
    pub micros: Option<Micros>,
}

impl Counted {
    /// Units sold a second.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn sold_per_second(&self) -> f64 {
        self.sold as f64 / self.seconds
    }
}

/// Percentiles of a latency, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "they are what they are called")]
pub struct Micros {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What the window cost, for each unit sold. What cannot be told is absent, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Processor time of the backend's own processes, in microseconds.
    pub backend_cpu_micros: Option<f64>,
    /// Processor time of the process in which the threads buy, in microseconds; where the
    /// backend lives in that process too, of both together.
    pub buyers_cpu_micros: Option<f64>,
    /// Syncs, as the backend counts them.
    pub syncs: Option<f64>,
    /// Write caches that the machine's disks were told to flush, whoever asked for it. The same
    /// for all backends; several syncs at once may share one.
    pub disk_flushes: Option<f64>,
}
