//! Rounds put together: the median of each figure with its smallest and largest, for every
//! backend at every number of threads. Pure.

use super::backend::Promise;
use super::run::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// A figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; nothing of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) };
        Some(Self { median, min, max })
    }

    /// In another unit.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, min: self.min * by, max: self.max * by }
    }
}

/// A backend at a number of threads.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Threads that bought.
    pub threads: usize,
    /// Units sold a second.
    pub sold_per_second: Spread,
    /// Median latency in microseconds; nothing where no round sold a unit.
    pub p50_micros: Option<Spread>,
    /// The 99th percentile of the latency in microseconds.
    pub p99_micros: Option<Spread>,
    /// The 99.9th.
    pub p999_micros: Option<Spread>,
    /// The most wrong units of any round, by size; with its sign.
    pub wrong_units: i64,
    /// The most units sold beyond the stock in any round.
    pub oversold: u64,
    /// Attempts that failed, over all rounds.
    pub failed: u64,
    /// Lost races and refused locks for each unit sold.
    pub retries_per_sale: f64,
    /// Whether every round was right.
    pub is_right: bool,
}

/// A backend over all numbers of threads.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its name.
    pub backend: String,
    /// When it says that a sold unit is safe.
    pub promise: Promise,
    /// By number of threads, fewest first.
    pub points: Vec<Point>,
}

/// Every backend, in the order in which they first ran.
pub fn summarize(records: &[Record]) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    for record in records {
        if !names.contains(&record.backend.as_str()) {
            names.push(&record.backend);
        }
    }
    names.into_iter().filter_map(|name| line(name, records)).collect()
}

fn line(name: &str, records: &[Record]) -> Option<Line> {
    let mut by_threads: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.backend == name) {
        by_threads.entry(record.threads).or_default().push(record);
    }
    let promise = by_threads.values().next()?.first()?.promise;
    let points = by_threads.into_iter().filter_map(|(threads, rounds)| point(threads, &rounds)).collect();
    Some(Line { backend: name.to_owned(), promise, points })
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn point(threads: usize, rounds: &[&Record]) -> Option<Point> {
    let micros = |of: fn(&super::run::Micros) -> f64| {
        Spread::of(rounds.iter().filter_map(|round| round.micros.as_ref().map(of)))
    };
    let sold: u64 = rounds.iter().map(|round| round.sold).sum();
    let retries: u64 = rounds.iter().map(|round| round.retries).sum();
    Some(Point {
        threads,
        sold_per_second: Spread::of(rounds.iter().map(|round| round.sold_per_second))?,
        p50_micros: micros(|micros| micros.p50),
        p99_micros: micros(|micros| micros.p99),
        p999_micros: micros(|micros| micros.p999),
        wrong_units: rounds.iter().map(|round| round.verdict.wrong_units).max_by_key(|wrong| wrong.unsigned_abs())?,
        oversold: rounds.iter().map(|round| round.verdict.oversold).max()?,
        failed: rounds.iter().map(|round| round.failed).sum(),
        retries_per_sale: retries as f64 / sold.max(1) as f64,
        is_right: rounds.iter().all(|round| round.verdict.is_right()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::backend::Shelf;
    use crate::lab::run::Micros;
    use crate::lab::verdict::Verdict;

    fn record(backend: &str, threads: usize, round: usize, sold: u64, left: i64) -> Record {
        Record {
            backend: backend.to_owned(),
            promise: Promise::SyncedLater,
            threads,
            round,
            #[allow(clippy::cast_precision_loss)]
            sold_per_second: sold as f64,
            sold,
            sold_in_all: sold,
            refused: 0,
            failed: 1,
            first_failure: None,
            retries: 2 * sold,
            micros: (sold > 0).then_some(Micros { p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 }),
            verdict: Verdict::new(100, sold, 0, Shelf { left, orders: sold }),
        }
    }

    #[test]
    fn rounds_are_put_together_by_backend_and_threads() {
        let records = [
            record("b", 20, 1, 10, 90),
            record("a", 1, 1, 0, 100),
            record("b", 1, 1, 5, 95),
            record("b", 20, 2, 30, 75),
            record("b", 20, 3, 20, 79),
        ];
        let lines = summarize(&records);
        assert_eq!(lines.iter().map(|line| line.backend.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let threads: Vec<usize> = lines[0].points.iter().map(|point| point.threads).collect();
        assert_eq!(threads, [1, 20]);
        let point = &lines[0].points[1];
        assert_eq!(point.sold_per_second, Spread { median: 20.0, min: 10.0, max: 30.0 });
        // The second round lost 25 of 30, the third 21 of 20.
        assert_eq!((point.wrong_units, point.is_right, point.failed), (5, false, 3));
        assert!((point.retries_per_sale - 2.0).abs() < 1e-9);
        // What never sold has no latency, not one of zero.
        assert_eq!(lines[1].points[0].p50_micros, None);
    }

    #[test]
    fn a_spread_of_nothing_is_nothing() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([4.0, 1.0]).unwrap(), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }
}
