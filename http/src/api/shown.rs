//! What is shown of payments and sagas, as JSON. Off the hot path, so it is built as values; described
//! for readers by the schemas in `schema.rs`.
//!
//! Must never show a proof or a nonce; a payment page's address only to whom the order belongs, and to admins.

use super::clock;
use serde_json::{Map, Value, json};
use son7shop_actors::StepsPage;
use son7shop_engine::payment::Pages;
use son7shop_engine::{
    AttemptStatus, AttemptView, CURRENCY, Entry, OrderView, PaymentView, RefundView, Step, StepRef, Time, Timeline,
};

/// An order's attempts and refunds.
pub(super) fn payment(payment: &PaymentView) -> Value {
    let captured: i64 = payment.attempts.iter().filter_map(captured_of).sum();
    let refunded: i64 = payment.attempts.iter().map(|attempt| attempt.refunded.0).sum();
    let newest = payment.attempts.last();
    json!({
        "status": newest.map_or("", |attempt| attempt.status.as_str()),
        "captured": captured,
        "refunded": refunded,
        "attempts": payment.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "refunds": payment.refunds.iter().map(refund).collect::<Vec<_>>(),
    })
}

fn captured_of(attempt: &AttemptView) -> Option<i64> {
    attempt.captured.as_ref().map(|captured| captured.amount.0)
}

/// One attempt.
pub(super) fn attempt(attempt: &AttemptView) -> Value {
    let mut shown = json!({
        "attempt": attempt.number,
        "method": attempt.method.as_str(),
        "status": attempt.status.as_str(),
        "amount": attempt.amount.0,
        "currency": CURRENCY,
        "started_at": time(attempt.started_at),
        "refunded": attempt.refunded.0,
    });
    if let Some(expires_at) = attempt.expires_at {
        shown["expires_at"] = time(expires_at);
    }
    if let Some(pages) = attempt.pages.as_deref().filter(|_| attempt.status == AttemptStatus::Ready) {
        shown["redirect"] = redirect(pages);
    }
    if let Some(captured) = &attempt.captured {
        shown["captured"] = captured.amount.0.into();
        shown["receipt"] = captured.receipt.as_str().into();
        shown["means"] = captured.means.as_str().into();
    }
    shown
}

fn redirect(pages: &Pages) -> Value {
    let mut shown = Map::new();
    shown.insert("desktop".to_owned(), pages.desktop.as_str().into());
    shown.insert("mobile".to_owned(), pages.mobile.as_str().into());
    shown.insert("app".to_owned(), pages.app.as_str().into());
    for (name, scheme) in [("android", &pages.android), ("ios", &pages.ios)] {
        if let Some(scheme) = scheme {
            shown.insert(name.to_owned(), scheme.as_str().into());
        }
    }
    shown.into()
}

/// One refund.
pub(super) fn refund(refund: &RefundView) -> Value {
    let lines = refund.lines.iter().map(|line| json!({ "sku": line.sku.as_str(), "quantity": line.quantity }));
    let mut shown = json!({
        "refund": refund.number,
        "attempt": refund.attempt,
        "status": refund.status.as_str(),
        "lines": lines.collect::<Vec<_>>(),
        "restock": refund.restock,
        "reason": refund.reason.as_str(),
        "requested_at": time(refund.requested_at),
    });
    if let Some(amount) = refund.amount {
        shown["amount"] = amount.0.into();
    }
    if !refund.receipt.is_empty() {
        shown["receipt"] = refund.receipt.as_str().into();
    }
    shown
}

/// An attempt that was started, with its order.
pub(super) fn started(order: &OrderView, attempt: &AttemptView) -> Vec<u8> {
    with_order(order, self::attempt(attempt))
}

/// A refund that was asked for, with its order.
pub(super) fn refunding(order: &OrderView, refund: &RefundView) -> Vec<u8> {
    with_order(order, self::refund(refund))
}

fn with_order(order: &OrderView, mut shown: Value) -> Vec<u8> {
    shown["order"] = order.id.to_string().into();
    shown["order_status"] = order.status.as_str().into();
    shown.to_string().into_bytes()
}

/// An order's timeline.
pub(super) fn timeline(timeline: &Timeline) -> Vec<u8> {
    let entries = timeline.numbered().map(|(number, entry)| self::entry(number, entry));
    let shown = json!({
        "entries": entries.collect::<Vec<_>>(),
        "steps": timeline.steps.iter().map(step).collect::<Vec<_>>(),
        "left_out": timeline.left_out,
    });
    shown.to_string().into_bytes()
}

/// One entry of a timeline; `number` is its place, from 1.
pub(super) fn entry(number: u32, entry: &Entry) -> Value {
    let mut shown = json!({ "number": number, "at": time(entry.at), "what": entry.what.as_str() });
    match entry.step {
        Some(StepRef::Attempt(number)) => shown["attempt"] = number.into(),
        Some(StepRef::Refund(number)) => shown["refund"] = number.into(),
        None => {}
    }
    if !entry.answer.is_empty() {
        shown["answer"] = entry.answer.as_str().into();
    }
    if let Some(next_at) = entry.next_at {
        shown["next_at"] = time(next_at);
    }
    shown
}

/// An open step.
pub(super) fn step(step: &Step) -> Value {
    let mut shown = json!({
        "order": step.order.to_string(),
        "step": step_text(step.step),
        "call": step.call.as_str(),
        "class": step.class().as_str(),
        "state": step.state.as_str(),
        "since": time(step.since),
        "due_at": time(step.due_at),
        "tries": step.tries,
    });
    if !step.answer.is_empty() {
        shown["answer"] = step.answer.as_str().into();
    }
    shown
}

/// A page of open steps.
pub(super) fn steps(page: &StepsPage, next_cursor: Option<&str>) -> Vec<u8> {
    let steps: Vec<Value> = page.steps.iter().map(step).collect();
    let missing: Vec<u16> = page.missing.iter().map(|partition| partition.0).collect();
    json!({ "steps": steps, "next_cursor": next_cursor, "missing_partitions": missing }).to_string().into_bytes()
}

/// `attempt-1`, `refund-2`: a step in a path.
pub(super) fn step_text(step: StepRef) -> String {
    match step {
        StepRef::Attempt(number) => format!("attempt-{number}"),
        StepRef::Refund(number) => format!("refund-{number}"),
    }
}

/// Reads [`step_text`] back.
pub(super) fn parse_step(text: &str) -> Option<StepRef> {
    let (kind, number) = text.split_once('-')?;
    let number = number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    match kind {
        "attempt" => Some(StepRef::Attempt(number)),
        "refund" => Some(StepRef::Refund(number)),
        _ => None,
    }
}

fn time(time: Time) -> Value {
    clock::text(time).into_iter().map(char::from).collect::<String>().into()
}
