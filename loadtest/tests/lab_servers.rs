//! Every way of selling by a database or by Redis, against real servers: right where it should be, found
//! wrong where it is, and honest when its server dies.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use son7shop_loadtest::lab::backend::{Backend, Contender, Promise};
use son7shop_loadtest::lab::backends::redis::{Lease, Locked, Lua, Store};
use son7shop_loadtest::lab::backends::sql::{Database, Sql, Way};
use son7shop_loadtest::lab::load::{Load, PLENTY, Pace, Sale};
use son7shop_loadtest::servers::{self, Kind, Server};
use std::sync::Arc;
use std::time::Duration;

const POOL: u32 = 6;

fn sell_out(contender: &dyn Contender) {
    let load = Load { threads: 8, units: 200, pace: Pace::SellOut { patience_seconds: 120.0 } };
    let Sale { counted, verdict, costs } = contender.sell(&load).unwrap();
    let name = contender.name();
    assert_eq!((counted.sold, counted.refused, counted.failed), (200, 8, 0), "{name}: {counted:?}");
    assert!(verdict.is_right() && verdict.wrong_units == 0 && verdict.missing_orders == 0, "{name}: {verdict:?}");
    assert!(costs.backend_cpu_micros.is_some(), "{name}: {costs:?}");
}

/// Closed loops, until it is found wrong.
fn is_found_wrong(contender: &dyn Contender) {
    let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 0.3 };
    let wrong =
        (0..50).any(|_| contender.sell(&Load { threads: 20, units: PLENTY, pace }).unwrap().verdict.wrong_units > 0);
    assert!(wrong, "{} was right 50 times", contender.name());
}

fn database(server: &Server) -> Arc<Database> {
    let name = if server.kind() == Kind::MySql { "mysql" } else { "mariadb" };
    Arc::new(Database::open(name, &server.url(), server.pid()).unwrap())
}

fn every_way(server: &Server) {
    let database = database(server);
    assert_eq!(database.promise(), Promise::SyncedBeforeAnswer);
    let settings = database.settings();
    for name in ["version", "innodb_flush_log_at_trx_commit", "log_bin", "innodb_buffer_pool_size"] {
        assert!(settings.iter().any(|(set, _)| set == name), "{name} is not in {settings:?}");
    }
    for way in Way::ALL {
        let sql = Sql::connect(&database, way, POOL).unwrap();
        if way == Way::Naive {
            is_found_wrong(&sql);
        } else {
            let before = database.syncs().unwrap();
            sell_out(&sql);
            assert!(database.syncs().unwrap() > before, "{way:?} synced nothing");
        }
    }
}

#[test]
fn every_way_of_mariadb_is_right_but_the_naive_one() {
    every_way(&servers::mariadb().unwrap());
}

#[test]
fn every_way_of_mysql_is_right_but_the_naive_one() {
    if let Some(server) = servers::mysql_or_say_so("every_way_of_mysql_is_right_but_the_naive_one").unwrap() {
        every_way(&server);
    }
}

#[test]
fn every_way_of_redis_is_right() {
    for (fsync, promise) in [("always", Promise::SyncedBeforeAnswer), ("everysec", Promise::SyncedLater)] {
        let server = Server::start(Kind::Redis, &["--appendfsync", fsync]).unwrap();
        let store = Arc::new(Store::open(&server.url(), server.pid()).unwrap());
        let lua = Lua::connect(&store, POOL).unwrap();
        assert_eq!((Contender::name(&lua), Contender::promise(&lua)), (&*format!("redis-lua-{fsync}"), promise));
        sell_out(&lua);
    }
}

#[test]
fn a_watched_lock_is_right_and_one_that_runs_out_is_found_wrong() {
    let (redis, mariadb) = (servers::redis().unwrap(), servers::mariadb().unwrap());
    let store = Arc::new(Store::open(&redis.url(), redis.pid()).unwrap());
    let database = database(&mariadb);
    let lock = |lease| Locked::connect(&store, &database, lease, POOL).unwrap();
    sell_out(&lock(Lease::REDISSON));
    // Shorter than any commit.
    is_found_wrong(&lock(Lease::RunsOut(Duration::from_millis(1))));
}

/// Sells out while the server is killed and comes back.
fn survives(backend: &impl Backend, mut server: Server) {
    let load = Load { threads: 8, units: 5_000, pace: Pace::SellOut { patience_seconds: 120.0 } };
    let sale = std::thread::scope(|scope| {
        scope.spawn(|| {
            while backend.shelf().map_or(0, |shelf| shelf.orders) < 20 {
                std::thread::yield_now();
            }
            server.kill().unwrap();
            server.start_again().unwrap();
        });
        backend.sell(&load).unwrap()
    });
    let Sale { counted, verdict, .. } = sale;
    let name = Backend::name(backend);
    assert!(counted.sold >= 20 && counted.refused == 8, "{name}: {counted:?}");
    assert!(counted.failed > 0 && counted.unknown_in_all == counted.failed, "{name}: {counted:?}");
    assert!(counted.first_failure.is_some() && verdict.unknown == counted.unknown_in_all, "{name}: {counted:?}");
    // Nothing that was acknowledged is lost, and what was not is no more than is unknown.
    assert!(verdict.is_right(), "{name}: {verdict:?}");
    // A server that stays away is an error, not a zero.
    server.kill().unwrap();
    assert!(backend.sell(&load).is_err(), "{name}");
}

#[test]
fn a_killed_database_gives_failures_whose_outcome_is_unknown() {
    let server = servers::mariadb().unwrap();
    let sql = Sql::connect(&database(&server), Way::RowLock, POOL).unwrap();
    survives(&sql, server);
}

#[test]
fn a_killed_mysql_gives_failures_whose_outcome_is_unknown() {
    let test = "a_killed_mysql_gives_failures_whose_outcome_is_unknown";
    if let Some(server) = servers::mysql_or_say_so(test).unwrap() {
        let sql = Sql::connect(&database(&server), Way::Conditional, POOL).unwrap();
        survives(&sql, server);
    }
}

#[test]
fn a_killed_redis_gives_failures_whose_outcome_is_unknown() {
    let server = Server::start(Kind::Redis, &["--appendfsync", "always"]).unwrap();
    let store = Arc::new(Store::open(&server.url(), server.pid()).unwrap());
    survives(&Lua::connect(&store, POOL).unwrap(), server);
}
