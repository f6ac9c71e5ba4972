//! What there is to measure on this machine: the servers that the backends need, started on free ports
//! in temporary folders, and every backend that can be had. What cannot be had is named with the reason.

use super::backend::Contender;
use super::backends::engine::{Engine, EngineShop};
use super::backends::redis::{Fsync, Lease, Lock, Lua};
use super::backends::sql::{Sql, Way};
use super::run::Missing;
use crate::servers::{Kind, Server};
use crate::shop::binary_beside_this_one;
use anyhow::ensure;
use std::time::Duration;

/// A lease that is shorter than some of the work under it.
const SHORT_LEASE: Duration = Duration::from_millis(5);

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Only backends whose name contains one of these; all, if there is none.
    pub only: Vec<String>,
    /// The most threads that will buy.
    pub threads: usize,
    /// Connections that the threads share, where a backend has a pool.
    pub pool: u32,
}

/// What is there.
pub struct Roster {
    /// The backends.
    pub contenders: Vec<Box<dyn Contender>>,
    /// What is not there, and why.
    pub missing: Vec<Missing>,
    /// They run for as long as they are kept: after the backends, which use them.
    _servers: Vec<Server>,
}

/// Starts everything.
pub fn find(args: &Wanted) -> Roster {
    let (mut contenders, mut missing) = (Vec::new(), Vec::new());
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|part| name.contains(part.as_str()));
    let mut add = |name: &str, backend: anyhow::Result<Box<dyn Contender>>| match backend {
        Ok(backend) => contenders.push(backend),
        Err(error) => missing.push(Missing { name: name.to_owned(), why: format!("{error:#}") }),
    };
    if wanted("son7shop-http") {
        let engine = binary_beside_this_one().map_err(Into::into).and_then(|binary| {
            ensure!(binary.is_file(), "{} is not there: build it", binary.display());
            Ok(Engine::new(std::sync::Arc::new(EngineShop::start(&binary, args.threads)?)))
        });
        add("son7shop-http", engine.map(|engine| Box::new(engine) as Box<dyn Contender>));
    }
    let mut servers = Vec::new();
    let mut mariadb = None;
    for (name, kind) in [("mariadb", Kind::MariaDb), ("mysql", Kind::MySql)] {
        let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| wanted(&format!("{name}-{}", way.name()))).collect();
        if ways.is_empty() && !(kind == Kind::MariaDb && wanted("redis-lock")) {
            continue;
        }
        match Server::start(kind, &[]) {
            Ok(server) => {
                for way in ways {
                    let sql = Sql::connect(name, &server.url(), way, args.pool);
                    add(&format!("{name}-{}", way.name()), sql.map(|sql| Box::new(sql) as Box<dyn Contender>));
                }
                if kind == Kind::MariaDb {
                    mariadb = Some(server.url());
                }
                servers.push(server);
            }
            Err(error) => add(name, Err(error.into())),
        }
    }
    let fsyncs: Vec<Fsync> = [Fsync::Always, Fsync::EverySecond]
        .into_iter()
        .filter(|fsync| wanted(&format!("redis-lua-{}", fsync.setting())))
        .collect();
    if !fsyncs.is_empty() || wanted("redis-lock") {
        match Server::start(Kind::Redis, &[]) {
            Ok(server) => {
                let url = server.url();
                for fsync in fsyncs {
                    // A server of its own for each: the setting is the server's.
                    let lua = Server::start(Kind::Redis, &[]).map_err(Into::into).and_then(|own| {
                        let lua = Lua::connect(&own.url(), fsync, args.pool as usize);
                        servers.push(own);
                        lua
                    });
                    let name = format!("redis-lua-{}", fsync.setting());
                    add(&name, lua.map(|lua| Box::new(lua) as Box<dyn Contender>));
                }
                if let Some(database) = mariadb.as_ref().filter(|_| wanted("redis-lock")) {
                    // Makes the tables.
                    let tables = Sql::connect("mariadb", database, Way::Naive, 1).map(drop);
                    for lease in [Lease::Watched, Lease::RunsOut(SHORT_LEASE)] {
                        let lock = tables.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"));
                        let lock = lock.and_then(|()| Lock::connect(&url, database, lease, args.pool));
                        add("redis-lock", lock.map(|lock| Box::new(lock) as Box<dyn Contender>));
                    }
                }
                servers.push(server);
            }
            Err(error) => add("redis", Err(error.into())),
        }
    }
    Roster { contenders, missing, _servers: servers }
}
