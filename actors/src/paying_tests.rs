//! Participants that die as a whole while the gateway works for them, and orders that their home has forgotten.

use super::Ask;
use crate::{NewProduct, Payments, ReturnHandle, Settings, Shop, ShopError, calls, verify};
use ractor::ActorCell;
use son7shop_engine::payment::{
    Answered, Begun, Captured, GatewayRef, GivenBack, Pages, PaymentMethod, Proof, Standing, Why,
};
use son7shop_engine::{
    Command, CustomerId, LineRequest, Lines, OrderId, OrderStatus, Refusal, RequestKey, Requester, Sku, Time, Won,
};
use son7shop_payments::gateway::{
    BadReturn, BeginRequest, Call, Caps, CaptureRequest, Expected, LookUpRequest, PaymentGateway, RefundRequest,
    Return, ReturnedTo,
};
use son7shop_persistence::journal::faults::MemoryStorage;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// More than anything here takes.
const WAIT: Duration = Duration::from_secs(30);
const PRICE: Won = Won(1_000);

/// A gateway of one payment at a time, whose captures hang.
struct Hanging {
    /// Whether a capture takes the money before it hangs, or after.
    takes_first: bool,
    approval: Mutex<String>,
    taken: AtomicBool,
    captures: AtomicU32,
    /// One permit for each capture that arrived.
    arrived: Semaphore,
    /// One permit for each capture that goes on.
    goes_on: Semaphore,
}

impl Hanging {
    fn new(takes_first: bool) -> Self {
        Self {
            takes_first,
            approval: Mutex::default(),
            taken: AtomicBool::new(false),
            captures: AtomicU32::new(0),
            arrived: Semaphore::new(0),
            goes_on: Semaphore::new(0),
        }
    }

    fn take(&self) {
        assert!(!self.taken.swap(true, Ordering::SeqCst), "the money was taken twice");
    }
}

fn captured() -> Captured {
    Captured { amount: PRICE, receipt: "A1".into(), means: "CARD".into(), at: Time(1) }
}

impl PaymentGateway for Hanging {
    fn begin<'a>(&'a self, request: &'a BeginRequest) -> Call<'a> {
        Box::pin(async move {
            *self.approval.lock().unwrap() = request.returns.approval.clone();
            self.taken.store(false, Ordering::SeqCst);
            let page = || "http://gateway/page".into();
            let pages = Pages { desktop: page(), mobile: page(), app: page(), android: None, ios: None };
            let (reference, expires_at) = (GatewayRef::parse("T1").unwrap(), request.now.plus_millis(900_000));
            Answered::Begun(Begun { reference, pages, expires_at })
        })
    }

    fn parse_return(&self, _: ReturnedTo, _: &str, _: &Expected) -> Result<Return, BadReturn> {
        Ok(Return::Quit)
    }

    fn capture<'a>(&'a self, _: &'a CaptureRequest) -> Call<'a> {
        Box::pin(async move {
            self.captures.fetch_add(1, Ordering::SeqCst);
            if self.takes_first {
                self.take();
            }
            self.arrived.add_permits(1);
            self.goes_on.acquire().await.unwrap().forget();
            if !self.takes_first {
                self.take();
            }
            Answered::Captured(captured())
        })
    }

    fn look_up<'a>(&'a self, _: &'a LookUpRequest) -> Call<'a> {
        let standing = if self.taken.load(Ordering::SeqCst) {
            Standing::Paid { captured: captured(), refunded: Won(0) }
        } else {
            Standing::NotPaid(Why::Quit)
        };
        Box::pin(async move { Answered::Stands(standing) })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> Call<'a> {
        let back = GivenBack { amount: request.amount, receipt: "R1".into() };
        Box::pin(async move { Answered::GaveBack(back) })
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

fn settings(gateway: &Arc<Hanging>, folder: &tempfile::TempDir) -> Settings {
    let payments = Payments::new("http://shop").with(PaymentMethod::KakaoPay, Arc::clone(gateway) as _);
    Settings {
        data_dir: PathBuf::from("/shop"),
        database_url: format!("sqlite:{}", folder.path().join("shop.sqlite").display()),
        partitions: Some(1),
        segment_bytes: 1 << 20,
        payments,
        ..Settings::default()
    }
}

async fn open(gateway: &Arc<Hanging>, folder: &tempfile::TempDir) -> Shop {
    open_on(MemoryStorage::new(), gateway, folder).await
}

async fn open_on(storage: MemoryStorage, gateway: &Arc<Hanging>, folder: &tempfile::TempDir) -> Shop {
    let shop = Shop::open(settings(gateway, folder), Arc::new(storage)).await.unwrap();
    let sku = Sku::parse("air").unwrap();
    let product = NewProduct { sku, name: "Air".into(), price: PRICE, on_hand: 10, key: None };
    shop.create_product(product).await.unwrap();
    shop
}

fn participants(shop: &Shop) -> Vec<ActorCell> {
    let children = shop.inner.running.root().get_cell().get_children().into_iter();
    children.filter(|child| child.is_message_type_of::<Ask>() == Some(true)).collect()
}

/// Has every participant panic; returns when others are there in their place.
async fn panic_all(shop: &Shop) {
    let dead = participants(shop);
    assert_eq!(dead.len(), 3, "payment, deadline, refund");
    for one in &dead {
        one.send_message(Ask::Panic).unwrap();
    }
    let anew = |one: &ActorCell| dead.iter().all(|dead| dead.get_id() != one.get_id());
    let others = async {
        // Nobody tells of a start.
        while participants(shop).iter().filter(|one| anew(one)).count() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, others).await.expect("the supervisor starts them again");
}

/// Places order `n`, pays it, and comes back with a proof.
async fn come_back(shop: &Shop, gateway: &Hanging, n: u8) -> OrderId {
    let customer = CustomerId::parse("kim").unwrap();
    let key = |n: u8| RequestKey { key: [n; 16], request: [n; 16] };
    let lines = vec![LineRequest { sku: Sku::parse("air").unwrap(), quantity: 1 }];
    let order = shop.place_order(customer.clone(), key(n), lines).await.unwrap().value.id;
    let by = Requester::Customer(customer);
    shop.start_payment(order, by, PaymentMethod::KakaoPay, key(100 + n)).await.unwrap();
    let approval = gateway.approval.lock().unwrap().clone();
    let handle = ReturnHandle::parse(approval.rsplit('/').nth(1).unwrap()).unwrap();
    shop.report_return(handle, Some(Proof::parse("proof").unwrap())).await.unwrap();
    order
}

async fn confirmed(shop: &Shop, order: OrderId) {
    let view = shop.settled_order(order, WAIT).await.unwrap();
    assert_eq!(view.status, OrderStatus::Confirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_panics_is_started_again_and_its_work_is_done_once() {
    let (gateway, folder) = (Arc::new(Hanging::new(true)), tempfile::tempdir().unwrap());
    let shop = open(&gateway, &folder).await;
    for n in 1..=3 {
        let order = come_back(&shop, &gateway, n).await;
        // The money is taken, and nobody has heard of it.
        gateway.arrived.acquire().await.unwrap().forget();
        panic_all(&shop).await;
        confirmed(&shop, order).await;
        assert_eq!(gateway.captures.load(Ordering::SeqCst), u32::from(n), "it was asked for, and not taken again");
    }
    // What came after them is as if nothing had been.
    let order = come_back(&shop, &gateway, 9).await;
    gateway.arrived.acquire().await.unwrap().forget();
    gateway.goes_on.add_permits(1);
    confirmed(&shop, order).await;
    assert_eq!(shop.product(Sku::parse("air").unwrap()).await.unwrap().stock.sold, 4);
    shop.close(WAIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_died_before_the_money_was_taken_takes_none() {
    let (gateway, folder) = (Arc::new(Hanging::new(false)), tempfile::tempdir().unwrap());
    let shop = open(&gateway, &folder).await;
    let order = come_back(&shop, &gateway, 1).await;
    gateway.arrived.acquire().await.unwrap().forget();
    panic_all(&shop).await;
    let view = shop.settled_order(order, WAIT).await.unwrap();
    assert_eq!(view.status, OrderStatus::Held, "the gateway says that it is not paid: it can be paid again");
    let order = come_back(&shop, &gateway, 2).await;
    gateway.goes_on.add_permits(1);
    confirmed(&shop, order).await;
    shop.close(WAIT).await;
}

/// Has the order's home forget all that has ended, as it would a day later.
async fn forget(shop: &Shop) {
    let gate = &shop.inner.gates[0];
    let all = gate.committed().position.lsn;
    let stored = async {
        while gate.stored() < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, stored).await.expect("the database follows");
    calls::decide(gate, Command::Forget { stored: all, ended_by: Time(i64::MAX) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_of_an_order_that_its_home_forgot_is_given_back() {
    let (gateway, folder) = (Arc::new(Hanging::new(false)), tempfile::tempdir().unwrap());
    gateway.goes_on.add_permits(1);
    let storage = MemoryStorage::new();
    let shop = open_on(storage.clone(), &gateway, &folder).await;
    let order = come_back(&shop, &gateway, 1).await;
    confirmed(&shop, order).await;
    let refund = |n: u8, amount| son7shop_engine::RefundRequest {
        key: RequestKey { key: [200 + n; 16], request: [n; 16] },
        amount,
        lines: Lines::new(),
        restock: amount.is_none(),
        reason: "broken".into(),
    };
    for (n, amount, then) in [(1, Some(Won(300)), OrderStatus::Confirmed), (2, None, OrderStatus::Refunded)] {
        forget(&shop).await;
        assert_eq!(shop.timeline(order, Requester::Admin).await, Err(Refusal::UnknownOrder { order }.into()));
        let mut changes = shop.watch_order(order).await.unwrap();
        let done = shop.request_refund(order, refund(n, amount)).await.unwrap();
        assert_eq!((done.value.1, done.repeated), (n.into(), false));
        let given_back = changes.wait_for(|view| {
            let payment = view.as_ref().and_then(|view| view.payment.as_ref());
            payment.is_some_and(|paid| paid.refunds[usize::from(n) - 1].status == son7shop_engine::RefundStatus::Done)
        });
        tokio::time::timeout(WAIT, given_back).await.unwrap().unwrap();
        assert_eq!(shop.order(order, Requester::Admin).await.unwrap().status, then);
    }
    let refused = ShopError::Refused(Refusal::NothingToRefund);
    assert_eq!(shop.request_refund(order, refund(3, Some(Won(1)))).await, Err(refused));
    assert_eq!(shop.product(Sku::parse("air").unwrap()).await.unwrap().stock.sold, 0);
    shop.close(WAIT).await;
    let found = verify(&settings(&gateway, &folder), Arc::new(storage), false).await.unwrap();
    assert_eq!((found.orders, found.differences), (1, Vec::<String>::new()));
}
