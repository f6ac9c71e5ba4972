//! A MySQL or MariaDB server, as the ways to sell share it: its tables, what it promises, its settings
//! and counters. Has a connection of its own for these, which never queues behind the buyers.

use super::ways::PROCEDURE;
use crate::lab::backend::{Promise, Shelf};
use anyhow::Context as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{Connection as _, Executor as _, Row as _};
use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;

/// How long anybody waits for a connection: longer than a busy server takes, shorter than patience.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Threads that read and write the sockets, at least and at most: one for each core, few enough that
/// most of the machine is the database's.
const WORKERS: (usize, usize) = (2, 8);

const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS lab_stock (sku VARCHAR(32) PRIMARY KEY, on_hand BIGINT NOT NULL, version BIGINT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS lab_orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(32) NOT NULL, quantity INT NOT NULL) ENGINE=InnoDB",
    "DROP PROCEDURE IF EXISTS lab_buy",
    PROCEDURE,
];
/// What decides how fast and how safe a server is; what it does not know is left out.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'innodb_flush_log_at_trx_commit', \
     'log_bin', 'sync_binlog', 'transaction_isolation', 'tx_isolation', 'innodb_buffer_pool_size', \
     'innodb_log_file_size', 'innodb_redo_log_capacity', 'innodb_flush_method', 'max_connections')";
/// MariaDB counts the log's syncs among all of InnoDB's only.
const SYNCS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_os_log_fsyncs', 'Innodb_data_fsyncs')";

/// A server that can be reached.
pub struct Database {
    name: String,
    options: MySqlConnectOptions,
    pid: Option<u32>,
    variables: BTreeMap<String, String>,
    /// Nothing after it broke.
    own: Mutex<Option<MySqlConnection>>,
    runtime: Runtime,
}

impl Database {
    /// Connects to a server at `url`, and makes the tables. `name` is short, such as `mariadb`; `pid` is
    /// its process, if we started it: then connections are not encrypted either.
    pub fn open(name: &str, url: &str, pid: Option<u32>) -> anyhow::Result<Self> {
        let workers = std::thread::available_parallelism().map_or(WORKERS.0, usize::from).clamp(WORKERS.0, WORKERS.1);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        let mut options = MySqlConnectOptions::from_str(url).context("the address is not one of a database")?;
        let (own, variables) = runtime
            .block_on(async {
                // As the address says, TLS where the server has it: MySQL wants to see a password that
                // way once, and takes its hash afterwards.
                let mut own = connect(&options).await?;
                for statement in SCHEMA {
                    // The text protocol: procedures cannot be made by a prepared statement.
                    own.execute(*statement).await?;
                }
                let variables = pairs(&mut own, VARIABLES).await?;
                Ok::<_, sqlx::Error>((own, variables))
            })
            .with_context(|| format!("connecting to {name}"))?;
        if pid.is_some() {
            options = options.ssl_mode(MySqlSslMode::Disabled);
        }
        Ok(Self { name: name.to_owned(), options, pid, variables, own: Mutex::new(Some(own)), runtime })
    }

    /// Its short name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to it.
    pub(super) fn options(&self) -> &MySqlConnectOptions {
        &self.options
    }

    /// Where its connections live.
    pub(in crate::lab::backends) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// So many new connections.
    pub(super) fn connections(&self, count: u32) -> Result<Vec<MySqlConnection>, sqlx::Error> {
        self.runtime.block_on(async {
            let mut opening = JoinSet::new();
            for _ in 0..count {
                let options = self.options.clone();
                opening.spawn(async move { connect(&options).await });
            }
            let mut connections = Vec::new();
            while let Some(opened) = opening.join_next().await {
                connections.push(opened.map_err(|error| sqlx::Error::Protocol(error.to_string()))??);
            }
            Ok(connections)
        })
    }

    /// When a transaction that it has committed is safe.
    pub fn promise(&self) -> Promise {
        promise(&self.variables)
    }

    /// What it says about itself.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings: Vec<_> = self.variables.clone().into_iter().collect();
        let tls = if self.pid.is_some() { "off" } else { "as the address says" };
        settings.push(("tls".to_owned(), tls.to_owned()));
        settings
    }

    /// Puts so many units on the shelf and forgets all orders.
    pub fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        let units = i64::try_from(units)?;
        self.own(async |own| {
            own.execute("TRUNCATE TABLE lab_orders").await?;
            let stock = sqlx::query("REPLACE INTO lab_stock (sku, on_hand, version) VALUES ('air', ?, 0)");
            stock.bind(units).execute(own).await.map(|_| ())
        })
    }

    /// What is left.
    pub fn shelf(&self) -> anyhow::Result<Shelf> {
        let (left, orders) = self.own(async |own| {
            let left: i64 = own.fetch_one("SELECT on_hand FROM lab_stock WHERE sku = 'air'").await?.try_get(0)?;
            let orders: i64 = own.fetch_one("SELECT COUNT(*) FROM lab_orders").await?.try_get(0)?;
            Ok((left, orders))
        })?;
        Ok(Shelf { left, orders: u64::try_from(orders)? })
    }

    /// Its process, if it is known.
    pub fn processes(&self) -> Vec<u32> {
        self.pid.into_iter().collect()
    }

    /// Syncs of its log; on MariaDB of its tables too.
    pub fn syncs(&self) -> Option<u64> {
        syncs(&self.own(async |own| pairs(own, SYNCS).await).ok()?)
    }

    /// Asks on the connection of its own, a second time if that broke: nothing that is asked so
    /// changes anything when it is asked twice.
    #[allow(clippy::needless_pass_by_value, reason = "a closure, made for this call")]
    fn own<T>(&self, ask: impl AsyncFn(&mut MySqlConnection) -> Result<T, sqlx::Error>) -> anyhow::Result<T> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.runtime.block_on(async {
            if let Some(mut connection) = own.take()
                && let Ok(answer) = ask(&mut connection).await
            {
                *own = Some(connection);
                return Ok(answer);
            }
            let mut connection = connect(&self.options).await?;
            let answer = ask(&mut connection).await?;
            *own = Some(connection);
            Ok::<_, sqlx::Error>(answer)
        });
        answer.with_context(|| format!("asking {}", self.name))
    }
}

/// A connection, within a bounded time.
pub(super) async fn connect(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    let connected = connect_as_told(options).await;
    // After a restart MySQL has forgotten the password's hash, and wants to see it on a safe way again.
    if connected.is_err() && matches!(options.get_ssl_mode(), MySqlSslMode::Disabled) {
        return connect_as_told(&options.clone().ssl_mode(MySqlSslMode::Preferred)).await;
    }
    connected
}

async fn connect_as_told(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    let connecting = MySqlConnection::connect_with(options);
    tokio::time::timeout(CONNECT_PATIENCE, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// Rows of a name and a value.
async fn pairs(
    connection: &mut MySqlConnection,
    question: &'static str,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let rows = connection.fetch_all(question).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn promise(variables: &BTreeMap<String, String>) -> Promise {
    let is = |name: &str, value: &str| variables.get(name).is_some_and(|set| set == value);
    // With a binary log, recovery throws away what is not in it.
    let binlog_is_synced = is("log_bin", "OFF") || is("sync_binlog", "1");
    // MariaDB's 3 syncs more often than 1 does.
    let log_is_synced = is("innodb_flush_log_at_trx_commit", "1") || is("innodb_flush_log_at_trx_commit", "3");
    if log_is_synced && binlog_is_synced { Promise::SyncedBeforeAnswer } else { Promise::SyncedLater }
}

fn syncs(counters: &BTreeMap<String, String>) -> Option<u64> {
    let count = counters.get("Innodb_os_log_fsyncs").or_else(|| counters.get("Innodb_data_fsyncs"));
    count?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_a_synced_log_is_a_promise() {
        let flush = "innodb_flush_log_at_trx_commit";
        for (flushed, log_bin, sync_binlog, promised) in [
            ("1", "OFF", "0", Promise::SyncedBeforeAnswer),
            ("1", "ON", "1", Promise::SyncedBeforeAnswer),
            ("1", "ON", "0", Promise::SyncedLater),
            ("2", "OFF", "0", Promise::SyncedLater),
            ("0", "OFF", "1", Promise::SyncedLater),
        ] {
            let set = map(&[(flush, flushed), ("log_bin", log_bin), ("sync_binlog", sync_binlog)]);
            assert_eq!(promise(&set), promised, "{set:?}");
        }
        assert_eq!(promise(&map(&[])), Promise::SyncedLater);
    }

    #[test]
    fn the_logs_own_counter_is_taken_where_there_is_one() {
        assert_eq!(syncs(&map(&[("Innodb_os_log_fsyncs", "3"), ("Innodb_data_fsyncs", "9")])), Some(3));
        assert_eq!(syncs(&map(&[("Innodb_data_fsyncs", "9")])), Some(9));
        assert_eq!(syncs(&map(&[])), None);
    }
}
