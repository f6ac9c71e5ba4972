//! The server in front of Redis Lua, against a real Redis.

#![allow(clippy::unwrap_used, reason = "tests")]

use son7shop_loadtest::client::Client;
use son7shop_loadtest::lab::backend::{Backend, Bought, Contender, Promise};
use son7shop_loadtest::lab::backends::http_lua::HttpLua;
use son7shop_loadtest::lab::backends::redis::Store;
use son7shop_loadtest::lab::load::{Load, PLENTY, Pace};
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::servers::{Kind, Server, redis};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const UNITS: u64 = 50;
const SELL_OUT: Pace = Pace::SellOut { patience_seconds: 60.0 };

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_loadtest"))
}

/// Sells 50 units to eight threads, then for a moment without end.
fn check(redis: &Server, backend: &HttpLua) {
    let sale = Contender::sell(backend, &Load { threads: 8, units: UNITS, pace: SELL_OUT }).unwrap();
    assert_eq!((sale.counted.sold_in_all, sale.counted.refused, sale.counted.failed), (UNITS, 8, 0));
    assert!(sale.verdict.is_right(), "{:?}", sale.verdict);
    let pace = Pace::Closed { warmup_seconds: 0.1, window_seconds: 0.3 };
    let sale = Contender::sell(backend, &Load { threads: 8, units: PLENTY, pace }).unwrap();
    assert!(sale.counted.sold > 0 && sale.counted.failed == 0, "{:?}", sale.counted);
    assert!(sale.verdict.is_right() && sale.costs.backend_cpu_micros.is_some(), "{sale:?}");
    assert_eq!(backend.processes().len(), 2);
    assert!(backend.processes().contains(&redis.pid().unwrap()));
}

/// Connections that a Redis has, this one excepted.
fn connections(url: &str) -> usize {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis).unwrap();
    clients.lines().count() - 1
}

#[test]
fn it_sells_what_there_is_and_without_redis_nothing() {
    let mut redis = Server::start(Kind::Redis, &["--appendfsync", "always"]).unwrap();
    let store = Arc::new(Store::open(&redis.url(), redis.pid()).unwrap());
    let backend = HttpLua::start(binary(), &store).unwrap();
    assert_eq!(
        (Backend::name(&backend), Backend::promise(&backend)),
        ("redis-lua-always-http", Promise::SyncedBeforeAnswer)
    );
    // All that Redis has are those that are published, and the store's own.
    let settings = Backend::settings(&backend);
    let published = settings.iter().find(|(name, _)| name == "server connections to Redis").unwrap().1.clone();
    assert_eq!(connections(&redis.url()), published.parse::<usize>().unwrap() + 1);
    check(&redis, &backend);
    // A server that cannot sell says so; that is neither a sale nor a refusal.
    backend.stock_up(1).unwrap();
    let mut till = backend.till(0).unwrap();
    redis.kill().unwrap();
    let error = till.buy().unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    redis.start_again().unwrap();
    // It finds Redis again by itself; until then it goes on failing.
    let attempt = loop {
        match till.buy() {
            Ok(attempt) => break attempt,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(attempt.bought, Bought::Sold);
    assert_eq!(till.buy().unwrap().bought, Bought::SoldOut);
}

#[test]
fn redis_s_password_is_in_no_argument() {
    let server = redis().unwrap();
    let mut own = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "geheim"]).exec(&mut own).unwrap();
    let url = server.url().replace("://", "://:geheim@");
    let store = Arc::new(Store::open(&url, server.pid()).unwrap());
    let backend = HttpLua::start(binary(), &store).unwrap();
    for pid in backend.processes().into_iter().filter(|pid| Some(*pid) != server.pid()) {
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(arguments.contains("lua-server") && !arguments.contains("geheim"), "{arguments}");
    }
}

#[test]
fn what_it_does_not_sell_is_refused_with_a_reason() {
    let redis = redis().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["lua-server", "--threads", "2", "--connections-each", "2", "--redis", &redis.url()]);
    let program = Program::start(command, &folder.path().join("log"), Duration::from_secs(30)).unwrap();
    let mut client = Client::new(program.address());
    let host = client.host();
    let mut ask = |body: &str| {
        let response = client.send(&Request::to("POST", &host, "/v1/orders").json(body)).unwrap();
        let json = response.json().unwrap_or_default();
        (response.status, json["code"].as_str().unwrap_or_default().to_owned())
    };
    let said = |status, code: &str| (status, code.to_owned());
    // Nothing was put on the shelf.
    assert_eq!(ask(r#"{"lines":[{"sku":"air","quantity":1}]}"#), said(409, "sold_out"));
    assert_eq!(ask(r#"{"lines":[{"sku":"bed","quantity":1}]}"#), said(404, "not_found"));
    assert_eq!(ask(r#"{"lines":[{"sku":"air","quantity":2}]}"#), said(400, "invalid"));
    assert_eq!(ask(r#"{"lines":[]}"#), said(400, "invalid"));
    assert_eq!(ask("{").0, 400);
}
