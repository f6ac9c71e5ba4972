//! A database that decides: MySQL or MariaDB, through a pool of connections that all
//! threads share. Every way writes the order in the transaction that takes the unit, except
//! the naive one, which has none.

use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use anyhow::Context;
use rand::Rng as _;
use sqlx::mysql::{MySqlConnection, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Executor as _, MySql, MySqlPool, Row as _};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// How long a thread waits for a connection of the pool: longer than any queue here.
const ACQUIRE_PATIENCE: Duration = Duration::from_mins(2);
/// Lost races after which an optimistic buyer gives up.
const RACES_MAX: u32 = 10_000;
/// The longest pause after a lost race, in microseconds; it doubles up to this.
const BACKOFF_MICROS_MAX: u64 = 20_000;

/// The table of stock, of orders, and the stored procedure.
const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS lab_stock (sku VARCHAR(32) PRIMARY KEY, on_hand BIGINT NOT NULL, version BIGINT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS lab_orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(32) NOT NULL, quantity INT NOT NULL) ENGINE=InnoDB",
    "DROP PROCEDURE IF EXISTS lab_buy",
    "CREATE PROCEDURE lab_buy(OUT sold INT) BEGIN \
       DECLARE here BIGINT; \
       START TRANSACTION; \
       SELECT on_hand INTO here FROM lab_stock WHERE sku = 'air' FOR UPDATE; \
       IF here >= 1 THEN \
         UPDATE lab_stock SET on_hand = here - 1 WHERE sku = 'air'; \
         INSERT INTO lab_orders (sku, quantity) VALUES ('air', 1); \
         SET sold = 1; \
       ELSE SET sold = 0; END IF; \
       COMMIT; \
     END",
];
const READ: &str = "SELECT on_hand, version FROM lab_stock WHERE sku = 'air'";
const READ_LOCKED: &str = "SELECT on_hand, version FROM lab_stock WHERE sku = 'air' FOR UPDATE";
const WRITE: &str = "UPDATE lab_stock SET on_hand = ? WHERE sku = 'air'";
const ORDER: &str = "INSERT INTO lab_orders (sku, quantity) VALUES ('air', 1)";

/// How the database is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Read, subtract in the program, write: what goes wrong.
    Naive,
    /// `SELECT … FOR UPDATE`, `UPDATE`, `INSERT`, `COMMIT`, each a round trip: what JPA's
    /// pessimistic lock does.
    RowLock,
    /// The same in one call.
    Procedure,
    /// `UPDATE … WHERE on_hand >= 1`.
    Conditional,
    /// A version column: read, then write if nobody else has; else again.
    Optimistic,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Naive, Self::RowLock, Self::Procedure, Self::Conditional, Self::Optimistic];

    /// Its name, behind the server's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::RowLock => "for-update",
            Self::Procedure => "procedure",
            Self::Conditional => "conditional-update",
            Self::Optimistic => "optimistic",
        }
    }
}

/// A database that sells in one way.
pub struct Sql {
    name: String,
    way: Way,
    runtime: Runtime,
    pool: MySqlPool,
}

impl Sql {
    /// Connects; `server` is the database's short name, such as `mariadb`.
    pub fn connect(server: &str, url: &str, way: Way, pool: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let options = MySqlPoolOptions::new()
            .max_connections(pool)
            .min_connections(pool)
            .acquire_timeout(ACQUIRE_PATIENCE)
            .test_before_acquire(false);
        let pool = runtime.block_on(async {
            let pool = options.connect(url).await?;
            for statement in SCHEMA {
                // The text protocol: procedures cannot be made by a prepared statement.
                pool.execute(*statement).await?;
            }
            Ok::<_, sqlx::Error>(pool)
        });
        let pool = pool.with_context(|| format!("connecting to {server}"))?;
        Ok(Self { name: format!("{server}-{}", way.name()), way, runtime, pool })
    }
}

impl Backend for Sql {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        match self.way {
            Way::Naive => "read, subtract, write, without a lock or a transaction",
            Way::RowLock => "SELECT … FOR UPDATE, UPDATE, INSERT and COMMIT as separate statements",
            Way::Procedure => "a stored procedure that locks the row",
            Way::Conditional => "UPDATE … WHERE on_hand >= 1, INSERT, COMMIT",
            Way::Optimistic => "a version column, again after each lost race",
        }
    }

    fn promise(&self) -> Promise {
        // innodb_flush_log_at_trx_commit is 1 unless somebody says otherwise.
        Promise::SyncedBeforeAnswer
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        let units = i64::try_from(units)?;
        self.runtime.block_on(async {
            self.pool.execute("TRUNCATE TABLE lab_orders").await?;
            sqlx::query("REPLACE INTO lab_stock (sku, on_hand, version) VALUES ('air', ?, 0)")
                .bind(units)
                .execute(&self.pool)
                .await?;
            Ok(())
        })
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(SqlTill { way: self.way, runtime: self.runtime.handle().clone(), pool: self.pool.clone() }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.runtime.block_on(async {
            let left: i64 = self.pool.fetch_one(READ).await?.try_get(0)?;
            let orders: i64 = self.pool.fetch_one("SELECT COUNT(*) FROM lab_orders").await?.try_get(0)?;
            Ok(Shelf { left, orders: u64::try_from(orders)? })
        })
    }
}

struct SqlTill {
    way: Way,
    runtime: Handle,
    pool: MySqlPool,
}

impl Till for SqlTill {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let bought = self.runtime.block_on(async {
            let mut connection = self.pool.acquire().await?;
            match self.way {
                Way::Naive => naive(&mut connection).await,
                Way::RowLock => row_lock(&mut connection).await,
                Way::Procedure => procedure(&mut connection).await,
                Way::Conditional => conditional(&mut connection).await,
                Way::Optimistic => optimistic(&self.pool, connection).await,
            }
        });
        Ok(bought?)
    }
}

const fn first_time(bought: Bought) -> Attempt {
    Attempt { bought, retries: 0 }
}

/// Units on hand and their version.
async fn read(connection: &mut MySqlConnection, statement: &'static str) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// A read-modify-write without a transaction; also what a lock elsewhere protects.
pub(super) async fn naive(connection: &mut MySqlConnection) -> Result<Attempt, sqlx::Error> {
    let (on_hand, _) = read(connection, READ).await?;
    if on_hand < 1 {
        return Ok(first_time(Bought::SoldOut));
    }
    sqlx::query(WRITE).bind(on_hand - 1).execute(&mut *connection).await?;
    sqlx::query(ORDER).execute(connection).await?;
    Ok(first_time(Bought::Sold))
}

async fn row_lock(connection: &mut MySqlConnection) -> Result<Attempt, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let (on_hand, _) = read(&mut transaction, READ_LOCKED).await?;
    if on_hand < 1 {
        transaction.rollback().await?;
        return Ok(first_time(Bought::SoldOut));
    }
    sqlx::query(WRITE).bind(on_hand - 1).execute(&mut *transaction).await?;
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(first_time(Bought::Sold))
}

async fn procedure(connection: &mut MySqlConnection) -> Result<Attempt, sqlx::Error> {
    sqlx::query("CALL lab_buy(@sold)").execute(&mut *connection).await?;
    let sold: i64 = sqlx::query("SELECT CAST(@sold AS SIGNED)").fetch_one(connection).await?.try_get(0)?;
    Ok(first_time(if sold == 1 { Bought::Sold } else { Bought::SoldOut }))
}

async fn conditional(connection: &mut MySqlConnection) -> Result<Attempt, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let taken = sqlx::query("UPDATE lab_stock SET on_hand = on_hand - 1 WHERE sku = 'air' AND on_hand >= 1")
        .execute(&mut *transaction)
        .await?;
    if taken.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(first_time(Bought::SoldOut));
    }
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(first_time(Bought::Sold))
}

async fn optimistic(pool: &MySqlPool, mut connection: PoolConnection<MySql>) -> Result<Attempt, sqlx::Error> {
    let mut backoff = 100;
    for retries in 0..RACES_MAX {
        let (on_hand, version) = read(&mut connection, READ).await?;
        if on_hand < 1 {
            return Ok(Attempt { bought: Bought::SoldOut, retries });
        }
        let mut transaction = connection.begin().await?;
        let taken =
            sqlx::query("UPDATE lab_stock SET on_hand = ?, version = version + 1 WHERE sku = 'air' AND version = ?")
                .bind(on_hand - 1)
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        if taken.rows_affected() == 1 {
            sqlx::query(ORDER).execute(&mut *transaction).await?;
            transaction.commit().await?;
            return Ok(Attempt { bought: Bought::Sold, retries });
        }
        transaction.rollback().await?;
        // Nobody keeps a connection while it sleeps.
        drop(connection);
        let pause = rand::rng().random_range(0..backoff);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        backoff = (backoff * 2).min(BACKOFF_MICROS_MAX);
        connection = pool.acquire().await?;
    }
    Err(sqlx::Error::Protocol(format!("lost {RACES_MAX} races")))
}
