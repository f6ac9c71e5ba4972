//! What is refused about paying, each with its code: refunds past what was paid, and what an order's state
//! does not allow.

use crate::till::{Button, PRICE, Till};
use crate::world::{Request, Who, get, post};
use serde_json::{Value, json};

/// What no order has.
const NO_ORDER: &str = "00000000-0000-7000-8000-000000000000";

fn cancel(id: &str, who: Who) -> Request {
    post(format!("/v1/orders/{id}/cancel"), who)
}

fn confirm(id: &str) -> Request {
    post(format!("/v1/orders/{id}/confirm"), Who::Admin)
}

fn done(n: usize) -> impl Fn(&Value) -> bool {
    move |order| order["payment"]["refunds"][n]["status"] == "done"
}

#[test]
fn a_refund_gives_back_what_was_paid_and_no_more() {
    let till = Till::open(&[]);
    let id = till.paid(3);
    let asked = |mut body: Value| {
        body["restock"] = body.get("restock").cloned().unwrap_or(json!(true));
        body["reason"] = body.get("reason").cloned().unwrap_or(json!("x"));
        till.refund(&id, &body)
    };
    let apples = |quantity: i64| json!([{"sku": "apple", "quantity": quantity}]);
    for (body, status, code) in [
        (json!({"amount": 3 * PRICE + 1}), 409, "refund_out_of_range"),
        (json!({"amount": i64::MAX}), 409, "refund_out_of_range"),
        (json!({"amount": 0}), 400, "invalid_field"),
        (json!({"amount": -1}), 400, "invalid_field"),
        (json!({"amount": 0.5}), 400, "invalid_field"),
        (json!({"amount": "1000"}), 400, "invalid_field"),
        (json!({"lines": [{"sku": "pear", "quantity": 1}]}), 409, "units_out_of_range"),
        (json!({"lines": apples(4)}), 409, "units_out_of_range"),
        (json!({"lines": apples(0)}), 400, "invalid_field"),
        (json!({"lines": apples(-1)}), 400, "invalid_field"),
        // Two lines of one product are one.
        (json!({"lines": [apples(2)[0], apples(2)[0]]}), 409, "units_out_of_range"),
        (json!({"lines": apples(1), "amount": 3 * PRICE + 1}), 409, "refund_out_of_range"),
        (json!({"reason": "x".repeat(201)}), 400, "invalid_field"),
        (json!({"reason": "결".repeat(67)}), 400, "invalid_field"),
        (json!({"reason": ""}), 400, "invalid_field"),
        (json!({"reason": "a\nb"}), 400, "invalid_field"),
        (json!({"restock": null}), 400, "invalid_field"),
    ] {
        till.world.check(&asked(body), status, code);
    }
    assert_eq!(till.show(&id)["payment"]["refunds"], json!([]), "nothing was begun");

    // The same units do not come back twice, for any sum.
    let twice = json!({"lines": apples(2), "reason": "x".repeat(200)});
    till.world.check(&asked(twice.clone()), 201, "");
    till.shown_when(&id, "the first refund", done(0));
    till.world.check(&asked(twice), 409, "units_out_of_range");
    till.world.check(&asked(json!({"lines": apples(2), "amount": 1})), 409, "units_out_of_range");
    assert_eq!(till.stock()["sold"], 1, "once");

    // One at a time: what is under way is not asked for again.
    till.fault("cancel", &json!({"kind": "http_500"}), 1000);
    till.world.check(&asked(json!({"amount": 1})), 201, "");
    let said = till.world.check(&asked(json!({"amount": 1})), 409, "refund_under_way").json();
    assert_eq!(said["refund"], 2, "{said}");
    till.control("DELETE", "/faults", &Value::Null);
    till.hurry(&id, "refund-2");
    till.shown_when(&id, "the second refund", done(1));
    let said = till.world.check(&asked(json!({"amount": PRICE})), 409, "refund_out_of_range").json();
    assert_eq!((&said["left"], &said["asked"]), (&json!(PRICE - 1), &json!(PRICE)), "{said}");
    till.world.check(&asked(json!({})), 201, "");
    till.shown_when(&id, "the rest", |order| order["status"] == "refunded");
    till.world.check(&asked(json!({})), 409, "nothing_to_refund");
    till.ledger(3 * PRICE, 3 * PRICE);
}

#[test]
fn an_order_that_was_not_paid_has_nothing_to_give_back() {
    let till = Till::open(&[]);
    let refund = |id: &str| till.refund(id, &json!({"restock": true, "reason": "x"}));
    let (held, paying, cancelled, confirmed) = (till.order(1), till.order(1), till.order(1), till.order(1));
    till.started(&paying);
    till.world.check(&cancel(&cancelled, Who::Kim), 200, "");
    till.world.check(&confirm(&confirmed), 200, "");
    for (id, status) in [(&held, "held"), (&paying, "paying"), (&cancelled, "cancelled")] {
        let said = till.world.check(&refund(id), 409, "wrong_state").json();
        assert_eq!(said["order_status"], status, "{said}");
    }
    // It was paid by other means: no gateway has its money.
    till.world.check(&refund(&confirmed), 409, "nothing_to_refund");
    till.world.check(&refund(NO_ORDER), 404, "unknown_order");
    till.ledger(0, 0);
}

#[test]
fn an_order_has_so_many_attempts_and_so_many_refunds() {
    let till = Till::open(&[]);
    let id = till.order(1);
    for _ in 0..50 {
        till.started(&id);
    }
    let said = till.world.check(&Till::start(&id, "one-more", Who::Kim), 409, "too_many_attempts").json();
    assert_eq!(said["attempts"], 50, "{said}");
    let paid = till.paid(1);
    let one = json!({"amount": 1, "restock": false, "reason": "x"});
    for n in 0..100 {
        till.world.check(&till.refund(&paid, &one), 201, "");
        till.shown_when(&paid, "the refund", done(n));
    }
    let said = till.world.check(&till.refund(&paid, &one), 409, "too_many_refunds").json();
    assert_eq!(said["refunds"], 100, "{said}");
    till.ledger(PRICE, 100);
}

#[test]
fn an_order_whose_shopper_may_pay_can_be_cancelled_and_one_whose_money_is_asked_for_cannot() {
    let till = Till::open(&[]);
    let paying = till.order(1);
    let page = till.page(&paying);
    // What is being paid is not confirmed by other means.
    till.world.check(&confirm(&paying), 409, "wrong_state");
    till.world.check(&cancel(&paying, Who::Lee), 404, "unknown_order");
    till.world.check(&cancel(&paying, Who::Kim), 200, "");
    assert_eq!(till.show(&paying)["payment"]["attempts"][0]["status"], "order_ended");
    till.world.check(&cancel(&paying, Who::Kim), 200, "");
    till.world.check(&Till::start(&paying, "late", Who::Kim), 409, "wrong_state");
    till.arrive(&Till::press(&page, Button::Pay));
    assert_eq!((&till.show(&paying)["status"], &till.stock()["held"]), (&json!("cancelled"), &json!(0)));

    // Nothing of the capture, nor of what became of it.
    till.fault("approve", &json!({"kind": "http_500"}), 1000);
    till.fault("order", &json!({"kind": "http_500"}), 1000);
    let id = till.order(1);
    let back = Till::press(&till.page(&id), Button::Pay);
    till.arrive_later(&back);
    till.step_when(&id, "retrying");
    let refund = till.refund(&id, &json!({"restock": true, "reason": "x"}));
    for request in
        [cancel(&id, Who::Kim), cancel(&id, Who::Admin), confirm(&id), refund, Till::start(&id, "more", Who::Kim)]
    {
        let said = till.world.check(&request, 409, "wrong_state").json();
        assert_eq!(said["order_status"], "approving", "{said}");
    }
    assert_eq!(till.stock()["held"], 1, "its units are kept");

    let paid = {
        till.control("DELETE", "/faults", &Value::Null);
        till.paid(1)
    };
    for request in [cancel(&paid, Who::Kim), cancel(&paid, Who::Admin), Till::start(&paid, "again", Who::Kim)] {
        let said = till.world.check(&request, 409, "wrong_state").json();
        assert_eq!(said["order_status"], "confirmed", "{said}");
    }
}

#[test]
fn who_comes_back_after_the_deadline_pays_nothing() {
    let till = Till::open(&[("SON7_HOLD_SECONDS", "8")]);
    let id = till.order(1);
    let page = till.page(&id);
    let back = Till::press(&page, Button::Pay);
    till.shown_when(&id, "the deadline", |order| order["status"] == "expired");
    let others = [back.replace("/approved?", "/cancelled?"), back.replace("/approved?", "/failed?")];
    for location in [&back, &others[0], &others[1], &back] {
        let shown = till.arrive(location);
        let text = String::from_utf8_lossy(&shown.body);
        assert!(shown.status == 200 && text.contains("The order has ended"), "{shown}");
    }
    let order = till.show(&id);
    assert_eq!((&order["status"], &order["payment"]["captured"]), (&json!("expired"), &json!(0)), "{order}");
    assert_eq!(till.stock()["held"], 0);
    till.world.check(&Till::start(&id, "late", Who::Kim), 409, "wrong_state");
    till.ledger(0, 0);
}

#[test]
fn somebody_elses_order_is_answered_as_if_there_were_none() {
    let till = Till::open(&[]);
    let (held, paid) = (till.order(1), till.paid(1));
    for id in [held.as_str(), &paid, NO_ORDER] {
        let order = format!("/v1/orders/{id}");
        for request in [
            Till::start(id, "k", Who::Lee),
            get(format!("{order}/timeline"), Who::Lee),
            get(format!("{order}/events"), Who::Lee),
            get(order.clone(), Who::Lee),
            cancel(id, Who::Lee),
        ] {
            // Nothing in it tells which of the three it was.
            let mut said = till.world.check(&request, 404, "unknown_order").json();
            let parts = said.as_object_mut().unwrap();
            parts.remove("trace_id");
            let detail = parts["detail"].as_str().unwrap().replace(id, "ID");
            let wanted = json!({
                "type": "urn:son7shop:problem:unknown_order", "title": "There is no such order", "status": 404,
                "code": "unknown_order", "detail": said["detail"], "order": id,
            });
            assert_eq!((said, detail.as_str()), (wanted, "there is no order ID"));
        }
        // A refund is the shop's to ask for, whoever's order it is.
        for who in [Who::Lee, Who::Kim] {
            let refund = post(format!("{order}/refunds"), who).key("k").json(r#"{"restock":true,"reason":"x"}"#);
            till.world.check(&refund, 403, "forbidden");
        }
        for act in ["retry", "compensate", "resolve"] {
            let act = post(format!("/v1/operations/sagas/{id}/attempt-1/{act}"), Who::Kim).json(r#"{"reason":"x"}"#);
            till.world.check(&act, 403, "forbidden");
        }
    }
    assert_eq!(till.show(&held)["status"], "held");
}
