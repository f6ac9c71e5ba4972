//! The contention scenario over the wire, against a toy shop whose promises can be broken one by
//! one: the scenario must find nothing wrong with the honest shop and see every fault.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use son7shop_loadtest::contention::buyers::Layout;
use son7shop_loadtest::contention::check::Violation;
use son7shop_loadtest::contention::{Finding, Scenario, Target, run};
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use support::{Asked, serve};

/// What is wrong with a toy shop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Sells one unit that it does not have.
    Oversells,
    /// Keeps its last unit.
    Undersells,
    /// Does not know a key again.
    ForgetsKeys,
    /// Lets a customer have one more than the limit.
    ForgetsTheLimit,
    /// Lists every order as its first customer's.
    MixesCustomersUp,
    /// Does not list its newest order.
    LosesAnOrder,
    /// Answers the fifth order by 500.
    Breaks,
    /// No answer to anything from the fifth order on.
    Dies,
    /// Answers every third sending by 503; nothing happened then. No fault: it may.
    IsBusy,
    /// Answers every third sending by 409, as if the key's first sending were being decided. No fault.
    IsDeciding,
}

/// A shop of one product, in memory.
struct Toy {
    fault: Fault,
    sku: String,
    price: i64,
    units: u64,
    limit: u64,
    sendings: u64,
    orders: Vec<(String, String)>,
    keys: HashMap<(String, String), String>,
}

impl Toy {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let Asked { method, path, token, key, body } = asked;
        match (method.as_str(), path.split('?').next().unwrap_or_default()) {
            ("POST", "/v1/products") => {
                body["sku"].as_str().unwrap().clone_into(&mut self.sku);
                self.price = body["price"].as_i64().unwrap();
                self.units = body["on_hand"].as_u64().unwrap();
                (201, json!({}))
            }
            ("PUT", _) => {
                self.limit = body["per_customer_limit"].as_u64().unwrap();
                (200, json!({}))
            }
            ("POST", "/v1/orders") => self.buy(token, key),
            ("GET", "/v1/orders") => (200, self.page(path)),
            ("GET", _) => {
                let held = self.orders.len() as u64;
                let available = self.units.saturating_sub(held);
                let stock = json!({ "on_hand": self.units, "held": held, "sold": 0, "available": available });
                (200, json!({ "sku": self.sku, "stock": stock }))
            }
            _ => (404, json!({})),
        }
    }

    fn buy(&mut self, customer: &str, key: &str) -> (u16, Value) {
        self.sendings += 1;
        match self.fault {
            Fault::Breaks if self.sendings == 5 => return (500, json!({ "code": "internal" })),
            Fault::IsBusy if self.sendings.is_multiple_of(3) => return (503, json!({ "code": "overloaded" })),
            Fault::IsDeciding if self.sendings.is_multiple_of(3) => {
                return (409, json!({ "code": "request_in_progress" }));
            }
            _ => {}
        }
        let known = self.keys.get(&(customer.to_owned(), key.to_owned()));
        if let Some(id) = known.filter(|_| self.fault != Fault::ForgetsKeys) {
            return (201, json!({ "id": id }));
        }
        let units = match self.fault {
            Fault::Oversells => self.units + 1,
            Fault::Undersells => self.units - 1,
            _ => self.units,
        };
        let limit = self.limit.saturating_add(u64::from(self.fault == Fault::ForgetsTheLimit));
        let has = self.orders.iter().filter(|(_, owner)| owner == customer).count() as u64;
        if self.orders.len() as u64 >= units {
            return (409, json!({ "code": "sold_out" }));
        }
        if has >= limit {
            return (409, json!({ "code": "limit_reached" }));
        }
        let id = format!("order-{}", self.orders.len());
        self.orders.push((id.clone(), customer.to_owned()));
        self.keys.insert((customer.to_owned(), key.to_owned()), id.clone());
        (201, json!({ "id": id }))
    }

    /// Three orders a page, newest first; the cursor is the number of orders passed.
    fn page(&self, path: &str) -> Value {
        let after: usize = path.split("after=").nth(1).map_or(0, |cursor| cursor.parse().unwrap());
        let lost = usize::from(self.fault == Fault::LosesAnOrder);
        let line = json!({ "sku": self.sku, "quantity": 1, "amount": self.price });
        let orders: Vec<_> = self.orders.iter().rev().skip(lost + after).take(3).collect();
        let next = (orders.len() == 3).then(|| (after + 3).to_string());
        let orders: Vec<_> = orders
            .iter()
            .map(|(id, owner)| (id, if self.fault == Fault::MixesCustomersUp { &self.orders[0].1 } else { owner }))
            .map(|(id, customer)| json!({ "id": id, "customer": customer, "status": "held", "lines": [line], "total": self.price }))
            .collect();
        json!({ "orders": orders, "next_cursor": next })
    }
}

fn toy_shop(fault: Fault) -> SocketAddr {
    let mut toy = Toy {
        fault,
        sku: String::new(),
        price: 0,
        units: 0,
        limit: u64::MAX,
        sendings: 0,
        orders: Vec::new(),
        keys: HashMap::new(),
    };
    serve(move |asked| (fault != Fault::Dies || toy.sendings < 5).then(|| toy.answer(asked)))
}

/// 24 clients want 12 units, one each; with a limit they are those of 12 customers.
fn contend(fault: Fault, limit: Option<u32>, repeat_keys: bool) -> Finding {
    let layout = Layout { clients: 24, customers: if limit.is_some() { 12 } else { 24 }, requests: 1, repeat_keys };
    let target = Target {
        address: toy_shop(fault),
        admin_token: "admin".to_owned(),
        customer_tokens: (0..24).map(|customer| format!("customer-{customer}")).collect(),
    };
    // With 12 units everybody could have had one before anybody asked for a second.
    let units = if fault == Fault::ForgetsTheLimit { 24 } else { 12 };
    run(&Scenario { layout, units, per_customer_limit: limit }, &target, 2).unwrap()
}

#[test]
fn an_honest_shop_keeps_every_promise() {
    for (limit, repeat_keys) in [(None, false), (None, true), (Some(1), false), (Some(1), true)] {
        let finding = contend(Fault::None, limit, repeat_keys);
        assert!(finding.is_sound(), "{:?}", finding.violations);
        let (stock, listed) = finding.account.unwrap();
        assert_eq!((finding.orders, listed, stock.held), (12, 12, 12));
        let sendings = if repeat_keys { 48 } else { 24 };
        assert_eq!(finding.accepted_sendings + finding.refused.values().sum::<u64>(), sendings);
    }
}

#[test]
fn a_shop_that_asks_to_wait_is_asked_again() {
    let busy = contend(Fault::IsBusy, Some(1), true);
    assert!(busy.is_sound() && busy.again.busy > 0, "{:?}", busy.violations);
    assert_eq!(busy.report.again, busy.again.busy);
    let deciding = contend(Fault::IsDeciding, Some(1), true);
    assert!(deciding.is_sound() && deciding.again.still_running > 0, "{:?}", deciding.violations);
}

#[test]
fn every_fault_is_seen() {
    let sees = |fault, limit, repeat_keys, what: &str, is: fn(&Violation) -> bool| {
        let finding = contend(fault, limit, repeat_keys);
        assert!(!finding.is_sound() && finding.violations.iter().any(is), "{what}: {:?}", finding.violations);
    };
    sees(Fault::Oversells, None, false, "oversell", |violation| {
        matches!(violation, Violation::WrongSale { expected: 12, accepted: 13 })
    });
    sees(Fault::Undersells, None, false, "undersell", |violation| {
        matches!(violation, Violation::WrongSale { expected: 12, accepted: 11 })
    });
    sees(Fault::ForgetsKeys, None, true, "two orders", |violation| {
        matches!(violation, Violation::TwoOrders { .. } | Violation::RepeatDiffers { .. })
    });
    sees(Fault::ForgetsTheLimit, Some(1), false, "limit", |violation| {
        matches!(violation, Violation::LimitBroken { limit: 1, has: 2, .. })
    });
    sees(Fault::MixesCustomersUp, None, false, "wrong owner", |violation| {
        matches!(violation, Violation::WrongOwner { .. })
    });
    sees(Fault::LosesAnOrder, None, false, "lost order", |violation| matches!(violation, Violation::Lost { .. }));
    sees(Fault::Breaks, None, false, "unexpected answer", |violation| {
        matches!(violation, Violation::Unexpected { times: 1, .. })
    });
}

#[test]
fn a_shop_that_dies_gives_a_finding_all_the_same() {
    let finding = contend(Fault::Dies, None, false);
    assert!(!finding.is_sound() && finding.account.is_err(), "{:?}", finding.account);
    assert_eq!((finding.orders, finding.unexpected), (5, 19), "{:?}", finding.violations);
    assert!(matches!(&finding.violations[..], [Violation::Unexpected { .. }]), "{:?}", finding.violations);
}

/// A shop's binary that makes tokens with one key only.
const KEEPER_OF_A_KEY: &str = r#"#!/bin/sh
[ "$SON7_TOKEN_KEY" = ours ] || exit 1
case "$*" in
    *admin*) echo admin ;;
    *) for n in 1 2 3 4 5 6 7 8; do echo "customer-$n"; done ;;
esac
"#;

#[test]
fn tokens_for_a_shop_with_a_key_of_its_own_are_made_with_it() {
    let folder = tempfile::tempdir().unwrap();
    // The shop's binary is looked for beside the program.
    let (program, shop) = (folder.path().join("loadtest"), folder.path().join("son7shop"));
    fs::copy(env!("CARGO_BIN_EXE_loadtest"), &program).unwrap();
    fs::write(&shop, KEEPER_OF_A_KEY).unwrap();
    fs::set_permissions(&shop, fs::Permissions::from_mode(0o755)).unwrap();
    for (key, code) in [("ours", 0), ("theirs", 2)] {
        let url = format!("http://{}", toy_shop(Fault::None));
        let mut command = Command::new(&program);
        command.args(["contention", "--clients", "8", "--units", "4", "--url", &url, "--data-dir", "data"]);
        let output = command.env("SON7_TOKEN_KEY", key).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains(key), "a key is shown to nobody: {output:?}");
    }
}
