//! A run of the lab: every backend in turn at every number of threads, round after round,
//! and one record for each.

use super::backend::{Backend, Promise};
use super::harness::{Load, contend};
use super::verdict::Verdict;
use crate::drive::percentile;
use serde::Serialize;
use std::time::Duration;

/// Units on the shelf: more than any run can sell.
const PLENTY: u64 = 1_000_000_000;

/// The backend that must be found broken.
pub const PLANTED: &str = "planted-broken-lock";
/// Threads from which on the planted backend must be found broken.
pub const PLANTED_THREADS: usize = 20;

/// How long, how often, with how many threads.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Numbers of threads, each a run.
    pub threads: Vec<usize>,
    /// Rounds: every backend once at every number of threads.
    pub rounds: usize,
    /// Seconds of buying before anything is counted.
    pub warmup_seconds: f64,
    /// Seconds that are counted.
    pub window_seconds: f64,
}

/// One backend at one number of threads in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// The backend.
    pub backend: String,
    /// When it says that a sold unit is safe.
    pub promise: Promise,
    /// Threads that bought.
    pub threads: usize,
    /// Counted from 1.
    pub round: usize,
    /// Units sold a second in the window.
    pub sold_per_second: f64,
    /// Units sold in the window.
    pub sold: u64,
    /// Units sold in the whole run, warming up included.
    pub sold_in_all: u64,
    /// Attempts in the window that found the shelf empty.
    pub refused: u64,
    /// Attempts in the window that failed.
    pub failed: u64,
    /// The first failure's words.
    pub first_failure: Option<String>,
    /// Lost races and refused locks in the window.
    pub retries: u64,
    /// Latencies of the attempts that sold a unit, in microseconds; nothing where none did.
    pub micros: Option<Micros>,
    /// What the stock says about it.
    pub verdict: Verdict,
}

/// Percentiles of a latency, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "they are what they are called")]
pub struct Micros {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The lab did not find the lock that is broken on purpose: nothing that it says counts.
#[derive(Debug, thiserror::Error)]
#[error("the planted broken lock was not found broken at {threads} threads in round {round}: this run proves nothing")]
pub struct NotFound {
    threads: usize,
    round: usize,
}

/// Runs everything; `say` hears of each record as it comes.
pub fn run(plan: &Plan, backends: &[Box<dyn Backend>], say: &mut dyn FnMut(&Record)) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for round in 1..=plan.rounds {
        for &threads in &plan.threads {
            for backend in backends {
                let record = measure(plan, backend.as_ref(), threads, round)?;
                say(&record);
                if record.backend == PLANTED && threads >= PLANTED_THREADS && record.verdict.is_right() {
                    return Err(NotFound { threads, round }.into());
                }
                records.push(record);
            }
        }
    }
    Ok(records)
}

fn measure(plan: &Plan, backend: &dyn Backend, threads: usize, round: usize) -> anyhow::Result<Record> {
    let seconds = Duration::try_from_secs_f64;
    let load = Load { threads, warmup: seconds(plan.warmup_seconds)?, window: seconds(plan.window_seconds)? };
    backend.stock_up(PLENTY)?;
    let counted = contend(backend, &load)?;
    let micros = |percent| percentile(&counted.latency, percent).as_secs_f64() * 1e6;
    let [p50, p90, p99, p999, max] = [50.0, 90.0, 99.0, 99.9, 100.0].map(micros);
    Ok(Record {
        backend: backend.name().to_owned(),
        promise: backend.promise(),
        threads,
        round,
        sold_per_second: counted.per_second(),
        sold: counted.sold,
        sold_in_all: counted.sold_in_all,
        refused: counted.refused,
        failed: counted.failed,
        retries: counted.retries,
        micros: (!counted.latency.is_empty()).then_some(Micros { p50, p90, p99, p999, max }),
        verdict: Verdict::new(PLENTY, counted.sold_in_all, counted.unknown_in_all, backend.shelf()?),
        first_failure: counted.first_failure,
    })
}
