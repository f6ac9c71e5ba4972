//! The table of backends, in the order of the report. A new one is a line here.

use super::{Ground, Wanted};
use crate::lab::backend::Contender;
use crate::lab::backends::engine::Engine;
use crate::lab::backends::engine_epoll::EngineEpoll;
use crate::lab::backends::http_lua::HttpLua;
use crate::lab::backends::in_process::{InProcess, Way};
use crate::lab::backends::redis::{Fsync, Lease, Locked, Lua};
use crate::lab::backends::sql::{self, Sql};
use crate::servers::Kind;
use crate::shop::program_beside_this_one;
use std::time::Duration;

/// A lease that is shorter than some of the work under it.
const SHORT_LEASE: Lease = Lease::RunsOut(Duration::from_millis(5));

type Made = anyhow::Result<Box<dyn Contender>>;
type MakeWithPool = Box<dyn Fn(&Ground, u32) -> Made>;

/// How a backend is made.
pub(super) enum Make {
    /// It has no pool.
    Plain(Box<dyn Fn(&Ground) -> Made>),
    /// With a pool of so many connections to a database.
    Pooled(MakeWithPool),
    /// With a pool of so many connections to something that may do with one for each thread.
    PooledFast(MakeWithPool),
}

/// A backend that can be asked for.
pub(super) struct Entry {
    /// Its name, as in the report.
    pub(super) name: String,
    pub(super) make: Make,
}

fn plain(name: &str, make: impl Fn(&Ground) -> Made + 'static) -> Entry {
    Entry { name: name.to_owned(), make: Make::Plain(Box::new(make)) }
}

fn pooled(name: &str, make: impl Fn(&Ground, u32) -> Made + 'static) -> Entry {
    Entry { name: name.to_owned(), make: Make::Pooled(Box::new(make)) }
}

fn pooled_fast(name: &str, make: impl Fn(&Ground, u32) -> Made + 'static) -> Entry {
    Entry { name: name.to_owned(), make: Make::PooledFast(Box::new(make)) }
}

/// All of them.
pub(super) fn all(wanted: &Wanted) -> Vec<Entry> {
    let mut entries = vec![
        plain("son7shop-http", |ground| Ok(Box::new(Engine::new(ground.shop()?)))),
        pooled_fast("son7shop-http-pool", |ground, pool| Ok(Box::new(Engine::pooled(ground.shop()?, pool)))),
        plain("son7shop-http-epoll", |ground| Ok(Box::new(EngineEpoll::new(ground.shop()?)))),
    ];
    entries.extend(Way::ALL.map(in_process));
    for (server, kind) in [("mariadb", Kind::MariaDb), ("mysql", Kind::MySql)] {
        entries.extend(sql::Way::ALL.map(|way| sql(server, kind, way)));
    }
    entries.extend([Lease::REDISSON, SHORT_LEASE].map(locked));
    entries.extend([Fsync::Always, Fsync::EverySecond].map(lua));
    entries.extend([Fsync::Always, Fsync::EverySecond].map(lua_http));
    // Nobody is asked to sell from memory; somebody's own server may.
    entries.extend(wanted.redis_url.is_some().then(|| lua(Fsync::Never)));
    entries
}

fn in_process(way: Way) -> Entry {
    plain(way.name(), move |_| Ok(Box::new(InProcess::beside_this_one(way)?)))
}

fn sql(server: &str, kind: Kind, way: sql::Way) -> Entry {
    pooled(&format!("{server}-{}", way.name()), move |ground, pool| {
        Ok(Box::new(Sql::connect(&ground.database(kind)?, way, pool)?))
    })
}

fn locked(lease: Lease) -> Entry {
    pooled(&Locked::name_with(lease), move |ground, pool| {
        let database = ground.database(Kind::MariaDb)?;
        Ok(Box::new(Locked::connect(&ground.any_redis()?, &database, lease, pool)?))
    })
}

fn lua(fsync: Fsync) -> Entry {
    pooled_fast(&format!("redis-lua-{}", fsync.setting()), move |ground, pool| {
        Ok(Box::new(Lua::connect(&ground.redis(fsync)?, pool)?))
    })
}

fn lua_http(fsync: Fsync) -> Entry {
    plain(&format!("redis-lua-{}-http", fsync.setting()), move |ground| {
        Ok(Box::new(HttpLua::start(&program_beside_this_one("loadtest")?, &ground.redis(fsync)?)?))
    })
}
