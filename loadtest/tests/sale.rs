//! A sale over the wire, against a toy shop whose promises can be broken one by one: nothing is wrong
//! with the honest one, and every fault is seen.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use son7shop_loadtest::contention::Target;
use son7shop_loadtest::contention::check::Violation;
use son7shop_loadtest::journeys::report::{Outcome, Verdict};
use son7shop_loadtest::journeys::sale::scenario::SaleScenario;
use son7shop_loadtest::journeys::sale::{SaleOutcome, SaleViolation, run};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use support::{Answer, Asked, serve};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    SellsEarly,
    ForgetsTheLimit,
    ForgetsThePrice,
    LosesAnOrder,
    /// Nearly a second before its time.
    OpensEarly,
    /// More than half a second after its time.
    OpensLate,
    /// One connection breaks, and everything else is well.
    BreaksOnce,
    /// No answer to anything from the third order on.
    Dies,
}

/// A shop of one product on sale.
struct Toy {
    fault: Fault,
    sku: String,
    price: i64,
    units: usize,
    opens_at: OffsetDateTime,
    orders: Vec<String>,
    sendings: usize,
}

impl Toy {
    /// None where the process would be gone.
    fn answer_or_break(&mut self, asked: &Asked) -> Answer {
        self.sendings += usize::from((asked.method.as_str(), asked.path.as_str()) == ("POST", "/v1/orders"));
        let is_broken = match self.fault {
            Fault::BreaksOnce if self.sendings == 3 => {
                self.sendings += 1;
                true
            }
            Fault::Dies => self.sendings >= 3,
            _ => false,
        };
        (!is_broken).then(|| self.answer(asked))
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let Asked { method, path, token, body, .. } = asked;
        match (method.as_str(), path.split('?').next().unwrap_or_default()) {
            ("POST", "/v1/products") => {
                body["sku"].as_str().unwrap().clone_into(&mut self.sku);
                self.price = body["price"].as_i64().unwrap();
                self.units = body["on_hand"].as_u64().unwrap().try_into().unwrap();
                (201, json!({}))
            }
            ("PUT", _) => {
                self.opens_at = OffsetDateTime::parse(body["opens_at"].as_str().unwrap(), &Rfc3339).unwrap();
                if self.fault != Fault::ForgetsThePrice {
                    self.price = body["price"].as_i64().unwrap();
                }
                (200, json!({}))
            }
            ("POST", _) => self.buy(token),
            ("GET", "/v1/orders") => {
                let lost = usize::from(self.fault == Fault::LosesAnOrder);
                let line = json!({ "sku": self.sku, "quantity": 1 });
                let order = |(at, customer)| json!({ "id": format!("o{at}"), "customer": customer, "status": "held", "lines": [line], "total": self.price });
                let orders: Vec<_> = self.orders.iter().enumerate().skip(lost).map(order).collect();
                (200, json!({ "orders": orders, "next_cursor": null }))
            }
            _ => {
                let held = self.orders.len();
                let stock = json!({ "on_hand": self.units, "held": held, "sold": 0, "available": self.units - held });
                (200, json!({ "stock": stock }))
            }
        }
    }

    fn buy(&mut self, customer: &str) -> (u16, Value) {
        let opens_at = match self.fault {
            Fault::OpensEarly => self.opens_at - Duration::from_millis(900),
            Fault::OpensLate => self.opens_at + Duration::from_millis(600),
            _ => self.opens_at,
        };
        if OffsetDateTime::now_utc() < opens_at && self.fault != Fault::SellsEarly {
            return (409, json!({ "code": "sale_not_open" }));
        }
        if self.orders.len() == self.units {
            return (409, json!({ "code": "sold_out" }));
        }
        let has = self.orders.iter().filter(|owner| *owner == customer).count();
        if has > usize::from(self.fault == Fault::ForgetsTheLimit) {
            return (409, json!({ "code": "limit_reached" }));
        }
        self.orders.push(customer.to_owned());
        (201, json!({ "id": format!("o{}", self.orders.len() - 1) }))
    }
}

fn toy_shop(fault: Fault) -> SocketAddr {
    let opens_at = OffsetDateTime::UNIX_EPOCH;
    let mut toy = Toy { fault, sku: String::new(), price: 0, units: 0, opens_at, orders: Vec::new(), sendings: 0 };
    serve(move |asked| toy.answer_or_break(asked))
}

fn sell(fault: Fault) -> SaleOutcome {
    // Time enough for everybody, unless the shop is gone for good.
    let patience = if fault == Fault::Dies { 1 } else { 60 };
    let text = format!(
        "buyers = 12\ncustomers = 6\nrequests = 2\nunits = 8\nprice = 900\nprice_before = 1000\n\
        per_customer_limit = 1\nopens_in_seconds = 1\npoll_ms = 100.0\njitter_ms = 10.0\ntoo_early_every = 3\n\
        patience_seconds = {patience}.0\n"
    );
    let target = Target {
        address: toy_shop(fault),
        admin_token: "admin".to_owned(),
        customer_tokens: (0..6).map(|customer| format!("customer-{customer}")).collect(),
    };
    run(&SaleScenario::parse(&text).unwrap(), &target, &AtomicBool::new(false)).unwrap()
}

#[test]
fn an_honest_sale_keeps_every_promise() {
    let outcome = sell(Fault::None);
    assert_eq!((&outcome.violations[..], &outcome.failed[..]), (&[][..], &[][..]));
    assert_eq!((outcome.sold, outcome.sellable, outcome.ledger.codes["sale_not_open"]), (Some(6), 6, 4));
}

/// A sale with this fault must show this.
type Sees = (Fault, fn(&SaleViolation) -> bool);

#[test]
fn every_fault_is_seen() {
    let faults: [Sees; 6] = [
        (Fault::SellsEarly, |v| matches!(v, SaleViolation::SoldEarly { .. })),
        (Fault::OpensEarly, |v| matches!(v, SaleViolation::SoldEarly { .. })),
        (Fault::OpensLate, |v| matches!(v, SaleViolation::OpenedLate { .. })),
        (Fault::ForgetsTheLimit, |v| matches!(v, SaleViolation::Contention(Violation::LimitBroken { .. }))),
        (Fault::ForgetsThePrice, |v| matches!(v, SaleViolation::Contention(Violation::WrongOrder { .. }))),
        (Fault::LosesAnOrder, |v| matches!(v, SaleViolation::Contention(Violation::Lost { .. }))),
    ];
    // Each waits for its opening, so all wait together.
    std::thread::scope(|scope| {
        for (at, (fault, is)) in faults.into_iter().enumerate() {
            scope.spawn(move || {
                let violations = sell(fault).violations;
                assert!(violations.iter().any(is), "fault {at}: {violations:?}");
            });
        }
    });
}

fn report(outcome: SaleOutcome) -> Outcome {
    let scenario = SaleScenario::parse(include_str!("../scenarios/sale.toml")).unwrap();
    outcome.into_report("test", &scenario)
}

#[test]
fn a_broken_connection_is_in_the_report_though_every_promise_was_kept() {
    let report = report(sell(Fault::BreaksOnce));
    assert_eq!((&report.broken[..], report.failed.len()), (&[][..], 1), "{:?}", report.failed);
    assert_eq!(report.verdict(), Verdict::Missed);
}

#[test]
fn a_shop_that_dies_gives_a_report_all_the_same() {
    let report = report(sell(Fault::Dies));
    assert_eq!(report.verdict(), Verdict::Missed);
    assert!(report.failed.iter().any(|line| line.contains("GET /v1/products/")), "{:?}", report.failed);
    assert!(!report.figures.contains_key("oversold") && !report.figures.contains_key("broken_promises"));
    assert!(report.html().unwrap().contains("GET /v1/products/"));
}
