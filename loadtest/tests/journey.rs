//! A journey over the wire, against a toy shop whose promises can be broken one by one: nothing is wrong
//! with the honest one, and every fault is seen.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use son7shop_loadtest::contention::Target;
use son7shop_loadtest::journeys::report::{Outcome, Verdict};
use son7shop_loadtest::journeys::run::run;
use son7shop_loadtest::journeys::scenario::Scenario;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use support::{Asked, serve};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// 503 to everything but the making of products.
    IsBusy,
    /// Every order is refused as if there were none left.
    SellsNothing,
    /// Every order is refused as if there were a sale.
    IsNotOpen,
    /// The fifth order gets the id of the fourth.
    GivesAnIdTwice,
    /// An order is in the list that nobody sent.
    Invents,
    /// Every order is listed as the first customer's.
    MixesCustomersUp,
    /// The stock does not know of the first order that has its units.
    ForgetsUnits,
    /// Every fifth order is accepted, and its customer is told that nobody knows. No promise is broken.
    DoesNotKnow,
    /// No answer to anything after the fifth order.
    Dies,
}

struct Sold {
    customer: String,
    sku: String,
    quantity: u64,
    status: &'static str,
}

/// A shop in memory.
struct Toy {
    fault: Fault,
    price: i64,
    units: BTreeMap<String, u64>,
    orders: Vec<Sold>,
}

impl Toy {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let Asked { method, path, token, body, .. } = asked;
        let path = path.split('?').next().unwrap_or_default();
        if (method.as_str(), path) == ("POST", "/v1/products") {
            self.price = body["price"].as_i64().unwrap();
            self.units.insert(body["sku"].as_str().unwrap().to_owned(), body["on_hand"].as_u64().unwrap());
            return (201, json!({}));
        }
        if self.fault == Fault::IsBusy && token != "Bearer admin" {
            return (503, json!({ "code": "overloaded" }));
        }
        let steps: Vec<_> = path.split('/').skip(2).collect();
        match (method.as_str(), &steps[..]) {
            ("POST", ["orders"]) => self.buy(token, body),
            ("POST", ["orders", id, change]) => {
                let status = if *change == "cancel" { "cancelled" } else { "confirmed" };
                self.orders[id[1..].parse::<usize>().unwrap()].status = status;
                (200, json!({}))
            }
            ("GET", ["orders"]) => (200, json!({ "orders": self.list(), "next_cursor": null })),
            ("GET", ["products", sku]) => (200, json!({ "stock": self.stock(sku) })),
            _ => (200, json!({})),
        }
    }

    fn buy(&mut self, customer: &str, body: &Value) -> (u16, Value) {
        let (sku, quantity) = (&body["lines"][0]["sku"], body["lines"][0]["quantity"].as_u64().unwrap());
        match self.fault {
            Fault::SellsNothing => return (409, json!({ "code": "sold_out" })),
            Fault::IsNotOpen => return (409, json!({ "code": "sale_not_open" })),
            _ => {}
        }
        let sku = sku.as_str().unwrap().to_owned();
        self.orders.push(Sold { customer: customer.to_owned(), sku, quantity, status: "held" });
        let count = self.orders.len();
        match self.fault {
            Fault::GivesAnIdTwice if count == 5 => (201, json!({ "id": "o3" })),
            Fault::DoesNotKnow if count.is_multiple_of(5) => (503, json!({ "code": "outcome_unknown" })),
            _ => (201, json!({ "id": format!("o{}", count - 1) })),
        }
    }

    fn list(&self) -> Vec<Value> {
        let order = |(at, Sold { customer, sku, quantity, status }): (usize, &Sold)| {
            let total = self.price * i64::try_from(*quantity).unwrap();
            let lines = json!([{ "sku": sku, "quantity": quantity }]);
            let customer = if self.fault == Fault::MixesCustomersUp { "customer-0" } else { customer };
            json!({ "id": format!("o{at}"), "customer": customer, "status": status, "lines": lines, "total": total })
        };
        let mut orders: Vec<_> = self.orders.iter().enumerate().map(order).collect();
        if self.fault == Fault::Invents {
            let mut invented = orders[0].clone();
            (invented["id"], invented["status"]) = (json!("invented"), json!("cancelled"));
            orders.push(invented);
        }
        orders
    }

    /// Orders that the stock knows of.
    fn known(&self) -> impl Iterator<Item = &Sold> {
        let with_units = self.orders.iter().filter(|sold| sold.status != "cancelled");
        with_units.skip(usize::from(self.fault == Fault::ForgetsUnits))
    }

    fn stock(&self, sku: &str) -> Value {
        let with = |status| self.known().filter(move |sold| sold.sku == sku && sold.status == status);
        let (held, sold): (u64, u64) =
            (with("held").map(|order| order.quantity).sum(), with("confirmed").map(|order| order.quantity).sum());
        let units = self.units[sku];
        json!({ "on_hand": units - sold, "held": held, "sold": sold, "available": units - held - sold })
    }
}

/// Four shoppers, for a moment.
const SCENARIO: &str = "[load]\nshoppers = 4\nseconds = 0.5\ncheck_orders = true\n\
    think = { distribution = \"constant\", ms = 5.0 }\n\
    [weights]\nproduct = 1.0\norder = 4.0\ncancel = 1.0\nconfirm = 1.0\n\
    [products]\ncount = 2\nunits = 100000\nquantity_max = 2\n\
    [thresholds]\nerrors_max = 0.0\noversold_max = 0.0\norders_accepted_min = 1.0\nbusy_max = 0.01\n";

fn toy_shop(fault: Fault) -> SocketAddr {
    let mut toy = Toy { fault, price: 0, units: BTreeMap::new(), orders: Vec::new() };
    serve(move |asked| (fault != Fault::Dies || toy.orders.len() < 5).then(|| toy.answer(asked)))
}

fn customer_tokens() -> Vec<String> {
    (0..4).map(|customer| format!("customer-{customer}")).collect()
}

/// The scenario on a shop with this fault.
fn play(fault: Fault) -> Outcome {
    let (address, admin_token, customer_tokens) = (toy_shop(fault), "admin".to_owned(), customer_tokens());
    let target = Target { address, admin_token, customer_tokens };
    run("test", &Scenario::parse(SCENARIO).unwrap(), &target, None, &AtomicBool::new(false)).unwrap()
}

/// The thresholds that were missed.
fn missed(outcome: &Outcome) -> Vec<&str> {
    outcome.thresholds.iter().filter(|judged| !judged.held).map(|judged| judged.name.as_str()).collect()
}

#[test]
fn an_honest_shop_keeps_every_promise() {
    let outcome = play(Fault::None);
    assert_eq!(outcome.verdict(), Verdict::Held, "{:?} {:?}", outcome.broken, outcome.errors);
    assert_eq!(outcome.figures["busy"].to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_shop_that_sells_nothing_does_not_pass() {
    for (fault, expected) in [
        (Fault::IsBusy, &["busy_max", "orders_accepted_min"][..]),
        (Fault::SellsNothing, &["orders_accepted_min"]),
        (Fault::IsNotOpen, &["errors_max", "orders_accepted_min"]),
    ] {
        let outcome = play(fault);
        assert_eq!((outcome.verdict(), missed(&outcome)), (Verdict::Missed, expected.to_vec()));
    }
}

#[test]
fn every_broken_promise_is_seen() {
    for (fault, expected) in [
        (Fault::GivesAnIdTwice, "order o3 was given to two keys"),
        (Fault::Invents, "order invented is in the list and nobody was told of it"),
        (Fault::MixesCustomersUp, "is listed as customer-0's"),
        (Fault::ForgetsUnits, "units held and sold, the orders have"),
    ] {
        let outcome = play(fault);
        assert!(outcome.broken.iter().any(|line| line.contains(expected)), "{expected}: {:?}", outcome.broken);
        assert_eq!(outcome.verdict(), Verdict::Missed);
    }
}

#[test]
fn an_order_of_unknown_outcome_is_an_error_and_no_broken_promise() {
    let outcome = play(Fault::DoesNotKnow);
    assert_eq!((&outcome.broken[..], outcome.verdict()), (&[][..], Verdict::Missed));
    assert!(missed(&outcome).contains(&"errors_max"), "{:?}", outcome.thresholds);
}

#[test]
fn a_shop_that_dies_gives_a_report_all_the_same() {
    let outcome = play(Fault::Dies);
    assert_eq!(outcome.verdict(), Verdict::Missed);
    assert!(outcome.failed[0].contains("GET /v1/products/"), "{:?}", outcome.failed);
    // What was not measured is missed, not held.
    assert_eq!(missed(&outcome), ["errors_max", "oversold_max"]);
    assert!(outcome.html().unwrap().contains("GET /v1/products/"));
    let without_thresholds = Outcome { thresholds: Vec::new(), ..outcome };
    assert_eq!(without_thresholds.verdict(), Verdict::Missed);
}

#[test]
fn the_exit_code_says_how_it_went_and_the_report_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, tokens, out) =
        (folder.path().join("scenario.toml"), folder.path().join("tokens"), folder.path().join("out"));
    fs::write(&scenario, SCENARIO).unwrap();
    fs::write(&tokens, customer_tokens().join("\n")).unwrap();
    for (fault, code) in [(Fault::None, 0), (Fault::SellsNothing, 1), (Fault::Dies, 1)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["journey", "--admin-token", "admin", "--url", &format!("http://{}", toy_shop(fault))]);
        command.arg("--customer-tokens").arg(&tokens).arg("--scenario").arg(&scenario).arg("--out").arg(&out);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let report = fs::read_to_string(out.join("journey.html")).unwrap();
        assert_eq!(report.contains("Every threshold held"), code == 0);
        fs::remove_dir_all(&out).unwrap();
    }
}
