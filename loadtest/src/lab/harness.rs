//! The threads: each buys one unit after another from its own till.
//!
//! OS threads, as in the shop that asked the question: what a thread costs is part of the
//! answer, and it is the same for every backend.

use super::backend::{Attempt, Backend, Bought, Till};
use super::costs::Reading;
use super::load::{Counted, Load, Micros, Pace, Sale};
use super::verdict::Verdict;
use crate::drive::{Schedule, percentile};
use anyhow::Context;
use hdrhistogram::Histogram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Stack of a buying thread, in bytes; thousands of them must fit.
const STACK_BYTES: usize = 256 << 10;
/// Longer attempts are recorded as this.
const LATENCY_NANOS_MAX: u64 = 120_000_000_000;

/// Stocks up, lets the threads buy, and looks at the shelf. Ends by itself a little after
/// the load's time.
pub fn sell<B: Backend + ?Sized>(backend: &B, load: &Load) -> anyhow::Result<Sale> {
    let sale = stock_up_and_sell(backend, load);
    backend.rest();
    sale
}

fn stock_up_and_sell<B: Backend + ?Sized>(backend: &B, load: &Load) -> anyhow::Result<Sale> {
    backend.stock_up(load.units)?;
    let (tally, window, opened, closed) = contend(backend, load, |_| STACK_BYTES)?;
    let counted = tally.counted(window);
    let shelf = backend.shelf()?;
    Ok(Sale {
        costs: closed.since(&opened, counted.sold),
        verdict: Verdict::new(load.units, counted.sold_in_all, counted.unknown_in_all, shelf),
        counted,
    })
}

/// What all threads of a run share.
struct Run {
    threads: usize,
    phase: AtomicU8,
    broken: AtomicBool,
    /// Threads that are done; the last of them wakes `waits`.
    done: AtomicUsize,
    waits: Thread,
    start: Start,
    /// When the first attempt of an open loop is due.
    first_due: OnceLock<Instant>,
    /// The next attempt of an open loop: whoever is free makes it.
    next: AtomicU64,
}

impl Run {
    /// Waits until `deadline`, if nobody breaks meanwhile, or until everybody is done.
    fn wait_until(&self, deadline: Instant) {
        while !self.is_broken() && self.done.load(Ordering::Acquire) < self.threads {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
    }

    /// Whether somebody has no till, or panicked.
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Nothing that comes of the run counts: whoever buys stops.
    fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.phase.store(OVER, Ordering::Relaxed);
        self.waits.unpark();
    }
}

/// Where threads wait until all of them can begin. Unlike a barrier it need not know how many come: one
/// that could not be started is not waited for.
#[derive(Default)]
struct Start {
    line: Mutex<Line>,
    changed: Condvar,
}

/// Who waits.
#[derive(Default)]
struct Line {
    ready: usize,
    is_open: bool,
}

impl Start {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more thread is ready; comes back when all may begin.
    fn wait(&self) {
        let mut line = self.line();
        line.ready += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(line, |line| !line.is_open));
    }

    /// Until so many are ready.
    fn wait_for(&self, threads: usize) {
        drop(self.changed.wait_while(self.line(), |line| line.ready < threads));
    }

    /// All may begin.
    fn open(&self) {
        self.line().is_open = true;
        self.changed.notify_all();
    }
}

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// `stack_bytes` is the stack of each thread, by its number.
fn contend<B: Backend + ?Sized>(
    backend: &B,
    load: &Load,
    stack_bytes: impl Fn(usize) -> usize,
) -> anyhow::Result<(Tally, Duration, Reading, Reading)> {
    let run = Run {
        threads: load.threads,
        phase: AtomicU8::new(WARMING_UP),
        broken: AtomicBool::new(false),
        done: AtomicUsize::new(0),
        waits: std::thread::current(),
        start: Start::default(),
        first_due: OnceLock::new(),
        next: AtomicU64::new(0),
    };
    // Before anybody waits for the start.
    let seconds = Duration::try_from_secs_f64;
    let (warmup, window) = match load.pace {
        Pace::Closed { warmup_seconds, window_seconds } => (seconds(warmup_seconds)?, seconds(window_seconds)?),
        Pace::Open { window_seconds, .. } => (Duration::ZERO, seconds(window_seconds)?),
        Pace::SellOut { patience_seconds } => (Duration::ZERO, seconds(patience_seconds)?),
    };
    let processes = backend.processes();
    let (before, after) =
        (|| Reading::before(&processes, || backend.syncs()), || Reading::after(&processes, || backend.syncs()));
    std::thread::scope(|scope| {
        let mut buyers = Vec::with_capacity(load.threads);
        for thread in 0..load.threads {
            let (run, pace) = (&run, load.pace);
            let buyer = move || buy(backend, run, pace, thread);
            match std::thread::Builder::new().stack_size(stack_bytes(thread)).spawn_scoped(scope, buyer) {
                Ok(buyer) => buyers.push(buyer),
                Err(error) => {
                    run.break_off();
                    run.start.open();
                    let what = format!("thread {thread} of {} cannot be started", load.threads);
                    return Err(anyhow::Error::new(error).context(what));
                }
            }
        }
        // Until everybody has a till: that may take long, and is not part of what is measured.
        run.start.wait_for(buyers.len());
        let mut opened = before();
        if !matches!(load.pace, Pace::Closed { .. }) && !run.is_broken() {
            run.phase.store(COUNTING, Ordering::Relaxed);
        }
        let mut began = *run.first_due.get_or_init(Instant::now);
        run.start.open();
        if matches!(load.pace, Pace::Closed { .. }) {
            run.wait_until(began + warmup);
            opened = before();
            began = Instant::now();
            // Unless somebody broke: then it is over.
            let _ = run.phase.compare_exchange(WARMING_UP, COUNTING, Ordering::Relaxed, Ordering::Relaxed);
        }
        run.wait_until(began + window);
        run.phase.store(OVER, Ordering::Relaxed);
        let (elapsed, closed) = (began.elapsed(), after());
        let mut sum = Tally::new()?;
        for buyer in buyers {
            sum.add(buyer.join().map_err(|_| anyhow::anyhow!("a buying thread panicked"))??);
        }
        // What ends after the window of a closed loop is not counted; else everything is.
        let until_last = sum.last_ended.map(|ended| ended.saturating_duration_since(began));
        let (window, closed) = match load.pace {
            Pace::Closed { .. } => (elapsed, closed),
            Pace::Open { .. } => (until_last.unwrap_or_default().max(window), after()),
            Pace::SellOut { .. } => (until_last.unwrap_or(elapsed), after()),
        };
        Ok((sum, window, opened, closed))
    })
}

/// One thread, from its till to its last attempt. A panic is an error: the others are not left waiting.
fn buy<B: Backend + ?Sized>(backend: &B, run: &Run, pace: Pace, thread: usize) -> anyhow::Result<Tally> {
    let words = || format!("thread {thread} of {}", backend.name());
    let prepared = unpanicked(|| Ok((backend.till(thread)?, Tally::new()?)));
    if prepared.is_err() {
        run.break_off();
    }
    run.start.wait();
    let (mut till, mut tally) = prepared.with_context(words)?;
    let bought = unpanicked(|| if run.is_broken() { Ok(()) } else { buy_at(till.as_mut(), &mut tally, run, pace) });
    if bought.is_err() {
        run.break_off();
    }
    if run.done.fetch_add(1, Ordering::AcqRel) + 1 == run.threads {
        run.waits.unpark();
    }
    bought.with_context(words).map(|()| tally)
}

fn unpanicked<T>(what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")))
}

/// Buys until the run is over.
fn buy_at(till: &mut dyn Till, tally: &mut Tally, run: &Run, pace: Pace) -> anyhow::Result<()> {
    match pace {
        Pace::Closed { .. } => {
            while run.phase.load(Ordering::Relaxed) != OVER {
                let began = Instant::now();
                let attempt = till.buy();
                let counts = match run.phase.load(Ordering::Relaxed) {
                    WARMING_UP => Counts::Not,
                    COUNTING => Counts::Fully,
                    _ => Counts::LatencyOnly,
                };
                tally.count(attempt, began, counts);
            }
        }
        Pace::Open { per_second, window_seconds } => {
            let first_due = *run.first_due.get_or_init(Instant::now);
            let closes = first_due + Duration::try_from_secs_f64(window_seconds)?;
            let schedule = Schedule::new(first_due, per_second, 0, 1);
            loop {
                let due = schedule.due_at(run.next.fetch_add(1, Ordering::Relaxed));
                if due >= closes || run.is_broken() {
                    break;
                }
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if Instant::now() < closes {
                    let attempt = till.buy();
                    tally.count(attempt, due, Counts::Fully);
                } else {
                    tally.dropped(closes - due);
                }
            }
        }
        Pace::SellOut { .. } => {
            let mut left = true;
            while left && run.phase.load(Ordering::Relaxed) != OVER {
                let began = Instant::now();
                let attempt = till.buy();
                left = !attempt.as_ref().is_ok_and(|attempt| attempt.bought == Bought::SoldOut);
                tally.count(attempt, began, Counts::Fully);
            }
        }
    }
    Ok(())
}

/// How an attempt counts, by when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Before the window.
    Not,
    /// Within it.
    Fully,
    /// After it: it was waiting when the window closed. Were it left out, those who wait
    /// longest would be seen least.
    LatencyOnly,
}

/// What one thread counted, or all of them.
struct Tally {
    counted: Counted,
    latency: Histogram<u64>,
    /// When the last attempt ended, however it ended.
    last_ended: Option<Instant>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1_000, LATENCY_NANOS_MAX, 3)?;
        Ok(Self { counted: Counted::default(), latency, last_ended: None })
    }

    /// An attempt that ends now; its latency counts from `since`.
    fn count(&mut self, attempt: anyhow::Result<Attempt>, since: Instant, counts: Counts) {
        let ended = Instant::now();
        self.last_ended = Some(ended);
        let (counted, in_window) = (&mut self.counted, u64::from(counts == Counts::Fully));
        match attempt {
            Ok(Attempt { bought, retries }) => {
                counted.retries += in_window * u64::from(retries);
                if bought == Bought::SoldOut {
                    counted.refused += in_window;
                    return;
                }
                counted.sold_in_all += 1;
                counted.sold += in_window;
                if counts != Counts::Not {
                    self.latency.saturating_record(nanos(ended.saturating_duration_since(since)));
                }
            }
            Err(error) => {
                counted.unknown_in_all += 1;
                counted.failed += in_window;
                counted.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    /// An attempt that had been due for so long when the window closed.
    fn dropped(&mut self, waited: Duration) {
        self.counted.dropped += 1;
        self.latency.saturating_record(nanos(waited));
    }

    fn add(&mut self, part: Self) {
        let (sum, counted) = (&mut self.counted, part.counted);
        sum.sold += counted.sold;
        sum.refused += counted.refused;
        sum.failed += counted.failed;
        sum.first_failure = sum.first_failure.take().or(counted.first_failure);
        sum.retries += counted.retries;
        sum.dropped += counted.dropped;
        sum.sold_in_all += counted.sold_in_all;
        sum.unknown_in_all += counted.unknown_in_all;
        self.last_ended = self.last_ended.max(part.last_ended);
        // Both have the same bounds, so adding cannot fail.
        let _ = self.latency.add(&part.latency);
    }

    fn counted(self, window: Duration) -> Counted {
        let micros = |percent| percentile(&self.latency, percent).as_secs_f64() * 1e6;
        let [p50, p90, p99, p999, max] = [50.0, 90.0, 99.0, 99.9, 100.0].map(micros);
        let micros = (!self.latency.is_empty()).then_some(Micros { p50, p90, p99, p999, max });
        Counted { seconds: window.as_secs_f64(), micros, ..self.counted }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LATENCY_NANOS_MAX)
}

#[cfg(test)]
mod tests;
