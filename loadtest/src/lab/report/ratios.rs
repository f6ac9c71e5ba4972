//! Ours against the others, at the largest number of threads of the closed loop: what was asked of
//! it, and whether it was held. Pure.
//!
//! Each round is compared with itself and the rounds are put together afterwards: what slowed the
//! machine down in one round slowed both.

use super::OURS;
use crate::lab::load::Pace;
use crate::lab::plan::Plan;
use crate::lab::run::Record;
use crate::lab::summary::Spread;
use serde::{Deserialize, Serialize};

/// Over HTTP, a connection for each thread.
const HTTP: &str = "son7shop-http";
/// Over HTTP, a pool of its best size.
const HTTP_POOL: &str = "son7shop-http-pool";
/// Over HTTP, as many connections as threads, all driven by one thread.
const HTTP_EPOLL: &str = "son7shop-http-epoll";
/// In the buyers' own process.
const IN_PROCESS: &str = "son7shop-in-process";

/// What was asked for: ours, of which the first is judged; over what; at least; aim.
type Asked = (&'static [&'static str], &'static str, f64, f64);

const POOL_IS_JUDGED: &[&str] = &[HTTP_POOL, HTTP, HTTP_EPOLL];
const ASKED: [Asked; 7] = [
    (POOL_IS_JUDGED, "mysql-for-update", 30.0, 100.0),
    (POOL_IS_JUDGED, "mariadb-procedure", 5.0, 10.0),
    (POOL_IS_JUDGED, "redis-lock", 25.0, 50.0),
    // Neither has a pool.
    (&[HTTP, HTTP_POOL, HTTP_EPOLL], "redis-lua-always-http", 1.5, 3.0),
    (POOL_IS_JUDGED, "redis-lua-always", 0.8, 1.5),
    (&[IN_PROCESS], "mutex-sync-each", 20.0, 100.0),
    (&[IN_PROCESS], "son7shop-in-process-unsynced", 0.6, 0.9),
];

/// All that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// The number of threads at which it is compared.
    pub threads: usize,
    /// One for each ratio that was asked for.
    pub rows: Vec<Ratio>,
    /// Units that all backends of ours sold wrongly: of each record the most of its wrong units, those
    /// oversold and its missing orders, as far as attempts of unknown outcome do not explain them. Nothing
    /// where none of ours was measured.
    pub sold_wrongly_by_ours: Option<u64>,
    /// Records of ours.
    pub records_of_ours: usize,
    /// Units sold in them, warming up included.
    pub sold_by_ours: u64,
    /// Attempts of ours whose outcome is not known.
    pub unknown_of_ours: u64,
}

/// Units sold a second by ours, as a multiple of what another backend sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The other backend.
    pub over: String,
    /// What was asked for.
    pub at_least: f64,
    /// What was hoped for.
    pub aim: f64,
    /// Which of ours is judged.
    pub judged: String,
    /// Ours, in the order of the page's columns.
    pub ours: Vec<Column>,
    /// What came of it.
    pub verdict: Held,
}

/// One of ours over the other backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Which of ours.
    pub backend: String,
    /// Over the rounds that both have; nothing where there is none.
    pub ratio: Option<Spread>,
}

/// Whether the least that was asked for was there, by the median of the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It was, and so was the aim.
    AimReached,
    /// It was.
    Held,
    /// It was not.
    Missed,
    /// One of the two is missing.
    NotMeasured,
}

impl Held {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AimReached => "held, aim reached",
            Self::Held => "held",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Ratios {
    /// Of a run's records.
    pub fn of(plan: &Plan, records: &[Record]) -> Self {
        let threads = plan.closed.threads.iter().copied().max().unwrap_or(0);
        let mut ratios = Self {
            threads,
            rows: ASKED.iter().map(|asked| ratio(*asked, threads, records)).collect(),
            sold_wrongly_by_ours: None,
            records_of_ours: 0,
            sold_by_ours: 0,
            unknown_of_ours: 0,
        };
        for Record { sale, .. } in records.iter().filter(|record| record.backend.starts_with(OURS)) {
            let verdict = &sale.verdict;
            let sizes = [verdict.wrong_units.unsigned_abs(), verdict.oversold, verdict.missing_orders.unsigned_abs()];
            let wrong = if verdict.is_right() { 0 } else { sizes.into_iter().max().unwrap_or(0) };
            ratios.sold_wrongly_by_ours = Some(ratios.sold_wrongly_by_ours.unwrap_or(0).saturating_add(wrong));
            ratios.records_of_ours += 1;
            ratios.sold_by_ours += sale.counted.sold_in_all;
            ratios.unknown_of_ours += verdict.unknown;
        }
        ratios
    }

    /// Whether any backend of ours was wrong.
    pub fn ours_is_wrong(&self) -> bool {
        self.sold_wrongly_by_ours.is_some_and(|wrong| wrong > 0)
    }

    /// The ratios that were missed.
    pub fn missed(&self) -> impl Iterator<Item = &Ratio> {
        self.rows.iter().filter(|row| row.verdict == Held::Missed)
    }
}

fn ratio((ours, over, at_least, aim): Asked, threads: usize, records: &[Record]) -> Ratio {
    let mut columns: Vec<Column> = ours
        .iter()
        .map(|name| Column { backend: (*name).to_owned(), ratio: per_round(name, over, threads, records) })
        .collect();
    let verdict = match columns.first().and_then(|judged| judged.ratio) {
        None => Held::NotMeasured,
        Some(Spread { median, .. }) if median >= aim => Held::AimReached,
        Some(Spread { median, .. }) if median >= at_least => Held::Held,
        Some(_) => Held::Missed,
    };
    // The same columns in every row.
    columns.sort_by_key(|column| [HTTP_POOL, HTTP, HTTP_EPOLL].iter().position(|name| *name == column.backend));
    let judged = ours.first().map_or(String::new(), |name| (*name).to_owned());
    Ratio { over: over.to_owned(), at_least, aim, judged, ours: columns, verdict }
}

fn per_round(ours: &str, over: &str, threads: usize, records: &[Record]) -> Option<Spread> {
    let rate = |backend: &str, round: usize| {
        let is_it = |record: &&Record| {
            record.backend == backend
                && record.round == round
                && record.load.threads == threads
                && matches!(record.load.pace, Pace::Closed { .. })
        };
        records.iter().find(is_it).map(|record| record.sale.counted.sold_per_second())
    };
    let rounds = 1..=records.iter().map(|record| record.round).max().unwrap_or(0);
    // What sold nothing is nobody's measure.
    let ratios = rounds.filter_map(|round| {
        let (ours, other) = (rate(ours, round)?, rate(over, round)?);
        Some(ours / other).filter(|ratio| ratio.is_finite())
    });
    Spread::of(ratios)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::plan::small;
    use crate::lab::report::tests::record;

    fn row<'a>(ratios: &'a Ratios, over: &str) -> &'a Ratio {
        ratios.rows.iter().find(|row| row.over == over).unwrap()
    }

    /// Sold in each round by ours and by the other; the middle ratio and the verdict.
    #[test]
    fn a_floor_is_judged_by_the_median_of_the_rounds_own_ratios() {
        for (sold, median, verdict) in [
            // The medians of both would give 30 ÷ 6 = 5, as would the first round.
            (&[(30, 6), (60, 10), (10, 1)][..], Some(6.0), Held::Held),
            (&[(40, 1)], Some(40.0), Held::AimReached),
            (&[(100, 10)], Some(10.0), Held::AimReached),
            (&[(49, 10)], Some(4.9), Held::Missed),
            // The other one sold nothing in the second round.
            (&[(50, 10), (50, 0)], Some(5.0), Held::Held),
            (&[(50, 0)], None, Held::NotMeasured),
            (&[], None, Held::NotMeasured),
        ] {
            let both = |(round, (ours, other)): (usize, &(u64, u64))| {
                let of = |name, sold| record(name, 20, round + 1, sold, 0);
                // With fewer threads, or in an open loop, it is not compared.
                let few = record(HTTP_POOL, 1, round + 1, 9_999, 0);
                let mut open = of(HTTP_POOL, 9_999);
                open.load.pace = Pace::Open { per_second: 1.0, window_seconds: 1.0 };
                [few, open, of(HTTP_POOL, *ours), of("mariadb-procedure", *other)]
            };
            let records: Vec<Record> = sold.iter().enumerate().flat_map(both).collect();
            let ratios = Ratios::of(&small(), &records);
            let row = row(&ratios, "mariadb-procedure");
            assert_eq!(row.ours[0].ratio.map(|ratio| ratio.median), median, "{sold:?}");
            assert_eq!(row.verdict, verdict, "{sold:?}");
        }
    }

    #[test]
    fn pools_are_judged_by_pools_and_threads_by_threads() {
        let records = [
            record(HTTP, 20, 1, 100, 0),
            record(HTTP_POOL, 20, 1, 300, 0),
            record("redis-lua-always-http", 20, 1, 100, 0),
            record("redis-lua-always", 20, 1, 100, 0),
        ];
        let ratios = Ratios::of(&small(), &records);
        let raw = row(&ratios, "redis-lua-always");
        assert_eq!((raw.judged.as_str(), raw.verdict), (HTTP_POOL, Held::AimReached));
        let http = row(&ratios, "redis-lua-always-http");
        assert_eq!((http.judged.as_str(), http.verdict), (HTTP, Held::Missed));
        let names = |row: &Ratio| row.ours.iter().map(|one| one.backend.clone()).collect::<Vec<_>>();
        assert_eq!(names(raw), [HTTP_POOL, HTTP, HTTP_EPOLL]);
        assert_eq!(names(http), names(raw));
        assert_eq!(raw.ours[2].ratio, None);
        assert_eq!(ratios.missed().count(), 1);
    }

    #[test]
    fn what_ours_sold_wrongly_is_added_up_and_none_of_ours_is_nothing() {
        assert_eq!(Ratios::of(&small(), &[record("naive", 20, 1, 11, 94)]).sold_wrongly_by_ours, None);
        let right = record(HTTP, 1, 1, 10, 90);
        let mut ratios = Ratios::of(&small(), std::slice::from_ref(&right));
        assert!(ratios.sold_wrongly_by_ours == Some(0) && !ratios.ours_is_wrong());
        // One of either sign: they do not make up for each other.
        let mut unwritten = right.clone();
        unwritten.sale.verdict.missing_orders = 4;
        let mut explained = record(HTTP, 1, 1, 10, 89);
        explained.sale.verdict.unknown = 1;
        let oversold = record(HTTP, 1, 1, 101, -1);
        let more = [unwritten, explained, oversold];
        let wrong =
            [vec![record(IN_PROCESS, 1, 1, 10, 92), right, record(HTTP, 20, 2, 10, 89)], more.to_vec()].concat();
        ratios = Ratios::of(&small(), &wrong);
        assert_eq!(
            (ratios.sold_wrongly_by_ours, ratios.records_of_ours, ratios.sold_by_ours),
            (Some(3 + 4 + 1), 6, 151)
        );
        assert_eq!(ratios.unknown_of_ours, 1);
        assert!(ratios.ours_is_wrong());
    }
}
