//! What the shoppers were told, over time and by step. Success, refusal and error are never added
//! together; latencies count from the time at which a request was due.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Intervals of a run, about.
const INTERVALS: f64 = 200.0;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Done.
    Accepted,
    /// A refusal that the step explains.
    Refused,
    /// Anything else: a broken connection, an answer that the step does not explain. When it came says
    /// nothing about accepted requests, so it has no latency.
    Error,
    /// An error, too: no answer by the end of the run. What was waited for it is a latency.
    Unanswered,
}

/// Counts and latencies, in microseconds.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Requests accepted.
    pub accepted: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests gone wrong.
    pub errors: u64,
    /// Requests that were due and never sent.
    pub dropped: u64,
    /// Of the accepted ones, and of those that waited in vain.
    pub latency: Histogram<u64>,
    /// Of the refused ones.
    pub refused_latency: Histogram<u64>,
}

#[allow(clippy::expect_used, reason = "two digits are allowed")]
fn micros() -> Histogram<u64> {
    Histogram::new(2).expect("BUG: significant digits")
}

/// The histogram grows with what is recorded; `saturating_record` would cut off what does not fit yet.
fn record(into: &mut Histogram<u64>, latency: Duration) {
    // No run is long enough for a latency that cannot be recorded.
    let _ = into.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

impl Default for Tally {
    fn default() -> Self {
        Self { accepted: 0, refused: 0, errors: 0, dropped: 0, latency: micros(), refused_latency: micros() }
    }
}

impl Tally {
    fn count(&mut self, told: Told, latency: Duration) {
        let (count, into) = match told {
            Told::Accepted => (&mut self.accepted, Some(&mut self.latency)),
            Told::Refused => (&mut self.refused, Some(&mut self.refused_latency)),
            Told::Error => (&mut self.errors, None),
            Told::Unanswered => (&mut self.errors, Some(&mut self.latency)),
        };
        *count += 1;
        if let Some(into) = into {
            record(into, latency);
        }
    }

    fn add(&mut self, part: &Self) {
        self.accepted += part.accepted;
        self.refused += part.refused;
        self.errors += part.errors;
        self.dropped += part.dropped;
        // They grow as they need to, so adding cannot fail.
        let _ = self.latency.add(&part.latency);
        let _ = self.refused_latency.add(&part.refused_latency);
    }
}

/// Milliseconds below which `percent` of the latencies lie; none without any.
#[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52 µs")]
pub fn percentile_ms(latency: &Histogram<u64>, percent: f64) -> Option<f64> {
    (!latency.is_empty()).then(|| latency.value_at_quantile(percent / 100.0) as f64 / 1_000.0)
}

/// An interval of the run, for graphs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Seconds from the start to its middle.
    pub at_seconds: f64,
    /// Seconds that it lasts.
    pub seconds: f64,
    /// Due in it and accepted.
    pub accepted: u64,
    /// Due in it and refused.
    pub refused: u64,
    /// Due in it and gone wrong.
    pub errors: u64,
    /// Due in it and never sent.
    pub dropped: u64,
    /// Of the accepted ones, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Of the accepted ones, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// What was told.
#[derive(Debug, Clone)]
pub struct Ledger {
    start: Instant,
    interval: Duration,
    intervals: Vec<Tally>,
    /// By step.
    pub steps: BTreeMap<&'static str, Tally>,
    /// Refusals by code.
    pub codes: BTreeMap<String, u64>,
    /// What the first errors said.
    pub errors: Vec<String>,
    answers: u64,
    busy: u64,
}

impl Ledger {
    /// For a run of so many seconds from `start` on.
    pub fn new(start: Instant, seconds: f64) -> Self {
        let interval = Duration::try_from_secs_f64((seconds / INTERVALS).max(0.5)).unwrap_or(Duration::from_secs(1));
        let (intervals, steps) = (Vec::new(), BTreeMap::new());
        Self { start, interval, intervals, steps, codes: BTreeMap::new(), errors: Vec::new(), answers: 0, busy: 0 }
    }

    /// The run begins then: what was due earlier counts as due then.
    pub fn begins(&mut self, start: Instant) {
        self.start = start;
    }

    /// An answer had this status, whatever follows from it.
    pub fn answered(&mut self, status: u16) {
        self.answers += 1;
        self.busy += u64::from(matches!(status, 503 | 429));
    }

    /// The share of answers that were 503 or 429, also of those after which the request was sent again;
    /// none without an answer.
    #[allow(clippy::cast_precision_loss, reason = "answers of a run are far below 2^52")]
    pub fn busy_share(&self) -> Option<f64> {
        (self.answers > 0).then(|| self.busy as f64 / self.answers as f64)
    }

    /// A request of this step, due then, was told this just now.
    pub fn tell(&mut self, step: &'static str, due: Instant, told: Told) {
        let latency = due.elapsed();
        self.steps.entry(step).or_default().count(told, latency);
        self.interval(due).count(told, latency);
    }

    /// A request that was due then was never sent.
    pub fn dropped(&mut self, due: Instant) {
        let tally = self.interval(due);
        tally.dropped += 1;
        record(&mut tally.latency, due.elapsed());
    }

    /// Keeps the words of the first few errors.
    pub fn explain(&mut self, why: impl FnOnce() -> String) {
        if self.errors.len() < 10 {
            self.errors.push(why());
        }
    }

    fn interval(&mut self, due: Instant) -> &mut Tally {
        let at = due.saturating_duration_since(self.start).as_nanos() / self.interval.as_nanos().max(1);
        let at = usize::try_from(at).unwrap_or(0);
        if self.intervals.len() <= at {
            self.intervals.resize_with(at + 1, Tally::default);
        }
        &mut self.intervals[at]
    }

    /// Adds another thread's.
    pub fn add(&mut self, part: Self) {
        if self.intervals.len() < part.intervals.len() {
            self.intervals.resize_with(part.intervals.len(), Tally::default);
        }
        for (sum, part) in self.intervals.iter_mut().zip(&part.intervals) {
            sum.add(part);
        }
        for (step, part) in &part.steps {
            self.steps.entry(step).or_default().add(part);
        }
        for (code, count) in part.codes {
            *self.codes.entry(code).or_default() += count;
        }
        self.errors.extend(part.errors);
        self.answers += part.answers;
        self.busy += part.busy;
    }

    /// Everything together.
    pub fn whole(&self) -> Tally {
        let mut whole = Tally::default();
        self.intervals.iter().for_each(|part| whole.add(part));
        whole
    }

    /// The intervals, for graphs.
    #[allow(clippy::cast_precision_loss, reason = "a run has few intervals")]
    pub fn points(&self) -> Vec<Point> {
        let seconds = self.interval.as_secs_f64();
        let point = |(at, tally): (usize, &Tally)| Point {
            at_seconds: (at as f64 + 0.5) * seconds,
            seconds,
            accepted: tally.accepted,
            refused: tally.refused,
            errors: tally.errors,
            dropped: tally.dropped,
            p50_ms: percentile_ms(&tally.latency, 50.0),
            p99_ms: percentile_ms(&tally.latency, 99.0),
        };
        self.intervals.iter().enumerate().map(point).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn success_refusal_error_and_drop_stay_apart_in_the_interval_in_which_they_were_due() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start, 1.0);
        ledger.tell("order", start, Told::Accepted);
        ledger.tell("order", start, Told::Refused);
        ledger.tell("list", start + Duration::from_millis(600), Told::Error);
        ledger.tell("list", start + Duration::from_millis(600), Told::Unanswered);
        ledger.dropped(start + Duration::from_millis(600));
        assert_eq!(ledger.busy_share(), None);
        for status in [201, 503, 409, 429] {
            ledger.answered(status);
        }
        let mut both = ledger.clone();
        both.add(ledger);
        let counts: Vec<_> = both.points().iter().map(|p| [p.accepted, p.refused, p.errors, p.dropped]).collect();
        assert_eq!(counts, [[2, 2, 0, 0], [0, 0, 4, 2]]);
        let whole = both.whole();
        assert_eq!([whole.accepted, whole.refused, whole.errors, whole.dropped], [2, 2, 4, 2]);
        // What was accepted, not answered and never sent; an error is no latency.
        assert_eq!((whole.latency.len(), whole.refused_latency.len()), (6, 2));
        assert_eq!((both.steps["order"].accepted, both.steps["list"].errors), (2, 4));
        assert_eq!(both.busy_share(), Some(0.5));
        assert_eq!(percentile_ms(&Tally::default().latency, 50.0), None);
    }

    #[test]
    fn a_latency_counts_from_when_it_was_due_however_long_it_is() {
        let start = Instant::now().checked_sub(Duration::from_mins(5)).unwrap();
        let mut ledger = Ledger::new(start, 1.0);
        ledger.tell("order", start, Told::Accepted);
        let mut both = ledger.clone();
        both.add(ledger);
        let p99 = percentile_ms(&both.whole().latency, 99.0);
        assert!(p99.is_some_and(|ms| ms > 290_000.0), "{p99:?}");
    }
}
