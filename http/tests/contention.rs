//! Far more buyers than units, against the real binary: exactly the units are sold.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use son7shop_loadtest::contention::buyers::Layout;
use son7shop_loadtest::contention::{Scenario, Target, run};
use support::{Place, stop};

const CLIENTS: usize = 200;
const UNITS: u64 = 100;

/// A contention for the units by so many customers; the scenario checks every promise itself.
fn contend(customers: usize, per_customer_limit: Option<u32>, repeat_keys: bool) {
    let place = Place::new(2);
    let program = place.start();
    let target = Target {
        address: program.address(),
        admin_token: place.shop.admin_token().unwrap(),
        customer_tokens: place.shop.customer_tokens("kim", customers).unwrap(),
    };
    let layout = Layout { clients: CLIENTS, customers, requests: 1, repeat_keys };
    let finding = run(&Scenario { layout, units: UNITS, per_customer_limit }, &target, 2).unwrap();
    assert!(finding.is_sound(), "{:?}", finding.violations);
    let (stock, _) = finding.account.unwrap();
    assert_eq!((stock.held, stock.available), (UNITS, 0));
    stop(program);
    place.verify();
}

#[test]
fn exactly_the_units_are_sold() {
    contend(CLIENTS, None, false);
}

#[test]
fn each_customer_has_no_more_than_the_limit() {
    contend(CLIENTS / 2, Some(1), false);
}

#[test]
fn a_repeated_key_buys_once() {
    contend(CLIENTS, None, true);
    contend(CLIENTS / 2, Some(1), true);
}
