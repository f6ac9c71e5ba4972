//! The control plane over HTTP: every verb, and who may not use it.

use crate::wire::ask;
use crate::*;
use son7shop_payments::sandbox::machine::{LIFE_MS, Ledger};

#[tokio::test]
async fn it_says_where_the_rest_is() {
    let town = Town::new().await;
    let body = town.control("GET", "/ready", Value::Null).await.json();
    assert_eq!(body, json!({ "api_url": town.sandbox.api_url(), "pages_url": town.sandbox.pages_url() }));
}

#[tokio::test]
async fn shoppers_are_steered_by_payment() {
    let town = Town::new().await;
    let prepared = town.prepare("o1").await;
    let tid = &prepared.tid;
    let act = |act: &str, body: Value| {
        let path = format!("/payments/{tid}/{act}");
        let town = &town;
        async move { town.control("POST", &path, body).await }
    };
    assert_eq!(act("open", Value::Null).await.json()["status"], "OPEN_PAYMENT");
    let chosen = act("choose", json!({ "means": "MONEY" })).await.json();
    assert_eq!((&chosen["status"], &chosen["location"]), (&json!("SELECT_METHOD"), &json!(null)));
    assert_eq!(act("choose", json!({ "mean": "MONEY" })).await.status, 400);
    assert_eq!(act("steal", Value::Null).await.status, 404);
    let paid = act("pay", json!({ "means": "MONEY", "follow": true })).await.json();
    assert_eq!((&paid["status"], &paid["answered"]), (&json!("AUTH_PASSWORD"), &json!(302)));
    assert_eq!(paid["location"], paid["visits"][0]["address"]);
    assert_eq!(town.shop.paths().len(), 1);
    assert_eq!(act("quit", Value::Null).await.status, 409);
    assert_eq!(act("wrong_password", Value::Null).await.status, 409);
    let other = town.prepare("o2").await.tid;
    let path = format!("/payments/{other}/wrong_password");
    assert_eq!(town.control("POST", &path, Value::Null).await.json()["status"], "FAIL_AUTH_PASSWORD");
    let third = town.prepare("o3").await.tid;
    let path = format!("/payments/{third}/quit");
    assert_eq!(town.control("POST", &path, Value::Null).await.json()["status"], "QUIT_PAYMENT");

    let shown = town.control("GET", &format!("/payments/{tid}"), Value::Null).await.json();
    assert_eq!((&shown["status"], &shown["means"]), (&json!("AUTH_PASSWORD"), &json!("MONEY")));
    assert_eq!(town.control("GET", "/payments/T0", Value::Null).await.status, 404);
    assert_eq!(town.control("POST", "/payments/T0/pay", Value::Null).await.status, 404);
    let page = town.control("GET", "/payments?from=1&count=1", Value::Null).await.json();
    let listed = page["payments"].as_array().unwrap();
    assert_eq!((listed.len(), listed[0]["order"].as_str()), (1, Some("o2")));
    assert_eq!(town.control("GET", "/payments?from=x", Value::Null).await.status, 400);
}

#[tokio::test]
async fn faults_come_and_go() {
    let town = Town::new().await;
    let rule = json!({ "endpoint": "ready", "match": { "nth": 2 }, "action": { "kind": "http_503" }, "times": 1 });
    let id = town.control("POST", "/faults", rule).await.json()["id"].as_u64().unwrap();
    let listed = town.control("GET", "/faults", Value::Null).await.json();
    assert_eq!(listed["faults"][0]["rule"]["action"]["kind"], "http_503");
    town.prepare("o1").await;
    assert_eq!(town.call("ready", town.ready_body("o2")).await.unwrap().status, 503);
    town.prepare("o3").await;
    assert_eq!(town.control("DELETE", &format!("/faults/{id}"), Value::Null).await.status, 404, "used up");
    let never = json!({ "endpoint": "order", "action": { "kind": "decline", "code": "X" } });
    let answer = town.control("POST", "/faults", never).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("'decline' cannot happen at Order")));
    assert_eq!(town.control("POST", "/faults", json!({ "endpoint": "order" })).await.status, 400);
    for _ in 0..2 {
        let always = json!({ "endpoint": "ready", "action": { "kind": "http_500" }, "times": u32::MAX });
        town.control("POST", "/faults", always).await;
    }
    let id = town.control.faults()[0].id;
    assert_eq!(town.control("DELETE", &format!("/faults/{id}"), Value::Null).await.status, 200);
    assert_eq!(town.call("ready", town.ready_body("o4")).await.unwrap().status, 500);
    assert_eq!(town.control("DELETE", "/faults", Value::Null).await.status, 200);
    town.prepare("o5").await;
}

#[tokio::test]
async fn the_clock_is_moved_and_set() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    assert_eq!(town.control("GET", "/clock", Value::Null).await.json()["offset"], 0);
    let moved = town.control("POST", "/clock/advance", json!({ "ms": LIFE_MS })).await.json();
    assert_eq!(moved["offset"], LIFE_MS);
    assert_eq!(town.code("approve", Town::approve_body("o1", &prepared.tid, &token)).await, -723);
    let set = town.control("PUT", "/clock", json!({ "now": 1_700_000_000_000_i64 })).await.json();
    let now = set["now"].as_i64().unwrap();
    assert!((1_700_000_000_000..1_700_000_600_000).contains(&now), "{now}");
    let body = town.call("ready", town.ready_body("o2")).await.unwrap().json();
    assert!(body["created_at"].as_str().unwrap().starts_with("2023-11-15T07:1"), "{body}");
    assert_eq!(town.control("PUT", "/clock", json!({ "now": "noon" })).await.status, 400);
}

#[tokio::test]
async fn money_and_calls_are_told() {
    let town = Town::new().await;
    let (prepared, token) = town.authorised("o1").await;
    let mut body = Town::approve_body("o1", &prepared.tid, &token);
    body["sender"] = json!("shop");
    assert_eq!(town.code("approve", body).await, 0);
    let ledger: Ledger = serde_json::from_value(town.control("GET", "/ledger", Value::Null).await.json()).unwrap();
    assert_eq!(ledger, town.control.ledger(), "it can be read back");
    assert_eq!((ledger.payments[0].order.as_str(), ledger.payments[0].net().0), ("o1", 10_000));
    let check = town.control("GET", "/ledger/check", Value::Null).await.json();
    assert_eq!(check, json!({ "good": true, "breaches": [] }));
    let told = town.control("GET", "/requests?after=1&count=5", Value::Null).await.json();
    let told = told["requests"].as_array().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["endpoint"], &told[0]["unknown"]), (&json!("approve"), &json!(["sender"])));
    assert_eq!((&told[0]["committed"]["kind"], &told[0]["status"]), (&json!("captured"), &json!(200)));
    assert_eq!(told[0]["body"]["pg_token"], token.as_str());
}

#[tokio::test]
async fn browsers_and_strangers_may_not() {
    let town = Town::new().await;
    let url = format!("{}/clock", town.sandbox.control_url());
    let port = town.sandbox.control_url().rsplit_once(':').unwrap().1.to_owned();
    let rows = [
        (vec![], 200),
        (vec![("host", format!("localhost:{port}"))], 200),
        (vec![("origin", "http://elsewhere.example".to_owned())], 403),
        (vec![("host", "elsewhere.example".to_owned())], 403),
        (vec![("host", format!("elsewhere.example:{port}"))], 403),
    ];
    for (headers, status) in rows {
        assert_eq!(ask("GET", &url, &headers, b"").await.unwrap().status, status, "{headers:?}");
    }
    assert_eq!(town.control("GET", "/keys", Value::Null).await.status, 404);
    assert_eq!(town.control("POST", "/ledger", Value::Null).await.status, 404);
    let long = json!({ "ms": " ".repeat(70 << 10) });
    assert_eq!(town.control("POST", "/clock/advance", long).await.status, 400);
}
