//! The suite of the Kakao Pay client: cases over an API's address and a control plane, both through real
//! sockets. It knows the sandbox by its protocols alone, so it can also be run against one in another process.
//!
//! Each case is given a stage of its own, and leaves no fault unused.

mod money;
mod trouble;

use crate::kakaopay_common::{CID, begin, capture, look_up, refund};
use serde_json::{Value, json};
use son7shop_engine::payment::{Answered, Begun, Captured, GatewayRef, Proof, Standing};
use son7shop_engine::{CustomerId, Time, Won};
use son7shop_payments::gateway::{
    BeginRequest, CaptureRequest, Expected, LookUpRequest, PaymentGateway, RefundRequest, Return, ReturnedTo,
};
use son7shop_payments::kakaopay::{KakaoPay, Key, Profile, Settings};
use std::pin::Pin;
use std::time::Duration;

/// A case: it panics where the client is wrong.
pub(crate) type Case = fn(Stage) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every case, by name.
pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    [money::CASES, trouble::CASES].concat()
}

/// Makes the constant table of a file's cases.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, crate::kakaopay_suite::Case)] =
            &[$((stringify!($name), |stage| Box::pin($name(stage)))),*];
    };
}
use table;

/// Where a case plays: the API, and the control plane behind it.
#[derive(Clone)]
pub(crate) struct Stage {
    /// The address before `/ready`.
    pub(crate) base: String,
    /// The control plane's address, without a path.
    pub(crate) control: String,
    /// The key that the API takes.
    pub(crate) key: String,
}

impl Stage {
    fn settings(&self) -> Settings {
        let mut settings = Settings::new(&self.base, Key::new(&self.key), CID, Profile::Test);
        // A failure that a case makes is no reason to refuse the next.
        settings.failures_max = 1_000;
        settings
    }

    fn client(&self) -> KakaoPay {
        KakaoPay::new(&self.settings()).unwrap()
    }

    /// One that does not wait for what comes late.
    fn impatient(&self) -> KakaoPay {
        let mut settings = self.settings();
        settings.read_timeout = Duration::from_millis(100);
        settings.connect_timeout = Duration::from_secs(1);
        KakaoPay::new(&settings).unwrap()
    }

    async fn begun(&self) -> Begun {
        match PaymentGateway::begin(&self.client(), &begin()).await {
            Answered::Begun(begun) => begun,
            other => panic!("not begun: {other:?}"),
        }
    }

    /// A payment that its shopper authorised: the request that takes its money.
    async fn authorised(&self) -> CaptureRequest {
        let begun = self.begun().await;
        let query = self.press(&begun.reference, "pay", "approval").await;
        match self.client().parse_return(ReturnedTo::Approval, &query, &expected()) {
            Ok(Return::Authorised(proof)) => CaptureRequest { reference: begun.reference, proof, ..capture() },
            other => panic!("not authorised: {other:?}"),
        }
    }

    /// A payment whose money was taken.
    async fn captured(&self) -> (GatewayRef, Captured) {
        let request = self.authorised().await;
        match self.client().capture(&request).await {
            Answered::Captured(captured) => (request.reference, captured),
            other => panic!("not captured: {other:?}"),
        }
    }

    /// The shopper does this, and the browser goes to this address of the shop: its query.
    async fn press(&self, tid: &GatewayRef, act: &str, to: &str) -> String {
        let sent = self.post(&format!("payments/{tid}/{act}"), &json!({})).await;
        let location = sent["location"].as_str().unwrap();
        let (address, query) = location.split_once('?').unwrap_or((location, ""));
        assert!(address.ends_with(&format!("/{to}")), "{act} leads to {address}");
        query.to_owned()
    }

    async fn standing(&self, tid: &GatewayRef) -> Standing {
        let request = LookUpRequest { reference: tid.clone(), ..look_up() };
        match self.client().look_up(&request).await {
            Answered::Stands(standing) => standing,
            other => panic!("not looked up: {other:?}"),
        }
    }

    /// Once, at the next call to this endpoint.
    async fn fault(&self, endpoint: &str, action: Value) {
        self.post("faults", &json!({"endpoint": endpoint, "action": action})).await;
    }

    async fn advance(&self, millis: i64) {
        self.post("clock/advance", &json!({"ms": millis})).await;
    }

    /// Lets this time pass, and waits until every call that waited for it has ended.
    async fn let_pass(&self, millis: i64) {
        self.advance(millis).await;
        for _ in 0..10_000 {
            let asked = self.get("requests").await;
            if asked["requests"].as_array().unwrap().iter().all(|entry| entry["end"] != "under_way") {
                return;
            }
        }
        panic!("a call does not end");
    }

    /// What was captured and given back, over all payments; and that nothing is wrong with the ledger, that
    /// every fault was used, and that no field was sent which the protocol has not.
    async fn settled(&self) -> (i64, i64) {
        let check = self.get("ledger/check").await;
        assert_eq!(check["good"], true, "{check}");
        assert_eq!(self.get("faults").await["faults"], json!([]), "a fault was not met");
        let asked = self.get("requests").await;
        for entry in asked["requests"].as_array().unwrap() {
            assert_eq!(entry["unknown"], json!([]), "{} has a field of its own", entry["endpoint"]);
        }
        let ledger = self.get("ledger").await;
        let sum = |what: &str| {
            let lines = ledger["payments"].as_array().unwrap().iter();
            lines.flat_map(|line| line[what].as_array().unwrap()).map(|booked| booked["amount"].as_i64().unwrap()).sum()
        };
        (sum("captures"), sum("refunds"))
    }

    async fn get(&self, path: &str) -> Value {
        told(reqwest::Client::new().get(format!("{}/{path}", self.control))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let post = reqwest::Client::new().post(format!("{}/{path}", self.control));
        told(post.header("content-type", "application/json").body(body.to_string())).await
    }
}

async fn told(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "the control plane: {status} {body}");
    serde_json::from_str(&body).unwrap()
}

fn expected() -> Expected {
    let BeginRequest { order, attempt, amount, .. } = begin();
    Expected { order, attempt, amount }
}

fn refund_of(reference: &GatewayRef, amount: i64, remaining_before: i64) -> RefundRequest {
    RefundRequest {
        reference: reference.clone(),
        amount: Won(amount),
        remaining_before: Won(remaining_before),
        ..refund()
    }
}

#[track_caller]
fn unknown(answered: &Answered, words: &str) {
    assert!(matches!(answered, Answered::Unknown(text) if text.contains(words)), "{answered:?}, not {words}");
}

/// What was given back of a payment that was paid.
#[track_caller]
fn refunded(standing: &Standing) -> i64 {
    match standing {
        Standing::Paid { refunded, .. } => refunded.0,
        other => panic!("not paid: {other:?}"),
    }
}

fn another_customer() -> CustomerId {
    CustomerId::parse("lee@example").unwrap()
}

fn another_proof() -> Proof {
    Proof::parse("ffffffffffffffffffff").unwrap()
}

fn another_order() -> son7shop_engine::OrderId {
    son7shop_engine::OrderId::new(Time(1), 1, son7shop_engine::PartitionId(0))
}
