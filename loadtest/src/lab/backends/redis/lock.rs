//! A lock in Redis, as Redisson's `RLock` is one: a token says whose it is, a lease ends it if its holder
//! dies, a watchdog renews the lease while it is held, and a message on its release wakes one of those
//! who wait in this process.
//!
//! As there: taking and letting go are a script each, a refusal says how long the lease still is, waiting
//! ends at the message or at the lease's end, and nobody queues: whoever comes at the right moment has
//! the lock, so that a thread may take it again that has just let it go.
//!
//! Not as there: it is not re-entrant. Redis knows of no fencing: a holder whose lease has run out is not
//! told, and goes on.

use super::{AGAIN, CONNECT_PATIENCE, Connections, Store};
use anyhow::{Context as _, bail};
use redis::{Client, Commands as _, Connection, Script};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LOCK: &str = "lab:lock";
const RELEASED: &str = "lab:lock:released";

/// Takes the lock; or says how many milliseconds its lease still is.
const TAKE: &str = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return -1 end \
     return math.max(redis.call('PTTL', KEYS[1]), 0)";
/// Lets the lock go if it is still ours, and wakes one of those that wait.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
       redis.call('DEL', KEYS[1]) redis.call('PUBLISH', KEYS[2], '1') return 1 end return 0";
/// Holds the lock for longer if it is still ours.
const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

/// How long anybody waits for the lock before giving up.
const PATIENCE: Duration = Duration::from_mins(2);
/// The longest sleep between two looks, should a message be lost with its connection.
const LOOK: Duration = Duration::from_secs(10);
/// The shortest: in the last millisecond of a lease nobody asks in a tight loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How often the listener looks whether it is still needed.
const LISTEN: Duration = Duration::from_millis(500);

/// How long the lock belongs to whoever took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// So long, and renewed by a watchdog for as long as it is held.
    Watched(Duration),
    /// So long and no longer, whatever its holder does.
    RunsOut(Duration),
}

impl Lease {
    /// What Redisson does unless it is told otherwise.
    pub const REDISSON: Self = Self::Watched(Duration::from_secs(30));

    pub(super) const fn length(self) -> Duration {
        match self {
            Self::Watched(length) | Self::RunsOut(length) => length,
        }
    }
}

/// The lock, for all threads of this process.
pub(super) struct Lock {
    lease: Lease,
    lease_millis: u64,
    connections: Connections,
    /// One more, so that whoever lets go does not queue behind those who want the lock.
    releasing: Connections,
    room: Arc<WaitingRoom>,
    take: Script,
    release: Script,
    /// No other process has it in its tokens.
    process: String,
    taken: AtomicU64,
}

/// That it is held, and whose.
pub(super) struct Held {
    token: String,
    /// How often it was refused first.
    pub(super) refused: u32,
    /// How often a message ended the wait for it.
    #[cfg_attr(not(test), expect(dead_code, reason = "a figure that only the test asks for"))]
    woken: u32,
}

impl Lock {
    /// Opens `pool` connections, and one each for releases, messages and the watchdog.
    pub(super) fn connect(store: &Store, lease: Lease, pool: u32) -> anyhow::Result<Self> {
        let room = Arc::new(WaitingRoom::default());
        let lock = Self {
            lease,
            lease_millis: u64::try_from(lease.length().as_millis())?,
            connections: Connections::open(store, pool)?,
            releasing: Connections::open(store, 1)?,
            room: Arc::clone(&room),
            take: Script::new(TAKE),
            release: Script::new(RELEASE),
            process: format!("{:016x}", rand::random::<u64>()),
            taken: AtomicU64::new(0),
        };
        let (subscribed, is_subscribed) = channel();
        let (listener, client) = (Arc::clone(&room), store.client().clone());
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        spawn("lock-listener").spawn(move || listener.listen(&client, &subscribed))?;
        is_subscribed.recv_timeout(CONNECT_PATIENCE).context("subscribing to the lock's messages")?;
        if let Lease::Watched(length) = lease {
            let client = store.client().clone();
            spawn("lock-watchdog").spawn(move || room.watch(&client, length))?;
        }
        Ok(lock)
    }

    /// Nobody holds it any more, whoever did.
    pub(super) fn reset(store: &Store) -> anyhow::Result<()> {
        store.own(|redis| redis.del::<_, ()>(LOCK))
    }

    /// Waits until it is ours.
    pub(super) fn lock(&self) -> anyhow::Result<Held> {
        let token = format!("{}:{}", self.process, self.taken.fetch_add(1, Ordering::Relaxed));
        let by = Instant::now() + PATIENCE;
        let (mut refused, mut woken) = (0, 0);
        loop {
            let take = |redis: &mut Connection| self.take.key(LOCK).arg(&token).arg(self.lease_millis).invoke(redis);
            let left: i64 = self.connections.with(take)?;
            let Ok(left) = u64::try_from(left) else {
                if matches!(self.lease, Lease::Watched(_)) {
                    self.room.watched().held = Some(token.clone());
                }
                return Ok(Held { token, refused, woken });
            };
            refused += 1;
            if Instant::now() >= by {
                bail!("the lock was not free within {PATIENCE:?}");
            }
            woken += u32::from(self.room.wait(Duration::from_millis(left).clamp(SHORTEST_WAIT, LOOK)));
        }
    }

    /// Lets it go; whether it was still ours.
    pub(super) fn unlock(&self, held: &Held) -> anyhow::Result<bool> {
        let mut watched = self.room.watched();
        if watched.held.as_ref() == Some(&held.token) {
            watched.held = None;
        }
        drop(watched);
        let release =
            |redis: &mut Connection| self.release.key(LOCK).key(RELEASED).arg(&held.token).invoke::<i64>(redis);
        Ok(self.releasing.with(release)? == 1)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.room.over.store(true, Ordering::Relaxed);
        // Under the lock, so that it cannot fall between the watchdog's look and its sleep.
        let _watched = self.room.watched();
        self.room.renew.notify_all();
    }
}

/// Those who wait for the lock, and who holds it.
#[derive(Default)]
struct WaitingRoom {
    /// Whether somebody may get up.
    woken: Mutex<bool>,
    wake: Condvar,
    watched: Mutex<Watched>,
    renew: Condvar,
    over: AtomicBool,
}

/// What the watchdog looks after.
#[derive(Default)]
struct Watched {
    /// The holder's token.
    held: Option<String>,
    /// Leases renewed so far.
    renewals: u64,
}

impl WaitingRoom {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until the lock was let go, at most so long; whether it was.
    fn wait(&self, at_most: Duration) -> bool {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(woken, at_most, |woken| !*woken);
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Lets one of those who wait get up, or the next who would wait.
    fn wake_one(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }

    /// One subscription for all threads, for as long as the lock is there.
    fn listen(&self, client: &Client, subscribed: &Sender<()>) {
        while !self.is_over() {
            // What ends it is that the connection broke; then it is made again.
            if self.hear(client, subscribed).is_err() {
                // What was said meanwhile nobody heard.
                self.wake_one();
                std::thread::sleep(AGAIN);
            }
        }
    }

    fn hear(&self, client: &Client, subscribed: &Sender<()>) -> redis::RedisResult<()> {
        let mut connection = client.get_connection_with_timeout(CONNECT_PATIENCE)?;
        connection.set_read_timeout(Some(LISTEN))?;
        let mut messages = connection.as_pubsub();
        messages.subscribe(RELEASED)?;
        // Somebody waits for the first only.
        let _ = subscribed.send(());
        while !self.is_over() {
            match messages.get_message() {
                Ok(_) => self.wake_one(),
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Renews the lease of whoever holds the lock, three times within it.
    fn watch(&self, client: &Client, lease: Duration) {
        let renew = Script::new(RENEW);
        let millis = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let mut connection = None;
        let mut due = Instant::now() + lease / 3;
        let mut watched = self.watched();
        while !self.is_over() {
            let now = Instant::now();
            if now < due {
                watched = self.renew.wait_timeout(watched, due - now).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            due = now + lease / 3;
            let Some(token) = watched.held.clone() else { continue };
            drop(watched);
            if connection.is_none() {
                connection = client.get_connection_with_timeout(CONNECT_PATIENCE).ok();
            }
            let renewed = connection.as_mut().map(|redis| renew.key(LOCK).arg(&token).arg(millis).invoke::<i64>(redis));
            let failed = !matches!(renewed, Some(Ok(_)));
            watched = self.watched();
            if failed {
                // Soon again: the lease runs.
                connection = None;
                due = Instant::now() + AGAIN;
            } else {
                watched.renewals += 1;
                self.renew.notify_all();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::servers;
    use std::sync::atomic::AtomicUsize;

    /// A watchdog that is held up for two thirds of it still renews it.
    const SHORT: Duration = Duration::from_millis(600);
    /// A holder that does nothing lets go well within it.
    const LONG: Duration = Duration::from_secs(2);

    fn waits_for_renewals(lock: &Lock, count: u64) {
        let watched = lock.room.watched();
        let end = watched.renewals + count;
        drop(lock.room.renew.wait_while(watched, |watched| watched.renewals < end).unwrap());
    }

    #[test]
    fn a_watched_lock_has_one_holder_for_longer_than_its_lease() {
        let server = servers::redis().unwrap();
        let store = Store::open(&server.url(), server.pid()).unwrap();
        let lock = Lock::connect(&store, Lease::Watched(SHORT), 4).unwrap();
        let holders = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let held = lock.lock().unwrap();
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    // Longer than its lease: the first may come at once, the others a third of it apart.
                    waits_for_renewals(&lock, 5);
                    assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1, "two holders");
                    assert!(lock.unlock(&held).unwrap(), "it was lost");
                });
            }
        });
    }

    #[test]
    fn a_lease_that_runs_out_lets_the_next_in_and_its_holder_lets_go_of_nothing() {
        let server = servers::redis().unwrap();
        let store = Store::open(&server.url(), server.pid()).unwrap();
        let lock = Lock::connect(&store, Lease::RunsOut(LONG), 4).unwrap();
        let first = lock.lock().unwrap();
        // Nobody lets it go: the second has it because the lease has run out.
        let second = lock.lock().unwrap();
        assert!(second.refused > 0);
        assert!(!lock.unlock(&first).unwrap(), "that of the second was let go");
        assert!(lock.unlock(&second).unwrap(), "the second had it no more");
    }

    #[test]
    fn threads_take_turns_and_whoever_waits_is_woken() {
        let server = servers::redis().unwrap();
        let store = Store::open(&server.url(), server.pid()).unwrap();
        let lock = Lock::connect(&store, Lease::REDISSON, 8).unwrap();
        let (sum, woken) = (Mutex::new(0), AtomicU64::new(0));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let held = lock.lock().unwrap();
                        *sum.try_lock().unwrap() += 1;
                        woken.fetch_add(u64::from(held.woken), Ordering::Relaxed);
                        lock.unlock(&held).unwrap();
                    }
                });
            }
        });
        assert_eq!(*sum.lock().unwrap(), 400);
        assert!(woken.into_inner() > 0, "nobody was woken");
        // Whoever is not woken waits so long, each time.
        assert!(began.elapsed() < LOOK, "somebody slept through a message: {:?}", began.elapsed());
    }
}
