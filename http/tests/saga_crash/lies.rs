//! `verify --gateway` can fail: every kind of lie is planted, and must be named with its order. The gateway's
//! are told by the sandbox or made behind the shop's back, the database's are edits of a copy.

use crate::sandbox::{Button, KEY, Sandbox, press};
use crate::support::{Caller, Place, until};
use serde_json::{Value, json};
use son7shop_loadtest::shop::Shop;
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;

/// A shop that has stopped, with four orders of 2,000 won each.
struct Books {
    place: Place,
    sandbox: Sandbox,
    /// Paid, and left as it is.
    paid: String,
    /// Paid, and 500 won went back.
    refunded: String,
    /// Its shopper has pressed "pay", and did not come back.
    paying: String,
    proof: String,
    /// Held; nobody has begun to pay it.
    held: String,
}

impl Books {
    fn new() -> Self {
        let mut place = Place::new(2);
        let sandbox = Sandbox::start(&place, 1);
        sandbox.pays(&mut place);
        let program = place.start();
        let address = program.address();
        let mut admin = Caller::new(address, &place.shop.admin_token().unwrap());
        let mut kim = Caller::new(address, &place.shop.customer_tokens("kim", 1).unwrap()[0]);
        admin.product("apple", 1000, 100);
        let [paid, refunded, paying, held] = ["one", "two", "three", "four"].map(|key| ordered(&mut kim, key));
        for id in [&paid, &refunded] {
            let back = pressed(&mut kim, id);
            Caller::new(address, "").get(&crate::sandbox::place_of(&back).1).unwrap();
            assert_eq!(shown(&mut kim, id)["status"], "confirmed");
        }
        let body = json!({ "amount": 500, "restock": false, "reason": "torn" });
        let asked = admin.post(&format!("/v1/orders/{refunded}/refunds"), Some("r"), Some(&body)).unwrap();
        assert_eq!(asked.status, 201, "{}", asked.text());
        until("the refund", || shown(&mut kim, &refunded)["payment"]["refunded"] == 500);
        let back = pressed(&mut kim, &paying);
        let proof = back.split_once("pg_token=").unwrap().1.to_owned();
        crate::support::stop(program);
        Self { place, sandbox, paid, refunded, paying, proof, held }
    }

    /// The sandbox says something else of a payment than what is so, however often it is asked.
    fn gateway_says(&self, id: &str, action: &Value, words: &str) {
        self.sandbox.fault_of(id, "order", action);
        differs(&self.place.shop, id, words);
        self.sandbox.clear_faults();
    }
}

/// `verify --gateway` names a difference of this order, or whatever it is, in these words.
fn differs(shop: &Shop, thing: &str, words: &str) {
    let (code, said) = verify(shop);
    let named = said.lines().any(|line| line.contains(thing) && line.contains(words));
    assert!(code == Some(1) && named, "'{words}' of {thing}: exit {code:?}\n{said}");
}

fn ordered(kim: &mut Caller, key: &str) -> String {
    let said = kim.order(key, "apple", 2).unwrap().json().unwrap();
    said["id"].as_str().unwrap().to_owned()
}

/// Starts a payment and presses "pay": where the browser is sent.
fn pressed(kim: &mut Caller, id: &str) -> String {
    let body = json!({ "method": "kakaopay" });
    let said = kim.post(&format!("/v1/orders/{id}/payments"), Some("pay"), Some(&body)).unwrap();
    assert_eq!(said.status, 201, "{}", said.text());
    press(said.json().unwrap()["redirect"]["desktop"].as_str().unwrap(), Button::Pay).unwrap().unwrap()
}

fn shown(kim: &mut Caller, id: &str) -> Value {
    kim.get(&format!("/v1/orders/{id}")).unwrap().json().unwrap()
}

/// How `verify --gateway` exits, and all that it says.
fn verify(shop: &Shop) -> (Option<i32>, String) {
    let output = shop.command(&["verify", "--gateway"]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains(KEY), "it never shows the key");
    (output.status.code(), said)
}

#[test]
fn what_the_gateway_says_otherwise_is_named() {
    let books = Books::new();
    let (code, said) = verify(&books.place.shop);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 payments asked for at the gateway, 0 of them under way"), "{said}");
    let always = |kind: &str| json!({ "kind": kind });
    let (paid, refunded, paying) = (&books.paid, &books.refunded, &books.paying);
    let one_won = json!({ "kind": "amount_override", "total": 1 });
    books.gateway_says(paid, &one_won, "the shop has 2000 won, the gateway took 1");
    books.gateway_says(paid, &always("unknown_status"), "the gateway says 'ARS_WAITING_ARS'");

    // Behind the shop's back: money is taken, and money is given back.
    let shown = books.sandbox.payments_of(paying);
    let ids = json!({ "tid": shown[0]["tid"], "partner_order_id": paying, "partner_user_id": shown[0]["user"],
        "pg_token": books.proof, "total_amount": 2000 });
    books.sandbox.call("approve", ids);
    differs(&books.place.shop, paying, "the gateway took 2000 won that the shop knows nothing of");
    let give_back = |id: &str, amount: i64| {
        let tid = books.sandbox.payments_of(id)[0]["tid"].clone();
        books.sandbox.call("cancel", json!({ "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0 }));
    };
    give_back(refunded, 300);
    differs(&books.place.shop, refunded, "the shop gave back 500 won, the gateway 800");
    give_back(paid, 2000);
    differs(&books.place.shop, paid, "the shop gave back 0 won, the gateway 2000");

    // A gateway that has never heard of any of them.
    let other = Sandbox::start(&books.place, 2);
    let elsewhere = books.place.shop.clone().set("SON7_KAKAO_URL", other.api_url());
    for id in [paid, refunded] {
        differs(&elsewhere, id, "the shop has 2000 won, the gateway took nothing");
    }
    other.stop();
    books.sandbox.stop();
}

#[test]
fn what_the_gateway_does_not_answer_is_no_match() {
    let books = Books::new();
    let cannot_say = |shop: &Shop, words: &str| {
        let (code, said) = verify(shop);
        assert!(code == Some(2) && said.contains(words), "'{words}': exit {code:?}\n{said}");
        said
    };
    let shop = &books.place.shop;
    books.sandbox.fault_of(&books.paid, "order", &json!({ "kind": "http_500" }));
    let said = cannot_say(shop, "the gateway did not say where it stands");
    assert!(said.lines().any(|line| line.contains(&books.paid)), "{said}");
    books.sandbox.clear_faults();
    // One that answers late is asked again.
    books.sandbox.fault("order", &json!({ "kind": "drop_before_commit" }), 1);
    assert_eq!(verify(shop).0, Some(0));
    cannot_say(&shop.clone().set("SON7_KAKAO_KEY", "ANOTHER_KEY"), "the gateway did not say where it stands");
    cannot_say(&shop.clone().set("SON7_KAKAO_KEY", ""), "SON7_KAKAO_KEY is not set");
    cannot_say(&shop.clone().set("SON7_DATA_DIR", "/nowhere/at/all"), "/nowhere/at/all");
    books.sandbox.stop();
    cannot_say(shop, "3 not answered");
}

/// The gateway took the money, the shop was killed before it heard of it, and will ask.
#[test]
fn what_is_under_way_is_no_difference() {
    let mut place = Place::new(2);
    let sandbox = Sandbox::start(&place, 4);
    sandbox.pays(&mut place);
    let program = place.start();
    let address = program.address();
    let mut admin = Caller::new(address, &place.shop.admin_token().unwrap());
    let mut kim = Caller::new(address, &place.shop.customer_tokens("kim", 1).unwrap()[0]);
    admin.product("apple", 1000, 100);
    let id = ordered(&mut kim, "one");
    let back = pressed(&mut kim, &id);
    sandbox.fault_of(&id, "approve", &json!({ "kind": "drop_after_commit" }));
    sandbox.fault_of(&id, "order", &json!({ "kind": "http_500" }));
    // The browser waits for the outcome, and is cut off.
    let waits = std::thread::spawn(move || Caller::new(address, "").get(&crate::sandbox::place_of(&back).1).is_err());
    let retrying = "/v1/operations/sagas?state=retrying";
    until("a question that fails", || {
        admin.get(retrying).unwrap().json().unwrap()["steps"].as_array().is_some_and(|steps| !steps.is_empty())
    });
    program.kill().unwrap();
    waits.join().unwrap();
    sandbox.clear_faults();
    // What write-behind had not carried yet is told, too: a start carries it, and asks the gateway.
    sandbox.fault_of(&id, "order", &json!({ "kind": "http_500" }));
    let program = place.start();
    let mut admin = Caller::new(program.address(), &place.shop.admin_token().unwrap());
    until("another question", || {
        let steps = admin.get(retrying).unwrap().json().unwrap()["steps"].clone();
        steps.as_array().is_some_and(|steps| !steps.is_empty())
    });
    crate::support::stop(program);
    sandbox.clear_faults();
    let (code, said) = verify(&place.shop);
    assert!(code == Some(0) && said.contains("1 payment asked for at the gateway, 1 of them under way"), "{said}");
    sandbox.stop();
}

/// An edit of the database, and the words in which the difference is told; `?1` is the order's id.
const EDITS: [(&str, &str); 16] = [
    ("UPDATE orders SET status = 'cancelled' WHERE id = ?1", "status: journal Confirmed, database Cancelled"),
    ("UPDATE orders SET total = total + 1 WHERE id = ?1", "total: journal Won(2000), database Won(2001)"),
    ("UPDATE orders SET customer_id = 'lee' WHERE id = ?1", "customer"),
    ("UPDATE orders SET lsn = lsn - 1 WHERE id = ?1", "last event"),
    ("UPDATE order_lines SET quantity = 1 WHERE order_id = ?1", "lines"),
    ("UPDATE payments SET status = 'quit' WHERE order_id = ?1", "attempt 1: status"),
    ("UPDATE payments SET amount = 1 WHERE order_id = ?1", "attempt 1: amount"),
    ("UPDATE payments SET captured_amount = 1 WHERE order_id = ?1", "attempt 1: captured"),
    ("UPDATE payments SET gateway_ref = 'T1' WHERE order_id = ?1", "attempt 1: reference"),
    (
        "UPDATE payments SET refunded_amount = 499 WHERE order_id = ?1",
        "refunded 499 won, but its refunds gave back 500",
    ),
    ("DELETE FROM payments WHERE order_id = ?1", "attempt 1: in the journal, not in the database"),
    ("UPDATE payments SET attempt = 2 WHERE order_id = ?1", "attempt 2: in the database, not in the journal"),
    ("UPDATE refunds SET amount = 400 WHERE order_id = ?1", "refund 1: amount"),
    ("UPDATE refunds SET status = 'refused' WHERE order_id = ?1", "refund 1: status"),
    ("UPDATE refunds SET restock = 1 WHERE order_id = ?1", "refund 1: restock"),
    ("DELETE FROM refunds WHERE order_id = ?1", "refund 1: in the journal, not in the database"),
];

#[test]
fn what_the_database_says_otherwise_is_named() {
    let books = Books::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let copy = books.place.beside("copy.sqlite");
    let shop = books.place.shop.clone().set("SON7_DATABASE_URL", &format!("sqlite:{}", copy.display()));
    let original = books.place.data().join("son7shop.sqlite");
    let edited = |sql: &'static str, id: Option<&str>| {
        std::fs::copy(&original, &copy).unwrap();
        runtime.block_on(edit(&copy, sql, id));
    };
    for (sql, words) in EDITS {
        edited(sql, Some(&books.refunded));
        differs(&shop, &books.refunded, words);
    }
    edited("DELETE FROM order_lines WHERE order_id = ?1", Some(&books.held));
    runtime.block_on(edit(&copy, "DELETE FROM orders WHERE id = ?1", Some(&books.held)));
    differs(&shop, &books.held, "in the journal, not in the database");
    for (sql, thing, words) in [
        ("UPDATE products SET sold = sold - 1", "product apple", "sold"),
        ("DELETE FROM products", "product apple", "in the journal, not in the database"),
        ("UPDATE positions SET lsn = lsn - 1", "partition", "journal at"),
    ] {
        edited(sql, None);
        differs(&shop, thing, words);
    }
    // Rows that hang on nothing: what else there is cannot be said.
    edited("DELETE FROM orders WHERE id = ?1", Some(&books.paid));
    let (code, said) = verify(&shop);
    assert!(code == Some(2) && said.contains(&format!("'{}' is paid but no order", books.paid)), "{code:?}\n{said}");
    books.sandbox.stop();
}

async fn edit(database: &Path, sql: &'static str, id: Option<&str>) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.unwrap();
    let query = match id {
        Some(id) => sqlx::query(sql).bind(id.to_owned()),
        None => sqlx::query(sql),
    };
    let changed = query.execute(&mut connection).await.unwrap().rows_affected();
    assert!(changed > 0, "{sql} changes nothing");
    connection.close().await.unwrap();
}
