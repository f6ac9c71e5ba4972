//! Tests of the machine as a whole, through a shop that asks and a shopper who presses.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod approving;
mod astray;
mod histories;

mod pairs;
mod preparing;
mod refunding;
mod shopping;
mod wrong;

use super::*;
use serde_json::{Value, json};

/// When every test begins.
const START: Time = Time(1_700_000_000_000);
const AUTH: &str = "SECRET_KEY DEV_SANDBOX_KEY_THAT_IS_NO_SECRET";

/// A machine, its time, and the payment that a test is about.
#[derive(Clone)]
struct World {
    machine: Machine,
    now: Time,
    tid: String,
    token: String,
}

/// Fields over others.
fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

impl World {
    /// Without payments.
    fn empty() -> Self {
        let machine = Machine::new(MachineSettings { seed: 7, ..MachineSettings::default() });
        Self { machine, now: START, tid: String::new(), token: String::new() }
    }

    /// With a payment of 10,000 won for order `o1`.
    fn ready() -> Self {
        Self::prepared(json!({}))
    }

    fn prepared(more: Value) -> Self {
        let mut world = Self::empty();
        world.prepare(more);
        world
    }

    /// A further payment becomes the one that the test is about.
    fn prepare(&mut self, more: Value) {
        let body = self.answer(Endpoint::Ready, with(Self::ready_body(), more));
        body["tid"].as_str().unwrap().clone_into(&mut self.tid);
    }

    /// Of which the shopper has pressed "pay".
    fn authorised() -> Self {
        let mut world = Self::ready();
        world.press_pay();
        world
    }

    fn press_pay(&mut self) -> Moved {
        let moved = self.machine.pay(self.now, Whose::Tid(&self.tid), Means::Card).unwrap();
        if let Some(token) = moved.visits.iter().rev().find(|visit| !visit.forged).and_then(Visit::pg_token) {
            token.clone_into(&mut self.token);
        }
        moved
    }

    fn captured() -> Self {
        let mut world = Self::authorised();
        world.approve();
        assert_eq!(world.status(), Status::SuccessPayment);
        world
    }

    fn ready_body() -> Value {
        json!({
            "cid": SANDBOX_CID, "partner_order_id": "o1", "partner_user_id": "u1", "item_name": "귤 <한 상자>",
            "quantity": 2, "total_amount": 10_000, "tax_free_amount": 0,
            "approval_url": "http://shop/ok?order=o1&nonce=s3cret", "cancel_url": "http://shop/cancel?nonce=s3cret",
            "fail_url": "http://shop/fail?nonce=s3cret",
        })
    }

    fn approve_body(&self) -> Value {
        json!({
            "cid": SANDBOX_CID, "tid": self.tid, "partner_order_id": "o1", "partner_user_id": "u1",
            "pg_token": self.token, "total_amount": 10_000,
        })
    }

    fn order_body(&self) -> Value {
        json!({ "cid": SANDBOX_CID, "tid": self.tid })
    }

    fn cancel_body(&self, amount: i64) -> Value {
        json!({ "cid": SANDBOX_CID, "tid": self.tid, "cancel_amount": amount, "cancel_tax_free_amount": 0 })
    }

    fn call(&mut self, endpoint: Endpoint, body: Value) -> Delivery {
        self.machine.call(self.now, endpoint, Some(AUTH), body.to_string().as_bytes())
    }

    fn begin(&mut self, endpoint: Endpoint, body: Value) -> Step {
        self.machine.begin(self.now, endpoint, Some(AUTH), body.to_string().as_bytes())
    }

    fn reply(&mut self, endpoint: Endpoint, body: Value) -> Reply {
        self.call(endpoint, body).reply.unwrap()
    }

    /// A good answer.
    fn answer(&mut self, endpoint: Endpoint, body: Value) -> Value {
        let reply = self.reply(endpoint, body);
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        reply.json().unwrap()
    }

    /// The code of an answer, 0 for a good one.
    fn code(&mut self, endpoint: Endpoint, body: Value) -> i64 {
        self.reply(endpoint, body).error_code().unwrap_or(0)
    }

    fn approve(&mut self) -> i64 {
        self.code(Endpoint::Approve, self.approve_body())
    }

    fn order(&mut self) -> Value {
        self.answer(Endpoint::Order, self.order_body())
    }

    fn cancel(&mut self, amount: i64) -> i64 {
        self.code(Endpoint::Cancel, self.cancel_body(amount))
    }

    fn act(&mut self, act: Act) -> Result<Moved, Stuck> {
        self.machine.act(self.now, Whose::Tid(&self.tid), act)
    }

    fn status(&mut self) -> Status {
        self.machine.shown(self.now, Whose::Tid(&self.tid)).unwrap().status
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_millis(ms);
    }

    fn fault(&mut self, endpoint: Place, action: Action) {
        self.machine.add_fault(Rule::once(endpoint, action)).unwrap();
    }

    fn last(&self) -> &Entry {
        self.machine.requests().next_back().unwrap()
    }

    /// What was taken, and what was given back, of all payments; and nothing is wrong with it.
    fn money(&mut self) -> (i64, i64) {
        let ledger = self.machine.ledger(self.now);
        assert_eq!(ledger.check(), []);
        let sum = |of: fn(&Line) -> son7shop_engine::Won| ledger.payments.iter().map(|line| of(line).0).sum();
        (sum(Line::captured), sum(Line::refunded))
    }
}
