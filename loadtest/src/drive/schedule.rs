//! When requests are due in an open loop. Pure: times come in, numbers go out.

use std::time::{Duration, Instant};

/// Requests at even distances, shared evenly among threads.
///
/// Each time is computed from the start, not from the one before, so rounding does not add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    start: Instant,
    per_second: f64,
    first: u64,
    step: u64,
}

impl Schedule {
    /// The share of thread `index` of `threads` in a schedule of `per_second` requests a second.
    pub fn new(start: Instant, per_second: f64, index: usize, threads: usize) -> Self {
        Self { start, per_second, first: index as u64, step: threads as u64 }
    }

    /// When this thread's `n`-th request is due, counted from 0.
    #[allow(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 requests")]
    pub fn due_at(&self, n: u64) -> Instant {
        self.start + Duration::from_secs_f64((self.first + n * self.step) as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_distances_without_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3.0, 0, 1);
        assert_eq!(schedule.due_at(0), start);
        for second in [1_u64, 1_000, 86_400] {
            let off = (schedule.due_at(3 * second) - start).as_secs_f64();
            #[allow(clippy::cast_precision_loss)]
            let expect = second as f64;
            assert!((off - expect).abs() < 1e-6, "{off}");
        }
    }

    #[test]
    fn threads_share_one_schedule() {
        let start = Instant::now();
        let whole = Schedule::new(start, 1_000.0, 0, 1);
        let shares = [Schedule::new(start, 1_000.0, 0, 2), Schedule::new(start, 1_000.0, 1, 2)];
        for n in 0..100_usize {
            assert_eq!(whole.due_at(n as u64), shares[n % 2].due_at(n as u64 / 2));
        }
    }
}
