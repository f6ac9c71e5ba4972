//! The API over HTTP: a whole journey, waiting, closed connections, answers cut short.

use crate::wire::{ask, bounded, read, send};
use crate::*;
use son7shop_payments::sandbox::machine::{Outcome, When};

#[tokio::test]
async fn a_payment_from_beginning_to_end() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    let tid = &prepared.tid;
    let approved = town.call("approve", Town::approve_body("o1", tid, &token)).await.unwrap();
    assert_eq!((approved.status, &approved.json()["amount"]["vat"]), (200, &json!(909)));
    assert_eq!(approved.header("content-type"), Some("application/json;charset=UTF-8"));
    let cancel = json!({
        "cid": SANDBOX_CID, "tid": tid, "cancel_amount": 4_000, "cancel_tax_free_amount": 0,
        "cancel_available_amount": 10_000,
    });
    assert_eq!(town.code("cancel", cancel.clone()).await, 0);
    assert_eq!(town.code("cancel", cancel).await, -722);
    let standing = town.call("order", json!({ "cid": SANDBOX_CID, "tid": tid })).await.unwrap().json();
    assert_eq!(
        (&standing["status"], &standing["cancel_available_amount"]["total"]),
        (&json!("PART_CANCEL_PAYMENT"), &json!(6_000))
    );
    assert_eq!(town.money(), (10_000, 4_000));
    assert!(town.sandbox.stop().await);
}

#[tokio::test]
async fn what_is_not_of_the_api_is_refused() {
    let town = Town::new().await;
    let api = town.sandbox.api_url();
    let auth = ("authorization", format!("SECRET_KEY {SANDBOX_SECRET_KEY}"));
    let json = ("content-type", "application/json; charset=utf-8".to_owned());
    let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
    let ready = town.ready_body("o1").to_string();
    let long = with_padding(&ready, 64 << 10);
    let rows = [
        ("POST", "/online/v1/payment/ready", vec![auth.clone(), json.clone()], ready.as_str(), 200, 0),
        ("POST", "/online/v1/payment/ready", vec![auth.clone(), json.clone()], long.as_str(), 400, -2),
        ("POST", "/online/v1/payment/ready", vec![auth.clone(), form], ready.as_str(), 400, -2),
        ("POST", "/online/v1/payment/ready", vec![auth.clone()], ready.as_str(), 400, -2),
        ("POST", "/online/v1/payment/ready", vec![json.clone()], ready.as_str(), 401, -400),
        ("GET", "/online/v1/payment/ready", vec![auth.clone(), json.clone()], "", 404, -404),
        ("POST", "/online/v1/payment/inactive", vec![auth.clone(), json.clone()], ready.as_str(), 404, -404),
        ("POST", "/v1/payment/ready", vec![auth, json], ready.as_str(), 404, -404),
    ];
    for (method, path, headers, body, status, code) in rows {
        let answer = ask(method, &format!("{api}{path}"), &headers, body.as_bytes()).await.unwrap();
        let told = answer.json()["error_code"].as_i64().unwrap_or(0);
        assert_eq!((answer.status, told), (status, code), "{method} {path} {headers:?}");
    }
    // The pages and the plane are no API, nor is the API one of them.
    let page = town.prepare("o2").await.page.replace(&town.sandbox.pages_url(), &api);
    assert_eq!(ask("GET", &page, &[], b"").await.unwrap().status, 404);
    assert_eq!(ask("GET", &format!("{api}/ledger"), &[], b"").await.unwrap().status, 404);
    assert_eq!(ask("GET", &format!("{}/ledger", town.sandbox.pages_url()), &[], b"").await.unwrap().status, 404);
}

/// A legal body with more blanks in it than are read.
fn with_padding(body: &str, bytes: usize) -> String {
    format!("{{{}{}", " ".repeat(bytes), &body[1..])
}

#[tokio::test]
async fn connections_are_closed_before_and_after_the_money_moved() {
    for (action, money) in [(Action::DropBeforeCommit, (0, 0)), (Action::DropAfterCommit, (10_000, 0))] {
        let town = Town::new().await;
        let (prepared, token) = town.authorised("o1").await;
        town.fault(Place::Approve, action.clone());
        let body = Town::approve_body("o1", &prepared.tid, &token);
        assert!(town.call("approve", body.clone()).await.is_none(), "{action:?}");
        assert_eq!(town.money(), money, "{action:?}");
        assert_eq!(town.code("approve", body).await, if money.0 > 0 { -702 } else { 0 });
    }
}

#[tokio::test]
async fn half_an_answer_is_half_of_what_was_announced() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    town.fault(Place::Approve, Action::Truncated);
    let answer = town.call("approve", Town::approve_body("o1", &prepared.tid, &token)).await.unwrap();
    let announced: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, announced / 2));
    assert!(answer.text().starts_with("{\"aid\""), "{}", answer.text());
    assert_eq!(town.money(), (10_000, 0));
}

#[tokio::test]
async fn noise_is_on_the_wire_as_the_machine_says() {
    let town = Town::new().await;
    let (prepared, _) = town.authorised("o1").await;
    let order = json!({ "cid": SANDBOX_CID, "tid": prepared.tid });
    for (action, status, is_json) in [
        (Action::Http429 { when: When::Before }, 429, true),
        (Action::Http500 { when: When::Before }, 500, true),
        (Action::Http503 { when: When::Before }, 503, true),
        (Action::BadJson, 200, false),
    ] {
        town.fault(Place::Order, action.clone());
        let answer = town.call("order", order.clone()).await.unwrap();
        assert_eq!(answer.status, status, "{action:?}");
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).is_ok(), is_json, "{action:?}");
    }
}

#[tokio::test]
async fn a_call_that_waits_holds_its_payment_and_nobody_else() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    let (other, other_token) = town.authorised("o2").await;
    town.fault(Place::Approve, Action::DelayBefore { ms: 60_000 });
    let body = Town::approve_body("o1", &prepared.tid, &token);
    let slow = async {
        let approved = town.call("approve", body.clone()).await.unwrap();
        assert_eq!(approved.status, 200);
    };
    let beside = async {
        bounded(town.control.until(|machine| machine.waiting() == 1)).await;
        assert_eq!(town.code("approve", body.clone()).await, -785);
        assert_eq!(town.code("approve", Town::approve_body("o2", &other.tid, &other_token)).await, 0);
        assert_eq!(town.money(), (10_000, 0));
        town.control.advance(60_000);
    };
    tokio::join!(slow, beside);
    assert_eq!(town.money(), (20_000, 0));
}

#[tokio::test]
async fn whoever_hangs_up_does_not_stop_what_was_begun() {
    for action in [Action::DelayBefore { ms: 60_000 }, Action::DelayAfterCommit { ms: 60_000 }] {
        let town = Town::new().await;
        let (prepared, token) = town.authorised("o1").await;
        town.fault(Place::Approve, action.clone());
        let body = Town::approve_body("o1", &prepared.tid, &token).to_string();
        let headers = [
            ("authorization", format!("SECRET_KEY {SANDBOX_SECRET_KEY}")),
            ("content-type", "application/json".to_owned()),
        ];
        let url = format!("{}/online/v1/payment/approve", town.sandbox.api_url());
        let stream = send("POST", &url, &headers, body.as_bytes()).await;
        bounded(town.control.until(|machine| machine.waiting() == 1)).await;
        drop(stream);
        let before = if matches!(action, Action::DelayBefore { .. }) { 0 } else { 10_000 };
        assert_eq!(town.money(), (before, 0), "{action:?}");
        // The server has seen that nobody is there any more: it reads the end of the connection.
        let order = json!({ "cid": SANDBOX_CID, "tid": prepared.tid });
        assert_eq!(town.code("order", order).await, 0);
        town.control.advance(60_000);
        bounded(town.control.until(|machine| machine.waiting() == 0)).await;
        assert_eq!(town.money(), (10_000, 0), "{action:?}");
    }
}

#[tokio::test]
async fn a_bank_that_does_not_know_is_asked_again_later() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    town.fault(Place::Approve, Action::BankUnknown { then: Outcome::Paid, after: 3_600_000 });
    let body = Town::approve_body("o1", &prepared.tid, &token);
    assert_eq!(town.code("approve", body.clone()).await, -780);
    assert_eq!((town.code("approve", body.clone()).await, town.money()), (-785, (0, 0)));
    town.control.advance(3_600_000);
    assert_eq!((town.code("approve", body).await, town.money()), (-702, (10_000, 0)));
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let town = Town::new().await;
    let mut stream =
        tokio::net::TcpStream::connect(town.sandbox.api_url().trim_start_matches("http://")).await.unwrap();
    let body = town.ready_body("o1").to_string();
    let one = format!(
        "POST /online/v1/payment/ready HTTP/1.1\r\nhost: a\r\nauthorization: SECRET_KEY {SANDBOX_SECRET_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for calls in 1..=3 {
        stream.write_all(one.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}") {
            assert!(bounded(stream.read_buf(&mut bytes)).await.unwrap() > 0, "closed");
        }
        assert_eq!(town.control.payments(0, 9).len(), calls);
    }
    // And a head that never ends is not waited for once the sandbox stops.
    stream.write_all(b"POST /online").await.unwrap();
    assert!(bounded(town.sandbox.stop()).await);
    drop(read(stream).await);
}
