//! Whole histories under a seeded world: one to four partitions with their owners over the
//! real journal, their stock participants, many customers, a clock that jumps, messages
//! that are late, doubled, lost and out of order, owners that die, processes that are
//! killed, power that fails, writes that tear and syncs that fail.
//!
//! Orders are paid at a gateway, which is the sandbox's machine behind the client's own wire layer, and
//! another computer: it goes on when the shop dies. The payment, deadline and refund participants make
//! their calls there; shoppers pay, quit, mistype, stay away, and come back late, twice and with what
//! was forged; operators see to what is parked; and the gateway does wrong whatever the sandbox can.
//!
//! After every step the engine's invariants hold, and its stock and its money are what its events add
//! up to; after every recovery what was told is there and nothing else is; and at the end every saga is
//! closed, every unit can be sold, the database says the same, and the gateway's ledger equals the
//! shop's books, with no charge without an order.
//!
//! A history that breaks a promise prints its seed: `SON7_SEED=n` runs it again,
//! `SON7_SEEDS=n` sets how many are run.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod books;
mod bugs;
mod clients;
mod counts;
mod ending;
mod faults;
mod gateway;
mod many;
mod node;
mod operators;
mod oracle;
mod pairs;
mod participant;
mod payers;
mod paying;
mod queue;
mod regulars;
mod resting;
mod shoppers;
mod world;

use bugs::Bug;
use counts::Counts;
use world::World;

/// Histories in a plain run of the tests.
const SEEDS: u64 = 1000;
/// Within so many histories each planted bug is found.
const SEEDS_TO_FIND: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn every_history_keeps_every_promise() {
    let seeds = match number("SON7_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SON7_SEEDS").unwrap_or(SEEDS),
    };
    let mut all = Counts::default();
    for seed in seeds.clone() {
        match World::new(seed, None).run() {
            Ok(counts) => all.add(&counts),
            Err(broken) => panic!("SON7_SEED={seed}: {}: {}", broken.name, broken.what),
        }
    }
    println!("{} histories: {all:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SEEDS {
        let few = all.too_few();
        assert!(few.is_empty(), "histories in which little happens prove little: {few:?} in {all:?}");
    }
}

#[track_caller]
fn found(bug: Bug, name: &str) {
    for seed in 0..SEEDS_TO_FIND {
        if let Err(broken) = World::new(seed, Some(bug)).run() {
            let what = broken.what.lines().next().unwrap_or_default();
            println!("{bug:?}: history {seed}: {}: {what}", broken.name);
            assert_eq!(broken.name, name, "history {seed} breaks another promise: {}", broken.what);
            return;
        }
    }
    panic!("{bug:?} was not found in {SEEDS_TO_FIND} histories");
}

#[test]
fn units_given_back_twice_are_found() {
    found(Bug::ReleaseTwice, "invariant");
}

#[test]
fn an_answer_before_its_sync_is_found() {
    found(Bug::AckBeforeSync, "no lost answer");
}

#[test]
fn a_key_forgotten_by_a_restart_is_found() {
    found(Bug::ForgetKeyAfterRestart, "exactly once");
}

#[test]
fn an_approve_that_is_retried_blindly_is_found() {
    found(Bug::RetriesApprove, "no charge without an order");
}

#[test]
fn a_release_on_a_callback_alone_is_found() {
    found(Bug::ReleasesOnCallback, "no charge without an order");
}

#[test]
fn a_refund_given_twice_is_found() {
    found(Bug::RefundsTwice, "both ledgers");
}
