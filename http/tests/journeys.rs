//! Shoppers against the real binary, for seconds: every promise is kept, and the report says what was seen.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use son7shop_loadtest::contention::Target;
use son7shop_loadtest::journeys::report::{Outcome, Verdict};
use son7shop_loadtest::journeys::run::run;
use son7shop_loadtest::journeys::scenario::Scenario;
use std::sync::atomic::AtomicBool;
use support::{Place, stop};

const SHOPPERS: usize = 20;

/// Plays a scenario on a shop of its own, whose data must be in order afterwards.
fn play(text: &str, stopped: bool) -> Outcome {
    let place = Place::new(2);
    let program = place.start();
    let target = Target {
        address: program.address(),
        admin_token: place.shop.admin_token().unwrap(),
        customer_tokens: place.shop.customer_tokens("kim", SHOPPERS).unwrap(),
    };
    let own = Some((program.pid(), place.data().to_path_buf()));
    let outcome = run("test", &Scenario::parse(text).unwrap(), &target, own, &AtomicBool::new(stopped)).unwrap();
    stop(program);
    place.verify();
    outcome
}

fn scenario(load: &str, units: u64, thresholds: &str) -> String {
    format!(
        "[load]\nshoppers = {SHOPPERS}\n{load}\n[weights]\nlist = 1.0\nproduct = 1.0\norder = 3.0\nown_orders = 1.0\n\
         cancel = 1.0\nconfirm = 1.0\n[products]\ncount = 3\nunits = {units}\nquantity_max = 2\n[thresholds]\n\
         errors_max = 0.0\noversold_max = 0.0\n{thresholds}\n"
    )
}

#[test]
fn shoppers_take_every_step_and_every_promise_is_kept() {
    let think =
        "seconds = 2.0\ncheck_orders = true\nthink = { distribution = \"uniform\", min_ms = 0.0, max_ms = 5.0 }";
    let outcome = play(&scenario(think, 20, ""), false);
    assert_eq!(outcome.verdict(), Verdict::Held, "{:?} {:?}", outcome.broken, outcome.errors);
    let steps: Vec<_> = outcome.steps.iter().filter(|row| row.accepted > 0).map(|row| row.step.as_str()).collect();
    assert_eq!(steps, ["cancel", "confirm", "list", "order", "own_orders", "product"], "seed {}", outcome.seed);
    // 60 units for some thousand orders.
    assert!(outcome.refused["sold_out"] > 0, "{:?}", outcome.refused);
    let refused: u64 = outcome.steps.iter().map(|row| row.refused).sum();
    assert_eq!(refused, outcome.refused.values().sum::<u64>());
    let html = outcome.html().unwrap();
    assert!(html.contains("errors_max") && html.contains("<svg") && !html.contains("partial"));
}

#[test]
fn a_soak_measures_memory_and_lag_and_misses_what_it_cannot_hold() {
    let open = "seconds = 3.0\nper_second = 200.0";
    let outcome = play(&scenario(open, 1_000_000, "memory_mib_max = 0.001"), false);
    for name in ["memory_mib", "lag_events", "journal_mib", "memory_growth_mib_per_hour"] {
        assert!(outcome.figures.contains_key(name), "{name}: {:?}", outcome.figures);
    }
    assert_eq!(outcome.verdict(), Verdict::Missed);
    let missed: Vec<_> = outcome.thresholds.iter().filter(|judged| !judged.held).map(|judged| &judged.name).collect();
    assert_eq!(missed, ["memory_mib_max"], "{:?}", outcome.errors);
}

#[test]
fn a_stopped_run_is_partial_and_says_so() {
    let outcome = play(&scenario("seconds = 3600.0\nper_second = 10.0", 5, ""), true);
    assert_eq!(outcome.verdict(), Verdict::Unknown);
    assert!(outcome.html().unwrap().contains("this report is partial"));
}

#[test]
fn a_sale_sells_nothing_early_and_exactly_its_units() {
    use son7shop_loadtest::journeys::sale::{run as sell, scenario::SaleScenario};
    let place = Place::new(2);
    let program = place.start();
    let target = Target {
        address: program.address(),
        admin_token: place.shop.admin_token().unwrap(),
        customer_tokens: place.shop.customer_tokens("kim", SHOPPERS).unwrap(),
    };
    let text = "buyers = 40\ncustomers = 20\nrequests = 2\nunits = 15\nprice = 900\nprice_before = 1000\n\
        per_customer_limit = 1\nopens_in_seconds = 1\npoll_ms = 50.0\njitter_ms = 20.0\ntoo_early_every = 4\n\
        patience_seconds = 60.0\n[thresholds]\nerrors_max = 0.0\n";
    let outcome = sell(&SaleScenario::parse(text).unwrap(), &target, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome.violations, []);
    assert_eq!((outcome.sold, outcome.sellable), (Some(15), 15));
    assert_eq!(outcome.ledger.codes["sale_not_open"], 10, "every fourth of 40 was too early");
    assert!(outcome.ledger.codes["sold_out"] > 0 && outcome.sold_out_after.is_some());
    stop(program);
    place.verify();
}
