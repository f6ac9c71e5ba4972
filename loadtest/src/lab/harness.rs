//! The threads: each buys one unit after another from its own till until the window closes.
//!
//! OS threads, as in the shop that asked the question: what a thread costs is part of the
//! answer, and it is the same for every backend.

use super::backend::{Backend, Bought};
use anyhow::Context;
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Stack of a buying thread, in bytes; thousands of them must fit.
const STACK_BYTES: usize = 256 << 10;
/// Longer attempts are recorded as this.
const LATENCY_NANOS_MAX: u64 = 120_000_000_000;

/// How much load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Threads that buy.
    pub threads: usize,
    /// Buying before anything is counted.
    pub warmup: Duration,
    /// What is counted.
    pub window: Duration,
}

/// What the threads counted.
#[derive(Debug)]
pub struct Counted {
    /// Units sold in the window.
    pub sold: u64,
    /// Attempts in the window that found the shelf empty.
    pub refused: u64,
    /// Attempts in the window that ended in an error.
    pub failed: u64,
    /// The first error's words.
    pub first_failure: Option<String>,
    /// Lost races and refused locks in the window.
    pub retries: u64,
    /// Units sold in the whole run: what the shelf has to have lost.
    pub sold_in_all: u64,
    /// Attempts of the whole run whose outcome is not known.
    pub unknown_in_all: u64,
    /// How long the window really was.
    pub window: Duration,
    /// How long the attempts that sold a unit took, in nanoseconds.
    pub latency: Histogram<u64>,
}

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Lets the threads buy. Ends by itself a little after warm-up and window.
pub fn contend(backend: &dyn Backend, load: &Load) -> anyhow::Result<Counted> {
    let phase = AtomicU8::new(WARMING_UP);
    let broken = AtomicBool::new(false);
    let start = Barrier::new(load.threads + 1);
    std::thread::scope(|scope| {
        let mut buyers = Vec::with_capacity(load.threads);
        for thread in 0..load.threads {
            let (phase, broken, start) = (&phase, &broken, &start);
            let buyer = move || {
                let till = backend.till(thread).with_context(|| format!("thread {thread} of {}", backend.name()));
                broken.fetch_or(till.is_err(), Ordering::Relaxed);
                start.wait();
                let mut counted = Counted::nothing()?;
                let mut till = till?;
                while !broken.load(Ordering::Relaxed) && phase.load(Ordering::Relaxed) != OVER {
                    let began = Instant::now();
                    let attempt = till.buy();
                    counted.count(attempt, began.elapsed(), phase.load(Ordering::Relaxed) == COUNTING);
                }
                Ok(counted)
            };
            let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, buyer);
            match spawned {
                Ok(buyer) => buyers.push(buyer),
                Err(error) => {
                    // The barrier cannot be passed any more: the threads that wait would wait for ever.
                    eprintln!("loadtest: thread {thread} of {} cannot be started: {error}", load.threads);
                    std::process::exit(2);
                }
            }
        }
        start.wait();
        std::thread::sleep(load.warmup);
        let opened = Instant::now();
        phase.store(COUNTING, Ordering::Relaxed);
        std::thread::sleep(load.window);
        phase.store(OVER, Ordering::Relaxed);
        let window = opened.elapsed();
        let mut sum = Counted::nothing()?;
        for buyer in buyers {
            let part: anyhow::Result<Counted> =
                buyer.join().map_err(|_| anyhow::anyhow!("a buying thread panicked"))?;
            sum.add(&part?);
        }
        sum.window = window;
        Ok(sum)
    })
}

impl Counted {
    fn nothing() -> anyhow::Result<Self> {
        Ok(Self {
            sold: 0,
            refused: 0,
            failed: 0,
            first_failure: None,
            retries: 0,
            sold_in_all: 0,
            unknown_in_all: 0,
            window: Duration::ZERO,
            latency: Histogram::new_with_bounds(1_000, LATENCY_NANOS_MAX, 3)?,
        })
    }

    fn count(&mut self, attempt: anyhow::Result<super::backend::Attempt>, took: Duration, counts: bool) {
        let in_window = u64::from(counts);
        match attempt {
            Ok(attempt) => {
                self.retries += in_window * u64::from(attempt.retries);
                if attempt.bought == Bought::SoldOut {
                    self.refused += in_window;
                    return;
                }
                self.sold_in_all += 1;
                self.sold += in_window;
                if counts {
                    let nanos = u64::try_from(took.as_nanos()).unwrap_or(LATENCY_NANOS_MAX);
                    self.latency.saturating_record(nanos);
                }
            }
            Err(error) => {
                self.unknown_in_all += 1;
                self.failed += in_window;
                self.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn add(&mut self, part: &Self) {
        self.sold += part.sold;
        self.refused += part.refused;
        self.failed += part.failed;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&part.first_failure);
        }
        self.retries += part.retries;
        self.sold_in_all += part.sold_in_all;
        self.unknown_in_all += part.unknown_in_all;
        // Both have the same bounds, so adding cannot fail.
        let _ = self.latency.add(&part.latency);
    }

    /// Units sold a second.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn per_second(&self) -> f64 {
        self.sold as f64 / self.window.as_secs_f64()
    }
}
