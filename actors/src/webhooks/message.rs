//! What the shop's other software is told of an event: one pure function.
//!
//! Must never let out a key, a proof, a nonce or the address of a payment page: what is told
//! is named here field by field, never an event as a whole.

use serde_json::{Value, json};
use son7shop_engine::{
    CURRENCY, Event, LineRequest, Lsn, OrderId, OrderStatus, OrderView, PartitionId, PricedLine, Record, Role, StepRef,
    Time,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Every type of message that an endpoint can ask for.
pub const MESSAGE_TYPES: &[&str] = &[
    "order.placed",
    "order.confirmed",
    "order.cancelled",
    "order.expired",
    "payment.started",
    "payment.ended",
    "payment.captured_late",
    "refund.requested",
    "refund.done",
    "refund.refused",
    "saga.parked",
    "product.created",
    "stock.adjusted",
    "sale.set",
    "sale.deleted",
];
/// The type of the message that only tries an endpoint.
pub(super) const PING: &str = "ping";

/// A message in the making.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    /// The same whenever the same event is told: whoever hears it twice can drop it.
    pub(super) id: String,
    pub(super) kind: &'static str,
    /// When it was decided.
    at: Time,
    data: Data,
}

/// What a message tells.
#[derive(Debug, Clone, PartialEq)]
enum Data {
    /// All of it stands in the event.
    Whole(Value),
    /// The order as a whole: the event has only its part, home has the rest.
    Order { id: OrderId, status: OrderStatus, ended: bool, by: Option<&'static str> },
}

/// What is told of an event; `None`: nothing. A new event must find its line here.
pub(super) fn message_of(record: &Record, lsn: Lsn, partition: PartitionId) -> Option<Message> {
    let order = |id, status, by| Data::Order { id, status, ended: status != OrderStatus::Held, by };
    let (kind, data) = match &record.event {
        Event::OrderPlaced { id, customer, lines, total, deadline, .. } => {
            let placed = OrderView {
                id: *id,
                customer: customer.clone(),
                status: OrderStatus::Held,
                lines: lines.clone(),
                total: *total,
                placed_at: record.at,
                deadline: *deadline,
                ended_at: None,
                payment: None,
                lsn,
            };
            ("order.placed", Data::Whole(order_data(&placed, OrderStatus::Held, None, None)))
        }
        Event::BasketPlaced { id, .. } => ("order.placed", order(*id, OrderStatus::Held, None)),
        Event::OrderConfirmed(ended) | Event::PaymentCaptured { ended, .. } => {
            ("order.confirmed", order(ended.id, OrderStatus::Confirmed, None))
        }
        Event::OrderCancelled { ended, by } => {
            ("order.cancelled", order(ended.id, OrderStatus::Cancelled, Some(role(*by))))
        }
        Event::OperatorActed { effect, .. } => {
            let record = Record { at: record.at, event: (**effect).clone() };
            return message_of(&record, lsn, partition);
        }
        Event::OrderExpired(ended) => ("order.expired", order(ended.id, OrderStatus::Expired, None)),
        Event::ProductCreated { sku, name, price, on_hand, .. } => {
            let data = json!({
                "sku": sku.as_str(), "name": name.as_str(), "price": price.0, "currency": CURRENCY, "on_hand": on_hand,
            });
            ("product.created", Data::Whole(data))
        }
        Event::StockAdjusted { sku, delta, reason, .. } => {
            let data = json!({ "sku": sku.as_str(), "delta": delta, "reason": reason.as_str() });
            ("stock.adjusted", Data::Whole(data))
        }
        Event::SaleSet { sku, terms, .. } => {
            let data = json!({
                "sku": sku.as_str(), "opens_at": text(terms.opens_at), "closes_at": text(terms.closes_at),
                "price": terms.price.0, "currency": CURRENCY, "per_customer_limit": terms.per_customer_limit,
            });
            ("sale.set", Data::Whole(data))
        }
        Event::SaleDeleted { sku } => ("sale.deleted", Data::Whole(json!({ "sku": sku.as_str() }))),
        // Nobody outside hears how a basket comes about, nor what is forgotten.
        Event::OrderOpened { .. }
        | Event::OrderRefused(_)
        | Event::PartHeld { .. }
        | Event::PartReleased { .. }
        | Event::PartConfirmed { .. }
        | Event::PartRestocked { .. }
        | Event::OrderRecalled(_)
        | Event::Forgotten { .. } => return None,
        paying => {
            let (kind, data) = of_paying(paying)?;
            (kind, Data::Whole(data))
        }
    };
    Some(Message { id: format!("msg_p{partition}_{lsn}"), kind, at: record.at, data })
}

/// What is told of an event about paying; `None`: nothing.
fn of_paying(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::PaymentStarted { order, attempt, method, amount, .. } => {
            let data = json!({
                "order": order.to_string(), "attempt": attempt, "method": method.as_str(), "amount": amount.0,
                "currency": CURRENCY,
            });
            ("payment.started", data)
        }
        Event::PaymentEnded { order, attempt, why, .. } => {
            let data = json!({ "order": order.to_string(), "attempt": attempt, "why": why.as_str() });
            ("payment.ended", data)
        }
        Event::PaymentCapturedLate { order, attempt, captured, refund, .. } => {
            let data = json!({
                "order": order.to_string(), "attempt": attempt, "amount": captured.amount.0, "currency": CURRENCY,
                "refund": refund,
            });
            ("payment.captured_late", data)
        }
        Event::RefundRequested { order, refund, attempt, amount, lines, restock, reason, .. } => {
            let line = |line: &LineRequest| json!({ "sku": line.sku.as_str(), "quantity": line.quantity });
            let data = json!({
                "order": order.to_string(), "refund": refund, "attempt": attempt, "amount": amount.0,
                "currency": CURRENCY, "lines": lines.iter().map(line).collect::<Vec<_>>(), "restock": restock,
                "reason": reason.as_str(),
            });
            ("refund.requested", data)
        }
        Event::RefundDone { order, refund, attempt, back, all, .. } => {
            let data = json!({
                "order": order.to_string(), "refund": refund, "attempt": attempt, "amount": back.amount.0,
                "currency": CURRENCY, "order_refunded": all,
            });
            ("refund.done", data)
        }
        Event::RefundRefused { order, refund } => {
            ("refund.refused", json!({ "order": order.to_string(), "refund": refund }))
        }
        Event::StepTried { order, step, answer, next: None } => {
            let (of, number) = match step {
                StepRef::Attempt(number) => ("attempt", number),
                StepRef::Refund(number) => ("refund", number),
            };
            let data = json!({ "order": order.to_string(), of: number, "answer": answer.as_str() });
            ("saga.parked", data)
        }
        // A payment's steps are the shop's own business.
        _ => return None,
    })
}

/// A message that only tries an endpoint.
pub(super) fn ping(id: String, endpoint: &str, at: Time) -> Message {
    Message { id, kind: PING, at, data: Data::Whole(json!({ "endpoint": endpoint })) }
}

impl Message {
    /// The order that must be looked up before there is a body.
    pub(super) fn order(&self) -> Option<OrderId> {
        match self.data {
            Data::Order { id, .. } => Some(id),
            Data::Whole(_) => None,
        }
    }

    /// The body as it is sent; `order` is what [`Message::order`] names. The order's state is
    /// the event's: by the time it is looked up, it may have gone on.
    pub(super) fn body(&self, order: Option<&OrderView>) -> String {
        let data = match (&self.data, order) {
            (Data::Whole(data), _) => data.clone(),
            (Data::Order { status, ended, by, .. }, Some(order)) => {
                order_data(order, *status, ended.then_some(self.at), *by)
            }
            (Data::Order { id, status, .. }, None) => json!({ "id": id.to_string(), "status": status.as_str() }),
        };
        json!({ "type": self.kind, "timestamp": text(self.at), "data": data }).to_string()
    }
}

fn order_data(order: &OrderView, status: OrderStatus, ended_at: Option<Time>, by: Option<&str>) -> Value {
    let line = |line: &PricedLine| json!({ "sku": line.sku.as_str(), "quantity": line.quantity, "unit_price": line.unit_price.0 });
    let mut data = json!({
        "id": order.id.to_string(),
        "customer": order.customer.as_str(),
        "status": status.as_str(),
        "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
        "total": order.total.0,
        "currency": CURRENCY,
        "placed_at": text(order.placed_at),
        "expires_at": text(order.deadline),
    });
    if let Some(ended_at) = ended_at {
        data["ended_at"] = text(ended_at).into();
    }
    if let Some(by) = by {
        data["by"] = by.into();
    }
    data
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Admin => "admin",
    }
}

/// RFC 3339, UTC.
fn text(time: Time) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000);
    instant.ok().and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::payment::{Captured, GivenBack, Nonce, PaymentMethod, Proof, Why};
    use son7shop_engine::{CustomerId, Ended, Lines, RequestKey, SaleTerms, Sku, Won};

    const AT: Time = Time(1_764_000_000_123);

    fn told(event: Event) -> Option<(String, Value)> {
        let message = message_of(&Record { at: AT, event }, Lsn(17), PartitionId(3))?;
        assert_eq!(message.id, "msg_p3_17");
        assert!(MESSAGE_TYPES.contains(&message.kind));
        let body: Value = serde_json::from_str(&message.body(Some(&order()))).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&message.kind.into(), &"2025-11-24T16:00:00.123Z".into()));
        Some((message.kind.to_owned(), body["data"].clone()))
    }

    fn line() -> PricedLine {
        PricedLine { sku: Sku::parse("air-90").unwrap(), quantity: 2, unit_price: Won(1000), sale: 4 }
    }

    fn order() -> OrderView {
        OrderView {
            id: OrderId::from_bytes([1; 16]),
            customer: CustomerId::parse("kim").unwrap(),
            status: OrderStatus::Expired,
            lines: [line()].into_iter().collect(),
            total: Won(2000),
            placed_at: Time(0),
            deadline: Time(600_000),
            ended_at: None,
            payment: None,
            lsn: Lsn(17),
        }
    }

    #[test]
    fn every_event_is_told_in_its_own_fields_and_keys_never() {
        let (id, sku) = (OrderId::from_bytes([1; 16]), Sku::parse("air-90").unwrap());
        let key = RequestKey { key: [0xab; 16], request: [0xcd; 16] };
        let ended = || Ended { id, lines: [].into_iter().collect(), parts: Vec::new() };
        let view = json!({
            "id": id.to_string(), "customer": "kim", "status": "held", "total": 2000, "currency": "KRW",
            "lines": [{ "sku": "air-90", "quantity": 2, "unit_price": 1000 }],
            "placed_at": "1970-01-01T00:00:00Z", "expires_at": "1970-01-01T00:10:00Z",
        });
        let of = |status: &str, more: &[(&str, &str)]| {
            let mut view = view.clone();
            view["status"] = status.into();
            for (name, value) in more {
                view[*name] = (*value).into();
            }
            view
        };
        let at = ("ended_at", "2025-11-24T16:00:00.123Z");
        let placed = Event::OrderPlaced {
            id,
            customer: self::order().customer,
            key,
            lines: self::order().lines,
            total: Won(2000),
            deadline: Time(600_000),
        };
        let terms = SaleTerms { opens_at: Time(0), closes_at: Time(1000), price: Won(9), per_customer_limit: 1 };
        let sale = json!({
            "sku": "air-90", "opens_at": "1970-01-01T00:00:00Z", "closes_at": "1970-01-01T00:00:01Z", "price": 9,
            "currency": "KRW", "per_customer_limit": 1,
        });
        let product = json!({ "sku": "air-90", "name": "Air", "price": 5, "currency": "KRW", "on_hand": 7 });
        let cases = [
            (placed, "order.placed", of("held", &[("placed_at", at.1)])),
            (Event::BasketPlaced { id, parts: Vec::new(), total: Won(2000) }, "order.placed", view.clone()),
            (Event::OrderConfirmed(ended()), "order.confirmed", of("confirmed", &[at])),
            (
                Event::OrderCancelled { ended: ended(), by: Role::Admin },
                "order.cancelled",
                of("cancelled", &[at, ("by", "admin")]),
            ),
            (Event::OrderExpired(ended()), "order.expired", of("expired", &[at])),
            (
                Event::ProductCreated {
                    sku: sku.clone(),
                    name: "Air".into(),
                    price: Won(5),
                    on_hand: 7,
                    key: Some(key),
                },
                "product.created",
                product,
            ),
            (
                Event::StockAdjusted { sku: sku.clone(), delta: -3, reason: "lost".into(), key },
                "stock.adjusted",
                json!({ "sku": "air-90", "delta": -3, "reason": "lost" }),
            ),
            (Event::SaleSet { sku: sku.clone(), terms, number: 4 }, "sale.set", sale),
            (Event::SaleDeleted { sku: sku.clone() }, "sale.deleted", json!({ "sku": "air-90" })),
        ];
        for (event, kind, data) in cases {
            assert_eq!(told(event), Some((kind.to_owned(), data)));
        }
        assert_eq!(told(Event::OrderRefused(ended())), None);
        assert_eq!(told(Event::Forgotten { through: Lsn(1) }), None);
    }

    #[test]
    fn of_a_payment_its_outcome_is_told_and_its_steps_never() {
        let (order, sku) = (OrderId::from_bytes([1; 16]), Sku::parse("air-90").unwrap());
        let (id, key) = (order, RequestKey { key: [0xab; 16], request: [0xcd; 16] });
        let captured = Captured { amount: Won(10), receipt: "A".into(), means: "CARD".into(), at: Time(1) };
        let step = StepRef::Attempt(2);
        let parked = Event::StepTried { order, step, answer: "no".into(), next: None };
        let ended = Ended { id, lines: Lines::new(), parts: Vec::new() };
        let confirmed = Event::PaymentCaptured { ended, attempt: 2, captured: Box::new(captured.clone()) };
        assert_eq!(told(confirmed).unwrap().0, "order.confirmed");
        let cases = [
            (
                Event::PaymentStarted {
                    order,
                    attempt: 2,
                    method: PaymentMethod::KakaoPay,
                    amount: Won(10),
                    key,
                    nonce: Nonce([9; 16]),
                },
                "payment.started",
                json!({ "order": id.to_string(), "attempt": 2, "method": "kakaopay", "amount": 10, "currency": "KRW" }),
            ),
            (
                Event::PaymentEnded { order, attempt: 2, why: Why::Quit, answer: "x".into(), look_at: None },
                "payment.ended",
                json!({ "order": id.to_string(), "attempt": 2, "why": "quit" }),
            ),
            (
                Event::PaymentCapturedLate { order, attempt: 2, captured: Box::new(captured), refund: 1, held: false },
                "payment.captured_late",
                json!({ "order": id.to_string(), "attempt": 2, "amount": 10, "currency": "KRW", "refund": 1 }),
            ),
            (
                Event::RefundRequested {
                    order,
                    refund: 1,
                    attempt: 2,
                    amount: Won(5),
                    before: Won(10),
                    lines: std::iter::once(LineRequest { sku, quantity: 1 }).collect(),
                    restock: true,
                    reason: "small".into(),
                    key,
                },
                "refund.requested",
                json!({
                    "order": id.to_string(), "refund": 1, "attempt": 2, "amount": 5, "currency": "KRW", "restock": true,
                    "lines": [{ "sku": "air-90", "quantity": 1 }], "reason": "small",
                }),
            ),
            (
                Event::RefundDone {
                    order,
                    refund: 1,
                    attempt: 2,
                    back: GivenBack { amount: Won(5), receipt: "R".into() },
                    all: false,
                    lines: Lines::new(),
                    elsewhere: Lines::new(),
                    parts: Vec::new(),
                },
                "refund.done",
                json!({
                    "order": id.to_string(), "refund": 1, "attempt": 2, "amount": 5, "currency": "KRW", "order_refunded": false,
                }),
            ),
            (
                Event::RefundRefused { order, refund: 1 },
                "refund.refused",
                json!({ "order": id.to_string(), "refund": 1 }),
            ),
            (parked, "saga.parked", json!({ "order": id.to_string(), "attempt": 2, "answer": "no" })),
        ];
        for (event, kind, data) in cases {
            assert_eq!(told(event), Some((kind.to_owned(), data)));
        }
        let proof = Proof::parse("secret").unwrap();
        assert_eq!(told(Event::PaymentAuthorised { order, attempt: 2, proof }), None);
    }
}
