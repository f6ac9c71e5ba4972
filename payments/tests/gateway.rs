//! That the gateway trait fits Toss Payments too: its shapes behind the trait, over a transport that is a list
//! of answers. No client for Toss Payments; it proves the trait and nothing else.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use son7shop_engine::payment::{Answered, Begun, Captured, GatewayRef, GivenBack, Pages, Proof, Standing, Why, cut};
use son7shop_engine::{CustomerId, OrderId, PartitionId, Time, Won};
use son7shop_payments::gateway::{
    BadReturn, BeginRequest, Call, Caps, CaptureRequest, Expected, IdemKey, LookUpRequest, PaymentGateway,
    RefundRequest, Return, ReturnUrls, ReturnedTo,
};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

const NOW: Time = Time(1_700_000_000_000);
const KEY: &str = "tgen_20240509145726aBcD3";

/// What is sent: method and path, the `Idempotency-Key`, the body.
type Sent = (String, Option<String>, Value);

/// Toss Payments, of which nothing is real.
#[derive(Default)]
struct Toss {
    sent: Mutex<Vec<Sent>>,
    answers: Mutex<VecDeque<(u16, Value)>>,
}

impl Toss {
    /// The order's name at Toss Payments: one for each attempt.
    fn order_id(order: OrderId, attempt: u32) -> String {
        format!("{order}_{attempt}")
    }

    fn post(&self, path: &str, idem: &IdemKey, body: Value) -> (u16, Value) {
        self.exchange(format!("POST {path}"), Some(idem.as_str().to_owned()), body)
    }

    fn exchange(&self, line: String, idem: Option<String>, body: Value) -> (u16, Value) {
        self.sent.lock().unwrap().push((line, idem, body));
        self.answers.lock().unwrap().pop_front().unwrap()
    }
}

fn words(body: &Value) -> compact_str::CompactString {
    cut(&format!("{} {}", body["code"].as_str().unwrap_or("?"), body["message"].as_str().unwrap_or("")))
}

/// The payment object, which every call answers with.
fn standing(payment: &Value) -> Standing {
    let captured = || Captured {
        amount: Won(payment["totalAmount"].as_i64().unwrap()),
        receipt: payment["paymentKey"].as_str().unwrap().into(),
        means: payment["method"].as_str().unwrap_or_default().into(),
        at: NOW,
    };
    let left = payment["balanceAmount"].as_i64().unwrap_or_default();
    match payment["status"].as_str().unwrap_or_default() {
        "READY" | "IN_PROGRESS" | "WAITING_FOR_DEPOSIT" => Standing::Pending,
        "DONE" | "PARTIAL_CANCELED" => {
            let captured = captured();
            Standing::Paid { refunded: Won(captured.amount.0 - left), captured }
        }
        "CANCELED" => Standing::Refunded { captured: captured() },
        "ABORTED" => Standing::NotPaid(Why::Declined),
        "EXPIRED" => Standing::NotPaid(Why::Lapsed),
        other => Standing::Unrecognised(other.into()),
    }
}

fn at_once<'a>(answered: Answered) -> Call<'a> {
    Box::pin(std::future::ready(answered))
}

impl PaymentGateway for Toss {
    /// Nobody is called: the widget on our own page begins it.
    fn begin<'a>(&'a self, request: &'a BeginRequest) -> Call<'a> {
        let order_id = Self::order_id(request.order, request.attempt);
        let page = format!("https://shop.example/pay/{order_id}");
        let pages = Pages {
            desktop: page.clone().into(),
            mobile: page.clone().into(),
            app: page.into(),
            android: None,
            ios: None,
        };
        let reference = GatewayRef::parse(&order_id).unwrap();
        let expires_at = request.now.plus_millis(self.caps().expiry_millis);
        at_once(Answered::Begun(Begun { reference, pages, expires_at }))
    }

    fn parse_return(&self, to: ReturnedTo, query: &str, expected: &Expected) -> Result<Return, BadReturn> {
        let field = |name: &'static str| {
            let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            let value = values.next().ok_or(BadReturn::Missing(name))?.1;
            if values.next().is_some() { Err(BadReturn::Repeated(name)) } else { Ok(value) }
        };
        if to != ReturnedTo::Approval {
            return Ok(if field("code") == Ok("PAY_PROCESS_CANCELED") { Return::Quit } else { Return::Failed });
        }
        if field("orderId")? != Self::order_id(expected.order, expected.attempt) {
            return Err(BadReturn::Differs("orderId"));
        }
        if field("amount")? != expected.amount.0.to_string() {
            return Err(BadReturn::Differs("amount"));
        }
        Proof::parse(field("paymentKey")?).map(Return::Authorised).map_err(BadReturn::NoProof)
    }

    fn capture<'a>(&'a self, request: &'a CaptureRequest) -> Call<'a> {
        let body = json!({"paymentKey": request.proof.expose(),
            "orderId": request.reference.as_str(), "amount": request.amount.0});
        let (status, answer) = self.post("/v1/payments/confirm", &request.idem, body);
        at_once(match (status, standing_of(status, &answer)) {
            (_, Some(Standing::Paid { captured, .. })) if captured.amount == request.amount => {
                Answered::Captured(captured)
            }
            _ => Answered::Unknown(words(&answer)),
        })
    }

    fn look_up<'a>(&'a self, request: &'a LookUpRequest) -> Call<'a> {
        let line = format!("GET /v1/payments/orders/{}", request.reference);
        let (status, answer) = self.exchange(line, None, Value::Null);
        at_once(match standing_of(status, &answer) {
            Some(standing) => Answered::Stands(standing),
            None if answer["code"] == "NOT_FOUND_PAYMENT" => Answered::Stands(Standing::Unknown),
            None => Answered::Unknown(words(&answer)),
        })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> Call<'a> {
        let path = format!("/v1/payments/{}/cancel", request.receipt);
        let body = json!({"cancelReason": request.reason, "cancelAmount": request.amount.0});
        let (status, answer) = self.post(&path, &request.idem, body);
        let last = answer["cancels"].as_array().and_then(|cancels| cancels.last());
        at_once(match last {
            Some(last) if status == 200 => Answered::GaveBack(GivenBack {
                amount: Won(last["cancelAmount"].as_i64().unwrap()),
                receipt: last["transactionKey"].as_str().unwrap().into(),
            }),
            _ => Answered::Unknown(words(&answer)),
        })
    }

    fn caps(&self) -> Caps {
        Caps {
            native_idempotency: true,
            lookup_by_order: true,
            webhook: true,
            expiry_millis: 10 * 60 * 1000,
            settle_millis: 60_000,
        }
    }
}

fn standing_of(status: u16, answer: &Value) -> Option<Standing> {
    (status == 200).then(|| standing(answer))
}

/// The gateway as the rest of the program has it, and what it sends.
struct Shop {
    toss: Arc<Toss>,
    gateway: Arc<dyn PaymentGateway>,
}

impl Shop {
    fn new() -> Self {
        let toss = Arc::new(Toss::default());
        Self { gateway: Arc::clone(&toss) as Arc<dyn PaymentGateway>, toss }
    }

    /// Makes a call, which the transport answers with this.
    fn ask<'a>(
        &'a self,
        status: u16,
        answer: Value,
        call: impl FnOnce(&'a dyn PaymentGateway) -> Call<'a>,
    ) -> Answered {
        self.toss.answers.lock().unwrap().push_back((status, answer));
        ready(call(&*self.gateway))
    }

    fn last_sent(&self) -> Sent {
        self.toss.sent.lock().unwrap().last().unwrap().clone()
    }
}

fn ready(mut call: Call<'_>) -> Answered {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answered) => answered,
        Poll::Pending => panic!("the transport answers at once"),
    }
}

fn order() -> OrderId {
    OrderId::new(NOW, 7, PartitionId(0))
}

fn customer() -> CustomerId {
    CustomerId::parse("kim").unwrap()
}

fn reference() -> GatewayRef {
    GatewayRef::parse(&Toss::order_id(order(), 2)).unwrap()
}

fn capture() -> CaptureRequest {
    CaptureRequest {
        reference: reference(),
        order: order(),
        attempt: 2,
        customer: customer(),
        proof: Proof::parse(KEY).unwrap(),
        amount: Won(9_900),
        idem: IdemKey::capture(order(), 2),
        now: NOW,
    }
}

fn look_up() -> LookUpRequest {
    LookUpRequest { reference: reference(), order: order(), attempt: 2, customer: customer(), now: NOW }
}

fn refund() -> RefundRequest {
    RefundRequest {
        reference: reference(),
        receipt: KEY.to_owned(),
        order: order(),
        customer: customer(),
        refund: 1,
        amount: Won(900),
        remaining_before: Won(9_900),
        reason: "damaged".to_owned(),
        idem: IdemKey::refund(order(), 1),
    }
}

fn payment(status: &str, left: i64) -> Value {
    json!({"paymentKey": KEY, "orderId": reference().as_str(), "status": status, "totalAmount": 9_900,
        "balanceAmount": left, "method": "카드"})
}

fn captured() -> Captured {
    Captured { amount: Won(9_900), receipt: KEY.into(), means: "카드".into(), at: NOW }
}

#[test]
fn a_payment_begins_without_a_call() {
    let shop = Shop::new();
    let back = || "https://shop.example/back".to_owned();
    let request = BeginRequest {
        order: order(),
        attempt: 2,
        customer: customer(),
        item_name: "a shoe".to_owned(),
        quantity: 1,
        amount: Won(9_900),
        returns: ReturnUrls { approval: back(), cancel: back(), fail: back() },
        pay_by: NOW,
        now: NOW,
    };
    let Answered::Begun(begun) = ready(shop.gateway.begin(&request)) else { panic!("not begun") };
    assert_eq!(begun.reference, reference());
    assert!((6..=64).contains(&begun.reference.as_str().len()));
    assert!(shop.toss.sent.lock().unwrap().is_empty());
}

#[test]
fn a_return_with_another_order_or_amount_is_none() {
    let expected = Expected { order: order(), attempt: 2, amount: Won(9_900) };
    let id = Toss::order_id(order(), 2);
    let other = Toss::order_id(order(), 1);
    let cases = [
        (
            ReturnedTo::Approval,
            format!("paymentKey={KEY}&orderId={id}&amount=9900"),
            Ok(Return::Authorised(capture().proof)),
        ),
        (ReturnedTo::Approval, format!("paymentKey={KEY}&orderId={id}&amount=100"), Err(BadReturn::Differs("amount"))),
        (
            ReturnedTo::Approval,
            format!("paymentKey={KEY}&orderId={other}&amount=9900"),
            Err(BadReturn::Differs("orderId")),
        ),
        (ReturnedTo::Approval, format!("paymentKey={KEY}&orderId={id}"), Err(BadReturn::Missing("amount"))),
        (ReturnedTo::Approval, format!("orderId={id}&amount=9900"), Err(BadReturn::Missing("paymentKey"))),
        (ReturnedTo::Approval, format!("orderId={id}&amount=9900&amount=1"), Err(BadReturn::Repeated("amount"))),
        (ReturnedTo::Fail, "code=PAY_PROCESS_CANCELED&message=x".to_owned(), Ok(Return::Quit)),
        (ReturnedTo::Fail, "code=REJECT_CARD_COMPANY&message=x".to_owned(), Ok(Return::Failed)),
    ];
    let shop = Shop::new();
    for (to, query, wanted) in cases {
        assert_eq!(shop.gateway.parse_return(to, &query, &expected), wanted, "{query}");
    }
}

#[test]
fn a_capture_is_a_confirm_under_its_key() {
    let (shop, request) = (Shop::new(), capture());
    let answered = shop.ask(200, payment("DONE", 9_900), |gateway| gateway.capture(&request));
    assert_eq!(answered, Answered::Captured(captured()));
    let body = json!({"paymentKey": KEY, "orderId": reference().as_str(), "amount": 9_900});
    let key = IdemKey::capture(order(), 2).as_str().to_owned();
    assert!(key.len() <= 300);
    assert_eq!(shop.last_sent(), ("POST /v1/payments/confirm".to_owned(), Some(key), body));

    let running = json!({"code": "IDEMPOTENT_REQUEST_PROCESSING", "message": "…"});
    let answered = shop.ask(409, running, |gateway| gateway.capture(&request));
    assert!(matches!(answered, Answered::Unknown(_)), "{answered:?}");
}

#[test]
fn a_look_up_is_by_order_and_each_status_has_its_standing() {
    let (shop, request) = (Shop::new(), look_up());
    let cases = [
        ("IN_PROGRESS", 9_900, Standing::Pending),
        ("DONE", 9_900, Standing::Paid { captured: captured(), refunded: Won(0) }),
        ("PARTIAL_CANCELED", 9_000, Standing::Paid { captured: captured(), refunded: Won(900) }),
        ("CANCELED", 0, Standing::Refunded { captured: captured() }),
        ("ABORTED", 9_900, Standing::NotPaid(Why::Declined)),
        ("EXPIRED", 9_900, Standing::NotPaid(Why::Lapsed)),
        ("NEW_WORD", 9_900, Standing::Unrecognised("NEW_WORD".into())),
    ];
    for (status, left, wanted) in cases {
        let answered = shop.ask(200, payment(status, left), |gateway| gateway.look_up(&request));
        assert_eq!(answered, Answered::Stands(wanted));
    }
    assert_eq!(shop.last_sent().0, format!("GET /v1/payments/orders/{}", reference()));
    let none = json!({"code": "NOT_FOUND_PAYMENT", "message": "…"});
    let answered = shop.ask(404, none, |gateway| gateway.look_up(&request));
    assert_eq!(answered, Answered::Stands(Standing::Unknown));
}

#[test]
fn a_refund_is_a_cancel_with_its_reason_under_its_key() {
    let (shop, request) = (Shop::new(), refund());
    let mut answer = payment("PARTIAL_CANCELED", 9_000);
    answer["cancels"] = json!([{"cancelAmount": 900, "transactionKey": "T9"}]);
    let answered = shop.ask(200, answer, |gateway| gateway.refund(&request));
    assert_eq!(answered, Answered::GaveBack(GivenBack { amount: Won(900), receipt: "T9".into() }));
    let key = IdemKey::refund(order(), 1).as_str().to_owned();
    let body = json!({"cancelReason": "damaged", "cancelAmount": 900});
    assert_eq!(shop.last_sent(), (format!("POST /v1/payments/{KEY}/cancel"), Some(key), body));
    assert!(shop.gateway.caps().native_idempotency);
}
