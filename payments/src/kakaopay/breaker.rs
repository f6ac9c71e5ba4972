//! Spares a gateway that does not answer, and the shoppers who would wait for it: after several failures of
//! `ready` in a row the next ones are refused at once, until a single one that is let through succeeds.
//!
//! For `ready` only. A capture, look-up or refund must never meet a breaker: money hangs on it.

use std::time::{Duration, Instant};

/// Counts failures. Its time is an argument.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls go through; so many failed in a row.
    Closed { failures: u32 },
    /// None goes through before this.
    Open { until: Instant },
    /// One goes through, the others wait for what becomes of it.
    Probing,
}

/// How a call is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Like every other.
    Usual,
    /// As the one that finds out whether the gateway answers again.
    Probe,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, state: State::Closed { failures: 0 } }
    }

    /// Lets a call through, or not.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Pass> {
        match self.state {
            State::Closed { .. } => Some(Pass::Usual),
            State::Open { until } if now >= until => {
                self.state = State::Probing;
                Some(Pass::Probe)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// The gateway answered, whatever it said. One answer is enough, also a late one.
    pub(super) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The gateway did not answer.
    pub(super) fn failed(&mut self, pass: Pass, now: Instant) {
        match (self.state, pass) {
            (State::Closed { failures }, _) if failures + 1 < self.failures_max => {
                self.state = State::Closed { failures: failures + 1 };
            }
            (State::Closed { .. }, _) | (State::Probing, Pass::Probe) => {
                self.state = State::Open { until: now + self.pause };
            }
            // From before it opened: known already.
            _ => {}
        }
    }

    /// The call was given up before it had an answer: the next one finds out instead.
    pub(super) fn given_up(&mut self, pass: Pass, now: Instant) {
        if (self.state, pass) == (State::Probing, Pass::Probe) {
            self.state = State::Open { until: now };
        }
    }

    /// Whether calls are refused.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn opened(at: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, PAUSE);
        for _ in 0..3 {
            let pass = breaker.admit(at).unwrap();
            breaker.failed(pass, at);
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, PAUSE);
        for _ in 0..10 {
            breaker.failed(Pass::Usual, now);
            breaker.failed(Pass::Usual, now);
            breaker.succeeded();
        }
        assert_eq!(breaker.admit(now), Some(Pass::Usual));
        assert_eq!(opened(now).admit(now), None);
    }

    #[test]
    fn one_call_finds_out_after_the_pause() {
        let now = Instant::now();
        let later = now + PAUSE;
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(later.checked_sub(Duration::from_millis(1)).unwrap()), None);
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert_eq!(breaker.admit(later), None, "one is enough");

        breaker.failed(Pass::Probe, later);
        assert_eq!(breaker.admit(later), None);
        assert_eq!(breaker.admit(later + PAUSE), Some(Pass::Probe));
        breaker.succeeded();
        assert_eq!(breaker.admit(later + PAUSE), Some(Pass::Usual));
    }

    #[test]
    fn a_late_failure_changes_nothing_and_a_late_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + PAUSE), Some(Pass::Probe));
        breaker.failed(Pass::Usual, now + PAUSE);
        assert_eq!(breaker.state, State::Probing);
        breaker.succeeded();
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + PAUSE), Some(Pass::Probe));
        breaker.given_up(Pass::Usual, now + PAUSE);
        assert_eq!(breaker.admit(now + PAUSE), None);
        breaker.given_up(Pass::Probe, now + PAUSE);
        assert_eq!(breaker.admit(now + PAUSE), Some(Pass::Probe));
    }
}
