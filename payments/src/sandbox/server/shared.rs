//! The machine behind one lock, which nobody holds while they wait, and the clock: the real one and
//! what it was moved by.

use crate::sandbox::machine::Machine;
use son7shop_engine::Time;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};

/// Visits that the sandbox itself makes at the same time; more of them wait.
pub(super) const VISITS_MAX: usize = 64;
/// The longest sleep without looking at the clock again.
const NAP: Duration = Duration::from_hours(1);

pub(super) struct Shared {
    machine: Mutex<Machine>,
    /// Milliseconds that the clock is ahead of the real one.
    offset: watch::Sender<i64>,
    /// Told whenever somebody has had the machine.
    changed: watch::Sender<()>,
    /// Everything that runs holds a receiver until it ends.
    stop: watch::Sender<bool>,
    pub(super) visits: Arc<Semaphore>,
    /// Whether the shop may be on another machine.
    pub(super) allow_remote: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("offset", &self.offset()).finish_non_exhaustive()
    }
}

/// What runs until the sandbox stops.
pub(super) type Stopped = watch::Receiver<bool>;

impl Shared {
    pub(super) fn new(machine: Machine, allow_remote: bool) -> Self {
        Self {
            machine: Mutex::new(machine),
            offset: watch::Sender::new(0),
            changed: watch::Sender::new(()),
            stop: watch::Sender::new(false),
            visits: Arc::new(Semaphore::new(VISITS_MAX)),
            allow_remote,
        }
    }

    /// The machine and the time, for as long as `with` takes.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut Machine, Time) -> T) -> T {
        // Whoever panicked with it had a bug; the others go on with what there is.
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let told = with(&mut machine, self.now());
        drop(machine);
        self.changed.send_replace(());
        told
    }

    /// Returns once `is` is true of the machine.
    pub(super) async fn until(&self, is: impl Fn(&Machine) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if is(&self.machine.lock().unwrap_or_else(PoisonError::into_inner)) {
                return;
            }
            // Fails only when the sender is gone, which this borrows.
            let _ = changed.changed().await;
        }
    }

    pub(super) fn offset(&self) -> i64 {
        *self.offset.borrow()
    }

    pub(super) fn now(&self) -> Time {
        Time(real().saturating_add(self.offset()))
    }

    /// Moves the clock, forth or back; whoever waits looks at it again.
    pub(super) fn advance(&self, ms: i64) -> Time {
        self.offset.send_modify(|offset| *offset = offset.saturating_add(ms));
        self.now()
    }

    /// Sets the clock.
    pub(super) fn set(&self, now: Time) {
        self.offset.send_modify(|offset| *offset = now.0.saturating_sub(real()));
    }

    /// Returns once the clock has reached `time`.
    pub(super) async fn at(&self, time: Time) {
        let mut offset = self.offset.subscribe();
        loop {
            offset.mark_unchanged();
            let left = time.0.saturating_sub(self.now().0);
            let Ok(left) = u64::try_from(left) else { return };
            if left == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left).min(NAP)) => {}
                _ = offset.changed() => {}
            }
        }
    }

    /// For what is to run until the sandbox stops; it is waited for until it drops this.
    pub(super) fn running(&self) -> Stopped {
        self.stop.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns once nothing runs any more.
    pub(super) async fn stopped(&self) {
        self.stop.closed().await;
    }
}

/// Returns once the sandbox stops.
pub(super) async fn stopping(stopped: &mut Stopped) {
    // Fails only when the sandbox is gone.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn real() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
