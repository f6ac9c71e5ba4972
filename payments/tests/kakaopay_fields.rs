//! What the Kakao Pay client sends, field by field, against the tables of the protocol: nothing that is not in
//! a table is sent, nothing required is left out, every type and limit is kept.

#![allow(clippy::unwrap_used, reason = "tests")]

use kakaopay_common::{begin, capture, look_up, refund};
use serde_json::{Value, json};
use son7shop_engine::{CustomerId, Won};
use son7shop_payments::kakaopay::Key;
use son7shop_payments::kakaopay::wire::{Wire, partner_user_id};

mod kakaopay_common;

/// A field's type and limit, as the tables say it.
#[derive(Clone, Copy)]
enum Kind {
    /// A text of at most so many characters.
    Text(usize),
    /// An integer of at least this.
    Int(i64),
}
use Kind::{Int, Text};

/// Name, required, type.
type Table = &'static [(&'static str, bool, Kind)];

const READY: Table = &[
    ("cid", true, Text(10)),
    ("cid_secret", false, Text(24)),
    ("partner_order_id", true, Text(100)),
    ("partner_user_id", true, Text(100)),
    ("item_name", true, Text(100)),
    ("item_code", false, Text(100)),
    ("quantity", true, Int(1)),
    ("total_amount", true, Int(1)),
    ("tax_free_amount", true, Int(0)),
    ("vat_amount", false, Int(0)),
    ("green_deposit", false, Int(0)),
    ("approval_url", true, Text(255)),
    ("cancel_url", true, Text(255)),
    ("fail_url", true, Text(255)),
    ("payment_method_type", false, Text(5)),
    ("install_month", false, Int(0)),
];
const APPROVE: Table = &[
    ("cid", true, Text(10)),
    ("cid_secret", false, Text(24)),
    ("tid", true, Text(20)),
    ("partner_order_id", true, Text(100)),
    ("partner_user_id", true, Text(100)),
    ("pg_token", true, Text(20)),
    ("payload", false, Text(200)),
    ("total_amount", false, Int(1)),
];
const ORDER: Table = &[("cid", true, Text(10)), ("tid", true, Text(20))];
const CANCEL: Table = &[
    ("cid", true, Text(10)),
    ("tid", true, Text(20)),
    ("cancel_amount", true, Int(1)),
    ("cancel_tax_free_amount", true, Int(0)),
    ("cancel_vat_amount", false, Int(0)),
    ("cancel_available_amount", false, Int(1)),
    ("payload", false, Text(200)),
];

fn check(body: &[u8], table: Table) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let fields = body.as_object().unwrap();
    for (name, required, _) in table {
        assert!(!required || fields.contains_key(*name), "{name} is required");
    }
    for (name, value) in fields {
        let Some((.., kind)) = table.iter().find(|(known, ..)| known == name) else {
            panic!("{name} stands in no table");
        };
        let fits = match *kind {
            Text(most) => value.as_str().is_some_and(|text| (1..=most).contains(&text.chars().count())),
            Int(least) => value.as_i64().is_some_and(|number| number >= least),
        };
        assert!(fits, "{name} is {value}");
    }
    body
}

fn wire() -> Wire {
    Wire::new(kakaopay_common::CID, false, Key::new(kakaopay_common::KEY))
}

#[test]
fn ready_is_as_the_table_says() {
    let sent = check(&wire().ready(&begin()).unwrap(), READY);
    let wanted = json!({
        "cid": "TC0ONETIME",
        "partner_order_id": "018bcfe5-6800-7123-8567-89abcdef0000",
        "partner_user_id": partner_user_id(&kakaopay_common::customer()),
        "item_name": "에어 90 외 1건",
        "quantity": 2,
        "total_amount": 1_100_000,
        "tax_free_amount": 0,
        "approval_url": "https://shop.example/pay/n0nce/approval",
        "cancel_url": "https://shop.example/pay/n0nce/cancel",
        "fail_url": "https://shop.example/pay/n0nce/fail",
    });
    assert_eq!(sent, wanted);
}

#[test]
fn approve_is_as_the_table_says_and_repeats_the_ids_of_ready() {
    let sent = check(&wire().approve(&capture()).unwrap(), APPROVE);
    let wanted = json!({
        "cid": "TC0ONETIME",
        "tid": "T66d2a1c0b9e8f7a6b5c",
        "partner_order_id": "018bcfe5-6800-7123-8567-89abcdef0000",
        "partner_user_id": partner_user_id(&kakaopay_common::customer()),
        "pg_token": "0a1b2c3d4e5f60718293",
        "total_amount": 1_100_000,
    });
    assert_eq!(sent, wanted);
    let ready = check(&wire().ready(&begin()).unwrap(), READY);
    for id in ["partner_order_id", "partner_user_id", "total_amount"] {
        assert_eq!(sent[id], ready[id], "{id}");
    }
}

#[test]
fn order_is_as_the_table_says() {
    let sent = check(&wire().order(&look_up()).unwrap(), ORDER);
    assert_eq!(sent, json!({"cid": "TC0ONETIME", "tid": "T66d2a1c0b9e8f7a6b5c"}));
}

#[test]
fn cancel_is_as_the_table_says_and_tells_what_remains() {
    let sent = check(&wire().cancel(&refund()).unwrap(), CANCEL);
    let wanted = json!({
        "cid": "TC0ONETIME",
        "tid": "T66d2a1c0b9e8f7a6b5c",
        "cancel_amount": 1_100,
        "cancel_tax_free_amount": 0,
        "cancel_available_amount": 1_100_000,
        "payload": "one piece was damaged",
    });
    assert_eq!(sent, wanted);
    let mut request = refund();
    request.reason = " ".to_owned();
    assert_eq!(check(&wire().cancel(&request).unwrap(), CANCEL).get("payload"), None);
}

#[test]
fn the_same_refund_is_the_same_request() {
    assert_eq!(wire().cancel(&refund()), wire().cancel(&refund()));
    assert_eq!(wire().approve(&capture()), wire().approve(&capture()));
}

#[test]
fn texts_are_cut_to_their_limits_between_characters() {
    let mut request = begin();
    request.item_name = "결".repeat(101);
    assert_eq!(check(&wire().ready(&request).unwrap(), READY)["item_name"], "결".repeat(100));
    let mut request = refund();
    request.reason = "결".repeat(201);
    assert_eq!(check(&wire().cancel(&request).unwrap(), CANCEL)["payload"], "결".repeat(200));
}

#[test]
fn what_kakao_pay_would_not_take_is_not_sent() {
    type Spoil = fn(&mut son7shop_payments::gateway::BeginRequest);
    let cases: [(&str, Spoil); 7] = [
        ("amount 0", |request| request.amount = Won(0)),
        ("amount below 0", |request| request.amount = Won(-1)),
        ("quantity 0", |request| request.quantity = 0),
        ("no item name", |request| request.item_name = "  ".to_owned()),
        ("approval address too long", |request| request.returns.approval = "h".repeat(256)),
        ("cancel address empty", |request| request.returns.cancel.clear()),
        ("fail address too long", |request| request.returns.fail = "h".repeat(256)),
    ];
    for (case, spoil) in cases {
        let mut request = begin();
        spoil(&mut request);
        assert!(wire().ready(&request).is_err(), "{case}");
    }
    let mut longest = begin();
    longest.returns.approval = "h".repeat(255);
    check(&wire().ready(&longest).unwrap(), READY);

    let mut nothing = capture();
    nothing.amount = Won(0);
    assert!(wire().approve(&nothing).is_err());
    let mut nothing = refund();
    nothing.amount = Won(0);
    assert!(wire().cancel(&nothing).is_err());
    let mut more = refund();
    more.remaining_before = Won(1_099);
    assert!(wire().cancel(&more).is_err(), "more than remains");
    let mut rest = refund();
    rest.remaining_before = rest.amount;
    check(&wire().cancel(&rest).unwrap(), CANCEL);
}

#[test]
fn a_customer_is_known_by_a_digest_alone() {
    let digest = partner_user_id(&kakaopay_common::customer());
    assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert_ne!(digest, partner_user_id(&CustomerId::parse("lee@example").unwrap()));
    let bodies =
        [wire().ready(&begin()), wire().approve(&capture()), wire().order(&look_up()), wire().cancel(&refund())];
    for body in bodies {
        let body = String::from_utf8(body.unwrap()).unwrap();
        assert!(!body.contains(kakaopay_common::CUSTOMER), "{body}");
    }
}
