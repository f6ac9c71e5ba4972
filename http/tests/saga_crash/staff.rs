//! Whoever runs the shop: gives money back, and meddles with steps that do not go on.

use crate::support::{Caller, Chance, code};
use crate::town::{Town, count};
use serde_json::{Value, json};
use std::time::Duration;

/// The pause when there is nothing to do.
const IDLE: Duration = Duration::from_millis(50);
/// The pause between an operator's acts.
const WATCHES: Duration = Duration::from_secs(1);
/// Refusals that a refund may meet.
const REFUSALS: [&str; 5] =
    ["refund_under_way", "nothing_to_refund", "refund_out_of_range", "units_out_of_range", "wrong_state"];

/// Gives money back for confirmed orders until the run is over: in part, whole, with units and without.
pub(crate) fn refund_some(town: &Town, index: u64) {
    let (mut chance, mut caller) = (Chance::new(town.seed, &[2, index]), town.as_admin());
    for n in 0_u64.. {
        if town.doors.are_over() {
            return;
        }
        let next = town.books().to_refund.pop();
        let Some(id) = next else {
            town.doors.pause(IDLE);
            continue;
        };
        refund(town, &mut caller, &mut chance, &id, &format!("refund-{index}-{n}"));
        // What is left, another time.
        if chance.within(0, 100) < 40 {
            town.books().to_refund.insert(0, id);
        }
    }
}

fn refund(town: &Town, caller: &mut Caller, chance: &mut Chance, id: &str, key: &str) {
    let Some(body) = what_to_refund(town, caller, chance, id) else { return };
    let path = format!("/v1/orders/{id}/refunds");
    let Some(said) = town.insist(caller, ("POST", &path), Some(key), Some(&body)) else { return };
    if said.status != 201 {
        if !REFUSALS.contains(&code(&said).as_str()) {
            town.unexpected(format!("a refund: {} {}", said.status, said.text()));
        }
        return;
    }
    let said = said.json().unwrap();
    let (number, amount) = (said["refund"].as_u64().unwrap(), said["amount"].as_i64().unwrap());
    let before = town.books().refunds.insert((id.to_owned(), number), amount);
    if before.is_some() {
        town.unexpected(format!("{id}: two requests for a refund have led to number {number}"));
    }
}

fn what_to_refund(town: &Town, caller: &mut Caller, chance: &mut Chance, id: &str) -> Option<Value> {
    let restock = chance.within(0, 2) == 0;
    Some(match chance.within(0, 4) {
        0 => json!({ "restock": restock, "reason": "all of it" }),
        1 => json!({ "amount": chance.within(1, 400), "restock": restock, "reason": "a scratch" }),
        _ => {
            let said = town.insist(caller, ("GET", &format!("/v1/orders/{id}")), None, None)?.json().unwrap();
            let line = chance.one(said["lines"].as_array()?)?;
            let lines = json!([{ "sku": line["sku"], "quantity": 1 }]);
            json!({ "lines": lines, "restock": restock, "reason": "one too many" })
        }
    })
}

/// Retries steps that are being retried, and gives some up, until the run is over.
pub(crate) fn meddle(town: &Town) {
    let (mut chance, mut caller) = (Chance::new(town.seed, &[3]), town.as_admin());
    while town.doors.pause(WATCHES) {
        let list = "/v1/operations/sagas?state=retrying&limit=100";
        let Some(said) = town.insist(&mut caller, ("GET", list), None, None) else { return };
        let said = said.json().unwrap();
        let Some(step) = chance.one(said["steps"].as_array().unwrap()) else { continue };
        let verb = if chance.within(0, 100) < 70 || step["step"].as_str().unwrap().starts_with("refund") {
            "retry"
        } else {
            "compensate"
        };
        operate(town, &mut caller, step, verb, json!({ "reason": "somebody called" }));
    }
}

/// Does something about a step. It may have ended meanwhile.
pub(crate) fn operate(town: &Town, caller: &mut Caller, step: &Value, verb: &str, body: Value) {
    let (order, name) = (step["order"].as_str().unwrap(), step["step"].as_str().unwrap());
    let path = format!("/v1/operations/sagas/{order}/{name}/{verb}");
    let Some(said) = town.insist(caller, ("POST", &path), None, Some(&body)) else { return };
    count(&town.counts.operated);
    if said.status != 200 && !["no_such_step", "wrong_step"].contains(&code(&said).as_str()) {
        town.unexpected(format!("{verb} of {step}: {} {}", said.status, said.text()));
    }
}
