//! Redis decides: a Lua script, sent by its digest, takes the unit and adds the order in one step.

use super::{Connections, Store};
use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use crate::lab::backends::script::{ORDERS, STOCK, TAKE};
use redis::Script;
use std::sync::Arc;

/// A script that takes the unit and adds the order to a stream.
pub struct Lua {
    name: String,
    store: Arc<Store>,
    connections: Connections,
    take: Script,
}

impl Lua {
    /// Opens `pool` connections.
    pub fn connect(store: &Arc<Store>, pool: u32) -> anyhow::Result<Self> {
        let connections = Connections::open(store, pool)?;
        let name = format!("redis-lua-{}", store.fsync().setting());
        Ok(Self { name, store: Arc::clone(store), connections, take: Script::new(TAKE) })
    }
}

impl Backend for Lua {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        "a Lua script that takes the unit and adds the order to a stream; Redis's own protocol"
    }

    fn promise(&self) -> Promise {
        self.store.fsync().promise()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.store.settings()
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.store.stock_up(units)
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        Ok(Box::new(LuaTill { backend: self, thread }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.store.shelf()
    }

    fn processes(&self) -> Vec<u32> {
        self.store.processes()
    }

    // Redis counts no syncs.
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
