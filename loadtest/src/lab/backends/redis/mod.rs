//! Redis: as what decides, and as a lock around a read-modify-write in a database.
//!
//! - [`store`]: the server: what it promises, its settings.
//! - [`lua`]: a script that takes the unit and adds the order to a stream.
//! - [`lock`]: the lock, as Redisson makes it; [`locked`]: a database behind it.
//!
//! Touches no key but `lab:stock`, `lab:orders`, `lab:lock` and the channel `lab:lock:released`, and
//! changes no setting of a server: ours are started with the right ones.

pub mod lock;
pub mod locked;
pub mod lua;
pub mod store;

pub use lock::Lease;
pub use locked::Locked;
pub use lua::Lua;
pub use store::{Fsync, Store};

use super::pool::Pool;
use anyhow::Context as _;
use redis::{Client, Connection};
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Before the next attempt to connect to a server that could not be reached.
const AGAIN: Duration = Duration::from_millis(10);

/// Connections that all threads share.
struct Connections {
    client: Client,
    pool: Pool<Connection>,
}

impl Connections {
    fn open(store: &Store, count: u32) -> anyhow::Result<Self> {
        let client = store.client().clone();
        let open = |_| client.get_connection_with_timeout(CONNECT_PATIENCE);
        let connections = (0..count).map(open).collect::<Result<Vec<_>, _>>();
        let pool = Pool::of(connections.with_context(|| format!("{count} connections to Redis"))?);
        Ok(Self { client, pool })
    }

    /// Does something with a connection; one that failed is opened anew by whoever has it next.
    fn with<T>(&self, call: impl FnOnce(&mut Connection) -> redis::RedisResult<T>) -> anyhow::Result<T> {
        let mut taken = self.pool.take_blocking();
        let connection = match taken.connection() {
            Some(connection) => connection,
            empty => match self.client.get_connection_with_timeout(CONNECT_PATIENCE) {
                Ok(fresh) => empty.insert(fresh),
                Err(error) => {
                    std::thread::sleep(AGAIN);
                    return Err(error.into());
                }
            },
        };
        let answer = call(connection);
        if answer.is_err() {
            taken.broken();
        }
        Ok(answer?)
    }
}
