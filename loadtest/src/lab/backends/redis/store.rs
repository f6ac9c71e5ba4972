//! A Redis server, as all that use it share it. Only reads its settings: it may be somebody's own.

use super::CONNECT_PATIENCE;
use crate::lab::backend::{Promise, Shelf};
use crate::lab::backends::script::{ORDERS, STOCK};
use anyhow::Context as _;
use redis::{Client, Commands as _, Connection};
use std::sync::{Mutex, PoisonError};

/// What decides how fast and how safe a server is.
const SETTINGS: &[&str] = &[
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "auto-aof-rewrite-percentage",
    "save",
    "maxclients",
    "io-threads",
];

/// When Redis writes its file to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before each answer.
    Always,
    /// Once a second.
    EverySecond,
    /// When the kernel feels like it, or there is no file at all.
    Never,
}

impl Fsync {
    /// The setting, as Redis calls it.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::Never => "no",
        }
    }

    /// When what was written is safe.
    pub const fn promise(self) -> Promise {
        match self {
            Self::Always => Promise::SyncedBeforeAnswer,
            Self::EverySecond => Promise::SyncedLater,
            Self::Never => Promise::InMemory,
        }
    }

    /// Of a server with these settings.
    fn of(appendonly: Option<&str>, appendfsync: Option<&str>) -> Self {
        match (appendonly, appendfsync) {
            (Some("yes"), Some("always")) => Self::Always,
            (Some("yes"), Some("everysec")) => Self::EverySecond,
            _ => Self::Never,
        }
    }
}

/// A server that can be reached.
pub struct Store {
    url: String,
    client: Client,
    pid: Option<u32>,
    settings: Vec<(String, String)>,
    /// Nothing after it broke.
    own: Mutex<Option<Connection>>,
}

impl Store {
    /// Connects to a server at `url`; `pid` is its process, if we started it.
    pub fn open(url: &str, pid: Option<u32>) -> anyhow::Result<Self> {
        let client = Client::open(url).context("the address is not one of Redis")?;
        let mut own = client.get_connection_with_timeout(CONNECT_PATIENCE).context("connecting to Redis")?;
        let settings = settings(&mut own).context("Redis does not say what its settings are")?;
        Ok(Self { url: url.to_owned(), client, pid, settings, own: Mutex::new(Some(own)) })
    }

    /// Its address, for another process; may have a password in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to connect to it.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// When it writes to disk.
    pub fn fsync(&self) -> Fsync {
        let get = |name: &str| self.settings.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str());
        Fsync::of(get("appendonly"), get("appendfsync"))
    }

    /// What it says about itself.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.settings.clone()
    }

    /// Its process, if it is known.
    pub fn processes(&self) -> Vec<u32> {
        self.pid.into_iter().collect()
    }

    /// Puts so many units on the script's shelf and forgets all orders.
    pub(in crate::lab::backends) fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.own(|redis| {
            redis.del::<_, ()>(ORDERS)?;
            redis.set::<_, _, ()>(STOCK, units)
        })
    }

    /// What the script has left.
    pub(in crate::lab::backends) fn shelf(&self) -> anyhow::Result<Shelf> {
        self.own(|redis| {
            let orders: u64 = redis::cmd("XLEN").arg(ORDERS).query(redis)?;
            Ok(Shelf { left: redis.get(STOCK)?, orders })
        })
    }

    /// Asks on a connection of its own, a second time if that broke: ask for nothing that may not be
    /// done twice.
    pub(super) fn own<T>(&self, ask: impl Fn(&mut Connection) -> redis::RedisResult<T>) -> anyhow::Result<T> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut connection) = own.take()
            && let Ok(answer) = ask(&mut connection)
        {
            *own = Some(connection);
            return Ok(answer);
        }
        let mut connection = self.client.get_connection_with_timeout(CONNECT_PATIENCE).context("asking Redis")?;
        let answer = ask(&mut connection).context("asking Redis")?;
        *own = Some(connection);
        Ok(answer)
    }
}

fn settings(redis: &mut Connection) -> redis::RedisResult<Vec<(String, String)>> {
    let about: String = redis::cmd("INFO").arg("server").query(redis)?;
    let version = about.lines().find_map(|line| line.strip_prefix("redis_version:"));
    let mut settings = vec![("version".to_owned(), version.unwrap_or("unknown").trim().to_owned())];
    for name in SETTINGS {
        // Older versions take one name at a time, and do not know all of them.
        let pair: Vec<String> = redis::cmd("CONFIG").arg("GET").arg(name).query(redis)?;
        if let [name, value] = pair.as_slice() {
            settings.push((name.clone(), value.clone()));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_nothing_is_promised() {
        for (file, fsync, found) in [
            (Some("yes"), Some("always"), Fsync::Always),
            (Some("yes"), Some("everysec"), Fsync::EverySecond),
            (Some("yes"), Some("no"), Fsync::Never),
            (Some("no"), Some("always"), Fsync::Never),
            (None, None, Fsync::Never),
        ] {
            assert_eq!(Fsync::of(file, fsync), found);
        }
        assert_eq!(Fsync::Never.promise(), Promise::InMemory);
    }
}
