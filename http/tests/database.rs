//! Selling while the database is stopped, killed, late, or somebody else's.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use son7shop_loadtest::metrics::Metrics;
use son7shop_loadtest::program::Program;
use son7shop_loadtest::servers::{self, Server};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Caller, Chance, Place, code, number, seed, stop, until};

/// Connections that buy.
const BUYERS: usize = 8;
/// Orders a second of all of them: what write-behind can follow.
const ORDERS_PER_SECOND: u32 = 300;
/// Seconds that the database stays away without another number.
const AWAY_SECONDS: u64 = 3;
/// Kills of the database after that.
const KILLS: usize = 3;

/// A shop whose database is on a server of its own.
struct Bench {
    place: Place,
    program: Program,
    admin: String,
    customers: Vec<String>,
}

impl Bench {
    fn on(server: &Server) -> Self {
        let mut place = Place::new(3);
        place.set("SON7_DATABASE_URL", &server.url());
        let program = place.start();
        let admin = place.shop.admin_token().unwrap();
        let customers = place.shop.customer_tokens("kim", BUYERS).unwrap();
        let mut caller = Caller::new(program.address(), &admin);
        for n in 0..6 {
            caller.product(&format!("sku-{n}"), 1_000, 1 << 30);
        }
        Self { place, program, admin, customers }
    }

    fn admin(&self) -> Caller {
        Caller::new(self.program.address(), &self.admin)
    }

    /// Waits until the program under way has placed so many orders.
    fn until_placed(&self, orders: f64) {
        let address = self.program.address();
        until("orders", || Metrics::of(address).unwrap().get("son7_orders_placed_total").unwrap_or(0.0) >= orders);
    }

    /// Sells at a steady rate while `meanwhile` runs; every acknowledged order, by id. Any
    /// other answer fails the test.
    fn sell(&self, meanwhile: impl FnOnce()) -> HashMap<String, Value> {
        let ends = AtomicBool::new(false);
        let address = self.program.address();
        std::thread::scope(|scope| {
            let buyers: Vec<_> = self
                .customers
                .iter()
                .enumerate()
                .map(|(buyer, token)| {
                    let ends = &ends;
                    scope.spawn(move || buy_steadily(address, token, buyer, ends))
                })
                .collect();
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
            ends.store(true, Ordering::Relaxed);
            let acknowledged = buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect();
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
            acknowledged
        })
    }
}

/// Orders at even distances, every fourth a basket over several partitions.
fn buy_steadily(address: SocketAddr, token: &str, buyer: usize, ends: &AtomicBool) -> Vec<(String, Value)> {
    let distance = Duration::from_secs(1) * u32::try_from(BUYERS).unwrap() / ORDERS_PER_SECOND;
    let mut caller = Caller::new(address, token);
    let mut acknowledged = Vec::new();
    let began = Instant::now();
    for n in 0_u32.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep((began + distance * n).saturating_duration_since(Instant::now()));
        let skus = if n % 4 == 0 { 0..6 } else { n % 6..n % 6 + 1 };
        let lines: Vec<Value> =
            skus.map(|sku| serde_json::json!({ "sku": format!("sku-{sku}"), "quantity": 1 })).collect();
        let body = serde_json::json!({ "lines": lines });
        let key = format!("{}-{buyer}-{n}", address.port());
        let answer = caller.post("/v1/orders", Some(&key), Some(&body)).unwrap();
        assert_eq!(answer.status, 201, "no order fails because of the database: {}", answer.text());
        let order = answer.json().unwrap();
        acknowledged.push((order["id"].as_str().unwrap().to_owned(), order));
    }
    acknowledged
}

/// Events that are on disk and not in the database.
fn lag(address: SocketAddr) -> f64 {
    let metrics = Metrics::of(address).unwrap();
    metrics.get("son7_write_behind_lag_events").unwrap()
}

/// Every order, as the list has it, by id.
fn listed(admin: &mut Caller) -> HashMap<String, Value> {
    let mut found = HashMap::new();
    let mut path = "/v1/orders?limit=100".to_owned();
    loop {
        let response = admin.get(&path).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        let page = response.json().unwrap();
        for order in page["orders"].as_array().unwrap() {
            let id = order["id"].as_str().unwrap().to_owned();
            assert!(found.insert(id, order.clone()).is_none(), "listed twice: {order}");
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return found };
        path = format!("/v1/orders?limit=100&after={cursor}");
    }
}

#[test]
fn a_database_that_is_stopped_and_killed_holds_nobody_up() {
    let mut server = servers::mariadb().unwrap();
    let bench = Bench::on(&server);
    let address = bench.program.address();
    let mut admin = bench.admin();
    let mut chance = Chance::new(seed(), &[]);
    let acknowledged = bench.sell(|| {
        until("write-behind", || lag(address) < 500.0 && listed(&mut admin).len() > 200);
        server.stop().unwrap();
        std::thread::sleep(Duration::from_secs(number("SON7_DATABASE_AWAY_SECONDS", AWAY_SECONDS)));
        let grown = lag(address);
        assert!(grown > f64::from(ORDERS_PER_SECOND), "the lag grows: {grown}");
        lists_say_so(&mut admin);
        server.start_again().unwrap();
        // It catches up while selling goes on; killed in the middle of that, it is committing.
        until("catching up", || lag(address) < grown);
        server.kill().unwrap();
        server.start_again().unwrap();
        // And killed at moments of steady work, when some transaction is under way as often as not.
        for _ in 0..KILLS {
            until("catching up", || lag(address) < 200.0);
            std::thread::sleep(Duration::from_millis(chance.within(1, 40)));
            server.kill().unwrap();
            server.start_again().unwrap();
        }
    });
    until("the lag's end", || lag(address) == 0.0);
    assert_eq!(listed(&mut admin), acknowledged);
    stop(bench.program);
    bench.place.verify();
}

/// What the shop says while its database is away.
fn lists_say_so(admin: &mut Caller) {
    let list = admin.get("/v1/orders").unwrap();
    assert_eq!((list.status, code(&list).as_str()), (503, "database_unavailable"), "{}", list.text());
    assert!(list.header("retry-after").is_some());
}

#[test]
fn a_shop_starts_and_sells_while_its_database_is_away() {
    let mut server = servers::mariadb().unwrap();
    let mut bench = Bench::on(&server);
    let before = bench.sell(|| bench.until_placed(60.0));
    stop(bench.program);
    server.stop().unwrap();

    bench.program = bench.place.start();
    let meanwhile = bench.sell(|| bench.until_placed(60.0));
    assert!(!before.is_empty() && !meanwhile.is_empty());
    let mut admin = bench.admin();
    lists_say_so(&mut admin);
    for (id, order) in &meanwhile {
        assert_eq!(&admin.get(&format!("/v1/orders/{id}")).unwrap().json().unwrap(), order);
    }
    server.start_again().unwrap();
    let address = bench.program.address();
    until("the lag's end", || lag(address) == 0.0);
    let all: HashMap<String, Value> = before.into_iter().chain(meanwhile).collect();
    assert_eq!(listed(&mut admin), all);
    stop(bench.program);
    bench.place.verify();
}

#[test]
fn a_database_of_another_data_folder_is_refused() {
    let server = servers::mariadb().unwrap();
    let bench = Bench::on(&server);
    bench.sell(|| bench.until_placed(20.0));
    stop(bench.program);
    let mut other = Place::new(3);
    other.set("SON7_DATABASE_URL", &server.url());
    let output = other.shop.command(&["serve"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the database follows journal") && said.contains("SON7_DATABASE_URL"), "{said}");
}
