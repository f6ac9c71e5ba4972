//! Where two views of one order differ: the journal's, replayed, and the database's.
//!
//! Pure. Names each thing that differs, and never prints anything secret: neither view has it.

use son7shop_engine::{AttemptView, OrderView, PaymentView, RefundStatus, RefundView, Won};
use std::fmt::Debug;

/// Collects differences between fields of the same thing.
struct Differences<'a> {
    found: &'a mut Vec<String>,
    thing: String,
}

impl Differences<'_> {
    fn field<T: PartialEq + Debug>(&mut self, name: &str, journal: &T, database: &T) {
        if journal != database {
            self.found.push(format!("{}: {name}: journal {journal:?}, database {database:?}", self.thing));
        }
    }
}

/// What differs between the journal's view of an order, as the database would keep it, and the database's.
pub(crate) fn of_order(journal: &OrderView, database: &OrderView) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = Differences { found: &mut found, thing: format!("order {}", database.id) };
    differ.field("status", &journal.status, &database.status);
    differ.field("customer", &journal.customer, &database.customer);
    differ.field("lines", &journal.lines, &database.lines);
    differ.field("total", &journal.total, &database.total);
    differ.field("placed at", &journal.placed_at, &database.placed_at);
    differ.field("deadline", &journal.deadline, &database.deadline);
    differ.field("ended at", &journal.ended_at, &database.ended_at);
    differ.field("last event", &journal.lsn, &database.lsn);
    of_payment(&mut found, journal, database);
    if found.is_empty() && journal != database {
        found.push(format!("order {}: journal {journal:?}, database {database:?}", database.id));
    }
    found
}

fn of_payment(found: &mut Vec<String>, journal: &OrderView, database: &OrderView) {
    let attempts = |order: &OrderView| order.payment.as_ref().map_or(Vec::new(), |payment| payment.attempts.clone());
    let refunds = |order: &OrderView| order.payment.as_ref().map_or(Vec::new(), |payment| payment.refunds.clone());
    let id = database.id;
    let each = pairs(&attempts(journal), &attempts(database), |attempt| attempt.number);
    for (number, journal, database) in each {
        of_both(found, format!("order {id} attempt {number}"), journal.as_ref(), database.as_ref(), of_attempt);
    }
    let each = pairs(&refunds(journal), &refunds(database), |refund| refund.number);
    for (number, journal, database) in each {
        of_both(found, format!("order {id} refund {number}"), journal.as_ref(), database.as_ref(), of_refund);
    }
}

/// What both have under a number, or one of them has.
fn pairs<T: Clone>(journal: &[T], database: &[T], number: fn(&T) -> u32) -> Vec<(u32, Option<T>, Option<T>)> {
    let mut numbers: Vec<u32> = journal.iter().chain(database).map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let of = |all: &[T], wanted| all.iter().find(|one| number(one) == wanted).cloned();
    numbers.into_iter().map(|wanted| (wanted, of(journal, wanted), of(database, wanted))).collect()
}

fn of_both<T>(
    found: &mut Vec<String>,
    thing: String,
    journal: Option<&T>,
    database: Option<&T>,
    compare: fn(&mut Differences<'_>, &T, &T),
) {
    match (journal, database) {
        (Some(journal), Some(database)) => compare(&mut Differences { found, thing }, journal, database),
        (Some(_), None) => found.push(format!("{thing}: in the journal, not in the database")),
        _ => found.push(format!("{thing}: in the database, not in the journal")),
    }
}

fn of_attempt(differ: &mut Differences<'_>, journal: &AttemptView, database: &AttemptView) {
    differ.field("status", &journal.status, &database.status);
    differ.field("method", &journal.method, &database.method);
    differ.field("amount", &journal.amount, &database.amount);
    differ.field("started at", &journal.started_at, &database.started_at);
    differ.field("expires at", &journal.expires_at, &database.expires_at);
    differ.field("reference", &journal.reference, &database.reference);
    differ.field("captured", &journal.captured, &database.captured);
    differ.field("refunded", &journal.refunded, &database.refunded);
}

fn of_refund(differ: &mut Differences<'_>, journal: &RefundView, database: &RefundView) {
    differ.field("status", &journal.status, &database.status);
    differ.field("attempt", &journal.attempt, &database.attempt);
    differ.field("amount", &journal.amount, &database.amount);
    differ.field("lines", &journal.lines, &database.lines);
    differ.field("restock", &journal.restock, &database.restock);
    differ.field("reason", &journal.reason, &database.reason);
    differ.field("asked", &journal.asked, &database.asked);
    differ.field("requested at", &journal.requested_at, &database.requested_at);
    differ.field("receipt", &journal.receipt, &database.receipt);
}

/// What does not add up in one view, also of an order that the journal has forgotten: what went
/// back of each attempt is the sum of its refunds.
pub(crate) fn of_sums(order: &OrderView) -> Vec<String> {
    let Some(payment) = &order.payment else { return Vec::new() };
    let PaymentView { attempts, refunds } = &**payment;
    let mut found = Vec::new();
    for attempt in attempts {
        let (id, number) = (order.id, attempt.number);
        let done = refunds.iter().filter(|refund| refund.attempt == number && refund.status == RefundStatus::Done);
        let sum = done.filter_map(|refund| refund.amount).fold(0, |sum: i64, Won(won)| sum.saturating_add(won));
        if sum != attempt.refunded.0 {
            let refunded = attempt.refunded.0;
            found
                .push(format!("order {id} attempt {number}: refunded {refunded} won, but its refunds gave back {sum}"));
        }
    }
    for refund in refunds {
        if !attempts.iter().any(|attempt| attempt.number == refund.attempt) {
            found.push(format!("order {} refund {}: there is no attempt {}", order.id, refund.number, refund.attempt));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::payment::{Captured, GatewayRef, PaymentMethod};
    use son7shop_engine::{
        AttemptStatus, CustomerId, LineRequest, Lines, Lsn, OrderId, OrderStatus, PartitionId, PricedLine, Sku, Time,
    };

    fn order() -> OrderView {
        let sku = Sku::parse("air").unwrap();
        let captured = Captured { amount: Won(1000), receipt: "A1".into(), means: "CARD".into(), at: Time(50) };
        let attempt = AttemptView {
            number: 1,
            method: PaymentMethod::KakaoPay,
            status: AttemptStatus::Captured,
            amount: Won(1000),
            started_at: Time(20),
            expires_at: Some(Time(900)),
            pages: None,
            reference: Some(GatewayRef::parse("T1").unwrap()),
            captured: Some(Box::new(captured)),
            refunded: Won(400),
        };
        let refund = |number, amount, status| RefundView {
            number,
            attempt: 1,
            amount: Some(Won(amount)),
            lines: Lines::from_iter([LineRequest { sku: sku.clone(), quantity: 1 }]),
            restock: true,
            reason: "torn".into(),
            asked: true,
            requested_at: Time(70),
            status,
            receipt: "R1".into(),
        };
        OrderView {
            id: OrderId::new(Time(1), 7, PartitionId(0)),
            customer: CustomerId::parse("kim").unwrap(),
            status: OrderStatus::Confirmed,
            lines: [PricedLine { sku: sku.clone(), quantity: 1, unit_price: Won(1000), sale: 0 }].into_iter().collect(),
            total: Won(1000),
            placed_at: Time(10),
            deadline: Time(100),
            ended_at: Some(Time(60)),
            payment: Some(Box::new(PaymentView {
                attempts: vec![attempt],
                refunds: vec![refund(1, 400, RefundStatus::Done), refund(2, 30, RefundStatus::UnderWay)],
            })),
            lsn: Lsn(9),
        }
    }

    fn payment(order: &mut OrderView) -> &mut PaymentView {
        order.payment.as_mut().unwrap()
    }

    #[test]
    fn the_same_order_does_not_differ() {
        assert_eq!(of_order(&order(), &order()), Vec::<String>::new());
        assert_eq!(of_sums(&order()), Vec::<String>::new());
    }

    /// Each change to the database's view, and what is named.
    #[test]
    fn every_difference_is_named_by_its_field() {
        type Change = fn(&mut OrderView);
        let changes: [(Change, &str); 26] = [
            (|order| order.status = OrderStatus::Refunded, "status: journal Confirmed, database Refunded"),
            (|order| order.customer = CustomerId::parse("lee").unwrap(), "customer"),
            (|order| order.lines.clear(), "lines"),
            (|order| order.total = Won(1), "total: journal Won(1000), database Won(1)"),
            (|order| order.placed_at = Time(0), "placed at"),
            (|order| order.deadline = Time(0), "deadline"),
            (|order| order.ended_at = None, "ended at"),
            (|order| order.lsn = Lsn(8), "last event"),
            (|order| order.payment = None, "attempt 1: in the journal, not in the database"),
            (|order| payment(order).attempts[0].status = AttemptStatus::CapturedLate, "attempt 1: status"),
            (|order| payment(order).attempts[0].amount = Won(1), "attempt 1: amount"),
            (|order| payment(order).attempts[0].started_at = Time(0), "attempt 1: started at"),
            (|order| payment(order).attempts[0].expires_at = None, "attempt 1: expires at"),
            (|order| payment(order).attempts[0].reference = None, "attempt 1: reference"),
            (|order| payment(order).attempts[0].captured = None, "attempt 1: captured"),
            (|order| payment(order).attempts[0].refunded = Won(0), "attempt 1: refunded: journal Won(400)"),
            (|order| payment(order).attempts[0].number = 2, "attempt 2: in the database, not in the journal"),
            (|order| drop(payment(order).refunds.pop()), "refund 2: in the journal, not in the database"),
            (|order| payment(order).refunds[1].status = RefundStatus::Refused, "refund 2: status"),
            (|order| payment(order).refunds[1].attempt = 3, "refund 2: attempt"),
            (|order| payment(order).refunds[1].amount = None, "refund 2: amount"),
            (|order| payment(order).refunds[1].lines.clear(), "refund 2: lines"),
            (|order| payment(order).refunds[1].restock = false, "refund 2: restock"),
            (|order| payment(order).refunds[1].reason = "".into(), "refund 2: reason"),
            (|order| payment(order).refunds[1].asked = false, "refund 2: asked"),
            (|order| payment(order).refunds[1].receipt = "".into(), "refund 2: receipt"),
        ];
        for (change, named) in changes {
            let mut changed = order();
            change(&mut changed);
            let found = of_order(&order(), &changed);
            assert!(found.iter().any(|difference| difference.contains(named)), "{named}: {found:?}");
        }
    }

    #[test]
    fn sums_that_do_not_add_up_are_named() {
        let mut short = order();
        payment(&mut short).attempts[0].refunded = Won(399);
        assert!(of_sums(&short)[0].ends_with("refunded 399 won, but its refunds gave back 400"));
        let mut lost = order();
        payment(&mut lost).refunds[1].attempt = 3;
        assert!(of_sums(&lost)[0].ends_with("refund 2: there is no attempt 3"));
    }
}
