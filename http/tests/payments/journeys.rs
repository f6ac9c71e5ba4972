//! What a shopper does: pay, quit, mistype, start again, cancel, come late.

use crate::till::{Button, PRICE, Till, place, read_on, read_until};
use crate::world::{Who, get, post};
use serde_json::{Value, json};

#[test]
fn an_order_is_paid_by_pressing_a_button() {
    let till = Till::open(&[]);
    let id = till.order(2);
    let placed = till.show(&id);
    let started = till.started(&id);
    assert_eq!((&started["attempt"], &started["status"]), (&json!(1), &json!("ready")), "{started}");
    assert_eq!((&started["amount"], &started["currency"]), (&json!(2 * PRICE), &json!("KRW")));
    assert_eq!((&started["order"], &started["order_status"]), (&json!(id), &json!("paying")));
    for kind in ["desktop", "mobile", "app"] {
        assert!(started["redirect"][kind].as_str().unwrap().contains("/bridge/"), "{started}");
    }
    let back = till.arrive(&Till::press(started["redirect"]["desktop"].as_str().unwrap(), Button::Pay));
    let page = String::from_utf8(back.body.clone()).unwrap();
    assert!(back.status == 200 && page.contains("Your order is confirmed"), "{page}");

    let order = till.show(&id);
    assert_eq!((&order["status"], &order["expires_at"]), (&json!("confirmed"), &placed["expires_at"]), "{order}");
    let payment = &order["payment"];
    assert_eq!((&payment["status"], &payment["captured"]), (&json!("captured"), &json!(2 * PRICE)), "{order}");
    let attempt = &payment["attempts"][0];
    assert!(attempt["receipt"].as_str().unwrap().starts_with('A'), "{attempt}");
    assert_eq!((&attempt["means"], attempt.get("redirect")), (&json!("CARD"), None), "{attempt}");
    let stock = till.stock();
    assert_eq!((&stock["held"], &stock["sold"]), (&json!(0), &json!(2)), "{stock}");
    assert_eq!(
        till.happened(&id),
        [
            "order_placed",
            "payment_started",
            "payment_ready",
            "payment_authorised",
            "payment_captured",
            "order_confirmed"
        ]
    );
    assert_eq!(till.timeline(&id)["steps"], json!([]), "nothing is open");
    till.ledger(2 * PRICE, 0);
}

#[test]
fn a_shopper_who_quits_keeps_the_deadline_and_pays_again() {
    let till = Till::open(&[]);
    let id = till.order(1);
    let placed = till.show(&id);
    let page = till.visit(&id, Button::Quit);
    assert!(page.contains("Nothing was taken"), "{page}");
    let order = till.shown_when(&id, "the end of the attempt", |order| order["status"] == "held");
    assert_eq!(order["expires_at"], placed["expires_at"]);
    assert_eq!(order["payment"]["attempts"][0]["status"], "quit", "{order}");
    till.visit(&id, Button::WrongPassword);
    till.shown_when(&id, "the end of the attempt", |order| order["status"] == "held");
    assert_eq!(till.show(&id)["payment"]["attempts"][1]["status"], "authentication_failed");
    till.visit(&id, Button::Pay);
    let order = till.show(&id);
    assert_eq!((&order["status"], &order["expires_at"]), (&json!("confirmed"), &placed["expires_at"]), "{order}");
    till.ledger(PRICE, 0);
}

#[test]
fn a_page_of_an_attempt_that_is_over_takes_no_money() {
    let till = Till::open(&[]);
    let (superseded, cancelled) = (till.order(1), till.order(1));
    let old = till.page(&superseded);
    let new = till.page(&superseded);
    till.arrive(&Till::press(&old, Button::Pay));
    assert_eq!(till.show(&superseded)["status"], "paying", "the first attempt was superseded");
    till.arrive(&Till::press(&new, Button::Pay));
    assert_eq!(till.show(&superseded)["status"], "confirmed");
    let page = till.page(&cancelled);
    till.world.check(&post(format!("/v1/orders/{cancelled}/cancel"), Who::Kim), 200, "");
    let shown = String::from_utf8(till.arrive(&Till::press(&page, Button::Pay)).body).unwrap();
    assert!(shown.contains("The order has ended"), "{shown}");
    assert_eq!(till.show(&cancelled)["status"], "cancelled");
    till.ledger(PRICE, 0);
}

#[test]
fn the_same_key_starts_one_attempt() {
    let till = Till::open(&[]);
    let id = till.order(1);
    let first = till.world.check(&Till::start(&id, "same", Who::Kim), 201, "");
    let again = till.world.check(&Till::start(&id, "same", Who::Kim), 201, "");
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(first.json(), again.json());
    let refund = Till::refund_under("same", &id, &json!({"restock": false, "reason": "x"}));
    till.world.check(&refund, 409, "wrong_state");
    assert_eq!(till.payments().len(), 1);
    let pay = format!("/v1/orders/{id}/payments");
    let described = till.world.document.operation("start_payment").to_string();
    assert!(described.contains("for another order the same key is another request"), "{described}");
    // A key is its order's: that it was sent for another one is nothing to this.
    let other = till.order(1);
    let elsewhere = till.world.check(&Till::start(&other, "same", Who::Kim), 201, "");
    assert_eq!((elsewhere.header("idempotent-replayed"), &elsewhere.json()["order"]), (None, &json!(other)));
    assert_eq!(till.payments().len(), 2);
    // And its sender's: what an admin sends under it is a request of its own, which takes the first's place.
    let admins = till.world.check(&post(pay, Who::Admin).key("same").json(r#"{"method":"kakaopay"}"#), 201, "");
    assert_eq!((admins.header("idempotent-replayed"), &admins.json()["attempt"]), (None, &json!(2)));
}

#[test]
fn a_refund_under_a_key_is_its_orders_too() {
    let till = Till::open(&[]);
    let (one, other) = (till.paid(1), till.paid(1));
    let body = json!({"restock": false, "reason": "x", "amount": 1});
    for id in [&one, &other] {
        let said = till.world.check(&Till::refund_under("same", id, &body), 201, "");
        assert_eq!((said.header("idempotent-replayed"), &said.json()["order"]), (None, &json!(id)));
    }
    let said = till.world.check(&Till::refund_under("same", &one, &body), 201, "");
    assert_eq!((said.header("idempotent-replayed"), &said.json()["refund"]), (Some("true"), &json!(1)));
    let more = json!({"restock": false, "reason": "x", "amount": 2});
    till.world.check(&Till::refund_under("same", &one, &more), 422, "idempotency_key_reused");
    let pay = post(format!("/v1/orders/{one}/payments"), Who::Admin).key("same").json(r#"{"method":"kakaopay"}"#);
    till.world.check(&pay, 422, "idempotency_key_reused");
    till.shown_when(&other, "the refund", |order| order["payment"]["refunded"] == json!(1));
    till.shown_when(&one, "the refund", |order| order["payment"]["refunded"] == json!(1));
    till.ledger(2 * PRICE, 2);
}

#[test]
fn money_goes_back_by_lines_by_sum_and_whole() {
    let till = Till::open(&[]);
    let id = till.paid(5);
    let by_lines = json!({"lines": [{"sku": "apple", "quantity": 2}], "restock": true, "reason": "two were brown"});
    let request = Till::refund_under("back", &id, &by_lines);
    let said = till.world.check(&request, 201, "").json();
    assert_eq!((&said["refund"], &said["amount"]), (&json!(1), &json!(2 * PRICE)), "{said}");
    let done = |n: usize| move |order: &Value| order["payment"]["refunds"][n]["status"] == "done";
    till.shown_when(&id, "the first refund", done(0));
    assert_eq!(till.stock()["sold"], 3);
    assert_eq!(till.world.check(&request, 201, "").header("idempotent-replayed"), Some("true"));
    for (body, code) in [
        (json!({"lines": [{"sku": "apple", "quantity": 4}], "restock": true, "reason": "x"}), "units_out_of_range"),
        (json!({"lines": [{"sku": "pear", "quantity": 1}], "restock": true, "reason": "x"}), "units_out_of_range"),
        (json!({"amount": 3 * PRICE + 1, "restock": true, "reason": "x"}), "refund_out_of_range"),
    ] {
        till.world.check(&till.refund(&id, &body), 409, code);
    }
    till.world.check(&till.refund(&id, &json!({"amount": 500, "restock": false, "reason": "sorry"})), 201, "");
    till.shown_when(&id, "the second refund", done(1));
    assert_eq!(till.stock()["sold"], 3, "a sum brings no units back");
    till.world.check(&till.refund(&id, &json!({"restock": true, "reason": "all of it"})), 201, "");
    let order = till.shown_when(&id, "the last refund", |order| order["status"] == "refunded");
    assert_eq!((&order["payment"]["captured"], &order["payment"]["refunded"]), (&json!(5 * PRICE), &json!(5 * PRICE)));
    assert_eq!(till.stock()["sold"], 0);
    till.world.check(&till.refund(&id, &json!({"restock": true, "reason": "again"})), 409, "nothing_to_refund");
    till.ledger(5 * PRICE, 5 * PRICE);
}

#[test]
fn what_does_not_go_on_by_itself_is_an_operators_and_is_written_down() {
    let till = Till::open(&[]);
    till.fault("approve", &json!({"kind": "drop_after_commit"}), 1);
    till.fault("order", &json!({"kind": "http_500"}), 1000);
    let id = till.order(1);
    let back = Till::press(&till.page(&id), Button::Pay);
    till.arrive_later(&back);
    let step = till.step_when(&id, "retrying");
    assert_eq!((&step["step"], &step["class"]), (&json!("attempt-1"), &json!("pivot")), "{step}");
    let listed = till.world.check(&get("/v1/operations/sagas?state=retrying", Who::Admin), 200, "").json();
    assert_eq!(listed["steps"][0]["order"], json!(id), "{listed}");
    till.world.check(&post(format!("/v1/orders/{id}/cancel"), Who::Kim), 409, "wrong_state");
    till.world.check(&Till::start(&id, "other", Who::Kim), 409, "wrong_state");
    let compensate = post(format!("/v1/operations/sagas/{id}/attempt-1/compensate"), Who::Admin);
    till.world.check(&compensate.json(r#"{"reason":"the shopper called"}"#), 200, "");
    assert_eq!(till.show(&id)["status"], "cancelled");
    assert_eq!(till.stock()["held"], 0, "its units are for sale");
    let acted = |who| {
        let timeline = till.world.check(&get(format!("/v1/orders/{id}/timeline"), who), 200, "").json();
        let entries = timeline["entries"].as_array().unwrap().clone();
        entries.into_iter().find(|entry| entry["what"] == "operator_acted").unwrap()
    };
    let told = acted(Who::Admin);
    assert!(told["answer"].as_str().unwrap().ends_with("the shopper called"), "{told}");
    assert_eq!(acted(Who::Kim)["answer"], Value::Null, "who runs the shop, and why, is not its customers' business");
    // The money had been taken: the late look finds it, and it goes back by itself.
    till.control("DELETE", "/faults", &Value::Null);
    let retry = post(format!("/v1/operations/sagas/{id}/attempt-1/retry"), Who::Admin);
    till.world.check(&retry.json(r#"{"reason":"look now"}"#), 200, "");
    let back = |order: &Value| order["payment"]["refunded"] == json!(PRICE);
    let order = till.shown_when(&id, "the refund", back);
    assert_eq!(
        (&order["status"], &order["payment"]["attempts"][0]["status"]),
        (&json!("cancelled"), &json!("captured_late"))
    );
    till.ledger(PRICE, PRICE);
}

#[test]
fn a_shopper_is_told_where_the_money_of_each_payment_is() {
    let till = Till::open(&[]);
    // The first capture happens, and nobody says so; an operator takes it for not paid.
    till.fault("approve", &json!({"kind": "drop_after_commit"}), 1);
    till.fault("order", &json!({"kind": "http_500"}), 1000);
    let id = till.order(1);
    let first = Till::press(&till.page(&id), Button::Pay);
    till.arrive_later(&first);
    till.step_when(&id, "retrying");
    let act = |step: &str, act: &str, body: Value| {
        let path = format!("/v1/operations/sagas/{id}/{step}/{act}");
        till.world.check(&post(path, Who::Admin).json(body.to_string()), 200, "");
    };
    act("attempt-1", "resolve", json!({"outcome": "not_paid", "reason": "they said so"}));
    let page = |location: &str| String::from_utf8(till.arrive(location).body).unwrap();
    assert!(page(&first).contains("Not paid") && page(&first).contains("you can pay again"));
    // The second payment confirms the order.
    till.control("DELETE", "/faults", &Value::Null);
    let second = Till::press(&till.page(&id), Button::Pay);
    let paid = page(&second);
    assert!(paid.contains("Your order is confirmed") && !paid.contains("Payment 1<"), "{paid}");
    assert!(page(&first).contains("Paid in another way"));
    // Then the first one's money is found, and cannot go back yet.
    till.fault("cancel", &json!({"kind": "http_500"}), 1000);
    act("attempt-1", "retry", json!({"reason": "look now"}));
    till.shown_when(&id, "the late money", |order| order["payment"]["refunds"][0]["status"] == "under_way");
    let both = page(&second);
    for said in ["Your order is confirmed", "What another payment took goes back", "Payment 1<", "being given back"] {
        assert!(both.contains(said), "{said}: {both}");
    }
    assert!(page(&first).contains("Being given back"));
    till.control("DELETE", "/faults", &Value::Null);
    till.hurry(&id, "refund-1");
    till.shown_when(&id, "the refund", |order| order["payment"]["refunds"][0]["status"] == "done");
    let done = page(&second);
    assert!(done.contains("Your order is confirmed") && done.contains("/ given back") && !done.contains("goes back"));
    assert!(page(&first).contains("Given back"));
    let (_, path) = place(&second);
    let said = till.world.check(&get(path, Who::Nobody).header("accept", "application/json"), 200, "").json();
    assert_eq!((&said["attempt"], &said["money"]), (&json!(2), &json!("paid")), "{said}");
    let first = json!({
        "attempt": 1, "status": "captured_late", "money": "given_back", "captured": PRICE, "refunded": PRICE,
    });
    assert_eq!(said["attempts"][0], first, "{said}");
    till.ledger(2 * PRICE, PRICE);
}

#[test]
fn a_timeline_is_followed_live_and_from_where_the_reader_was() {
    let till = Till::open(&[]);
    let id = till.order(1);
    let mut stream = till.stream(&id, 0);
    till.visit(&id, Button::Pay);
    let said = read_until(&mut stream, "order_confirmed");
    assert!(said.contains("id:1\n"), "{said}");
    let rest = till.follow(&id, 3, "order_confirmed");
    assert!(!rest.contains("event:payment_ready") && rest.contains("event:payment_authorised"), "{rest}");
}

#[test]
fn a_reader_with_a_number_that_no_event_had_gets_all_of_them() {
    let till = Till::open(&[]);
    let id = till.order(1);
    let mut stream = till.stream(&id, 3);
    let said = read_until(&mut stream, "order_placed");
    assert!(said.contains("id:1\n"), "{said}");
    // And what happens from then on.
    till.visit(&id, Button::Pay);
    read_on(&mut stream, "order_confirmed");
}
