//! The servers that backends need: somebody's own at a given address, else ours, each started when the
//! first backend asks for it, on a free port in a temporary folder.

use super::addresses::{self, AddressError, without_credentials};
use super::{Trials, Wanted};
use crate::lab::backends::engine::EngineShop;
use crate::lab::backends::redis::{Fsync, Store};
use crate::lab::backends::sql::Database;
use crate::servers::{Kind, Server};
use crate::shop::binary_beside_this_one;
use anyhow::{anyhow, bail, ensure};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Backends that have a pool to one database at the same time, and as many again for those under trial.
const POOLS_MAX: u32 = 16;

/// A server that was asked for, or why it is not there.
type Asked<T> = Result<Arc<T>, String>;

/// What backends are made on.
pub struct Ground<'a> {
    /// What is wanted.
    pub wanted: &'a Wanted<'a>,
    say: RefCell<&'a mut dyn FnMut(&str)>,
    servers: RefCell<Vec<Server>>,
    shops: RefCell<BTreeMap<&'static str, Asked<EngineShop>>>,
    databases: RefCell<BTreeMap<&'static str, Asked<Database>>>,
    stores: RefCell<BTreeMap<&'static str, Asked<Store>>>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>, say: &'a mut dyn FnMut(&str)) -> Self {
        let (servers, shops, databases, stores) = Default::default();
        Self { wanted, say: RefCell::new(say), servers, shops, databases, stores }
    }

    /// The servers that were started, to be kept for as long as they are used.
    pub(super) fn into_servers(self) -> Vec<Server> {
        self.servers.into_inner()
    }

    /// Tells whoever waits what is being done.
    pub fn say(&self, what: &str) {
        (self.say.borrow_mut())(what);
    }

    /// Shops of this engine, by the program beside the running one.
    pub fn shop(&self) -> anyhow::Result<Arc<EngineShop>> {
        once(&self.shops, "son7shop", || {
            self.say("starting this engine");
            let binary = binary_beside_this_one()?;
            ensure!(
                binary.is_file(),
                "{} is not there; build it: cargo build --release --bins --workspace",
                binary.display()
            );
            EngineShop::start(&binary, self.wanted.threads)
        })
    }

    /// MariaDB or MySQL.
    pub fn database(&self, kind: Kind) -> anyhow::Result<Arc<Database>> {
        let (name, given) = match kind {
            Kind::MariaDb => ("mariadb", &self.wanted.mariadb_url),
            Kind::MySql => ("mysql", &self.wanted.mysql_url),
            Kind::Redis => bail!("Redis is no database"),
        };
        let open = || {
            if let Some(url) = given {
                self.allow(addresses::check_database(url))?;
                return Database::open(name, url, None).map_err(|error| hidden(&error, url));
            }
            let (url, pid) = self.start(kind, &database_arguments(kind, self.wanted.largest_pool()))?;
            Database::open(name, &url, Some(pid))
        };
        once(&self.databases, name, open)
    }

    /// A Redis that writes to disk in this way. Ours are one for each way, and somebody's own is as it is.
    pub fn redis(&self, fsync: Fsync) -> anyhow::Result<Arc<Store>> {
        if self.wanted.redis_url.is_some() {
            let store = self.any_redis()?;
            let is = store.fsync();
            if is != fsync {
                bail!(
                    "the given Redis has appendfsync {} ({}), and the lab changes no setting of a server that it has not started",
                    is.setting(),
                    is.promise().words()
                );
            }
            return Ok(store);
        }
        if fsync == Fsync::Never {
            bail!("no such Redis is started");
        }
        once(&self.stores, fsync.setting(), || {
            let (url, pid) = self.start(Kind::Redis, &redis_arguments(fsync))?;
            Store::open(&url, Some(pid))
        })
    }

    /// A Redis, however it writes to disk.
    pub fn any_redis(&self) -> anyhow::Result<Arc<Store>> {
        let Some(url) = &self.wanted.redis_url else { return self.redis(Fsync::EverySecond) };
        once(&self.stores, "given", || {
            self.allow(addresses::check_redis(url))?;
            Store::open(url, None).map_err(|error| hidden(&error, url))
        })
    }

    fn allow(&self, checked: Result<(), AddressError>) -> Result<(), AddressError> {
        match checked {
            Err(AddressError::BeyondLoopback { .. }) if self.wanted.allow_remote => Ok(()),
            checked => checked,
        }
    }

    /// Its address and its process.
    fn start(&self, kind: Kind, arguments: &[String]) -> anyhow::Result<(String, u32)> {
        if self.wanted.stop.load(std::sync::atomic::Ordering::Relaxed) {
            bail!("stopped before it was started");
        }
        self.say(&format!("starting {kind}"));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start(kind, &arguments)?;
        let pid = server.pid().ok_or_else(|| anyhow!("{kind} has ended"))?;
        let url = server.url();
        self.servers.borrow_mut().push(server);
        Ok((url, pid))
    }
}

/// Opens it for whoever asks first; the others get the same, or the same reason.
fn once<T>(
    known: &RefCell<BTreeMap<&'static str, Asked<T>>>,
    name: &'static str,
    open: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<Arc<T>> {
    let before = known.borrow().get(name).cloned();
    let asked = before.unwrap_or_else(|| open().map(Arc::new).map_err(|error| format!("{error:#}")));
    known.borrow_mut().insert(name, asked.clone());
    asked.map_err(|why| anyhow!(why))
}

fn hidden(error: &anyhow::Error, url: &str) -> anyhow::Error {
    anyhow!(without_credentials(&format!("{error:#}"), url))
}

/// As somebody careful sets up a server that takes orders: a log that does not force the tables to be
/// written all the time, memory for all of them, and a sync for each commit. No binary log: one server
/// needs none, and it would cost a second sync.
fn database_arguments(kind: Kind, largest_pool: u32) -> Vec<String> {
    let mut arguments = vec![
        "--innodb-buffer-pool-size=512M".to_owned(),
        "--innodb-flush-log-at-trx-commit=1".to_owned(),
        format!("--max-connections={}", largest_pool * POOLS_MAX + 64),
    ];
    arguments.push(match kind {
        Kind::MySql => "--innodb-redo-log-capacity=1G".to_owned(),
        _ => "--innodb-log-file-size=512M".to_owned(),
    });
    arguments
}

/// One file that is only added to, as often synced as said; it is never written anew in the middle of a
/// measurement.
fn redis_arguments(fsync: Fsync) -> Vec<String> {
    let settings =
        [("appendfsync", fsync.setting()), ("no-appendfsync-on-rewrite", "no"), ("auto-aof-rewrite-percentage", "0")];
    settings.into_iter().flat_map(|(name, value)| [format!("--{name}"), value.to_owned()]).collect()
}

impl Wanted<'_> {
    /// Connections of the largest pool to a database that will be tried.
    fn largest_pool(&self) -> u32 {
        let Trials { database, .. } = self.trials;
        self.pool.or(database.iter().copied().max()).unwrap_or(1)
    }
}
