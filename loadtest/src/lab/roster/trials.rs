//! The pool that suits a backend best: several sizes are tried, each in a short closed loop, and the one
//! that sells most is kept. Whether it sells rightly is judged later, and for the planted errors too the
//! best pool is taken.

use crate::lab::backend::{Contender, Promise};
use crate::lab::load::{Load, PLENTY, Pace, Sale};
use anyhow::{anyhow, ensure};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Two sizes in a row that sell less than this share of the best end the trials: more connections are
/// not going to help.
const WORSE: f64 = 0.9;

/// How a trial is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trials {
    /// Sizes of a pool in front of a database, smallest first.
    pub database: &'static [u32],
    /// Sizes of a pool in front of something faster, smallest first; those above the number of threads
    /// count as that.
    pub fast: &'static [u32],
    /// Seconds before anything is counted.
    pub warmup_seconds: f64,
    /// Seconds that are counted.
    pub window_seconds: f64,
}

impl Trials {
    /// For a run whose figures are to be kept.
    pub const FULL: Self = Self {
        database: &[1, 2, 4, 8, 16, 32, 64, 128],
        fast: &[4, 16, 64, 256, 2_000],
        warmup_seconds: 0.3,
        window_seconds: 0.35,
    };
    /// For a look.
    pub const QUICK: Self =
        Self { database: &[2, 8, 32], fast: &[64, 2_000], warmup_seconds: 0.05, window_seconds: 0.2 };
}

/// Makes a backend with a pool of so many connections.
pub(super) type Maker<'a> = &'a mut dyn FnMut(u32) -> anyhow::Result<Box<dyn Contender>>;

/// Tries all sizes and keeps the best. `threads` buy in each trial.
pub(super) fn best(
    make: Maker<'_>,
    sizes: &[u32],
    trials: &Trials,
    threads: usize,
    stop: &AtomicBool,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Box<dyn Contender>> {
    let pace = Pace::Closed { warmup_seconds: trials.warmup_seconds, window_seconds: trials.window_seconds };
    let load = Load { threads, units: PLENTY, pace };
    let mut kept: Option<(u32, f64, Box<dyn Contender>)> = None;
    let mut tried = Vec::new();
    let mut first_error = None;
    let mut worse = 0;
    for size in sizes {
        ensure!(!stop.load(Ordering::Relaxed), "stopped before its pool was found");
        let made = make(*size).and_then(|contender| Ok((contender.sell(&load)?.counted.sold_per_second(), contender)));
        let (rate, contender) = match made {
            Ok(made) => made,
            // A server may allow fewer connections.
            Err(error) => {
                tried.push(format!("{size}: not to be had"));
                first_error.get_or_insert(error);
                continue;
            }
        };
        tried.push(format!("{size}: {rate:.0}/s"));
        say(&format!("{}: a pool of {size} sells {rate:.0}/s", contender.name()));
        let best = kept.as_ref().map_or(0.0, |(_, rate, _)| *rate);
        worse = if rate < best * WORSE { worse + 1 } else { 0 };
        if kept.is_none() || rate > best {
            kept = Some((*size, rate, contender));
        }
        if worse == 2 {
            break;
        }
    }
    let (size, _, contender) = kept.ok_or_else(|| first_error.unwrap_or_else(|| anyhow!("no pool was tried")))?;
    let pool = format!("{size} ({}, with {threads} threads)", tried.join(", "));
    Ok(Box::new(Pooled { contender, pool }))
}

/// The backend with a pool of the size that somebody has set.
pub(super) fn fixed(make: Maker<'_>, size: u32) -> anyhow::Result<Box<dyn Contender>> {
    let mut pool = String::new();
    let _ = write!(pool, "{size} (set, nothing else tried)");
    Ok(Box::new(Pooled { contender: make(size)?, pool }))
}

/// A backend that says what its pool is.
struct Pooled {
    contender: Box<dyn Contender>,
    pool: String,
}

impl Contender for Pooled {
    fn name(&self) -> &str {
        self.contender.name()
    }

    fn about(&self) -> &str {
        self.contender.about()
    }

    fn promise(&self) -> Promise {
        self.contender.promise()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let pool = ("pool".to_owned(), self.pool.clone());
        std::iter::once(pool).chain(self.contender.settings()).collect()
    }

    fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
        self.contender.sell(load)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::load::{Costs, Counted};
    use crate::lab::verdict::Verdict;

    /// Sells what its pool allows; wrongly.
    struct Fake(u32);

    impl Contender for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }
        fn about(&self) -> &'static str {
            ""
        }
        fn promise(&self) -> Promise {
            Promise::InMemory
        }
        fn settings(&self) -> Vec<(String, String)> {
            vec![("made with".to_owned(), self.0.to_string())]
        }
        fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
            assert_eq!(load.threads, 9);
            let sold = match self.0 {
                4 => 100,
                8 => 90,
                16 => 300,
                32 => 200,
                64 => 250,
                _ => 1_000,
            };
            let verdict = Verdict { wrong_units: 3, oversold: 1, missing_orders: 0, unknown: 0 };
            let counted = Counted { seconds: 1.0, sold, ..Counted::default() };
            Ok(Sale { counted, costs: Costs::default(), verdict })
        }
    }

    fn pool_of(make: Maker<'_>, sizes: &[u32]) -> anyhow::Result<Vec<(String, String)>> {
        let stop = AtomicBool::new(false);
        best(make, sizes, &Trials::QUICK, 9, &stop, &mut |_| {}).map(|contender| contender.settings())
    }

    #[test]
    fn the_pool_that_sells_most_is_kept_and_all_trials_are_told() {
        let settings = pool_of(&mut |size| Ok(Box::new(Fake(size))), &Trials::FULL.database[2..]).unwrap();
        // 128 was not tried: two in a row had been worse.
        let pool = "16 (4: 100/s, 8: 90/s, 16: 300/s, 32: 200/s, 64: 250/s, with 9 threads)";
        let wanted = [("pool", pool), ("made with", "16")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings, wanted);
    }

    #[test]
    fn a_size_that_cannot_be_had_is_passed_over() {
        let mut make = |size| {
            ensure!(size != 16, "too many connections");
            Ok(Box::new(Fake(size)) as Box<dyn Contender>)
        };
        let settings = pool_of(&mut make, &[8, 16, 32]).unwrap();
        assert_eq!(settings[0].1, "32 (8: 90/s, 16: not to be had, 32: 200/s, with 9 threads)");
        let error = pool_of(&mut |_| Err(anyhow!("no server")), &[8, 16]).unwrap_err();
        assert_eq!(error.to_string(), "no server");
    }

    #[test]
    fn a_set_size_is_taken_without_a_trial_and_a_stop_ends_the_trials() {
        let settings = fixed(&mut |size| Ok(Box::new(Fake(size))), 5).unwrap().settings();
        assert_eq!((settings[0].1.as_str(), settings[1].1.as_str()), ("5 (set, nothing else tried)", "5"));
        let stop = AtomicBool::new(true);
        let stopped = best(&mut |size| Ok(Box::new(Fake(size))), &[4], &Trials::QUICK, 9, &stop, &mut |_| {});
        assert!(stopped.is_err());
    }
}
