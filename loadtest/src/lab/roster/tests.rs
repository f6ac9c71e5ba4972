//! What cannot be had is named, what is given is left alone, what is started sells.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::lab::load::{Load, Pace};

fn wanted<'a>(only: &str, stop: &'a AtomicBool) -> Wanted<'a> {
    Wanted {
        only: vec![only.to_owned()],
        threads: 8,
        pool: Some(4),
        trials: Trials::QUICK,
        mariadb_url: None,
        mysql_url: None,
        redis_url: None,
        allow_remote: false,
        stop,
    }
}

fn why<'a>(roster: &'a Roster, name: &str) -> &'a str {
    &roster.missing.iter().find(|missing| missing.name == name).unwrap().why
}

#[test]
fn a_server_that_cannot_be_reached_leaves_its_backends_blank_with_the_reason() {
    let stop = AtomicBool::new(false);
    let mut given = wanted("", &stop);
    given.only = ["mariadb-", "mysql-", "redis-"].map(str::to_owned).to_vec();
    // Nobody listens on port 1, and nothing may be started instead.
    given.mariadb_url = Some("mysql://anna:geheim@127.0.0.1:1/shop".to_owned());
    given.mysql_url = Some("mysql://anna:geheim@db.example/shop".to_owned());
    given.redis_url = Some("redis://anna:geheim@127.0.0.1:1".to_owned());
    let mut said = Vec::new();
    let roster = find(&given, &mut |what| said.push(what.to_owned()));
    assert!(roster.contenders.is_empty());
    assert!(said.is_empty(), "{said:?}");
    assert!(why(&roster, "mariadb-for-update").contains("connecting to mariadb"));
    assert!(why(&roster, "mysql-for-update").contains("db.example is not this machine's loopback"));
    assert!(why(&roster, "redis-lua-always").contains("connecting to Redis"));
    assert!(why(&roster, "redis-lock").contains("connecting to"));
    assert_eq!(roster.missing.len(), 5 + 5 + 2 + 3 + 2);
    for missing in &roster.missing {
        assert!(!missing.why.contains("anna") && !missing.why.contains("geheim"), "{missing:?}");
    }
}

#[test]
fn a_given_redis_is_left_as_it_is_and_what_it_does_not_promise_is_missing() {
    let server = Server::start(crate::servers::Kind::Redis, &["--appendonly", "no"]).unwrap();
    let stop = AtomicBool::new(false);
    let before = crate::lab::backends::redis::Store::open(&server.url(), None).unwrap();
    let mut given = wanted("redis-lua", &stop);
    given.redis_url = Some(server.url());
    let roster = find(&given, &mut |_| {});
    let names: Vec<_> = roster.contenders.iter().map(|one| one.name()).collect();
    assert_eq!(names, ["redis-lua-no"]);
    assert_eq!(roster.contenders[0].promise(), crate::lab::backend::Promise::InMemory);
    let settings = roster.contenders[0].settings();
    assert!(settings.contains(&("appendonly".to_owned(), "no".to_owned())), "{settings:?}");
    assert!(why(&roster, "redis-lua-always").contains("changes no setting"));
    // As the server itself says afterwards.
    let after = crate::lab::backends::redis::Store::open(&server.url(), None).unwrap();
    assert_eq!(after.settings(), before.settings());
    assert!(why(&roster, "redis-lua-everysec").contains("in memory only"));
}

#[test]
fn what_is_started_says_what_it_is_and_sells() {
    let stop = AtomicBool::new(false);
    let mut said = Vec::new();
    let mut one = wanted("redis-lua-always", &stop);
    one.pool = None;
    let roster = find(&one, &mut |what| said.push(what.to_owned()));
    // The server in front of it is another program, which unit tests do not build.
    assert!(roster.missing.iter().all(|missing| missing.name == "redis-lua-always-http"), "{:?}", roster.missing);
    // 2,000 would be as many as there are threads, which is 8; so is 32.
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0] == "starting Redis" && said[1].starts_with("redis-lua-always: a pool of 8 sells "), "{said:?}");
    let settings = roster.contenders[0].settings();
    let get = |name: &str| &settings.iter().find(|(set, _)| set == name).unwrap().1;
    assert!(get("pool") == "8" && get("pools tried").starts_with("8: "), "{settings:?}");
    assert_eq!((get("appendfsync").as_str(), get("auto-aof-rewrite-percentage").as_str()), ("always", "0"));
    let load = Load { threads: 8, units: 50, pace: Pace::SellOut { patience_seconds: 60.0 } };
    let sale = roster.contenders[0].sell(&load).unwrap();
    assert!(sale.counted.sold == 50 && sale.verdict.is_right(), "{sale:?}");
    assert!(sale.costs.backend_cpu_micros.is_some() && sale.costs.syncs.is_none(), "{sale:?}");
}

#[test]
fn a_stop_starts_nothing_more() {
    let stop = AtomicBool::new(true);
    let roster = find(&wanted("", &stop), &mut |what| panic!("{what}"));
    assert!(roster.contenders.is_empty());
    assert!(roster.missing.iter().all(|missing| missing.why.contains("stopped")));
}
