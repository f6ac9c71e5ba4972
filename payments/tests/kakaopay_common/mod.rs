//! The one order that the tests of the Kakao Pay client pay, and its requests. No test may need another.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod toy;

use son7shop_engine::payment::{GatewayRef, Proof};
use son7shop_engine::{CustomerId, OrderId, PartitionId, Time, Won};
use son7shop_payments::gateway::{BeginRequest, CaptureRequest, IdemKey, LookUpRequest, RefundRequest, ReturnUrls};

pub(crate) const ORDER: &str = "018bcfe5-6800-7123-8567-89abcdef0000";
pub(crate) const CUSTOMER: &str = "kim@example";
pub(crate) const TID: &str = "T66d2a1c0b9e8f7a6b5c";
pub(crate) const PROOF: &str = "0a1b2c3d4e5f60718293";
pub(crate) const KEY: &str = "DEV5ec7e75ec7e75ec7e7";
pub(crate) const CID: &str = "TC0ONETIME";
pub(crate) const AMOUNT: i64 = 1_100_000;
/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: Time = Time(1_700_000_000_000);

pub(crate) fn order() -> OrderId {
    let order = OrderId::new(NOW, 0x0123_4567_89ab_cdef, PartitionId(0));
    assert_eq!(order.to_string(), ORDER);
    order
}

pub(crate) fn customer() -> CustomerId {
    CustomerId::parse(CUSTOMER).unwrap()
}

pub(crate) fn reference() -> GatewayRef {
    GatewayRef::parse(TID).unwrap()
}

pub(crate) fn begin() -> BeginRequest {
    let back = |name: &str| format!("https://shop.example/pay/n0nce/{name}");
    BeginRequest {
        order: order(),
        attempt: 1,
        customer: customer(),
        item_name: "에어 90 외 1건".to_owned(),
        quantity: 2,
        amount: Won(AMOUNT),
        returns: ReturnUrls { approval: back("approval"), cancel: back("cancel"), fail: back("fail") },
        pay_by: NOW.plus_millis(600_000),
        now: NOW,
    }
}

pub(crate) fn capture() -> CaptureRequest {
    CaptureRequest {
        reference: reference(),
        order: order(),
        attempt: 1,
        customer: customer(),
        proof: Proof::parse(PROOF).unwrap(),
        amount: Won(AMOUNT),
        idem: IdemKey::capture(order(), 1),
        now: NOW,
    }
}

pub(crate) fn look_up() -> LookUpRequest {
    LookUpRequest { reference: reference(), order: order(), attempt: 1, customer: customer(), now: NOW }
}

pub(crate) fn refund() -> RefundRequest {
    RefundRequest {
        reference: reference(),
        receipt: "A66d2a1d5b9e8f7a6b5c".to_owned(),
        order: order(),
        customer: customer(),
        refund: 1,
        amount: Won(1_100),
        remaining_before: Won(AMOUNT),
        reason: "one piece was damaged".to_owned(),
        idem: IdemKey::refund(order(), 1),
    }
}
