//! The Lua script in Redis behind an HTTP server, `loadtest lua-server`: the same script as
//! without it, and the same requests as this engine gets, but for the token and the key.

use super::http::{HttpTill, Line, purchase};
use super::redis::Store;
use crate::lab::backend::{Backend, Promise, Shelf, Till};
use crate::program::Program;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The environment variable that has Redis's URL for the server: with a password in it, it must not be among
/// the arguments, which anybody on this machine may read.
pub const REDIS_URL: &str = "LAB_REDIS_URL";
/// How long the server may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Loops of the server, a thread each, and the connections to Redis of each loop, which pipeline. With 2,000
/// connections on two cores: 2 loops with 1 each answered 61,000 and 58,000 a second, 1 with 1 58,000, 1 with 2
/// 45,000.
const SERVER_LOOPS: usize = 2;
const CONNECTIONS_EACH: usize = 1;

/// A server in front of a Lua script in Redis.
pub struct HttpLua {
    name: String,
    store: Arc<Store>,
    program: Program,
    // Last: the folder goes when nobody writes into it any more.
    _folder: TempDir,
}

impl HttpLua {
    /// Starts the server, `loadtest` being this crate's program. Each thread gets its own connection.
    pub fn start(loadtest: &Path, store: &Arc<Store>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(loadtest);
        command.arg("lua-server").env(REDIS_URL, store.url());
        command.args(["--threads", &SERVER_LOOPS.to_string(), "--connections-each", &CONNECTIONS_EACH.to_string()]);
        let program = Program::start(command, &folder.path().join("log"), START_PATIENCE)?;
        let name = format!("redis-lua-{}-http", store.fsync().setting());
        Ok(Self { name, store: Arc::clone(store), program, _folder: folder })
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
        self.store.fsync().promise()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.store.settings();
        settings.extend([
            ("server threads".to_owned(), SERVER_LOOPS.to_string()),
            ("server connections to Redis".to_owned(), (SERVER_LOOPS * CONNECTIONS_EACH).to_string()),
            ("HTTP connections".to_owned(), "one a thread".to_owned()),
        ]);
        settings
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.store.stock_up(units)
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let address = self.program.address();
        Ok(Box::new(HttpTill::new(Line::open(None, address)?, purchase(address, "air", None))))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.store.shelf()
    }

    fn processes(&self) -> Vec<u32> {
        let redis = self.store.processes();
        // Without Redis's own the sum would be too small: then nothing is said.
        if redis.is_empty() { redis } else { [redis, vec![self.program.pid()]].concat() }
    }
}
