//! Every promise broken once: the checker must see exactly that.

use super::*;
use crate::api::Line;

const PRICE: i64 = 1_000;

/// Order `a` is customer 0's, `b` 1's and `c` 2's.
fn order(id: &str) -> Order {
    let customer = format!("buyer-{id}");
    let lines = vec![Line { sku: "sku".to_owned(), quantity: 1 }];
    Order { id: id.to_owned(), customer, status: "held".to_owned(), lines, total: PRICE }
}

fn told(customer: usize, key: u64, outcome: Outcome) -> Told {
    Told { customer, key, outcome }
}

fn accepted(id: &str) -> Outcome {
    Outcome::Accepted(id.to_owned())
}

fn refused(code: &str) -> Outcome {
    Outcome::Refused(code.to_owned())
}

/// Three customers want two units each, one is allowed, two are there; some keys are sent twice.
fn kept() -> Evidence {
    Evidence {
        units: 2,
        limit: Some(1),
        demand: vec![2, 2, 2],
        told: vec![
            told(0, 0, accepted("a")),
            told(0, 0, accepted("a")),
            told(0, 1, refused("limit_reached")),
            told(1, 2, accepted("b")),
            told(1, 3, refused("limit_reached")),
            told(2, 4, refused("sold_out")),
            told(2, 4, refused("sold_out")),
            told(2, 5, refused("sold_out")),
        ],
        stock: Stock { on_hand: 2, held: 2, sold: 0, available: 0 },
        orders: vec![order("b"), order("a")],
        sku: "sku".to_owned(),
        price: PRICE,
    }
}

/// What the checker sees after `plant` has changed what was kept.
fn check_planted(plant: impl FnOnce(&mut Evidence), expect: &[Violation]) {
    let mut evidence = kept();
    plant(&mut evidence);
    assert_eq!(check(&evidence), expect);
}

#[test]
fn kept_promises() {
    check_planted(|_| {}, &[]);
}

#[test]
fn answers() {
    check_planted(
        |evidence| evidence.told.push(told(0, 0, Outcome::Unexpected("500".to_owned()))),
        &[Violation::Unexpected { answer: "500".to_owned(), times: 1 }],
    );
    check_planted(|evidence| drop(evidence.told.pop()), &[Violation::KeysUnanswered { demanded: 6, answered: 5 }]);
    check_planted(
        |evidence| evidence.told.push(told(0, 0, refused("sold_out"))),
        &[Violation::RepeatDiffers { customer: 0, key: 0, id: "a".to_owned(), code: "sold_out".to_owned() }],
    );
    check_planted(
        |evidence| {
            // One order for two keys, and one unit fewer taken.
            evidence.told[3].outcome = accepted("a");
            evidence.orders.remove(0);
            evidence.stock = Stock { on_hand: 2, held: 1, sold: 0, available: 1 };
        },
        &[Violation::SharedOrder { id: "a".to_owned() }, Violation::WrongSale { expected: 2, accepted: 1 }],
    );
}

#[test]
fn one_key_two_orders() {
    check_planted(
        |evidence| {
            evidence.units = 3;
            evidence.demand = vec![2, 2, 2];
            evidence.limit = None;
            evidence.told[1].outcome = accepted("c");
            evidence.orders.push(Order { customer: "buyer-a".to_owned(), ..order("c") });
            evidence.stock = Stock { on_hand: 3, held: 3, sold: 0, available: 0 };
        },
        &[Violation::TwoOrders { customer: 0, key: 0, ids: vec!["a".to_owned(), "c".to_owned()] }],
    );
}

#[test]
fn sales() {
    check_planted(
        |evidence| {
            // Oversold: a third customer was told yes, and the stock went below nothing in silence.
            evidence.told[5].outcome = accepted("c");
            evidence.told[6].outcome = accepted("c");
            evidence.orders.push(order("c"));
            evidence.stock.held = 3;
        },
        &[
            Violation::WrongSale { expected: 2, accepted: 3 },
            Violation::NotConserved { units: 2, stock: Stock { on_hand: 2, held: 3, sold: 0, available: 0 } },
        ],
    );
    check_planted(
        |evidence| {
            // Undersold: the second unit was refused to everybody.
            evidence.told[3].outcome = refused("sold_out");
            evidence.orders.remove(0);
            evidence.stock = Stock { on_hand: 2, held: 1, sold: 0, available: 1 };
        },
        &[Violation::WrongSale { expected: 2, accepted: 1 }],
    );
    check_planted(
        |evidence| {
            // Two for one customer, none for another.
            evidence.told[2].outcome = accepted("b");
            evidence.told[3].outcome = refused("sold_out");
            evidence.orders[0].customer = "buyer-a".to_owned();
        },
        &[Violation::LimitBroken { customer: 0, has: 2, limit: 1 }],
    );
}

#[test]
fn lists() {
    check_planted(
        |evidence| evidence.orders[0].id = "x".to_owned(),
        &[Violation::Invented { id: "x".to_owned() }, Violation::Lost { id: "b".to_owned() }],
    );
    check_planted(
        |evidence| evidence.orders.push(order("a")),
        &[Violation::ListedTwice { id: "a".to_owned() }, Violation::StockAgainstOrders { taken: 2, ordered: 3 }],
    );
    let wrong = |id: &str, listed: &str, customer| Violation::WrongOwner {
        id: id.to_owned(),
        listed: listed.to_owned(),
        customer,
    };
    check_planted(|evidence| evidence.orders[1].customer = "buyer-b".to_owned(), &[wrong("a", "buyer-b", 0)]);
    let cheap = Order { total: 1, ..order("b") };
    check_planted(|evidence| evidence.orders[0].total = 1, &[Violation::WrongOrder { order: cheap }]);
    let gone = Order { status: "expired".to_owned(), ..order("b") };
    check_planted(
        |evidence| evidence.orders[0].status.clone_from(&gone.status.clone()),
        &[Violation::WrongOrder { order: gone.clone() }],
    );
}

#[test]
fn stocks() {
    let stock = Stock { on_hand: 2, held: 1, sold: 0, available: 0 };
    check_planted(
        |evidence| evidence.stock = stock,
        &[Violation::NotConserved { units: 2, stock }, Violation::StockAgainstOrders { taken: 1, ordered: 2 }],
    );
    let stock = Stock { on_hand: 1, held: 2, sold: 0, available: 0 };
    check_planted(|evidence| evidence.stock = stock, &[Violation::NotConserved { units: 2, stock }]);
}

#[test]
fn what_can_be_sold() {
    assert_eq!(sellable(1_000, None, &[1; 2_000]), 1_000);
    assert_eq!(sellable(1_000, None, &[1; 20]), 20);
    assert_eq!(sellable(1_000, Some(1), &[2; 500]), 500);
    assert_eq!(sellable(1_000, Some(3), &[2; 400]), 800);
}
