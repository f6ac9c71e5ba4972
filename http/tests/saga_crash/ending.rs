//! After the run: no faults and no kills any more. Sagas come to their end by themselves; for what waits
//! longer than anybody watches, the test plays the operator, and says only what the gateway's ledger says.

use crate::staff::operate;
use crate::support::Caller;
use crate::town::Town;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How long all of it may take; never reached where nothing is broken.
const PATIENCE: Duration = Duration::from_mins(4);
/// A step that is due later than this is an operator's: a gateway may be at work for 12 s.
const SOON: time::Duration = time::Duration::seconds(15);
/// The pause between looks.
const LOOK: Duration = Duration::from_millis(200);

/// What an operator had to do.
#[derive(Debug, Default)]
pub(crate) struct Operated {
    pub(crate) parked: BTreeSet<(String, String)>,
    pub(crate) retried: BTreeSet<(String, String)>,
    pub(crate) resolved: BTreeSet<(String, String)>,
}

/// Waits until no step is open and no unit is held.
pub(crate) fn settle(town: &Town) -> Operated {
    let (mut caller, mut operated) = (town.as_admin(), Operated::default());
    let by = Instant::now() + PATIENCE;
    loop {
        let mut at_work = steps(town, &mut caller, "");
        // A late look at what was never taken comes again for a day: nobody waits for it.
        at_work.retain(|step| !(is_late_look(step) && takings(town, step["order"].as_str().unwrap()) == 0));
        for step in &at_work {
            help(town, &mut caller, step, &mut operated);
        }
        let waiting = steps(town, &mut caller, "state=waiting&");
        let held = held(town, &mut caller);
        if at_work.is_empty() && waiting.is_empty() && held == 0 {
            return operated;
        }
        assert!(
            Instant::now() < by,
            "after {PATIENCE:?} {held} units are held, {} steps wait for shoppers, and these are open: {:#?}",
            waiting.len(),
            &at_work[..at_work.len().min(20)]
        );
        std::thread::sleep(LOOK);
    }
}

/// An operator has it retried; if that does not end it, and nothing was taken, says so.
fn help(town: &Town, caller: &mut Caller, step: &Value, operated: &mut Operated) {
    let text = |name: &str| step[name].as_str().unwrap().to_owned();
    let key = (text("order"), text("step"));
    let parked = step["state"] == "parked";
    if parked {
        operated.parked.insert(key.clone());
    }
    let due = OffsetDateTime::parse(&text("due_at"), &Rfc3339).unwrap();
    if !parked && due < OffsetDateTime::now_utc() + SOON {
        return;
    }
    if operated.retried.insert(key.clone()) {
        operate(town, caller, step, "retry", &json!({ "reason": "the gateway is well again" }));
    } else if key.1.starts_with("attempt") && takings(town, &key.0) == 0 {
        let body = json!({ "outcome": "not_paid", "reason": "nothing is in the gateway's ledger" });
        operate(town, caller, step, "resolve", &body);
        operated.resolved.insert(key);
    }
}

/// A look for money of an attempt that ended, once the gateway has said that nothing is certain.
fn is_late_look(step: &Value) -> bool {
    step["call"] == "look_up"
        && step["class"] == "retriable"
        && step["step"].as_str().unwrap().starts_with("attempt")
        && step["answer"] == "pending"
}

/// What the gateway ever took for an order.
fn takings(town: &Town, order: &str) -> i64 {
    let ledger = town.sandbox.ledger();
    let lines = ledger.iter().filter(|line| line["order"] == order);
    lines.flat_map(|line| line["captures"].as_array().unwrap()).map(|one| one["amount"].as_i64().unwrap()).sum()
}

fn steps(town: &Town, caller: &mut Caller, state: &str) -> Vec<Value> {
    list(town, caller, &format!("/v1/operations/sagas?{state}limit=100"), "steps")
}

/// Units that are held of any product.
fn held(town: &Town, caller: &mut Caller) -> i64 {
    stock(town, caller).values().map(|stock| stock["held"].as_i64().unwrap()).sum()
}

/// Every product's stock.
pub(crate) fn stock(town: &Town, caller: &mut Caller) -> BTreeMap<String, Value> {
    let products = list(town, caller, "/v1/products?limit=100", "products");
    products
        .into_iter()
        .map(|product| (product["sku"].as_str().unwrap().to_owned(), product["stock"].clone()))
        .collect()
}

/// All pages of a list.
pub(crate) fn list(town: &Town, caller: &mut Caller, path: &str, name: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), path.to_owned());
    loop {
        let said = town.insist(caller, ("GET", &next), None, None).expect("a list");
        assert_eq!(said.status, 200, "{}", said.text());
        let page = said.json().unwrap();
        found.extend(page[name].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return found };
        next = format!("{path}&after={cursor}");
    }
}
