//! Rounds put together: the median of each figure with its smallest and largest, for every
//! backend under every load. Pure.

use super::load::{Costs, Counted, Load, Micros, Sale};
use super::run::Record;
use super::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// A figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// A backend under one load, over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What it got.
    pub load: Load,
    /// Rounds in which it was measured: fewer than planned where it broke, or the run was broken off.
    pub rounds: usize,
    /// Units sold a second.
    pub sold_per_second: Spread,
    /// Percentiles of the latency in microseconds; nothing where no round sold a unit.
    pub micros: Option<MicrosSpread>,
    /// Attempts that were told that nothing is left, over all rounds.
    pub refused: u64,
    /// Attempts that failed, over all rounds.
    pub failed: u64,
    /// Attempts of an open loop that could not be made, over all rounds.
    pub dropped: u64,
    /// Lost races and refused locks for each unit sold.
    pub retries_per_sale: f64,
    /// Costs for each unit sold; a figure that some round lacks is absent.
    pub costs: CostsSpread,
    /// The most wrong units of any round, by size; with its sign.
    pub wrong_units: i64,
    /// The most orders that are missing in any round, by size; with its sign: below zero, orders were written
    /// that nobody was told of.
    pub missing_orders: i64,
    /// The largest share of the units sold that is wrong, of any round; 0 to 1 and beyond.
    pub wrong_share: f64,
    /// The most units sold beyond the stock in any round.
    pub oversold: u64,
    /// Whether every round was right.
    pub is_right: bool,
}

/// Percentiles of a latency, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the others are what they are called")]
pub struct MicrosSpread {
    /// Rounds in which a unit was sold: only these have a latency.
    pub rounds: usize,
    pub p50: Spread,
    pub p90: Spread,
    pub p99: Spread,
    pub p999: Spread,
    pub max: Spread,
}

/// [`Costs`](super::load::Costs) over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "they are what they are called there")]
pub struct CostsSpread {
    pub backend_cpu_micros: Option<Spread>,
    pub buyers_cpu_micros: Option<Spread>,
    pub syncs: Option<Spread>,
    pub disk_flushes: Option<Spread>,
}

/// A backend under every load that it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub backend: String,
    /// In the order of the plan.
    pub points: Vec<Point>,
}

/// Every backend, and every load of each, in the order in which they first ran.
pub fn summarize(records: &[Record]) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    for record in records {
        if !names.contains(&record.backend.as_str()) {
            names.push(&record.backend);
        }
    }
    names.into_iter().map(|name| line(name, records)).collect()
}

fn line(name: &str, records: &[Record]) -> Line {
    let mut loads: Vec<(Load, Vec<&Record>)> = Vec::new();
    for record in records.iter().filter(|record| record.backend == name) {
        match loads.iter_mut().find(|(load, _)| *load == record.load) {
            Some((_, rounds)) => rounds.push(record),
            None => loads.push((record.load, vec![record])),
        }
    }
    let points = loads.iter().filter_map(|(load, rounds)| point(*load, rounds)).collect();
    Line { backend: name.to_owned(), points }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn point(load: Load, rounds: &[&Record]) -> Option<Point> {
    let sales = || rounds.iter().map(|round| &round.sale);
    let counted = || sales().map(|sale| &sale.counted);
    let micros = |of: fn(&Micros) -> f64| Spread::of(counted().filter_map(|counted| counted.micros.as_ref().map(of)));
    let micros = micros(|micros| micros.p50).and_then(|p50| {
        Some(MicrosSpread {
            rounds: counted().filter(|counted| counted.micros.is_some()).count(),
            p50,
            p90: micros(|micros| micros.p90)?,
            p99: micros(|micros| micros.p99)?,
            p999: micros(|micros| micros.p999)?,
            max: micros(|micros| micros.max)?,
        })
    });
    let cost = |of: fn(&Costs) -> Option<f64>| {
        let figures: Option<Vec<f64>> = sales().map(|sale| of(&sale.costs)).collect();
        figures.and_then(Spread::of)
    };
    let sum = |of: fn(&Counted) -> u64| counted().map(of).sum::<u64>();
    let sold = sum(|counted| counted.sold).max(1) as f64;
    let wrong_share =
        |sale: &Sale| sale.verdict.wrong_units.unsigned_abs() as f64 / sale.counted.sold_in_all.max(1) as f64;
    let most = |of: fn(&Verdict) -> i64| sales().map(|sale| of(&sale.verdict)).max_by_key(|units| units.unsigned_abs());
    Some(Point {
        load,
        rounds: rounds.len(),
        sold_per_second: Spread::of(counted().map(Counted::sold_per_second))?,
        micros,
        refused: sum(|counted| counted.refused),
        failed: sum(|counted| counted.failed),
        dropped: sum(|counted| counted.dropped),
        retries_per_sale: sum(|counted| counted.retries) as f64 / sold,
        costs: CostsSpread {
            backend_cpu_micros: cost(|costs| costs.backend_cpu_micros),
            buyers_cpu_micros: cost(|costs| costs.buyers_cpu_micros),
            syncs: cost(|costs| costs.syncs),
            disk_flushes: cost(|costs| costs.disk_flushes),
        },
        wrong_units: most(|verdict| verdict.wrong_units)?,
        missing_orders: most(|verdict| verdict.missing_orders)?,
        wrong_share: sales().map(wrong_share).max_by(f64::total_cmp)?,
        oversold: sales().map(|sale| sale.verdict.oversold).max()?,
        is_right: sales().all(|sale| sale.verdict.is_right()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::backend::Shelf;
    use crate::lab::load::Pace;

    fn record(backend: &str, threads: usize, round: usize, sold: u64, left: i64) -> Record {
        let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 };
        let micros = (sold > 0).then_some(Micros { p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 });
        let counted = Counted {
            seconds: 1.0,
            sold,
            sold_in_all: sold,
            failed: 1,
            retries: 2 * sold,
            micros,
            ..Counted::default()
        };
        // Only the first round knows its syncs.
        let costs = Costs { syncs: (round == 1).then_some(1.0), disk_flushes: Some(0.5), ..Costs::default() };
        let verdict = Verdict::new(100, sold, 0, Shelf { left, orders: sold });
        Record {
            backend: backend.to_owned(),
            round,
            load: Load { threads, units: 100, pace },
            sale: Sale { counted, costs, verdict },
        }
    }

    #[test]
    fn rounds_are_put_together_by_backend_and_load() {
        let mut records = [
            record("b", 1, 1, 5, 95),
            record("b", 20, 1, 10, 90),
            record("a", 1, 1, 0, 100),
            record("b", 20, 2, 30, 75),
            record("b", 20, 3, 20, 79),
        ];
        records[1].sale.verdict.missing_orders = 3;
        records[3].sale.verdict.missing_orders = -4;
        let lines = summarize(&records);
        assert_eq!(lines.iter().map(|line| line.backend.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let threads: Vec<usize> = lines[0].points.iter().map(|point| point.load.threads).collect();
        assert_eq!(threads, [1, 20]);
        let point = &lines[0].points[1];
        assert_eq!(point.sold_per_second, Spread { median: 20.0, min: 10.0, max: 30.0 });
        // The second round lost 25 of 30, the third 21 of 20.
        assert_eq!((point.wrong_units, point.is_right, point.failed), (5, false, 3));
        assert_eq!((point.missing_orders, lines[0].points[0].missing_orders), (-4, 0));
        assert!((point.wrong_share - 5.0 / 30.0).abs() < 1e-9);
        assert!((point.retries_per_sale - 2.0).abs() < 1e-9);
        assert_eq!(point.costs.syncs, None);
        assert_eq!(point.costs.disk_flushes, Spread::of([0.5]));
        assert_eq!((point.rounds, lines[0].points[0].rounds), (3, 1));
        // What never sold has no latency, not one of zero.
        assert_eq!(lines[1].points[0].micros, None);
        // What sold in one round of two has a latency of one.
        let lines = summarize(&[record("b", 20, 1, 5, 95), record("b", 20, 2, 0, 100)]);
        assert_eq!((lines[0].points[0].rounds, lines[0].points[0].micros.unwrap().rounds), (2, 1));
    }

    #[test]
    fn a_spread_of_nothing_is_nothing() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([4.0, 1.0]).unwrap(), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }
}
