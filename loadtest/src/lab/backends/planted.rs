//! A lock that is broken on purpose: released between the read and the write. A lab that
//! does not find it finds nothing.

use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Long enough that another thread gets in between, whatever the machine does.
const PAUSE: Duration = Duration::from_micros(200);

/// Sells from a number in memory, under a lock that is let go too early.
#[derive(Debug, Default)]
pub struct ReleasedEarly {
    shelf: Mutex<(i64, u64)>,
}

impl ReleasedEarly {
    fn lock(&self) -> MutexGuard<'_, (i64, u64)> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for ReleasedEarly {
    fn name(&self) -> &'static str {
        "planted-broken-lock"
    }

    fn about(&self) -> &'static str {
        "a lock that is released between the read and the write: must be found broken"
    }

    fn promise(&self) -> Promise {
        Promise::InMemory
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        *self.lock() = (i64::try_from(units)?, 0);
        Ok(())
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(BrokenTill(self)))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        let (left, orders) = *self.lock();
        Ok(Shelf { left, orders })
    }
}

struct BrokenTill<'a>(&'a ReleasedEarly);

impl Till for BrokenTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let left = self.0.lock().0;
        if left < 1 {
            return Ok(Attempt { bought: Bought::SoldOut, retries: 0 });
        }
        std::thread::sleep(PAUSE);
        let mut shelf = self.0.lock();
        shelf.0 = left - 1;
        shelf.1 += 1;
        Ok(Attempt { bought: Bought::Sold, retries: 0 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::harness::sell;
    use crate::lab::load::{Load, Pace};

    #[test]
    fn it_is_found_every_time() {
        let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 0.05 };
        for _ in 0..20 {
            let sale = sell(&ReleasedEarly::default(), &Load { threads: 20, units: 1_000_000, pace }).unwrap();
            assert!(!sale.verdict.is_right() && sale.verdict.wrong_units > 0, "{sale:?}");
        }
    }
}
