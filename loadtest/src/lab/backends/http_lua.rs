//! The Lua script in Redis behind an HTTP server, `loadtest lua-server`: the same script as
//! without it, and the same requests as this engine gets, but for the token and the key.

use super::http::{HttpTill, Line, Pool, open_pool, purchase};
use super::redis::Fsync;
use super::script::{ORDERS, STOCK};
use crate::lab::backend::{Backend, Promise, Shelf, Till};
use crate::lean::LeanClient;
use crate::program::Program;
use anyhow::Context;
use redis::{Client, Commands as _, Connection};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// How long the server may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Loops of the server, a thread each.
const SERVER_THREADS: usize = 1;
/// Its connections to Redis, each of which pipelines; one was no slower than two on two cores.
const SERVER_CONNECTIONS: usize = 1;

/// A server in front of a Lua script in Redis.
pub struct HttpLua {
    name: String,
    fsync: Fsync,
    redis_pid: Option<u32>,
    redis: Mutex<Connection>,
    pool: Option<Arc<Pool<LeanClient>>>,
    program: Program,
    // Last: the folder goes when nobody writes into it any more.
    _folder: TempDir,
}

impl HttpLua {
    /// Starts the server, `loadtest` being this crate's program, on a Redis that is there, and
    /// switches that one's append-only file on. Each thread gets its own connection.
    pub fn start(loadtest: &Path, url: &str, fsync: Fsync, redis_pid: Option<u32>) -> anyhow::Result<Self> {
        let mut redis = Client::open(url)?.get_connection().context("connecting to Redis")?;
        redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg(fsync.setting()).exec(&mut redis)?;
        redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("yes").exec(&mut redis)?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(loadtest);
        command.args(["lua-server", "--redis", url]);
        command.args(["--threads", &SERVER_THREADS.to_string(), "--connections", &SERVER_CONNECTIONS.to_string()]);
        let program = Program::start(command, &folder.path().join("log"), START_PATIENCE)?;
        let name = format!("redis-lua-{}-http", fsync.setting());
        Ok(Self { name, fsync, redis_pid, redis: Mutex::new(redis), pool: None, program, _folder: folder })
    }

    /// The same, with `count` connections that all threads share.
    pub fn start_pooled(
        loadtest: &Path,
        url: &str,
        fsync: Fsync,
        redis_pid: Option<u32>,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut own = Self::start(loadtest, url, fsync, redis_pid)?;
        own.name.push_str("-pool");
        own.pool = Some(Arc::new(open_pool(own.program.address(), count)?));
        Ok(own)
    }

    fn redis<T>(&self, call: impl FnOnce(&mut Connection) -> redis::RedisResult<T>) -> anyhow::Result<T> {
        Ok(call(&mut self.redis.lock().unwrap_or_else(PoisonError::into_inner))?)
    }
}

impl Backend for HttpLua {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        "a warp server in front of a Lua script that takes the unit and adds the order to a stream; \
         without token and idempotency key"
    }

    fn promise(&self) -> Promise {
        match self.fsync {
            Fsync::Always => Promise::SyncedBeforeAnswer,
            Fsync::EverySecond => Promise::SyncedLater,
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("server threads".to_owned(), SERVER_THREADS.to_string()),
            ("server connections to Redis".to_owned(), SERVER_CONNECTIONS.to_string()),
            ("appendfsync".to_owned(), self.fsync.setting().to_owned()),
        ];
        let info = self.redis(|redis| redis::cmd("INFO").arg("server").query::<String>(redis));
        let version = info.ok().and_then(|info| Some(info.split_once("redis_version:")?.1.lines().next()?.to_owned()));
        settings.extend(version.map(|version| ("redis_version".to_owned(), version)));
        let connections = self.pool.as_ref().map_or("one a thread".to_owned(), |pool| pool.count().to_string());
        settings.push(("HTTP connections".to_owned(), connections));
        settings
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.redis(|redis| {
            redis.del::<_, ()>(ORDERS)?;
            redis.set::<_, _, ()>(STOCK, units)
        })
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let address = self.program.address();
        let line = Line::open(self.pool.clone(), address)?;
        Ok(Box::new(HttpTill::new(line, purchase(address, "air", None))))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.redis(|redis| {
            let orders: u64 = redis::cmd("XLEN").arg(ORDERS).query(redis)?;
            Ok(Shelf { left: redis.get(STOCK)?, orders })
        })
    }

    fn processes(&self) -> Vec<u32> {
        // Without Redis's own the sum would be too small: then nothing is said.
        self.redis_pid.map_or_else(Vec::new, |redis| vec![self.program.pid(), redis])
    }
}
