//! A run of the lab: every step of the plan, one record for each. The lock that is broken on
//! purpose takes part in every run, and a run that does not find it gives no result.

use super::backend::{Contender, Promise};
use super::backends::planted::ReleasedEarly;
use super::load::{Load, PLENTY, Pace, Sale};
use super::plan::{Plan, Step};
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// The backend that must be found broken.
pub const PLANTED: &str = "planted-broken-lock";
/// Threads from which on the planted backend must be found broken.
pub const PLANTED_THREADS: usize = 20;
/// A backend that could not make so large a share of its attempts is not tried at a higher rate.
const DROPPED_MAX: f64 = 0.05;

/// One backend under one load in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The backend.
    pub backend: String,
    /// Counted from 1.
    pub round: usize,
    /// What it got.
    pub load: Load,
    /// What came of it.
    pub sale: Sale,
}

/// A backend, for whoever reads its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// When it says that a sold unit is safe.
    pub promise: Promise,
    /// Versions, pools, settings.
    pub settings: Vec<(String, String)>,
}

/// What could not be measured, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The backend or its server.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a run found. Only [`run`] makes one, and only when it found the planted backend broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Every backend that took part.
    pub backends: Vec<About>,
    /// Every record, in the order of measuring.
    pub records: Vec<Record>,
    /// Backends that broke while they were measured: what is left of them is before that.
    pub broke: Vec<Missing>,
    /// Whether the run came to its end.
    pub is_whole: bool,
}

/// How far a run has come.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Steps that are done, this one too.
    pub done: usize,
    /// Steps that there are.
    pub of: usize,
    /// What was measured; nothing where a step was passed over.
    pub record: Option<&'a Record>,
}

/// The lab did not find the lock that is broken on purpose: nothing that it says counts.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It looked right.
    #[error("the planted broken lock was not found broken at {threads} threads: this run proves nothing")]
    NotFound {
        /// With so many threads.
        threads: usize,
    },
    /// It could not be run, or broke while it was measured.
    #[error("the planted broken lock could not be run")]
    NotRun(#[source] anyhow::Error),
}

/// Runs everything, until `stop` is set; `say` hears of each step.
pub fn run(
    plan: &Plan,
    contenders: &[Box<dyn Contender>],
    stop: &AtomicBool,
    say: &mut dyn FnMut(&Progress),
) -> Result<Outcome, RunError> {
    let planted = ReleasedEarly::default();
    // Before all else: also a run that is broken off has looked.
    let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 0.2 };
    let load = Load { threads: PLANTED_THREADS, units: PLENTY, pace };
    found_broken(&load, &sell(&planted, &load).map_err(RunError::NotRun)?)?;

    let all: Vec<&dyn Contender> =
        std::iter::once(&planted as &dyn Contender).chain(contenders.iter().map(AsRef::as_ref)).collect();
    run_all(plan, &all, stop, say)
}

fn run_all(
    plan: &Plan,
    all: &[&dyn Contender],
    stop: &AtomicBool,
    say: &mut dyn FnMut(&Progress),
) -> Result<Outcome, RunError> {
    let mut outcome = Outcome {
        backends: all.iter().map(|one| about(*one)).collect(),
        records: Vec::new(),
        broke: Vec::new(),
        is_whole: false,
    };
    let steps = plan.steps(all.len());
    // By backend, in an open loop: the lowest rate of this round that was too much.
    let mut too_much: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(outcome);
        }
        let contender = all[step.backend];
        let is_broken = outcome.broke.iter().any(|one| one.name == contender.name());
        let record = if is_broken || is_too_much(step, &too_much) {
            None
        } else {
            match sell(contender, &step.load) {
                Ok(sale) => {
                    Some(Record { backend: contender.name().to_owned(), round: step.round, load: step.load, sale })
                }
                // Whoever stops the run often ends the servers with it.
                Err(_) if stop.load(Ordering::Relaxed) => return Ok(outcome),
                // From here on nothing would show that the lab finds what is wrong.
                Err(error) if contender.name() == PLANTED => return Err(RunError::NotRun(error)),
                Err(error) => {
                    let why = format!("{error:#} (with {:?})", step.load);
                    outcome.broke.push(Missing { name: contender.name().to_owned(), why });
                    None
                }
            }
        };
        if let Some(record) = &record {
            if record.backend == PLANTED {
                found_broken(&record.load, &record.sale)?;
            }
            if let Some(rate) = dropped_at(record) {
                too_much.insert((step.round, step.backend), rate);
            }
        }
        say(&Progress { done: number + 1, of: steps.len(), record: record.as_ref() });
        outcome.records.extend(record);
    }
    outcome.is_whole = true;
    Ok(outcome)
}

/// A defect in one backend does not cost the figures of the others.
fn sell(contender: &dyn Contender, load: &Load) -> anyhow::Result<Sale> {
    catch_unwind(AssertUnwindSafe(|| contender.sell(load))).unwrap_or_else(|_| Err(anyhow!("it panicked")))
}

fn about(contender: &dyn Contender) -> About {
    About {
        name: contender.name().to_owned(),
        about: contender.about().to_owned(),
        promise: contender.promise(),
        settings: contender.settings(),
    }
}

fn is_too_much(step: &Step, too_much: &BTreeMap<(usize, usize), f64>) -> bool {
    let Pace::Open { per_second, .. } = step.load.pace else { return false };
    too_much.get(&(step.round, step.backend)).is_some_and(|rate| per_second > *rate)
}

/// The rate of an open loop that the backend could not keep up with.
#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn dropped_at(record: &Record) -> Option<f64> {
    let Pace::Open { per_second, window_seconds } = record.load.pace else { return None };
    let due = per_second * window_seconds;
    (record.sale.counted.dropped as f64 > due * DROPPED_MAX).then_some(per_second)
}

/// In a closed loop of enough threads the planted backend must be wrong.
fn found_broken(load: &Load, sale: &Sale) -> Result<(), RunError> {
    let must_show = load.threads >= PLANTED_THREADS && matches!(load.pace, Pace::Closed { .. });
    if must_show && sale.verdict.is_right() { Err(RunError::NotFound { threads: load.threads }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::load::{Costs, Counted};
    use crate::lab::plan::small;
    use crate::lab::verdict::Verdict;
    use std::sync::atomic::AtomicUsize;

    /// Sells what it is told to; keeps up with so many attempts a second.
    struct Fake {
        name: &'static str,
        keeps_up_with: f64,
        breaks_at_threads: usize,
        sales: AtomicUsize,
    }

    impl Contender for Fake {
        fn name(&self) -> &str {
            self.name
        }
        fn about(&self) -> &'static str {
            "a fake"
        }
        fn promise(&self) -> Promise {
            Promise::InMemory
        }
        fn settings(&self) -> Vec<(String, String)> {
            vec![("pool".to_owned(), "3".to_owned())]
        }
        fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
            assert!(self.name != "mad", "on purpose");
            anyhow::ensure!(load.threads < self.breaks_at_threads, "out of order");
            // The first round has six.
            let has_recovered = self.sales.fetch_add(1, Ordering::Relaxed) >= 5 && self.name == "recovers";
            let dropped = match load.pace {
                Pace::Open { per_second, .. } if per_second > self.keeps_up_with && !has_recovered => 1_000,
                _ => 0,
            };
            let counted = Counted { seconds: 1.0, sold: 1, sold_in_all: 1, dropped, ..Counted::default() };
            let verdict = Verdict { wrong_units: 0, oversold: 0, missing_orders: 0, unknown: 0 };
            Ok(Sale { counted, costs: Costs::default(), verdict })
        }
    }

    fn fake(name: &'static str, keeps_up_with: f64, breaks_at_threads: usize) -> Box<dyn Contender> {
        Box::new(Fake { name, keeps_up_with, breaks_at_threads, sales: AtomicUsize::new(0) })
    }

    fn of<'a>(outcome: &'a Outcome, name: &'a str) -> impl Iterator<Item = &'a Record> {
        outcome.records.iter().filter(move |record| record.backend == name)
    }

    #[test]
    fn every_step_has_its_record_and_the_planted_backend_takes_part() {
        let mut said = 0;
        let plan = small();
        let contenders = [fake("slow", 100.0, 1_000), fake("fast", 1e9, 1_000), fake("recovers", 100.0, 1_000)];
        let outcome = run(&plan, &contenders, &AtomicBool::new(false), &mut |progress| said = progress.done).unwrap();
        assert!(outcome.is_whole && outcome.broke.is_empty());
        assert_eq!(said, 4 * 2 * 6);
        assert_eq!(of(&outcome, "fast").count(), 2 * 6);
        // The rate that is too much is the last that it is tried at, in each round.
        assert_eq!(of(&outcome, "slow").count(), 2 * 5);
        // What was too much in one round is tried in the next.
        assert_eq!(of(&outcome, "recovers").count(), 5 + 6);
        assert!(of(&outcome, PLANTED).any(|record| !record.sale.verdict.is_right()));
        let names: Vec<_> = outcome.backends.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, [PLANTED, "slow", "fast", "recovers"]);
        assert_eq!(outcome.backends[1].settings, [("pool".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn what_breaks_is_named_once_and_left_alone_and_the_others_go_on() {
        let contenders = [fake("weak", 1e9, 20), fake("mad", 1e9, 1_000), fake("strong", 1e9, 1_000)];
        let outcome = run(&small(), &contenders, &AtomicBool::new(false), &mut |_| {}).unwrap();
        assert!(outcome.is_whole);
        let broke: Vec<_> = outcome.broke.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(broke, ["mad", "weak"]);
        assert!(outcome.broke[0].why.contains("panicked") && outcome.broke[1].why.contains("out of order"));
        assert_eq!(of(&outcome, "weak").count(), 1);
        assert_eq!(of(&outcome, "strong").count(), 2 * 6);
    }

    #[test]
    fn a_planted_backend_that_breaks_ends_the_run() {
        let (planted, other) = (fake(PLANTED, 1e9, 20), fake("other", 1e9, 1_000));
        let mut done = 0;
        let all = [planted.as_ref(), other.as_ref()];
        let ended = run_all(&small(), &all, &AtomicBool::new(false), &mut |progress| done = progress.done);
        let Err(RunError::NotRun(error)) = ended else { panic!("{ended:?}") };
        // Both with one thread; then it has 20.
        assert_eq!((error.to_string().as_str(), done), ("out of order", 2));
    }

    #[test]
    fn a_few_dropped_attempts_are_not_too_much() {
        let at = |dropped| {
            let load = Load { threads: 1, units: 1, pace: Pace::Open { per_second: 200.0, window_seconds: 0.5 } };
            let verdict = Verdict { wrong_units: 0, oversold: 0, missing_orders: 0, unknown: 0 };
            let counted = Counted { dropped, ..Counted::default() };
            let sale = Sale { counted, costs: Costs::default(), verdict };
            dropped_at(&Record { backend: String::new(), round: 1, load, sale })
        };
        assert_eq!((at(5), at(6)), (None, Some(200.0)));
    }

    #[test]
    fn a_run_that_is_stopped_keeps_what_it_has() {
        let stop = AtomicBool::new(false);
        let contenders = [fake("one", 1e9, 1_000)];
        let outcome =
            run(&small(), &contenders, &stop, &mut |progress| stop.store(progress.done == 3, Ordering::Relaxed))
                .unwrap();
        assert!(!outcome.is_whole);
        assert_eq!(outcome.records.len(), 3);
    }

    #[test]
    fn a_planted_backend_that_looks_right_ends_the_run() {
        let right = Sale {
            counted: Counted::default(),
            costs: Costs::default(),
            verdict: Verdict { wrong_units: 0, oversold: 0, missing_orders: 0, unknown: 0 },
        };
        let load = |threads, pace| Load { threads, units: PLENTY, pace };
        let closed = Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 };
        assert!(found_broken(&load(20, closed), &right).is_err());
        // With few threads it may well be right.
        assert!(found_broken(&load(1, closed), &right).is_ok());
        let mut wrong = right;
        wrong.verdict.wrong_units = 5;
        assert!(found_broken(&load(20, closed), &wrong).is_ok());
    }
}
