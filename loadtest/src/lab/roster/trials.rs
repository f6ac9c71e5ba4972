//! The pool that suits a backend best: several sizes are tried, each in a short closed loop, and the one
//! that sells most is kept. Whether it sells rightly is judged later, and for the planted errors too the
//! best pool is taken. One in whose trial anything failed is never kept: what it sold meanwhile says nothing.

use crate::lab::backend::{Contender, Promise};
use crate::lab::load::{Load, PLENTY, Pace, Sale};
use anyhow::{anyhow, bail, ensure};
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

/// Tries all sizes of the backend `name` and keeps the best. `threads` buy in each trial. An error if each
/// failed: that of the first.
pub(super) fn best(
    name: &str,
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
        let (rate, contender) = match trial(make, *size, &load) {
            Ok(made) => made,
            // A server may allow fewer connections.
            Err(error) => {
                tried.push(format!("{size}: failed"));
                say(&format!("{name}: a pool of {size} failed: {error:#}"));
                first_error.get_or_insert(error);
                continue;
            }
        };
        tried.push(format!("{size}: {rate:.0}/s"));
        say(&format!("{name}: a pool of {size} sells {rate:.0}/s"));
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
    let tried = format!("{}; with {threads} threads", tried.join(", "));
    Ok(Box::new(Pooled { contender, size, tried }))
}

/// Units sold a second with a pool of this size, and the backend.
fn trial(make: Maker<'_>, size: u32, load: &Load) -> anyhow::Result<(f64, Box<dyn Contender>)> {
    let contender = make(size)?;
    let counted = contender.sell(load)?.counted;
    // Of the whole run: what fails while it warms up fails.
    if counted.failed > 0 || counted.unknown_in_all > 0 {
        let failed = counted.failed.max(counted.unknown_in_all);
        let first = counted.first_failure.as_deref().unwrap_or("nobody knows why");
        bail!("attempts without an outcome: {failed}; the first: {first}");
    }
    Ok((counted.sold_per_second(), contender))
}

/// The backend with a pool of the size that somebody has set.
pub(super) fn fixed(make: Maker<'_>, size: u32) -> anyhow::Result<Box<dyn Contender>> {
    Ok(Box::new(Pooled { contender: make(size)?, size, tried: "none: the size was set".to_owned() }))
}

/// A backend that says what its pool is.
struct Pooled {
    contender: Box<dyn Contender>,
    size: u32,
    /// The sizes that were tried, and what each sold.
    tried: String,
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
        let pool = [("pool".to_owned(), self.size.to_string()), ("pools tried".to_owned(), self.tried.clone())];
        pool.into_iter().chain(self.contender.settings()).collect()
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

    /// Sells what its pool allows; wrongly. With a pool of 2 an attempt fails, with one of 3 one of the warm-up.
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
            let (failed, unknown_in_all) = (u64::from(self.0 == 2), u64::from(matches!(self.0, 2 | 3)));
            let first_failure = (unknown_in_all > 0).then(|| "refused".to_owned());
            let verdict = Verdict { wrong_units: 3, oversold: 1, missing_orders: 0, unknown: 0 };
            let counted = Counted { seconds: 1.0, sold, failed, unknown_in_all, first_failure, ..Counted::default() };
            Ok(Sale { counted, costs: Costs::default(), verdict })
        }
    }

    /// The settings of the best, and what was said meanwhile.
    fn best_of(make: Maker<'_>, sizes: &[u32]) -> (anyhow::Result<Vec<(String, String)>>, Vec<String>) {
        let (stop, mut said) = (AtomicBool::new(false), Vec::new());
        let mut say = |what: &str| said.push(what.to_owned());
        let best = best("fake", make, sizes, &Trials::QUICK, 9, &stop, &mut say);
        (best.map(|contender| contender.settings()), said)
    }

    fn check(settings: &[(String, String)], pool: &str, tried: &str) {
        let wanted = [("pool", pool), ("pools tried", tried), ("made with", pool)];
        assert_eq!(settings, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_pool_that_sells_most_is_kept_and_all_trials_are_told() {
        let (settings, said) = best_of(&mut |size| Ok(Box::new(Fake(size))), &Trials::FULL.database[2..]);
        // 128 was not tried: two in a row had been worse.
        check(&settings.unwrap(), "16", "4: 100/s, 8: 90/s, 16: 300/s, 32: 200/s, 64: 250/s; with 9 threads");
        assert_eq!(said[2], "fake: a pool of 16 sells 300/s");
    }

    #[test]
    fn a_size_that_fails_is_passed_over_and_says_why() {
        let mut make = |size| {
            ensure!(size != 16, "too many connections");
            Ok(Box::new(Fake(size)) as Box<dyn Contender>)
        };
        // Those of 2 and 3 sell more than any other.
        let (settings, said) = best_of(&mut make, &[2, 3, 8, 16, 32]);
        check(&settings.unwrap(), "32", "2: failed, 3: failed, 8: 90/s, 16: failed, 32: 200/s; with 9 threads");
        let of_attempts =
            |size| format!("fake: a pool of {size} failed: attempts without an outcome: 1; the first: refused");
        assert_eq!(said[..2], [2, 3].map(of_attempts));
        assert_eq!(said[3], "fake: a pool of 16 failed: too many connections");
        let (none, _) = best_of(&mut make, &[16, 2]);
        assert_eq!(none.unwrap_err().to_string(), "too many connections");
    }

    #[test]
    fn a_set_size_is_taken_without_a_trial_and_a_stop_ends_the_trials() {
        let settings = fixed(&mut |size| Ok(Box::new(Fake(size))), 5).unwrap().settings();
        check(&settings, "5", "none: the size was set");
        let stop = AtomicBool::new(true);
        let stopped = best("fake", &mut |size| Ok(Box::new(Fake(size))), &[4], &Trials::QUICK, 9, &stop, &mut |_| {});
        assert!(stopped.is_err());
    }
}
