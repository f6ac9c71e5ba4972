//! Paying, in process: participants, a gateway that does what a test tells it, and restarts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

use son7shop_actors::{NewProduct, Payments, ReturnHandle, Settings, Shop, ShopError};
use son7shop_engine::payment::{
    Answered, Begun, Captured, GatewayRef, GivenBack, Pages, PaymentMethod, Proof, Standing, Why, cut,
};
use son7shop_engine::{
    AttemptStatus, CustomerId, LineRequest, OrderId, OrderStatus, OrderView, RefundRequest, RefundStatus, RequestKey,
    Requester, Sku, StepState, Time, Won,
};
use son7shop_payments::gateway::{
    BadReturn, BeginRequest, Call, Caps, CaptureRequest, Expected, LookUpRequest, PaymentGateway, Return, ReturnedTo,
};
use son7shop_persistence::journal::DiskStorage;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// More than any wait here takes.
const WAIT: Duration = Duration::from_secs(30);

/// What the gateway knows of a payment.
#[derive(Clone)]
struct Known {
    amount: Won,
    standing: Standing,
    approval: String,
}

/// A gateway that answers at once, as it was told.
struct Scripted {
    known: Mutex<HashMap<String, Known>>,
    begun: AtomicU32,
    captures: AtomicU32,
    refunds: AtomicU32,
    /// A capture does its work, and its answer is lost.
    lose_answers: AtomicBool,
    /// To take this sum, or to look for it, is a defect.
    panics_at: Won,
    /// Begins wait for a permit.
    begins: Semaphore,
    /// Captures wait for a permit.
    captures_let_in: Semaphore,
}

impl Scripted {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            begun: AtomicU32::new(0),
            captures: AtomicU32::new(0),
            refunds: AtomicU32::new(0),
            lose_answers: AtomicBool::new(false),
            panics_at: Won(666),
            begins: Semaphore::new(Semaphore::MAX_PERMITS),
            captures_let_in: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn set(&self, reference: &GatewayRef, standing: Standing) {
        self.known.lock().unwrap().get_mut(reference.as_str()).unwrap().standing = standing;
    }
}

fn captured(amount: Won) -> Captured {
    Captured { amount, receipt: "A1".into(), means: "CARD".into(), at: Time(1) }
}

impl PaymentGateway for Scripted {
    fn begin<'a>(&'a self, request: &'a BeginRequest) -> Call<'a> {
        Box::pin(async move {
            drop(self.begins.acquire().await.unwrap());
            let reference = format!("T{}", self.begun.fetch_add(1, Ordering::SeqCst));
            let approval = request.returns.approval.clone();
            let known = Known { amount: request.amount, standing: Standing::Pending, approval };
            self.known.lock().unwrap().insert(reference.clone(), known);
            let page = || "http://gateway/page".into();
            let pages = Pages { desktop: page(), mobile: page(), app: page(), android: None, ios: None };
            let expires_at = request.now.plus_millis(900_000);
            Answered::Begun(Begun { reference: GatewayRef::parse(&reference).unwrap(), pages, expires_at })
        })
    }

    fn parse_return(&self, _: ReturnedTo, _: &str, _: &Expected) -> Result<Return, BadReturn> {
        Ok(Return::Quit)
    }

    fn capture<'a>(&'a self, request: &'a CaptureRequest) -> Call<'a> {
        Box::pin(async move {
            assert_ne!(request.amount, self.panics_at, "planted");
            drop(self.captures_let_in.acquire().await.unwrap());
            let mut known = self.known.lock().unwrap();
            let known = known.get_mut(request.reference.as_str()).unwrap();
            if !matches!(known.standing, Standing::Pending) {
                return Answered::Unknown(cut("taken already"));
            }
            self.captures.fetch_add(1, Ordering::SeqCst);
            let captured = captured(request.amount);
            known.standing = Standing::Paid { captured: captured.clone(), refunded: Won(0) };
            if self.lose_answers.load(Ordering::SeqCst) {
                return Answered::Unknown(cut("no answer"));
            }
            Answered::Captured(captured)
        })
    }

    fn look_up<'a>(&'a self, request: &'a LookUpRequest) -> Call<'a> {
        Box::pin(async move {
            let known = self.known.lock().unwrap()[request.reference.as_str()].clone();
            assert_ne!(known.amount, self.panics_at, "planted");
            Answered::Stands(known.standing)
        })
    }

    fn refund<'a>(&'a self, request: &'a son7shop_payments::gateway::RefundRequest) -> Call<'a> {
        Box::pin(async move {
            let mut known = self.known.lock().unwrap();
            let known = known.get_mut(request.reference.as_str()).unwrap();
            let Standing::Paid { captured, refunded } = known.standing.clone() else {
                return Answered::Unknown(cut("not paid"));
            };
            if Won(captured.amount.0 - refunded.0) != request.remaining_before {
                return Answered::Unknown(cut("another sum is left"));
            }
            self.refunds.fetch_add(1, Ordering::SeqCst);
            let refunded = Won(refunded.0 + request.amount.0);
            known.standing = if refunded == captured.amount {
                Standing::Refunded { captured }
            } else {
                Standing::Paid { captured, refunded }
            };
            Answered::GaveBack(GivenBack { amount: request.amount, receipt: "R1".into() })
        })
    }

    fn caps(&self) -> Caps {
        Caps {
            native_idempotency: false,
            lookup_by_order: false,
            webhook: false,
            expiry_millis: 900_000,
            settle_millis: 12_000,
        }
    }
}

async fn open(folder: &Path, gateway: &Arc<Scripted>) -> Shop {
    let payments = Payments::new("http://shop").with(PaymentMethod::KakaoPay, Arc::clone(gateway) as _);
    let settings = Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(1),
        segment_bytes: 1 << 20,
        payments,
        ..Settings::default()
    };
    Shop::open(settings, Arc::new(DiskStorage)).await.unwrap()
}

fn sku() -> Sku {
    Sku::parse("air").unwrap()
}

fn customer() -> CustomerId {
    CustomerId::parse("c").unwrap()
}

fn key(n: u8) -> RequestKey {
    RequestKey { key: [n; 16], request: [n; 16] }
}

async fn place(shop: &Shop, n: u8, quantity: u32) -> OrderId {
    if shop.product(sku()).await.is_err() {
        let product = NewProduct { sku: sku(), name: "Air".into(), price: Won(333), on_hand: 100, key: None };
        shop.create_product(product).await.unwrap();
    }
    shop.place_order(customer(), key(n), vec![LineRequest { sku: sku(), quantity }]).await.unwrap().value.id
}

async fn pay(shop: &Shop, order: OrderId, n: u8) -> OrderView {
    let by = Requester::Customer(customer());
    shop.start_payment(order, by, PaymentMethod::KakaoPay, key(n)).await.unwrap().value.0
}

/// The handle in the address that the gateway was given for `view`'s newest attempt.
fn handle(gateway: &Scripted, view: &OrderView) -> ReturnHandle {
    let attempt = view.payment.as_ref().unwrap().attempts.last().unwrap();
    let approval = gateway.known.lock().unwrap()[attempt.reference.as_ref().unwrap().as_str()].approval.clone();
    ReturnHandle::parse(approval.rsplit('/').nth(1).unwrap()).unwrap()
}

fn proof() -> Proof {
    Proof::parse("proof").unwrap()
}

/// Waits until the order is as `seen` says.
async fn until(shop: &Shop, order: OrderId, seen: impl Fn(&OrderView) -> bool) -> OrderView {
    let waiting = async {
        let mut changes = shop.watch_order(order).await.unwrap();
        loop {
            let view = shop.order(order, Requester::Admin).await.unwrap();
            if seen(&view) {
                return view;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(WAIT, waiting).await.expect("the order never came to be as it was waited for")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_and_given_back() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    let shop = open(folder.path(), &gateway).await;
    let order = place(&shop, 1, 3).await;
    let view = pay(&shop, order, 2).await;
    assert_eq!(view.status, OrderStatus::Paying);
    assert!(view.payment.as_ref().unwrap().attempts[0].pages.is_some());
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    let view = shop.settled_order(order, WAIT).await.unwrap();
    assert_eq!(view.status, OrderStatus::Confirmed);
    assert_eq!(shop.product(sku()).await.unwrap().stock.sold, 3);

    let refund = |n, lines: &[u32], amount| RefundRequest {
        key: key(n),
        amount,
        lines: lines.iter().map(|quantity| LineRequest { sku: sku(), quantity: *quantity }).collect(),
        restock: true,
        reason: "too small".into(),
    };
    let done = shop.request_refund(order, refund(10, &[1], None)).await.unwrap();
    assert_eq!((done.value.1, done.repeated), (1, false));
    let is_done = |view: &OrderView, n: usize| view.payment.as_ref().unwrap().refunds[n].status == RefundStatus::Done;
    let view = until(&shop, order, |view| is_done(view, 0)).await;
    assert_eq!((view.status, shop.product(sku()).await.unwrap().stock.sold), (OrderStatus::Confirmed, 2));
    assert!(shop.request_refund(order, refund(10, &[1], None)).await.unwrap().repeated);
    shop.request_refund(order, refund(11, &[], None)).await.unwrap();
    let view = until(&shop, order, |view| view.status == OrderStatus::Refunded).await;
    assert_eq!(view.payment.unwrap().attempts[0].refunded, Won(999));
    assert_eq!((gateway.refunds.load(Ordering::SeqCst), shop.product(sku()).await.unwrap().stock.sold), (2, 0));
    let told = shop.timeline(order, Requester::Admin).await.unwrap();
    let words: Vec<&str> = told.entries.iter().map(|entry| entry.what.as_str()).collect();
    let expected = [
        "order_placed",
        "payment_started",
        "payment_ready",
        "payment_authorised",
        "payment_captured",
        "order_confirmed",
        "refund_requested",
        "refund_done",
        "refund_requested",
        "refund_done",
    ];
    assert_eq!(words, expected);
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_who_quits_can_pay_again_and_a_false_hint_changes_nothing() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    let shop = open(folder.path(), &gateway).await;
    let order = place(&shop, 1, 1).await;
    let view = pay(&shop, order, 2).await;
    let first = handle(&gateway, &view);
    shop.report_return(first, None).await.unwrap();
    let reference = view.payment.as_ref().unwrap().attempts[0].reference.clone().unwrap();
    let looked = |view: &OrderView| view.payment.as_ref().unwrap().attempts[0].status == AttemptStatus::Ready;
    assert!(looked(&until(&shop, order, looked).await), "the gateway says that it is pending");
    gateway.set(&reference, Standing::NotPaid(Why::Quit));
    shop.report_return(first, None).await.unwrap();
    until(&shop, order, |view| view.status == OrderStatus::Held).await;
    let view = pay(&shop, order, 3).await;
    // The first attempt is over: its address leads nowhere any more.
    shop.report_return(first, Some(proof())).await.unwrap();
    assert_eq!(shop.order(order, Requester::Admin).await.unwrap().status, OrderStatus::Paying);
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    until(&shop, order, |view| view.status == OrderStatus::Confirmed).await;
    let mut forged = handle(&gateway, &view);
    forged.nonce.0[0] ^= 1;
    assert!(matches!(shop.report_return(forged, Some(proof())).await, Err(ShopError::Refused(_))));
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_whose_answer_is_lost_is_asked_for_and_not_made_again() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    gateway.lose_answers.store(true, Ordering::SeqCst);
    let shop = open(folder.path(), &gateway).await;
    let order = place(&shop, 1, 1).await;
    let view = pay(&shop, order, 2).await;
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    until(&shop, order, |view| view.status == OrderStatus::Confirmed).await;
    assert_eq!(gateway.captures.load(Ordering::SeqCst), 1);
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_goes_on_after_a_restart() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    let shop = open(folder.path(), &gateway).await;
    let order = place(&shop, 1, 1).await;
    let view = pay(&shop, order, 2).await;
    gateway.captures_let_in.forget_permits(Semaphore::MAX_PERMITS);
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    shop.close(WAIT).await;
    // The gateway took the money, and nobody was there to hear it.
    let reference = view.payment.as_ref().unwrap().attempts[0].reference.clone().unwrap();
    gateway.set(&reference, Standing::Paid { captured: captured(Won(333)), refunded: Won(0) });
    let shop = open(folder.path(), &gateway).await;
    until(&shop, order, |view| view.status == OrderStatus::Confirmed).await;
    assert_eq!(gateway.captures.load(Ordering::SeqCst), 0, "it was asked first");
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_always_panics_is_parked_and_the_rest_goes_on() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    let shop = open(folder.path(), &gateway).await;
    let (poison, sound) = (place(&shop, 1, 2).await, place(&shop, 2, 1).await);
    let view = pay(&shop, poison, 3).await;
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    let view = pay(&shop, sound, 4).await;
    shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
    until(&shop, sound, |view| view.status == OrderStatus::Confirmed).await;
    let parked = async {
        let mut changes = shop.watch_order(poison).await.unwrap();
        loop {
            let page = shop.steps(vec![StepState::Parked], None, 10).await.unwrap();
            if let [step] = page.steps.as_slice() {
                return step.clone();
            }
            changes.changed().await.unwrap();
        }
    };
    let step = tokio::time::timeout(WAIT, parked).await.unwrap();
    assert_eq!((step.order, step.answer.as_str()), (poison, "it panicked too often"));
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_hangs_holds_up_no_order_and_no_capture() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Scripted::new());
    let shop = open(folder.path(), &gateway).await;
    let ready = place(&shop, 1, 1).await;
    let view = pay(&shop, ready, 2).await;
    gateway.begins.forget_permits(Semaphore::MAX_PERMITS);
    let hanging = place(&shop, 3, 1).await;
    let by = Requester::Customer(customer());
    let begin = shop.start_payment(hanging, by, PaymentMethod::KakaoPay, key(4));
    let rest = async {
        place(&shop, 5, 1).await;
        shop.report_return(handle(&gateway, &view), Some(proof())).await.unwrap();
        until(&shop, ready, |view| view.status == OrderStatus::Confirmed).await;
        gateway.begins.add_permits(1);
    };
    let (begun, ()) = tokio::join!(begin, rest);
    assert_eq!(begun.unwrap().value.0.status, OrderStatus::Paying);
    shop.close(WAIT).await;
}
