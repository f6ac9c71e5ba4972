//! What a run counted: answers by status, latencies, and everything that did not go as planned.

use super::{Pace, Plan};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Longer latencies are recorded as this.
const LATENCY_NANOS_MAX: u64 = 120_000_000_000;

/// Answers by status code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCounts(Vec<u64>);

impl StatusCounts {
    fn new() -> Self {
        Self(vec![0; 600])
    }

    fn count(&mut self, status: u16) {
        // A status of 600 or more does not exist; such an answer is counted as status 0.
        let index = if usize::from(status) < self.0.len() { usize::from(status) } else { 0 };
        self.0[index] += 1;
    }

    fn add(&mut self, other: &Self) {
        for (sum, part) in self.0.iter_mut().zip(&other.0) {
            *sum += part;
        }
    }

    /// Answers with this status.
    pub fn of(&self, status: u16) -> u64 {
        self.0.get(usize::from(status)).copied().unwrap_or(0)
    }

    /// Every status that was seen, with its count.
    pub fn seen(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0_u16..).zip(&self.0).filter(|(_, count)| **count > 0).map(|(status, count)| (status, *count))
    }

    /// All answers.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What an open loop could not do as scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenCounts {
    /// Requests that were due in the window.
    pub due: u64,
    /// Of these, sent late because every connection was waiting for an answer.
    pub delayed: u64,
    /// Of these, never sent: the run ended first.
    pub unsent: u64,
    /// Of these, sent and not answered when the run ended.
    pub unanswered: u64,
}

/// How an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// Outside of the window.
    Not,
    /// In the window.
    Fully,
    /// Of a closed loop: it came after the window, to a request that waited when that closed. Were
    /// its latency left out, those who wait longest would be seen least.
    LatencyOnly,
}

/// A run's counts in the making; one for each thread.
pub(super) struct Tally {
    pub(super) window: StatusCounts,
    pub(super) total: StatusCounts,
    pub(super) latency: Histogram<u64>,
    pub(super) refused_latency: Histogram<u64>,
    pub(super) again: u64,
    pub(super) failures: u64,
    pub(super) first_failure: Option<String>,
    pub(super) reopened: u64,
    pub(super) unanswered: u64,
    pub(super) open: OpenCounts,
    pub(super) lateness: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            window: StatusCounts::new(),
            total: StatusCounts::new(),
            latency: latencies(),
            refused_latency: latencies(),
            again: 0,
            failures: 0,
            first_failure: None,
            reopened: 0,
            unanswered: 0,
            open: OpenCounts::default(),
            lateness: latencies(),
        }
    }

    /// Counts an answer.
    pub(super) fn answer(&mut self, status: u16, latency: Duration, counts: Counts) {
        self.total.count(status);
        match counts {
            Counts::Not => return,
            Counts::Fully => self.window.count(status),
            Counts::LatencyOnly => {}
        }
        let into = if (200..300).contains(&status) { &mut self.latency } else { &mut self.refused_latency };
        into.saturating_record(nanos(latency));
    }

    /// Lets a request that has no answer weigh in with the time it has waited.
    pub(super) fn waited(&mut self, latency: Duration) {
        self.latency.saturating_record(nanos(latency));
    }

    /// A request was sent so long after it was due.
    pub(super) fn late(&mut self, lateness: Duration) {
        self.lateness.saturating_record(nanos(lateness));
    }

    pub(super) fn add(&mut self, part: &Self) {
        self.window.add(&part.window);
        self.total.add(&part.total);
        // Both have the same bounds, so adding cannot fail.
        let _ = self.latency.add(&part.latency);
        let _ = self.refused_latency.add(&part.refused_latency);
        let _ = self.lateness.add(&part.lateness);
        self.again += part.again;
        self.failures += part.failures;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&part.first_failure);
        }
        self.reopened += part.reopened;
        self.unanswered += part.unanswered;
        self.open.due += part.open.due;
        self.open.delayed += part.open.delayed;
        self.open.unsent += part.open.unsent;
        self.open.unanswered += part.open.unanswered;
    }

    pub(super) fn into_report(self, plan: &Plan, elapsed: Duration) -> Report {
        Report {
            window: plan.window.unwrap_or(elapsed),
            elapsed: plan.window.unwrap_or(elapsed).max(elapsed),
            answers: self.window,
            answers_in_all: self.total,
            latency: self.latency,
            refused_latency: self.refused_latency,
            again: self.again,
            failures: self.failures,
            first_failure: self.first_failure,
            reopened: self.reopened,
            unanswered: self.unanswered,
            open: matches!(plan.pace, Pace::Open { .. }).then_some(self.open),
            lateness: self.lateness,
        }
    }
}

/// What a run counted.
#[derive(Debug, Clone)]
pub struct Report {
    /// How long was counted.
    pub window: Duration,
    /// From the window's opening until the last answer was here or patience ended; at least the window.
    pub elapsed: Duration,
    /// Answers in the window: that arrived in it (closed loop) or were due in it (open loop).
    pub answers: StatusCounts,
    /// Answers of the whole run, warming up included.
    pub answers_in_all: StatusCounts,
    /// Latencies of the window's 2xx answers, in nanoseconds, and of those that a closed loop still
    /// waited for when the window closed; in an open loop from the time the request was due. With
    /// those that never got an answer.
    pub latency: Histogram<u64>,
    /// Latencies of the other answers, in nanoseconds, likewise.
    pub refused_latency: Histogram<u64>,
    /// Answers after which the same request was sent again; they are in no other count.
    pub again: u64,
    /// Requests that failed without an answer, in the whole run.
    pub failures: u64,
    /// The first failure's words.
    pub first_failure: Option<String>,
    /// Connections that were opened anew.
    pub reopened: u64,
    /// Requests under way when patience ended.
    pub unanswered: u64,
    /// Of an open loop: what was not done as scheduled.
    pub open: Option<OpenCounts>,
    /// Of an open loop: how long after they were due requests were sent, in nanoseconds; by this
    /// client's own slowness or for want of a connection. The latencies contain it.
    pub lateness: Histogram<u64>,
}

impl Report {
    /// Answers a second in the window.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn per_second(&self) -> f64 {
        self.answers.sum() as f64 / self.window.as_secs_f64()
    }
}

/// The latency below which `percent` of `latencies` lie; 100 is the largest.
pub fn percentile(latencies: &Histogram<u64>, percent: f64) -> Duration {
    Duration::from_nanos(latencies.value_at_quantile(percent / 100.0))
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NANOS_MAX).max(1)
}

#[allow(clippy::expect_used, reason = "constants, checked by a test")]
fn latencies() -> Histogram<u64> {
    // From a microsecond to two minutes at three significant digits: about 200 KB.
    Histogram::new_with_bounds(1_000, LATENCY_NANOS_MAX, 3).expect("BUG: bounds of the latencies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let mut sum = Tally::new();
        for _ in 0..2 {
            let mut part = Tally::new();
            part.answer(201, Duration::from_millis(3), Counts::Fully);
            part.answer(201, Duration::from_secs(1), Counts::Not);
            part.answer(201, Duration::from_millis(2), Counts::LatencyOnly);
            part.answer(409, Duration::from_millis(5), Counts::Fully);
            part.answer(999, Duration::from_secs(100_000), Counts::Fully);
            sum.add(&part);
        }
        assert_eq!(sum.window.seen().collect::<Vec<_>>(), [(0, 2), (201, 2), (409, 2)]);
        assert_eq!(sum.total.of(201), 6);
        assert_eq!((sum.latency.len(), sum.refused_latency.len()), (4, 4));
        assert_eq!(percentile(&sum.latency, 99.0).as_millis(), 3);
    }
}
