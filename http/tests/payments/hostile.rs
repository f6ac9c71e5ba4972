//! What a browser brings is a hint: forged, repeated, reordered and late callbacks change nothing that the
//! gateway does not confirm. And nothing secret is ever said.

use crate::till::{Button, PRICE, Till, place};
use crate::world::{Request, Who, get, post};
use serde_json::{Value, json};

/// The parts of a return address: before the handle, the handle, the word and what follows.
fn parts(location: &str) -> (String, String, String) {
    let (path, query) = location.split_once('?').unwrap_or((location, ""));
    let mut ends = path.rsplitn(3, '/');
    let (word, handle, before) = (ends.next().unwrap(), ends.next().unwrap(), ends.next().unwrap());
    (before.to_owned(), handle.to_owned(), format!("{word}?{query}"))
}

#[test]
fn callbacks_that_no_gateway_confirms_change_nothing() {
    let till = Till::open(&[]);
    let (one, other) = (till.order(1), till.order(2));
    let (first, second) = (till.page(&one), till.page(&other));
    let right = Till::press(&first, Button::Pay);
    let (before, handle, rest) = parts(&right);
    let (order, secret) = handle.rsplit_once('.').unwrap();

    // Addresses that nobody was given.
    let last = if secret.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{order}.{}{last}", &secret[..31]);
    for handle in [wrong.as_str(), &format!("{other}.1.{secret}"), &format!("{one}.2.{secret}"), "x", &handle[..20]] {
        for rest in
            [rest.as_str(), "approved", "approved?pg_token=", "approved?pg_token=a&pg_token=a", "cancelled", "failed"]
        {
            let (_, path) = place(&format!("{before}/{handle}/{rest}"));
            // The same to the letter whether there is such an attempt or not.
            let said = till.world.check(&get(path, Who::Nobody), 404, "not_found").json();
            assert_eq!(said["detail"], "there is nothing at this path");
        }
    }
    // To look at it is not to come.
    let (_, path) = place(&right);
    till.world.check(&Request::new("HEAD", path.clone(), Who::Nobody), 405, "");
    // A made-up proof, a cancellation that is not one, no proof at all, an amount.
    let (_, made_up) = place(&format!("{before}/{handle}/approved?pg_token=0123456789abcdef0123"));
    let (_, cancelled) = place(&format!("{before}/{handle}/cancelled"));
    assert_eq!(till.show(&one)["status"], "paying");
    till.world.check(&get(cancelled, Who::Nobody), 200, "");
    assert_eq!(till.show(&one)["payment"]["attempts"][0]["status"], "ready", "the gateway says that it goes on");
    let (_, bare) = place(&format!("{before}/{handle}/approved"));
    till.world.check(&get(bare, Who::Nobody), 400, "invalid_parameter");
    let (_, as_json) = place(&format!("{before}/{handle}/cancelled"));
    let said = till.world.check(&get(as_json, Who::Nobody).header("accept", "application/json"), 200, "").json();
    assert_eq!((&said["order"], &said["order_status"]), (&json!(one), &json!("paying")), "{said}");
    let described = till.world.document.schema("Returned")["properties"].as_object().unwrap();
    let shown = said.as_object().unwrap();
    assert_eq!(shown.keys().collect::<Vec<_>>(), described.keys().collect::<Vec<_>>(), "documented as it is");
    till.world.check(&get(made_up, Who::Nobody), 200, "");
    till.shown_when(&one, "the end of the forgery", |order| order["status"] == "paying");
    till.ledger(0, 0);

    // The right one, twice, with an amount that nobody uses.
    till.world.check(&get(format!("{path}&amount=1&total_amount=1"), Who::Nobody), 200, "");
    till.world.check(&get(path, Who::Nobody), 200, "");
    let paid = till.show(&one);
    assert_eq!((&paid["status"], &paid["payment"]["captured"]), (&json!("confirmed"), &json!(PRICE)), "{paid}");
    till.ledger(PRICE, 0);

    // Another order's proof.
    let theirs = Till::press(&second, Button::Pay);
    let (_, _, proof) = parts(&right);
    let (before, handle, _) = parts(&theirs);
    let (_, swapped) = place(&format!("{before}/{handle}/{proof}"));
    till.world.check(&get(swapped, Who::Nobody), 200, "");
    till.shown_when(&other, "the end of the swap", |order| order["status"] == "paying");
    till.arrive(&theirs);
    assert_eq!(till.show(&other)["status"], "confirmed");
    till.ledger(3 * PRICE, 0);
}

#[test]
fn somebody_elses_order_does_not_exist() {
    let till = Till::open(&[]);
    let id = till.paid(1);
    let pay = post(format!("/v1/orders/{id}/payments"), Who::Lee).key("k").json(r#"{"method":"kakaopay"}"#);
    till.world.check(&pay, 404, "unknown_order");
    till.world.check(&get(format!("/v1/orders/{id}/timeline"), Who::Lee), 404, "unknown_order");
    till.world.check(&get(format!("/v1/orders/{id}/events"), Who::Lee), 404, "unknown_order");
    let refund = post(format!("/v1/orders/{id}/refunds"), Who::Lee).key("k").json(r#"{"restock":true,"reason":"x"}"#);
    till.world.check(&refund, 403, "forbidden");
    till.world.check(&get("/v1/operations/sagas", Who::Kim), 403, "forbidden");
}

#[test]
fn requests_about_paying_are_read_strictly() {
    let till = Till::open(&[]);
    let id = till.order(1);
    for (body, code) in [
        (r#"{"method":"kakaopay","amount":1}"#, "unknown_field"),
        (r#"{"method":"cash"}"#, "invalid_field"),
        (r#"{"method":1}"#, "invalid_field"),
        ("{}", "missing_field"),
        ("[]", "invalid_field"),
        ("{", "malformed_json"),
    ] {
        let pay = post(format!("/v1/orders/{id}/payments"), Who::Kim).key("k").json(body);
        till.world.check(&pay, 400, code);
    }
    till.world.check(&post(format!("/v1/orders/{id}/payments"), Who::Kim).json("{}"), 400, "idempotency_key_missing");
    let paid = till.paid(1);
    for (body, code) in [
        (r#"{"reason":"x"}"#, "missing_field"),
        (r#"{"restock":true}"#, "missing_field"),
        (r#"{"restock":"yes","reason":"x"}"#, "invalid_field"),
        (r#"{"restock":true,"reason":" "}"#, "invalid_field"),
        (r#"{"restock":true,"reason":"x","amount":0}"#, "invalid_field"),
        (r#"{"restock":true,"reason":"x","amount":-1}"#, "invalid_field"),
        (r#"{"restock":true,"reason":"x","amount":null}"#, "invalid_field"),
        (r#"{"restock":true,"reason":"x","lines":[]}"#, "invalid_field"),
        (r#"{"restock":true,"reason":"x","price":1}"#, "unknown_field"),
    ] {
        let refund = post(format!("/v1/orders/{paid}/refunds"), Who::Admin).key("r").json(body);
        till.world.check(&refund, 400, code);
    }
    for (step, body, status, code) in [
        ("attempt-1", r#"{"reason":"x"}"#, 404, "no_such_step"),
        ("attempt", r#"{"reason":"x"}"#, 400, "invalid_parameter"),
        ("attempt-1", "{}", 400, "missing_field"),
    ] {
        let retry = post(format!("/v1/operations/sagas/{paid}/{step}/retry"), Who::Admin).json(body);
        till.world.check(&retry, status, code);
    }
    for state in ["state=lost", "state", "state=", "state=Parked", "state=%zz", "state=open&state=open"] {
        let list = get(format!("/v1/operations/sagas?{state}"), Who::Admin);
        let said = till.world.check(&list, 400, "invalid_parameter").json();
        assert_eq!(said["parameter"], "state", "{said}");
    }
    till.world.check(&get("/v1/operations/sagas?limit=1&state=%70arked", Who::Admin), 200, "");
}

#[test]
fn nothing_secret_is_ever_said() {
    let till = Till::open(&[("SON7_LOG", "trace")]);
    let id = till.order(1);
    let page = till.page(&id);
    let back = Till::press(&page, Button::Pay);
    let (_, handle, rest) = parts(&back);
    till.fault("approve", &json!({"kind": "http_500", "when": "after"}), 1);
    till.arrive(&back);
    till.shown_when(&id, "the end", |order| order["status"] == "confirmed");
    let nonce = handle.rsplit_once('.').unwrap().1.to_owned();
    let token = rest.rsplit_once('=').unwrap().1.to_owned();
    let page = page.rsplit_once('/').unwrap().1.to_owned();
    let secrets = [token, nonce, page, "DEV_SANDBOX_KEY_THAT_IS_NO_SECRET".to_owned()];
    let metrics = String::from_utf8(till.world.check(&get("/metrics", Who::Nobody), 200, "").body).unwrap();
    let timeline = till.timeline(&id).to_string();
    let settings = till.world.run(&["config"]);
    let mut world = till.into_world();
    world.stop();
    let journal = world.run(&["journal", "inspect", "--events"]);
    assert!(journal.contains("PaymentAuthorised"), "{journal}");
    for (what, said) in
        [("log", world.log()), ("metrics", metrics), ("timeline", timeline), ("config", settings), ("journal", journal)]
    {
        for (secret, name) in secrets.iter().zip(["pg_token", "nonce", "page", "key"]) {
            let line = said.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line.map(|line| line.replace(secret.as_str(), "***")), None, "the {name} is in the {what}");
        }
    }
}

#[test]
fn a_shop_that_takes_no_payments_says_so() {
    let world = crate::world::World::start(&[("SON7_PAYMENTS", "off")]);
    world.product("apple", PRICE, 1);
    let id = world.placed("one", &[("apple", 1)]);
    let pay = post(format!("/v1/orders/{id}/payments"), Who::Kim).key("k").json(r#"{"method":"kakaopay"}"#);
    let said: Value = world.check(&pay, 409, "payment_method_unavailable").json();
    assert!(said["detail"].as_str().unwrap().contains("kakaopay"), "{said}");
}
