//! The whole sandbox over real sockets: a shop that asks, a browser that presses, a test that looks
//! on through the control plane. What is sent and read here is written by hand, byte for byte: a
//! client that mended what the sandbox breaks would hide it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value, missing_docs, reason = "tests")]

mod astray;
mod calls;
mod pages;
mod plane;
mod running;
mod wire;

use serde_json::{Value, json};
use son7shop_payments::sandbox::machine::{Action, Line, Place, Rule, SANDBOX_CID, SANDBOX_SECRET_KEY};
use son7shop_payments::sandbox::server::{Control, Sandbox, SandboxSettings};
use wire::{Answer, Shop, ask};

/// A sandbox and a shop beside it.
struct Town {
    sandbox: Sandbox,
    control: Control,
    shop: Shop,
}

/// A payment as the shop was told of it.
struct Prepared {
    tid: String,
    page: String,
}

impl Town {
    async fn new() -> Self {
        Self::with(SandboxSettings { seed: Some(7), ..SandboxSettings::default() }).await
    }

    async fn with(settings: SandboxSettings) -> Self {
        let sandbox = Sandbox::start(settings).await.unwrap();
        Self { control: sandbox.control(), shop: Shop::open().await, sandbox }
    }

    /// A call of the API; `None`: the connection was closed.
    async fn call(&self, what: &str, body: Value) -> Option<Answer> {
        let headers = [
            ("authorization", format!("SECRET_KEY {SANDBOX_SECRET_KEY}")),
            ("content-type", "application/json".to_owned()),
        ];
        let path = format!("{}/online/v1/payment/{what}", self.sandbox.api_url());
        ask("POST", &path, &headers, body.to_string().as_bytes()).await
    }

    /// The code of an answer, 0 for a good one.
    async fn code(&self, what: &str, body: Value) -> i64 {
        self.call(what, body).await.unwrap().json()["error_code"].as_i64().unwrap_or(0)
    }

    fn ready_body(&self, order: &str) -> Value {
        let shop = &self.shop.url;
        json!({
            "cid": SANDBOX_CID, "partner_order_id": order, "partner_user_id": "u1", "item_name": "귤 <b>&\"한 상자\"",
            "quantity": 2, "total_amount": 10_000, "tax_free_amount": 0,
            "approval_url": format!("{shop}/ok/{order}"), "cancel_url": format!("{shop}/cancel/{order}"),
            "fail_url": format!("{shop}/fail/{order}"),
        })
    }

    async fn prepare(&self, order: &str) -> Prepared {
        let answer = self.call("ready", self.ready_body(order)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Prepared { tid: text("tid"), page: text("next_redirect_pc_url") }
    }

    fn approve_body(order: &str, tid: &str, token: &str) -> Value {
        json!({
            "cid": SANDBOX_CID, "tid": tid, "partner_order_id": order, "partner_user_id": "u1", "pg_token": token,
            "total_amount": 10_000,
        })
    }

    /// Presses a button of the page.
    async fn press(&self, page: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        ask("POST", page, &headers, form.as_bytes()).await.unwrap()
    }

    /// A payment that the shopper has authorised, and its token.
    async fn authorised(&self, order: &str) -> (Prepared, String) {
        let prepared = self.prepare(order).await;
        let answer = self.press(&prepared.page, "press=pay&means=CARD").await;
        let token = answer.location().split_once("pg_token=").unwrap().1.to_owned();
        (prepared, token)
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(method, &format!("{}{path}", self.sandbox.control_url()), &[], body.as_bytes()).await.unwrap()
    }

    fn fault(&self, place: Place, action: Action) {
        self.control.add_fault(Rule::once(place, action)).unwrap();
    }

    /// What was taken and what was given back.
    fn money(&self) -> (i64, i64) {
        let ledger = self.control.ledger();
        assert_eq!(ledger.check(), []);
        let sum = |of: fn(&Line) -> son7shop_engine::Won| ledger.payments.iter().map(|line| of(line).0).sum();
        (sum(Line::captured), sum(Line::refunded))
    }
}
