//! A database behind a lock in Redis: lock, read-modify-write, let go.

use super::lock::Lock;
use super::{Lease, Store};
use crate::lab::backend::{Attempt, Backend, Promise, Shelf, Till};
use crate::lab::backends::sql::{Database, Shop, Way};
use std::sync::Arc;

/// A read-modify-write under the lock.
pub struct Locked {
    name: String,
    lease: Lease,
    lock: Lock,
    store: Arc<Store>,
    database: Arc<Database>,
    shop: Arc<Shop>,
}

impl Locked {
    /// Its name in tables and files.
    pub fn name_with(lease: Lease) -> String {
        match lease {
            Lease::Watched(_) => "redis-lock".to_owned(),
            Lease::RunsOut(length) => format!("redis-lock-lease-{}ms", length.as_millis()),
        }
    }

    /// Opens `pool` connections to each of the two.
    pub fn connect(store: &Arc<Store>, database: &Arc<Database>, lease: Lease, pool: u32) -> anyhow::Result<Self> {
        Ok(Self {
            name: Self::name_with(lease),
            lease,
            lock: Lock::connect(store, lease, pool)?,
            store: Arc::clone(store),
            database: Arc::clone(database),
            shop: Arc::new(Shop::open(database, Way::UnderALock, pool)?),
        })
    }
}

impl Backend for Locked {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        match self.lease {
            Lease::Watched(_) => "a lock in Redis, as Redisson's, around a read-modify-write in the database",
            Lease::RunsOut(_) => "the same with a lease that can run out while the lock is held",
        }
    }

    /// The order is the database's; the lock need not survive anything.
    fn promise(&self) -> Promise {
        self.database.promise()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let of = |server: &str, settings: Vec<(String, String)>| {
            let server = server.to_owned();
            settings.into_iter().map(move |(name, value)| (format!("{server}: {name}"), value))
        };
        let lease = ("lease".to_owned(), format!("{:?}", self.lease.length()));
        let both = of(self.database.name(), self.database.settings()).chain(of("redis", self.store.settings()));
        std::iter::once(lease).chain(both).collect()
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        Lock::reset(&self.store)?;
        self.database.stock_up(units)
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(LockedTill(self)))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.database.shelf()
    }

    fn processes(&self) -> Vec<u32> {
        let (redis, database) = (self.store.processes(), self.database.processes());
        // Half of it would be a wrong figure.
        if redis.is_empty() || database.is_empty() { Vec::new() } else { [redis, database].concat() }
    }

    /// The database's.
    fn syncs(&self) -> Option<u64> {
        self.database.syncs()
    }
}

struct LockedTill<'a>(&'a Locked);

impl Till for LockedTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let Locked { lock, database, shop, .. } = self.0;
        let held = lock.lock()?;
        let shop = Arc::clone(shop);
        let runtime = database.runtime();
        let task = runtime.spawn(async move { shop.buy().await });
        let bought = runtime.block_on(task);
        // Whether it was still ours changes nothing for this buyer, and a failure shows at the next.
        let _ = lock.unlock(&held);
        let bought = bought??;
        Ok(Attempt { retries: bought.retries + held.refused, ..bought })
    }
}
