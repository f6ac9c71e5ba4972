//! Redis: as a lock around a read-modify-write in the database, and as what decides.

use super::script::{ORDERS, STOCK, TAKE};
use super::sql::naive;
use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use anyhow::{Context, bail};
use redis::{Client, Commands as _, Connection, Script};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Executor as _, MySqlPool, Row as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const LOCK: &str = "lab:lock";
const RELEASED: &str = "lab:lock:released";

/// Lets the lock go if it is still ours, and wakes one of those that wait.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
       redis.call('DEL', KEYS[1]) redis.call('PUBLISH', KEYS[2], '1') return 1 end return 0";
/// Holds the lock for longer if it is still ours.
const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

/// How long anybody waits for the lock before giving up.
const LOCK_PATIENCE: Duration = Duration::from_mins(2);
/// The longest sleep between two looks: a wake-up can be lost when a connection breaks.
const LOOK: Duration = Duration::from_secs(1);

/// Connections that all threads share.
struct Connections {
    client: Client,
    free: Mutex<Vec<Connection>>,
    freed: Condvar,
}

impl Connections {
    fn open(url: &str, count: usize) -> anyhow::Result<Arc<Self>> {
        let client = Client::open(url)?;
        let free = (0..count).map(|_| client.get_connection()).collect::<Result<Vec<_>, _>>();
        let free = Mutex::new(free.context("connecting to Redis")?);
        Ok(Arc::new(Self { client, free, freed: Condvar::new() }))
    }

    /// Does something with a connection; one that failed is opened anew.
    fn with<T>(&self, call: impl FnOnce(&mut Connection) -> redis::RedisResult<T>) -> anyhow::Result<T> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = loop {
            match free.pop() {
                Some(connection) => break connection,
                None => free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(free);
        let answer = call(&mut connection);
        if answer.is_err()
            && let Ok(fresh) = self.client.get_connection()
        {
            connection = fresh;
        }
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        self.freed.notify_one();
        Ok(answer?)
    }
}

/// When Redis writes its file to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before each answer.
    Always,
    /// Once a second.
    EverySecond,
}

impl Fsync {
    /// The setting, as Redis calls it.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
        }
    }
}

/// A Lua script that takes the unit and adds the order to a stream.
pub struct Lua {
    name: String,
    fsync: Fsync,
    connections: Arc<Connections>,
    take: Script,
}

impl Lua {
    /// Connects, and switches the append-only file on.
    pub fn connect(url: &str, fsync: Fsync, pool: usize) -> anyhow::Result<Self> {
        let connections = Connections::open(url, pool)?;
        connections.with(|redis| {
            redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg(fsync.setting()).exec(redis)?;
            redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("yes").exec(redis)
        })?;
        Ok(Self { name: format!("redis-lua-{}", fsync.setting()), fsync, connections, take: Script::new(TAKE) })
    }
}

impl Backend for Lua {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        "a Lua script that takes the unit and adds the order to a stream"
    }

    fn promise(&self) -> Promise {
        match self.fsync {
            Fsync::Always => Promise::SyncedBeforeAnswer,
            Fsync::EverySecond => Promise::SyncedLater,
        }
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.connections.with(|redis| {
            redis.del::<_, ()>(ORDERS)?;
            redis.set::<_, _, ()>(STOCK, units)
        })
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(LuaTill { backend: self, thread }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.connections.with(|redis| {
            let orders: u64 = redis::cmd("XLEN").arg(ORDERS).query(redis)?;
            Ok(Shelf { left: redis.get(STOCK)?, orders })
        })
    }
}

struct LuaTill<'a> {
    backend: &'a Lua,
    thread: usize,
}

impl Till for LuaTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let Lua { connections, take, .. } = self.backend;
        let taken: i64 = connections.with(|redis| take.key(STOCK).key(ORDERS).arg(self.thread).invoke(redis))?;
        Ok(Attempt { bought: if taken == 1 { Bought::Sold } else { Bought::SoldOut }, retries: 0 })
    }
}

/// How long the lock belongs to whoever took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Thirty seconds, renewed by a watchdog for as long as it is held: Redisson's default.
    Watched,
    /// So long and no longer, whatever its holder does.
    RunsOut(Duration),
}

impl Lease {
    const WATCHED: Duration = Duration::from_secs(30);

    fn length(self) -> Duration {
        match self {
            Self::Watched => Self::WATCHED,
            Self::RunsOut(length) => length,
        }
    }
}

/// A lock in Redis around a read-modify-write in the database, as Redisson makes it: a
/// token, a lease, a watchdog, and a message that wakes those who wait.
pub struct Lock {
    name: String,
    lease: Lease,
    connections: Arc<Connections>,
    room: Arc<WaitingRoom>,
    runtime: Runtime,
    pool: MySqlPool,
    tokens: AtomicU64,
}

/// Those who wait for the lock, woken by Redis's messages, and who holds it.
#[derive(Default)]
struct WaitingRoom {
    /// Wake-ups that nobody has taken yet.
    woken: Mutex<u32>,
    wake: Condvar,
    /// The token of the holder that the watchdog looks after.
    held: Mutex<Option<String>>,
    over: AtomicBool,
}

impl Lock {
    /// Connects to both servers; `database` must have been made by [`super::sql::Sql::connect`].
    pub fn connect(redis: &str, database: &str, lease: Lease, pool: u32) -> anyhow::Result<Self> {
        let connections = Connections::open(redis, pool as usize)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let options =
            MySqlPoolOptions::new().max_connections(pool).min_connections(pool).acquire_timeout(LOCK_PATIENCE);
        let pool = runtime.block_on(options.test_before_acquire(false).connect(database))?;
        let room = Arc::new(WaitingRoom::default());
        room.listen(&connections.client)?;
        if lease == Lease::Watched {
            room.watch(&connections.client)?;
        }
        let name = match lease {
            Lease::Watched => "redis-lock".to_owned(),
            Lease::RunsOut(length) => format!("redis-lock-lease-{}ms", length.as_millis()),
        };
        Ok(Self { name, lease, connections, room, runtime, pool, tokens: AtomicU64::new(0) })
    }

    /// Takes the lock and says how often it was refused first.
    fn acquire(&self, token: &str) -> anyhow::Result<u32> {
        let by = Instant::now() + LOCK_PATIENCE;
        let lease = u64::try_from(self.lease.length().as_millis())?;
        let mut refused = 0;
        loop {
            let (taken, left): (bool, i64) = self.connections.with(|redis| {
                let taken: Option<String> =
                    redis::cmd("SET").arg(LOCK).arg(token).arg("NX").arg("PX").arg(lease).query(redis)?;
                if taken.is_some() { Ok((true, 0)) } else { Ok((false, redis.pttl(LOCK)?)) }
            })?;
            if taken {
                return Ok(refused);
            }
            refused += 1;
            if Instant::now() >= by {
                bail!("the lock was not free within {LOCK_PATIENCE:?}");
            }
            self.room.wait(Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LOOK));
        }
    }

    fn release(&self, token: &str) -> anyhow::Result<()> {
        self.connections.with(|redis| Script::new(RELEASE).key(LOCK).key(RELEASED).arg(token).invoke(redis))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.room.over.store(true, Ordering::Relaxed);
    }
}

impl WaitingRoom {
    /// Waits until the lock was let go, at most so long.
    fn wait(&self, at_most: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(woken, at_most, |woken| *woken == 0);
        let (mut woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *woken = woken.saturating_sub(1);
    }

    /// One subscription for all threads: each message wakes one of them.
    fn listen(self: &Arc<Self>, client: &Client) -> anyhow::Result<()> {
        let mut connection = client.get_connection()?;
        connection.set_read_timeout(Some(LOOK))?;
        let room = Arc::clone(self);
        std::thread::Builder::new().name("lock-listener".to_owned()).spawn(move || {
            let mut messages = connection.as_pubsub();
            if let Err(error) = messages.subscribe(RELEASED) {
                eprintln!("loadtest: nobody will be woken: {error}");
                return;
            }
            while !room.over.load(Ordering::Relaxed) {
                if messages.get_message().is_ok() {
                    *room.woken.lock().unwrap_or_else(PoisonError::into_inner) = 1;
                    room.wake.notify_one();
                }
            }
        })?;
        Ok(())
    }

    /// Renews the lock of whoever holds it, three times within a lease.
    fn watch(self: &Arc<Self>, client: &Client) -> anyhow::Result<()> {
        let mut connection = client.get_connection()?;
        let room = Arc::clone(self);
        std::thread::Builder::new().name("lock-watchdog".to_owned()).spawn(move || {
            let renew = Script::new(RENEW);
            let lease = u64::try_from(Lease::WATCHED.as_millis()).unwrap_or(u64::MAX);
            let mut renewed = Instant::now();
            while !room.over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                if renewed.elapsed() < Lease::WATCHED / 3 {
                    continue;
                }
                renewed = Instant::now();
                let held = room.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(token) = held {
                    let done: redis::RedisResult<i64> = renew.key(LOCK).arg(token).arg(lease).invoke(&mut connection);
                    if let Err(error) = done {
                        eprintln!("loadtest: the lock was not renewed: {error}");
                    }
                }
            }
        })?;
        Ok(())
    }
}

impl Backend for Lock {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        match self.lease {
            Lease::Watched => "a lock in Redis with a watchdog around a read-modify-write in the database",
            Lease::RunsOut(_) => "the same with a lease that can run out while the lock is held",
        }
    }

    fn promise(&self) -> Promise {
        Promise::SyncedBeforeAnswer
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.connections.with(|redis| redis.del::<_, ()>(LOCK))?;
        let units = i64::try_from(units)?;
        self.runtime.block_on(async {
            self.pool.execute("TRUNCATE TABLE lab_orders").await?;
            let stock = sqlx::query("REPLACE INTO lab_stock (sku, on_hand, version) VALUES ('air', ?, 0)");
            stock.bind(units).execute(&self.pool).await?;
            Ok(())
        })
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(LockTill(self)))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.runtime.block_on(async {
            let left: i64 = self.pool.fetch_one("SELECT on_hand FROM lab_stock WHERE sku = 'air'").await?.try_get(0)?;
            let orders: i64 = self.pool.fetch_one("SELECT COUNT(*) FROM lab_orders").await?.try_get(0)?;
            Ok(Shelf { left, orders: u64::try_from(orders)? })
        })
    }
}

struct LockTill<'a>(&'a Lock);

impl Till for LockTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let lock = self.0;
        let token = lock.tokens.fetch_add(1, Ordering::Relaxed).to_string();
        let retries = lock.acquire(&token)?;
        *lock.room.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        let bought = lock.runtime.block_on(async {
            let mut connection = lock.pool.acquire().await?;
            naive(&mut connection).await
        });
        lock.release(&token)?;
        Ok(Attempt { retries, ..bought? })
    }
}
