//! Two minutes of the real program: 200 shoppers, the sandbox as a process of its own with faults in pairs,
//! `kill -9` of the shop every few seconds. Afterwards `son7shop verify --gateway` exits 0, and so does a
//! check of its own: money at the gateway has a confirmed order, and nothing else has any; no unit is held;
//! what was acknowledged is there, once.
//!
//! How long is `SON7_SAGA_SECONDS`, the seed `SON7_SEED`: both say what is tried, and when; what meets what
//! is also a matter of the machine. A gateway that states a wrong sum twice in a row is not among the faults.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod check;
mod ending;
mod faults;
mod lies;
mod sandbox;
mod shopper;
mod staff;
#[path = "../support/mod.rs"]
mod support;
mod town;

use check::Tally;
use ending::Operated;
use faults::Pairs;
use sandbox::{KEY, Sandbox};
use shopper::Shopper;
use son7shop_loadtest::program::Program;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use support::{Caller, Chance, Place, number, seed, stop};
use town::{Counts, Ends, Town};

const SHOPPERS: usize = 200;
const PARTITIONS: u16 = 3;
const SECONDS: u64 = 15;
/// Units that each product begins with, and its price.
const UNITS: i64 = 1 << 30;
const PRICE: i64 = 1_000;
/// Milliseconds from one kill to the next, and from one pair of faults to the next.
const KILLS: std::ops::Range<u64> = 1_500..5_000;
const FAULTS: std::ops::Range<u64> = 1_000..2_500;
/// Ports that no outgoing connection is given: the shop comes back to its own after a kill.
const PORTS: std::ops::Range<u64> = 12_000..30_000;

/// A port that is free, and that nobody is given while the shop is down.
fn free_address(seed: u64) -> SocketAddr {
    let mut chance = Chance::new(seed ^ u64::from(std::process::id()), &[4]);
    loop {
        let port = u16::try_from(chance.within(PORTS.start, PORTS.end)).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A shop that is paid in a sandbox of its own, with its products.
fn open(seconds: u64, seed: u64) -> (Place, Program, Town, BTreeMap<String, i64>) {
    let mut place = Place::new(PARTITIONS);
    let sandbox = Sandbox::start(&place, seed);
    let address = free_address(seed);
    sandbox.pays(&mut place);
    place.set("SON7_LISTEN", &address.to_string());
    // Deadlines come during the run, and soon after it.
    place.set("SON7_HOLD_SECONDS", &(seconds / 5).clamp(4, 25).to_string());
    let program = place.start();
    let admin = place.shop.admin_token().unwrap();
    let customers = place.shop.customer_tokens("shopper", SHOPPERS).unwrap();
    let supplied: BTreeMap<String, i64> = (0..9).map(|n| (format!("sku-{n}"), UNITS)).collect();
    let mut caller = Caller::new(address, &admin);
    for sku in supplied.keys() {
        caller.product(sku, PRICE, UNITS.unsigned_abs());
    }
    let town = Town::new(address, sandbox, admin, customers, seed);
    (place, program, town, supplied)
}

/// Kills the shop again and again while everybody shops; the last one to run, and how many were killed.
fn run(place: &Place, mut program: Program, town: &Town, skus: &[String], seconds: u64) -> (Program, u64, u64) {
    let (mut chance, mut kills) = (Chance::new(town.seed, &[5]), 0);
    let mut pairs = Pairs::new(town.seed);
    let program = std::thread::scope(|scope| {
        let ends = Ends(&town.doors);
        for index in 0..SHOPPERS {
            scope.spawn(move || Shopper::new(town, index, skus).run());
        }
        for index in 0..2 {
            scope.spawn(move || staff::refund_some(town, index));
        }
        scope.spawn(|| staff::meddle(town));
        scope.spawn(|| {
            let mut chance = Chance::new(town.seed, &[6]);
            pairs.install(&town.sandbox);
            while town.doors.pause(Duration::from_millis(chance.within(FAULTS.start, FAULTS.end))) {
                pairs.install(&town.sandbox);
            }
        });
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(chance.within(KILLS.start, KILLS.end)));
            town.doors.set_closed(true);
            program.kill().unwrap();
            kills += 1;
            program = place.start();
            town.doors.set_closed(false);
        }
        drop(ends);
        program
    });
    town.sandbox.clear_faults();
    (program, kills, pairs.drawn)
}

#[test]
fn what_is_paid_is_confirmed_or_goes_back_whatever_fails() {
    let (seconds, seed) = (number("SON7_SAGA_SECONDS", SECONDS), seed());
    let (place, program, town, supplied) = open(seconds, seed);
    let skus: Vec<String> = supplied.keys().cloned().collect();
    let began = Instant::now();
    let (program, kills, pairs) = run(&place, program, &town, &skus, seconds);
    let ran = began.elapsed();
    let operated = ending::settle(&town);
    let tally = check::all(&town, &supplied);
    report(&town, &tally, &operated, (kills, pairs), (ran, began.elapsed()));
    // Whoever comes back only now finds nothing to change.
    town.sandbox.control("POST", "/clock/advance", Some(&serde_json::json!({ "ms": 16 * 60 * 1000 })));
    stop(program);
    let (code, said) = place.run(&["verify", "--gateway"]);
    println!("verify --gateway: {}", said.lines().last().unwrap_or_default());
    let secrets = {
        let mut secrets = town.books().secrets.clone();
        secrets.insert(KEY.to_owned());
        secrets
    };
    let shown = check::lines_with(&secrets, &place.log());
    assert_eq!(tally.findings, Vec::<String>::new(), "SON7_SEED={seed}");
    assert_eq!(code, Some(0), "SON7_SEED={seed}: {said}");
    assert_eq!(shown, Vec::<String>::new(), "of {} secrets some are in the log", secrets.len());
    not_trivial(&town, &tally, (kills, pairs), seconds);
    town.sandbox.stop();
}

fn report(
    town: &Town,
    tally: &Tally,
    operated: &Operated,
    (kills, pairs): (u64, u64),
    (ran, settled): (Duration, Duration),
) {
    let Counts { payments, not_begun, paid, quit, mistyped, left, forged, operated: acts, unknown, unresolved } =
        &town.counts;
    let [payments, not_begun, paid, quit, mistyped, left, forged, acts, unknown, unresolved] =
        [payments, not_begun, paid, quit, mistyped, left, forged, acts, unknown, unresolved].map(Counts::of);
    let books = town.books();
    println!(
        "{:.0} s of shopping, {:.0} s until all was settled: {kills} kills, {pairs} pairs of faults\n\
         {} orders acknowledged, as they ended: {:?}\n\
         {payments} payments begun, {not_begun} not begun; buttons: {paid} pay, {quit} quit, {mistyped} wrong password; \
         {left} left; {forged} forged returns\n\
         {} refunds acknowledged, {} done, of them for money that came late: {}\n\
         {unknown} answers unknown, {unresolved} never known; {acts} acts of operators; at the end {} retried, {} parked, \
         {} resolved; {} findings",
        ran.as_secs_f64(),
        settled.as_secs_f64(),
        books.orders.len(),
        tally.by_status,
        books.refunds.len(),
        tally.refunds,
        tally.captured_late,
        operated.retried.len(),
        operated.parked.len(),
        operated.resolved.len(),
        tally.findings.len()
    );
}

/// Or the run says nothing.
fn not_trivial(town: &Town, tally: &Tally, (kills, pairs): (u64, u64), seconds: u64) {
    let of = |status: &str| tally.by_status.get(status).copied().unwrap_or(0) as u64;
    let happened = [
        ("kills", kills, seconds / 10),
        ("pairs of faults", pairs, seconds / 5),
        ("confirmed", of("confirmed"), seconds),
        ("cancelled", of("cancelled"), seconds / 2),
        ("expired", of("expired"), seconds / 2),
        ("refunds", tally.refunds as u64, seconds / 2),
        ("quit", Counts::of(&town.counts.quit), seconds / 2),
        ("forged", Counts::of(&town.counts.forged), seconds / 2),
        ("unknown answers", Counts::of(&town.counts.unknown), seconds),
    ];
    for (what, times, least) in happened {
        assert!(times >= least, "{what}: {times}, which is less than {least}");
    }
}
