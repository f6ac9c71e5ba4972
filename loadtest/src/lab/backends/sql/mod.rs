//! A database that decides: MySQL or MariaDB, through a pool of connections that all threads share.
//! Every way writes the order in the transaction that takes the unit, except the naive one, which has
//! none.
//!
//! - [`database`]: the server: what it promises, its settings and counters.
//! - [`ways`]: the statements of each way.
//!
//! An attempt runs as a task beside the sockets, and the buyer's thread is woken once, with the outcome:
//! a thread that is woken after each round trip has to be scheduled among thousands while it holds the
//! row's lock. Nothing touches the database but the tables `lab_stock` and `lab_orders` and the
//! procedure `lab_buy`; what is in them is thrown away.

pub mod database;
pub(super) mod ways;

pub use database::Database;
pub use ways::Way;

use super::pool::Pool;
use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use anyhow::Context;
use rand::Rng as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use ways::Tried;

/// Lost races after which a buyer gives up.
const RACES_MAX: u32 = 10_000;
/// The longest pause after the first lost race, in microseconds; it doubles with each.
const BACKOFF_MICROS: u64 = 100;
/// Up to this.
const BACKOFF_MICROS_MAX: u64 = 20_000;
/// Before the next attempt to connect to a server that could not be reached.
const AGAIN: Duration = Duration::from_millis(10);

/// A database that sells in one way.
pub struct Sql {
    name: String,
    way: Way,
    database: Arc<Database>,
    shop: Arc<Shop>,
}

impl Sql {
    /// Opens `pool` connections.
    pub fn connect(database: &Arc<Database>, way: Way, pool: u32) -> anyhow::Result<Self> {
        let shop = Shop::open(database, way, pool)?;
        let name = format!("{}-{}", database.name(), way.name());
        Ok(Self { name, way, database: Arc::clone(database), shop: Arc::new(shop) })
    }
}

impl Backend for Sql {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        self.way.about()
    }

    fn promise(&self) -> Promise {
        self.database.promise()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.database.settings()
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.database.stock_up(units)
    }

    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(SqlTill { runtime: self.database.runtime(), shop: &self.shop }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.database.shelf()
    }

    fn processes(&self) -> Vec<u32> {
        self.database.processes()
    }

    fn syncs(&self) -> Option<u64> {
        self.database.syncs()
    }
}

struct SqlTill<'a> {
    runtime: &'a Handle,
    shop: &'a Arc<Shop>,
}

impl Till for SqlTill<'_> {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        let shop = Arc::clone(self.shop);
        let task = self.runtime.spawn(async move { shop.buy().await });
        Ok(self.runtime.block_on(task)??)
    }
}

/// One way of selling, and its connections.
pub(in crate::lab::backends) struct Shop {
    way: Way,
    options: MySqlConnectOptions,
    pool: Pool<MySqlConnection>,
}

impl Shop {
    pub(in crate::lab::backends) fn open(database: &Database, way: Way, pool: u32) -> anyhow::Result<Self> {
        let connections = database.connections(pool);
        let connections = connections.with_context(|| format!("{pool} connections to {}", database.name()))?;
        Ok(Self { way, options: database.options().clone(), pool: Pool::of(connections) })
    }

    /// Tries until it was decided; nobody keeps a connection while it waits to try again.
    pub(in crate::lab::backends) async fn buy(&self) -> Result<Attempt, sqlx::Error> {
        let mut backoff = BACKOFF_MICROS;
        for retries in 0..RACES_MAX {
            match self.once().await? {
                Tried::Sold => return Ok(Attempt { bought: Bought::Sold, retries }),
                Tried::SoldOut => return Ok(Attempt { bought: Bought::SoldOut, retries }),
                Tried::Lost => {
                    let pause = rand::rng().random_range(0..backoff);
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                    backoff = (backoff * 2).min(BACKOFF_MICROS_MAX);
                }
            }
        }
        Err(sqlx::Error::Protocol(format!("lost {RACES_MAX} races")))
    }

    async fn once(&self) -> Result<Tried, sqlx::Error> {
        let mut taken = self.pool.take().await;
        let connection = match taken.connection() {
            Some(connection) => connection,
            empty => match database::connect(&self.options).await {
                Ok(fresh) => empty.insert(fresh),
                Err(error) => {
                    tokio::time::sleep(AGAIN).await;
                    return Err(error);
                }
            },
        };
        let tried = ways::buy(self.way, connection).await;
        match tried {
            // The database has rolled back and says: again.
            Err(error) if is_deadlock(&error) => Ok(Tried::Lost),
            Err(error) => {
                taken.broken();
                Err(error)
            }
            Ok(tried) => Ok(tried),
        }
    }
}

/// Error 1213: one of the two transactions was chosen to begin anew.
fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().is_some_and(|state| state == "40001"))
}
