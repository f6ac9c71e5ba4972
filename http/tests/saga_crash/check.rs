//! What must be true of shop and gateway when everything has come to its end. Apart from `verify`: by what
//! the API shows, what was acknowledged, and the ledger of the gateway's own process.

use crate::ending::{list, stock};
use crate::support::PATIENCE;
use crate::town::{Books, Town};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// What the orders of a run came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) by_status: BTreeMap<String, usize>,
    pub(crate) captured_late: usize,
    pub(crate) refunds: usize,
    pub(crate) findings: Vec<String>,
}

/// Compares every order with the ledger and the books, and the stock with all of them.
pub(crate) fn all(town: &Town, supplied: &BTreeMap<String, i64>) -> Tally {
    let mut caller = town.as_admin();
    let orders = list(town, &mut caller, "/v1/orders?limit=100", "orders");
    let mut ledger: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in town.sandbox.ledger() {
        ledger.entry(line["order"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    let books = town.books();
    let mut tally = Tally { findings: books.unexpected.clone(), ..Tally::default() };
    let mut sold: BTreeMap<String, i64> = supplied.keys().map(|sku| (sku.clone(), 0)).collect();
    for order in &orders {
        let id = text(order, "id");
        let lines = ledger.remove(&id).unwrap_or_default();
        let wrong = one(order, &lines).into_iter().chain(promised(order, &books));
        tally.findings.extend(wrong.map(|wrong| format!("order {id}: {wrong}: {order}, at the gateway {lines:?}")));
        *tally.by_status.entry(text(order, "status")).or_default() += 1;
        count(order, &mut tally, &mut sold);
    }
    tally.findings.extend(ledger.keys().map(|id| format!("the gateway knows order {id}, the shop does not")));
    let ids: HashSet<String> = orders.iter().map(|order| text(order, "id")).collect();
    let lost = books.orders.keys().filter(|id| !ids.contains(*id));
    tally.findings.extend(lost.map(|id| format!("order {id} was acknowledged, and is not there")));
    let unknown = ids.iter().filter(|id| !books.orders.contains_key(*id)).count() as u64;
    let unresolved = crate::town::Counts::of(&town.counts.unresolved);
    if unknown > unresolved {
        tally.findings.push(format!("{unknown} orders are there that nobody was told of; {unresolved} may be"));
    }
    drop(books);
    tally.findings.extend(units(town, supplied, &sold));
    tally
}

/// One order against its lines in the gateway's ledger.
fn one(order: &Value, ledger: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let sums = |name: &str| -> Vec<i64> {
        let booked = ledger.iter().flat_map(|line| line[name].as_array().unwrap());
        let mut sums: Vec<i64> = booked.map(|one| one["amount"].as_i64().unwrap()).collect();
        sums.sort_unstable();
        sums
    };
    let (captures, refunds) = (sums("captures"), sums("refunds"));
    let net = captures.iter().sum::<i64>() - refunds.iter().sum::<i64>();
    let status = text(order, "status");
    match status.as_str() {
        "confirmed" if net <= 0 => wrong.push(format!("it is confirmed, and {net} won are at the gateway")),
        "refunded" | "cancelled" | "expired" if net != 0 => {
            wrong.push(format!("it is {status}, and {net} won are at the gateway"));
        }
        "confirmed" | "refunded" | "cancelled" | "expired" => {}
        _ => wrong.push(format!("it is still {status}")),
    }
    let payment = &order["payment"];
    let taken: i64 = captures.iter().sum();
    let said = (payment["captured"].as_i64().unwrap_or(0), payment["refunded"].as_i64().unwrap_or(0));
    if said != (taken, taken - net) {
        wrong.push(format!("the shop says {said:?} were taken and given back"));
    }
    let mut done: Vec<i64> =
        shown_refunds(order).filter(is_done).map(|refund| refund["amount"].as_i64().unwrap()).collect();
    done.sort_unstable();
    if done != refunds {
        wrong.push(format!("the shop gave back {done:?}, the gateway {refunds:?}"));
    }
    let confirming = attempts(order).filter(|attempt| attempt["status"] == "captured").count();
    let expected = usize::from(matches!(status.as_str(), "confirmed" | "refunded"));
    if confirming != expected {
        wrong.push(format!("{confirming} attempts have confirmed it"));
    }
    let live = attempts(order).filter(|a| ["preparing", "ready", "approving"].iter().any(|live| a["status"] == *live));
    if live.count() > 0 {
        wrong.push("an attempt is still live".to_owned());
    }
    wrong
}

/// One order against what people were told of it.
fn promised(order: &Value, books: &Books) -> Vec<String> {
    let (id, status) = (text(order, "id"), text(order, "status"));
    let mut wrong = Vec::new();
    if books.cancelled.contains(&id) && status != "cancelled" {
        wrong.push("its cancellation was acknowledged".to_owned());
    }
    if books.confirmed.contains(&id) && !["confirmed", "refunded"].contains(&status.as_str()) {
        wrong.push("it was shown as confirmed".to_owned());
    }
    let own = books.refunds.range((id.clone(), 0)..=(id, u64::MAX));
    for ((_, number), amount) in own {
        let there = shown_refunds(order)
            .any(|refund| refund["refund"] == *number && refund["amount"] == *amount && is_done(&refund));
        if !there {
            wrong.push(format!("refund {number} of {amount} won was acknowledged"));
        }
    }
    wrong
}

fn count(order: &Value, tally: &mut Tally, sold: &mut BTreeMap<String, i64>) {
    tally.captured_late += attempts(order).filter(|attempt| attempt["status"] == "captured_late").count();
    tally.refunds += shown_refunds(order).filter(is_done).count();
    if !["confirmed", "refunded"].iter().any(|status| order["status"] == *status) {
        return;
    }
    let mut add = |lines: &Value, sign: i64| {
        for line in lines.as_array().unwrap() {
            *sold.get_mut(line["sku"].as_str().unwrap()).unwrap() += sign * line["quantity"].as_i64().unwrap();
        }
    };
    add(&order["lines"], 1);
    for refund in shown_refunds(order).filter(is_done).filter(|refund| refund["restock"] == true) {
        add(&refund["lines"], -1);
    }
}

/// Units come back to other partitions behind an answer, so that stock is asked until it fits.
fn units(town: &Town, supplied: &BTreeMap<String, i64>, sold: &BTreeMap<String, i64>) -> Vec<String> {
    let by = Instant::now() + PATIENCE;
    loop {
        let found = stock(town, &mut town.as_admin());
        let wrong: Vec<String> = supplied
            .iter()
            .filter_map(|(sku, supplied)| {
                let units = |name: &str| found[sku][name].as_i64().unwrap();
                let expected = (supplied - sold[sku], 0, sold[sku]);
                let there = (units("on_hand"), units("held"), units("sold"));
                (there != expected).then(|| format!("{sku}: {there:?} on hand, held, sold; must be {expected:?}"))
            })
            .collect();
        if wrong.is_empty() || Instant::now() >= by {
            return wrong;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

fn attempts(order: &Value) -> impl Iterator<Item = Value> {
    order["payment"]["attempts"].as_array().cloned().unwrap_or_default().into_iter()
}

fn shown_refunds(order: &Value) -> impl Iterator<Item = Value> {
    order["payment"]["refunds"].as_array().cloned().unwrap_or_default().into_iter()
}

fn is_done(refund: &Value) -> bool {
    refund["status"] == "done"
}

/// Lines of a text that have one of these words in them, also inside other words; the words themselves hidden.
pub(crate) fn lines_with(secrets: &HashSet<String>, text: &str) -> Vec<String> {
    let lengths: HashSet<usize> = secrets.iter().map(String::len).collect();
    let shows = |line: &str| {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut parts = words.flat_map(|word| {
            lengths.iter().flat_map(move |length| (0..=word.len()).filter_map(move |at| word.get(at..at + length)))
        });
        parts.find(|part| secrets.contains(*part)).map(|secret| line.replace(secret, "***"))
    };
    text.lines().filter_map(shows).collect()
}

/// The check can fail: each thing that may not be is found.
#[test]
fn what_may_not_be_is_found() {
    use serde_json::json;
    let order = |status: &str, attempt: &str, captured: i64, refunds: &[i64]| {
        let refunded: i64 = refunds.iter().sum();
        let refunds: Vec<Value> = (1..)
            .zip(refunds)
            .map(|(number, amount): (u64, _)| json!({ "refund": number, "amount": amount, "status": "done" }))
            .collect();
        let payment = json!({ "captured": captured, "refunded": refunded, "refunds": refunds,
            "attempts": [{ "status": attempt }] });
        json!({ "id": "o", "status": status, "payment": payment })
    };
    let line = |captures: &[i64], refunds: &[i64]| {
        let booked = |sums: &[i64]| sums.iter().map(|amount| json!({ "amount": amount })).collect::<Vec<_>>();
        vec![json!({ "captures": booked(captures), "refunds": booked(refunds) })]
    };
    let rows = [
        (order("confirmed", "captured", 9, &[]), line(&[9], &[]), ""),
        (order("confirmed", "captured", 9, &[2, 3]), line(&[9], &[3, 2]), ""),
        (order("refunded", "captured", 9, &[9]), line(&[9], &[9]), ""),
        (order("expired", "captured_late", 9, &[9]), line(&[9], &[9]), ""),
        (order("expired", "quit", 0, &[]), vec![], ""),
        (order("confirmed", "captured", 9, &[]), vec![], "it is confirmed, and 0 won are at the gateway"),
        (order("expired", "quit", 0, &[]), line(&[9], &[]), "it is expired, and 9 won are at the gateway"),
        (order("refunded", "captured", 9, &[9]), line(&[9], &[8]), "it is refunded, and 1 won are at the gateway"),
        (order("held", "quit", 0, &[]), vec![], "it is still held"),
        (order("confirmed", "captured", 8, &[]), line(&[9], &[]), "the shop says (8, 0)"),
        (order("confirmed", "captured", 9, &[2]), line(&[9], &[2, 2]), "the shop gave back [2], the gateway [2, 2]"),
        (order("confirmed", "quit", 9, &[]), line(&[9], &[]), "0 attempts have confirmed it"),
        (order("cancelled", "captured", 9, &[9]), line(&[9], &[9]), "1 attempts have confirmed it"),
        (order("expired", "approving", 0, &[]), vec![], "an attempt is still live"),
    ];
    for (order, ledger, words) in rows {
        let found = one(&order, &ledger).join("; ");
        assert!(found.contains(words) && found.is_empty() == words.is_empty(), "'{words}': {found}");
    }
    let mut books = Books::default();
    let told = |books: &Books| promised(&order("expired", "quit", 9, &[2]), books).join("; ");
    assert_eq!(told(&books), "");
    books.confirmed.insert("o".to_owned());
    books.cancelled.insert("o".to_owned());
    books.refunds.extend([(("o".to_owned(), 1), 2), (("o".to_owned(), 2), 2), (("p".to_owned(), 1), 5)]);
    assert_eq!(
        told(&books),
        "its cancellation was acknowledged; it was shown as confirmed; refund 2 of 2 won was acknowledged"
    );
    let secrets = HashSet::from(["abc".to_owned()]);
    assert_eq!(lines_with(&secrets, "pg_token%3dabc&x\nab\nacb"), ["pg_token%3d***&x"]);
}
