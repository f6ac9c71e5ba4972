//! The bodies of good answers, with every field of the protocol's tables.

use super::amount::Amount;
use super::assumed::details_have_sums;
use super::kst;
use super::payment::{Capture, Payment, Refund, Seen};
use super::words::Means;
use serde_json::{Map, Value, json};

/// The three kinds of page, as they stand in its address.
pub(super) const KINDS: [&str; 3] = ["pc", "mobile-web", "mobile-app"];

/// The address of a payment's page of one of the [`KINDS`].
pub(super) fn page(pages_url: &str, kind: &str, payment: &Payment) -> String {
    let hash = payment.page.as_str();
    format!("{}/bridge/{kind}/pg/one-time/payment/{hash}", pages_url.trim_end_matches('/'))
}

pub(super) fn ready(payment: &Payment, pages_url: &str) -> Value {
    let [pc, mobile, app] = KINDS.map(|kind| page(pages_url, kind, payment));
    json!({
        "tid": payment.tid,
        "next_redirect_pc_url": pc,
        "next_redirect_mobile_url": mobile,
        "next_redirect_app_url": app,
        "android_app_scheme": format!("kakaotalk://kakaopay/pg?url={app}"),
        "ios_app_scheme": format!("kakaotalk://kakaopay/pg?url={app}"),
        "created_at": kst::text(payment.created),
    })
}

pub(super) fn approve(payment: &Payment, capture: &Capture) -> Value {
    let asked = &payment.asked;
    let mut body = json!({
        "aid": capture.aid,
        "tid": payment.tid,
        "cid": asked.cid,
        "sid": null,
        "partner_order_id": asked.order,
        "partner_user_id": asked.user,
        "payment_method_type": capture.means,
        "amount": capture.amount,
        "sequential_payment_methods": null,
        "item_name": asked.item_name,
        "item_code": asked.item_code,
        "quantity": asked.quantity,
        "payload": capture.payload,
        "created_at": kst::text(payment.created),
        "approved_at": kst::text(capture.at),
    });
    if let Some(approved_id) = &capture.approved_id {
        body["card_info"] = card(payment, approved_id);
    }
    body
}

fn card(payment: &Payment, approved_id: &str) -> Value {
    json!({
        "kakaopay_purchase_corp": "비씨카드",
        "kakaopay_purchase_corp_code": "104",
        "kakaopay_issuer_corp": "수협카드",
        "kakaopay_issuer_corp_code": "212",
        "bin": "621640",
        "card_type": "체크",
        "install_month": format!("{:02}", payment.asked.install_month),
        "approved_id": approved_id,
        "card_mid": "123456789",
        "interest_free_install": "N",
        "installment_type": "CARD_INSTALLMENT",
        "card_item_code": "10000",
    })
}

/// What `order` and `cancel` have in common.
fn standing(payment: &Payment, seen: &Seen<'_>) -> Map<String, Value> {
    let asked = &payment.asked;
    let means = seen.capture.map(|capture| capture.means).or(payment.means);
    let body = json!({
        "tid": payment.tid,
        "cid": asked.cid,
        "status": seen.status,
        "partner_order_id": asked.order,
        "partner_user_id": asked.user,
        "payment_method_type": means.map(Means::as_str),
        "item_name": asked.item_name,
        "item_code": asked.item_code,
        "quantity": asked.quantity,
        "amount": payment.amount(),
        "canceled_amount": seen.refunded,
        "cancel_available_amount": seen.left,
        "created_at": kst::text(payment.created),
        "approved_at": seen.capture.map(|capture| kst::text(capture.at)),
        "canceled_at": seen.refunds.last().map(|refund| kst::text(refund.at)),
    });
    // It was written as an object.
    if let Value::Object(body) = body { body } else { Map::new() }
}

pub(super) fn order(payment: &Payment, seen: &Seen<'_>) -> Value {
    let mut body = standing(payment, seen);
    let sums = details_have_sums(payment.tid.as_str());
    let captured = seen.capture.map(|capture| {
        let action = Action { kind: "PAYMENT", aid: capture.aid.as_str(), at: kst::text(capture.at) };
        action.told(capture.amount, capture.means, capture.payload.as_deref(), sums)
    });
    let refunded = seen.refunds.iter().filter_map(|refund| {
        let action = Action { kind: "CANCEL", aid: refund.aid.as_str(), at: kst::text(refund.at) };
        Some(action.told(refund.amount, seen.capture?.means, refund.payload.as_deref(), sums))
    });
    let details: Vec<Value> = captured.into_iter().chain(refunded).collect();
    body.insert("payment_action_details".to_owned(), Value::Array(details));
    Value::Object(body)
}

struct Action<'a> {
    kind: &'static str,
    aid: &'a str,
    at: String,
}

impl Action<'_> {
    fn told(self, amount: Amount, means: Means, payload: Option<&str>, sums: bool) -> Value {
        let mut body = json!({
            "aid": self.aid,
            "payment_action_type": self.kind,
            "approved_at": self.at,
            "point_amount": amount.point,
            "discount_amount": amount.discount,
        });
        if sums {
            body["amount"] = json!(amount.total);
            body["payment_method_type"] = json!(means);
            body["green_deposit"] = json!(amount.green_deposit);
            body["payload"] = json!(payload);
        }
        body
    }
}

pub(super) fn cancel(payment: &Payment, seen: &Seen<'_>, refund: &Refund) -> Value {
    let mut body = standing(payment, seen);
    body.insert("aid".to_owned(), json!(refund.aid));
    body.insert("approved_cancel_amount".to_owned(), json!(refund.amount));
    body.insert("payload".to_owned(), json!(refund.payload));
    Value::Object(body)
}
