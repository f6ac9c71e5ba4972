//! How the Kakao Pay client reads answers: samples in the shapes that the protocol's field guide records, each
//! with what it means in the rules' words.

#![allow(clippy::unwrap_used, reason = "tests")]

use kakaopay_common::{AMOUNT, NOW, begin, capture, look_up, order, refund};
use serde_json::{Value, json};
use son7shop_engine::payment::{Answered, Captured, Standing, Why};
use son7shop_engine::{Time, Won};
use son7shop_payments::kakaopay::Key;
use son7shop_payments::kakaopay::codes::{CODES, Class, STATUSES, Says};
use son7shop_payments::kakaopay::wire::{EXPIRY_MILLIS, Read, Wire, partner_user_id};

mod kakaopay_common;

/// 2024-05-09T14:57:26 in Korea.
const APPROVED_AT: Time = Time(1_715_234_246_000);
const SECRET_PAGE: &str = "https://online-pay.example/bridge/pc/pg/one-time/payment/5ec7e7";

fn wire() -> Wire {
    Wire::new(kakaopay_common::CID, false, Key::new(kakaopay_common::KEY))
}

fn ready_sample() -> Value {
    json!({
        "tid": "T66d2a1c0b9e8f7a6b5c",
        "tms_result": false,
        "next_redirect_app_url": "https://online-pay.example/bridge/mobile-app/pg/one-time/payment/5ec7e7",
        "next_redirect_mobile_url": "https://online-pay.example/bridge/mobile-web/pg/one-time/payment/5ec7e7",
        "next_redirect_pc_url": SECRET_PAGE,
        "android_app_scheme": "kakaotalk://kakaopay/pg?url=https://online-pay.example/pay/pg/5ec7e7",
        "ios_app_scheme": "kakaotalk://kakaopay/pg?url=https://online-pay.example/pay/pg/5ec7e7",
        "created_at": "2024-05-09T14:57:00"
    })
}

fn approve_sample() -> Value {
    json!({
        "aid": "A66d2a1d5b9e8f7a6b5c",
        "tid": "T66d2a1c0b9e8f7a6b5c",
        "cid": "TC0ONETIME",
        "sid": null,
        "partner_order_id": order().to_string(),
        "partner_user_id": partner_user_id(&kakaopay_common::customer()),
        "payment_method_type": "MONEY",
        "item_name": "에어 90 외 1건",
        "item_code": "",
        "quantity": 2,
        "amount": {"total": 1_100_000, "tax_free": 0, "vat": 100_000, "point": 0, "discount": 0, "green_deposit": 0},
        "card_info": null,
        "sequential_payment_methods": null,
        "created_at": "2024-05-09T14:57:00",
        "approved_at": "2024-05-09T14:57:26",
        "payload": ""
    })
}

fn amounts(total: i64) -> Value {
    json!({"total": total, "tax_free": 0, "vat": total / 11, "point": 0, "discount": 0, "green_deposit": 0})
}

/// As a real one: the action has no `amount` of its own.
fn order_sample(status: &str, canceled: i64) -> Value {
    json!({
        "tid": "T66d2a1c0b9e8f7a6b5c",
        "cid": "TC0ONETIME",
        "status": status,
        "partner_order_id": order().to_string(),
        "partner_user_id": partner_user_id(&kakaopay_common::customer()),
        "payment_method_type": "CARD",
        "item_name": "에어 90 외 1건",
        "quantity": 2,
        "amount": amounts(AMOUNT),
        "canceled_amount": amounts(canceled),
        "cancel_available_amount": amounts(AMOUNT - canceled),
        "created_at": "2024-05-09T14:57:00",
        "approved_at": "2024-05-09T14:57:26",
        "payment_action_details": [
            {"aid": "A66d2a1f0aaaaaaaaaaa", "payment_action_type": "CANCEL", "approved_at": "2024-05-09T15:01:00",
             "point_amount": 0, "discount_amount": 0},
            {"aid": "A66d2a1d5b9e8f7a6b5c", "payment_action_type": "PAYMENT", "approved_at": "2024-05-09T14:57:26",
             "point_amount": 0, "discount_amount": 0}
        ]
    })
}

fn cancel_sample() -> Value {
    let mut sample = order_sample("PART_CANCEL_PAYMENT", 1_100);
    sample["aid"] = json!("A66d2a1f0aaaaaaaaaaa");
    sample["approved_cancel_amount"] = amounts(1_100);
    sample["canceled_at"] = json!("2024-05-09T15:01:00");
    sample.as_object_mut().unwrap().remove("payment_action_details");
    sample
}

fn with(mut sample: Value, pointer: &str, value: Value) -> Value {
    *sample.pointer_mut(pointer).unwrap() = value;
    sample
}

fn without(mut sample: Value, name: &str) -> Value {
    assert!(sample.as_object_mut().unwrap().remove(name).is_some(), "{name} is not in the sample");
    sample
}

fn failure(code: &Value) -> Value {
    json!({"error_code": code, "error_message": "approval failure!"})
}

/// One of the four calls' readers: HTTP status, body.
type Reader = fn(u16, &[u8]) -> Read;

fn ready(status: u16, body: &[u8]) -> Read {
    wire().read_ready(&begin(), status, body)
}
fn approve(status: u16, body: &[u8]) -> Read {
    wire().read_approve(&capture(), status, body)
}
fn look(status: u16, body: &[u8]) -> Read {
    wire().read_order(&look_up(), status, body)
}
fn cancel(status: u16, body: &[u8]) -> Read {
    wire().read_cancel(&refund(), status, body)
}
const READERS: [(&str, Reader); 4] = [("ready", ready), ("approve", approve), ("order", look), ("cancel", cancel)];

fn read(reader: Reader, status: u16, body: &Value) -> Answered {
    reader(status, body.to_string().as_bytes()).answered
}

fn stands(body: &Value) -> Standing {
    match read(look, 200, body) {
        Answered::Stands(standing) => standing,
        other => panic!("{other:?} for {body}"),
    }
}

#[track_caller]
fn unknown(answered: &Answered, words: &str) {
    assert!(matches!(answered, Answered::Unknown(text) if text.contains(words)), "{answered:?}, not {words}");
}

fn paid(receipt: &str, means: &str) -> Captured {
    Captured { amount: Won(AMOUNT), receipt: receipt.into(), means: means.into(), at: APPROVED_AT }
}

#[test]
fn a_payment_is_begun() {
    let Answered::Begun(begun) = read(ready, 200, &ready_sample()) else { panic!("not begun") };
    assert_eq!(begun.reference, kakaopay_common::reference());
    assert_eq!(begun.pages.desktop, SECRET_PAGE);
    assert!(begun.pages.mobile.contains("mobile-web") && begun.pages.app.contains("mobile-app"));
    assert!(begun.pages.android.is_some() && begun.pages.ios.is_some());
    assert_eq!(begun.expires_at, NOW.plus_millis(EXPIRY_MILLIS));

    for optional in ["android_app_scheme", "ios_app_scheme", "created_at", "tms_result"] {
        let answered = read(ready, 200, &without(ready_sample(), optional));
        assert!(matches!(answered, Answered::Begun(_)), "without {optional}: {answered:?}");
    }
}

#[test]
fn a_page_that_is_none_begins_nothing() {
    for required in ["tid", "next_redirect_pc_url", "next_redirect_mobile_url", "next_redirect_app_url"] {
        unknown(&read(ready, 200, &without(ready_sample(), required)), required);
    }
    for page in ["javascript:alert(1)", "http://online-pay.example/", "https://a b", &"https://".repeat(65)] {
        unknown(&read(ready, 200, &with(ready_sample(), "/next_redirect_pc_url", json!(page))), "next_redirect_pc_url");
    }
    unknown(&read(ready, 200, &with(ready_sample(), "/tid", json!("T".repeat(65)))), "tid");
    let plain = with(ready_sample(), "/next_redirect_pc_url", json!("http://127.0.0.1:1/bridge"));
    let sandbox = Wire::new(kakaopay_common::CID, true, Key::new(kakaopay_common::KEY));
    let read = sandbox.read_ready(&begin(), 200, plain.to_string().as_bytes());
    assert!(matches!(read.answered, Answered::Begun(_)), "{read:?}");
}

#[test]
fn a_capture_is_believed_if_every_name_and_the_sum_is_ours() {
    let captured = Answered::Captured(paid("A66d2a1d5b9e8f7a6b5c", "MONEY"));
    assert_eq!(read(approve, 200, &approve_sample()), captured);
    for name in ["tid", "cid", "partner_order_id", "partner_user_id"] {
        let other = with(approve_sample(), &format!("/{name}"), json!("another"));
        unknown(&read(approve, 200, &other), &format!("{name} differs"));
        unknown(&read(approve, 200, &without(approve_sample(), name)), &format!("no {name}"));
    }
    for total in [json!(AMOUNT - 1), json!(AMOUNT + 1), json!(0)] {
        unknown(&read(approve, 200, &with(approve_sample(), "/amount/total", total)), "amount.total differs");
    }
    for total in [json!("1100000"), json!(1_100_000.5), json!(null), json!(-1)] {
        unknown(&read(approve, 200, &with(approve_sample(), "/amount/total", total)), "no amount.total");
    }
}

#[test]
fn what_a_capture_does_not_tell_is_left_empty() {
    let mut sample = approve_sample();
    for optional in ["aid", "sid", "payment_method_type", "card_info", "approved_at", "created_at", "payload"] {
        sample = without(sample, optional);
    }
    sample["what_is_new"] = json!({"nested": [1, 2]});
    let captured = Captured { at: NOW, ..paid("", "") };
    assert_eq!(read(approve, 200, &sample), Answered::Captured(captured));
}

#[test]
fn each_status_is_its_standing() {
    for (status, says) in STATUSES {
        let standing = stands(&order_sample(status, 0));
        let fits = match says {
            Says::Pending => standing == Standing::Pending,
            Says::Paid => matches!(standing, Standing::Paid { .. }),
            Says::Refunded => matches!(standing, Standing::Refunded { .. }),
            Says::NotPaid(why) => standing == Standing::NotPaid(why),
            Says::Review => standing == Standing::Unrecognised(status.into()),
        };
        assert!(fits, "{status}: {standing:?}");
    }
    assert_eq!(stands(&order_sample("QUIT_PAYMENT", 0)), Standing::NotPaid(Why::Quit));
    assert_eq!(stands(&order_sample("FAIL_PAYMENT", 0)), Standing::NotPaid(Why::Declined));
    assert_eq!(stands(&order_sample("FAIL_AUTH_PASSWORD", 0)), Standing::NotPaid(Why::AuthenticationFailed));
    for strange in ["ARS_WAITING_ARS", "SUCCESS_PAYMENT\t", "success_payment", "PARTIAL"] {
        assert_eq!(stands(&order_sample(strange, 0)), Standing::Unrecognised(strange.into()));
    }
    unknown(&read(look, 200, &without(order_sample("READY", 0), "status")), "no status");
}

#[test]
fn a_look_up_says_what_was_taken_and_given_back() {
    let captured = paid("A66d2a1d5b9e8f7a6b5c", "CARD");
    let after = |refunded| Standing::Paid { captured: captured.clone(), refunded: Won(refunded) };
    assert_eq!(stands(&order_sample("SUCCESS_PAYMENT", 0)), after(0));
    assert_eq!(stands(&order_sample("PART_CANCEL_PAYMENT", 1_100)), after(1_100));
    let all = Standing::Refunded { captured: captured.clone() };
    assert_eq!(stands(&order_sample("CANCEL_PAYMENT", AMOUNT)), all);

    let part = without(order_sample("PART_CANCEL_PAYMENT", 1_100), "canceled_amount");
    assert_eq!(stands(&part), after(1_100), "told by what is left");
    unknown(&read(look, 200, &without(part, "cancel_available_amount")), "how much was cancelled");
    let whole = without(order_sample("SUCCESS_PAYMENT", 0), "canceled_amount");
    assert_eq!(stands(&without(whole, "cancel_available_amount")), after(0));

    let other = with(order_sample("SUCCESS_PAYMENT", 0), "/amount/total", json!(999));
    let other = stands(&other);
    assert!(matches!(&other, Standing::Paid { captured, .. } if captured.amount == Won(999)), "{other:?}");
    for paid in ["SUCCESS_PAYMENT", "PART_CANCEL_PAYMENT", "CANCEL_PAYMENT"] {
        unknown(&read(look, 200, &without(order_sample(paid, 0), "amount")), "no amount.total");
    }
    let bare = without(order_sample("SUCCESS_PAYMENT", 0), "payment_action_details");
    assert!(matches!(stands(&bare), Standing::Paid { captured, .. } if captured.receipt.is_empty()));
}

#[test]
fn a_look_up_of_another_payment_is_none() {
    for name in ["tid", "cid", "partner_order_id", "partner_user_id"] {
        let other = with(order_sample("SUCCESS_PAYMENT", 0), &format!("/{name}"), json!("another"));
        unknown(&read(look, 200, &other), &format!("{name} differs"));
    }
    unknown(&read(look, 200, &without(order_sample("READY", 0), "tid")), "no tid");
    assert_eq!(stands(&without(order_sample("READY", 0), "partner_order_id")), Standing::Pending);
}

#[test]
fn a_refund_says_how_much_it_gave_back() {
    let Answered::GaveBack(back) = read(cancel, 200, &cancel_sample()) else { panic!("nothing given back") };
    assert_eq!((back.amount, back.receipt.as_str()), (Won(1_100), "A66d2a1f0aaaaaaaaaaa"));
    for name in ["tid", "cid", "partner_order_id", "partner_user_id"] {
        let other = with(cancel_sample(), &format!("/{name}"), json!("another"));
        unknown(&read(cancel, 200, &other), &format!("{name} differs"));
        unknown(&read(cancel, 200, &without(cancel_sample(), name)), &format!("no {name}"));
    }
    unknown(&read(cancel, 200, &without(cancel_sample(), "approved_cancel_amount")), "approved_cancel_amount");
}

#[test]
fn each_error_code_is_read_as_each_call_has_to() {
    for (code, class, _) in CODES {
        for code_field in [json!(code), json!(code.to_string())] {
            let body = failure(&code_field);
            for (name, reader) in READERS {
                let read = reader(400, body.to_string().as_bytes());
                let fits = match (name, class) {
                    ("ready", _) => matches!(&read.answered, Answered::Refused(_)),
                    ("approve", Class::WrongProof) => matches!(&read.answered, Answered::WrongProof(_)),
                    ("order", Class::NoSuchPayment) => read.answered == Answered::Stands(Standing::Unknown),
                    _ => matches!(&read.answered, Answered::Unknown(_)),
                };
                assert!(fits, "{name} {code}: {read:?}");
                assert_eq!(read.alert.is_some(), class.alerts(), "{name} {code}");
                // From the platform itself, not from its checks: nothing is certain.
                let broken = reader(500, body.to_string().as_bytes()).answered;
                assert!(matches!(broken, Answered::Unknown(_)), "{name} {code} with 500: {broken:?}");
            }
        }
    }
    for code in [-401, -403, -429, -731] {
        assert_eq!(approve(400, failure(&json!(code)).to_string().as_bytes()).alert, Some(code));
    }
}

#[test]
fn an_error_is_told_in_the_gateways_words_in_one_line() {
    let body = json!({"error_code": "-780", "error_message": "approval\nfailure!",
        "extras": {"method_result_code": "USER_LOCKED", "method_result_message": "진행중인 거래가 있습니다."}});
    let wanted = "-780 approval failure! (USER_LOCKED: 진행중인 거래가 있습니다.)";
    assert_eq!(read(approve, 400, &body), Answered::Unknown(wanted.into()));
    let bare = json!({"error_code": -702, "extras": null});
    assert_eq!(read(approve, 400, &bare), Answered::Unknown("-702 approved again although paid".into()));
    let long = json!({"error_code": -1, "error_message": "결".repeat(500)});
    let Answered::Unknown(text) = read(approve, 400, &long) else { panic!("not unknown") };
    assert!(text.len() <= 200, "{text}");
}

#[test]
fn what_is_no_answer_is_unknown() {
    let bodies: [&[u8]; 7] = [b"", b"null", b"[]", b"{\"tid\":", b"<html>", b"\xff\xfe", b"{} {}"];
    for (name, reader) in READERS {
        for body in bodies {
            let answered = reader(200, body).answered;
            assert!(matches!(answered, Answered::Unknown(_)), "{name}: {answered:?}");
            for status in [201, 204, 301, 302, 500, 502, 503] {
                let answered = reader(status, body).answered;
                assert!(
                    matches!(&answered, Answered::Unknown(t) if t.contains("HTTP")),
                    "{name} {status}: {answered:?}"
                );
            }
        }
        for status in [401, 403, 404, 429] {
            assert_eq!(reader(status, b"<html>").alert, Some(-i64::from(status)), "{name}");
        }
        assert_eq!(reader(503, b"{\"error_code\":-503}").alert, None, "{name}");
    }
    unknown(&read(approve, 302, &approve_sample()), "HTTP 302");
}
