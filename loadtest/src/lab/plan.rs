//! How long, how often, with how many threads: a run of the lab as a list of steps. Pure.

use super::load::{Load, PLENTY, Pace};
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Rounds: everything below once for every backend.
    pub rounds: usize,
    /// Every thread buys again as soon as it has an answer.
    pub closed: Closed,
    /// Far more attempts than units.
    pub sell_out: SellOut,
    /// Attempts at fixed times.
    pub open: Open,
}

/// The closed loop, at several numbers of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// Numbers of threads, each a run.
    pub threads: Vec<usize>,
    /// Seconds of buying before anything is counted.
    pub warmup_seconds: f64,
    /// Seconds that are counted.
    pub window_seconds: f64,
}

/// Fewer units than threads want, at several numbers of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SellOut {
    /// Numbers of threads, each a run.
    pub threads: Vec<usize>,
    /// Units on the shelf.
    pub units: u64,
    /// Seconds after which a run stops anyway.
    pub patience_seconds: f64,
}

/// The open loop, at several rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Threads.
    pub threads: usize,
    /// Attempts a second, lowest first, each a run.
    pub per_second: Vec<f64>,
    /// Seconds of each.
    pub window_seconds: f64,
}

/// One run of one backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Counted from 1.
    pub round: usize,
    /// Which backend, counted from 0.
    pub backend: usize,
    /// What it gets.
    pub load: Load,
}

impl Plan {
    /// Every step of `backends` backends, in order: they take turns at every load, so that what
    /// changes on the machine meets all of them.
    pub fn steps(&self, backends: usize) -> Vec<Step> {
        let loads = self.loads();
        let rounds = 1..=self.rounds;
        let of_round = |round| {
            loads.iter().flat_map(move |load| (0..backends).map(move |backend| Step { round, backend, load: *load }))
        };
        rounds.flat_map(of_round).collect()
    }

    fn loads(&self) -> Vec<Load> {
        let Self { closed, sell_out, open, .. } = self;
        let pace = Pace::Closed { warmup_seconds: closed.warmup_seconds, window_seconds: closed.window_seconds };
        let closed = closed.threads.iter().map(|threads| Load { threads: *threads, units: PLENTY, pace });
        let pace = Pace::SellOut { patience_seconds: sell_out.patience_seconds };
        let sell_out = sell_out.threads.iter().map(|threads| Load { threads: *threads, units: sell_out.units, pace });
        let open = open.per_second.iter().map(|per_second| {
            let pace = Pace::Open { per_second: *per_second, window_seconds: open.window_seconds };
            Load { threads: open.threads, units: PLENTY, pace }
        });
        closed.chain(sell_out).chain(open).collect()
    }

    /// The most threads that any step starts.
    pub fn most_threads(&self) -> usize {
        self.loads().iter().map(|load| load.threads).max().unwrap_or(0)
    }
}

/// Seconds beside a step's own: stocking up, starting and ending its threads, looking at the shelf.
const BESIDE_SECONDS: f64 = 0.3;

impl Load {
    /// Seconds that a step with this load takes, if no thread has to wait for its last unit.
    pub fn nominal_seconds(&self) -> f64 {
        BESIDE_SECONDS
            + match self.pace {
                Pace::Closed { warmup_seconds, window_seconds } => warmup_seconds + window_seconds,
                Pace::Open { window_seconds, .. } => window_seconds,
                Pace::SellOut { patience_seconds } => patience_seconds,
            }
    }
}

#[cfg(test)]
pub(super) fn small() -> Plan {
    Plan {
        rounds: 2,
        closed: Closed { threads: vec![1, 20], warmup_seconds: 0.0, window_seconds: 0.02 },
        sell_out: SellOut { threads: vec![20], units: 10, patience_seconds: 10.0 },
        open: Open { threads: 4, per_second: vec![100.0, 1_000.0, 10_000.0], window_seconds: 0.05 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_take_turns_at_every_load() {
        let plan = small();
        let steps = plan.steps(2);
        assert_eq!(steps.len(), 2 * 2 * (2 + 1 + 3));
        assert_eq!((steps[0].backend, steps[1].backend), (0, 1));
        assert_eq!(steps[0].load, steps[1].load);
        assert_eq!((steps[11].round, steps[12].round), (1, 2));
        assert_eq!(plan.most_threads(), 20);
    }
}
