//! The invariants, computed from the partition's own state.

use super::decide::holder;
use super::{KeyUse, Partition};
use crate::attempt::{AttemptStatus, Payment, RefundStatus};
use crate::invariants::Violation;
use crate::order::{Line, Order, OrderStatus, PartStatus};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What the remembered orders and parts took of one product.
#[derive(Clone, Copy, Default)]
struct Ordered {
    held: u64,
    sold: u64,
    in_sale: u64,
}

impl Partition {
    pub(crate) fn check_stock(&self) -> Result<(), Violation> {
        let ordered = self.ordered();
        for (product, ordered) in self.products.iter().zip(ordered) {
            let (sku, stock) = (product.sku.clone(), product.stock);
            if stock.held.checked_add(stock.sold).is_none_or(|taken| taken > stock.supplied) {
                let (supplied, held, sold) = (stock.supplied, stock.held, stock.sold);
                return Err(Violation::Conservation { sku, supplied, held, sold });
            }
            if stock.held != ordered.held {
                return Err(Violation::Holds { sku, held: stock.held, ordered: ordered.held });
            }
            if stock.sold < ordered.sold {
                return Err(Violation::Sold { sku, sold: stock.sold, ordered: ordered.sold });
            }
            let counted =
                product.sale.as_ref().map_or(0, |sale| sale.taken.iter().map(|(_, units)| u64::from(*units)).sum());
            if counted < ordered.in_sale {
                return Err(Violation::Limits { sku, counted, ordered: ordered.in_sale });
            }
        }
        Ok(())
    }

    fn ordered(&self) -> Vec<Ordered> {
        let mut sums = vec![Ordered::default(); self.products.len()];
        let mut add = |line: &Line, held: bool| {
            let sum = &mut sums[line.product as usize];
            let units = u64::from(line.quantity);
            *(if held { &mut sum.held } else { &mut sum.sold }) += units;
            let sale = self.products[line.product as usize].sale.as_ref();
            if sale.is_some_and(|sale| sale.number == line.sale) {
                sum.in_sale += units;
            }
        };
        for order in self.orders.iter() {
            match order.status {
                OrderStatus::Opening | OrderStatus::Held | OrderStatus::Paying | OrderStatus::Approving => {
                    order.lines.iter().for_each(|line| add(line, true));
                }
                OrderStatus::Confirmed | OrderStatus::Refunded => {
                    self.sold_lines(order).for_each(|line| add(&line, false));
                }
                OrderStatus::Cancelled | OrderStatus::Expired => {}
            }
        }
        for part in self.parts.values() {
            match part.status {
                PartStatus::Held => part.lines.iter().for_each(|line| add(line, true)),
                PartStatus::Confirmed => part.lines.iter().for_each(|line| add(line, false)),
                PartStatus::Released => {}
            }
        }
        sums
    }

    /// Everything about orders, keys and deadlines.
    pub(crate) fn check_orders(&self) -> Result<(), Violation> {
        let ahead: BTreeSet<_> = self.deadlines.iter().map(|Reverse(hold)| (hold.0, hold.1)).collect();
        for order in self.orders.iter() {
            let led_to = match self.find_key(&order.key.key) {
                Some(KeyUse::Order(at)) => self.orders.get(at).map(|found| found.id),
                _ => None,
            };
            let found = self.find_order(order.id).is_some_and(|found| std::ptr::eq(found, order));
            if !found || led_to != Some(order.id) {
                return Err(Violation::ExactlyOnce { order: order.id });
            }
            if order.status.has_deadline() && !ahead.contains(&(order.deadline, order.id)) {
                return Err(Violation::Deadlines { order: order.id });
            }
        }
        match self.deadlines.peek() {
            Some(Reverse(hold)) if holder(&self.orders, hold).is_none() => Err(Violation::Deadlines { order: hold.1 }),
            _ => self.check_open_holds(),
        }
    }

    fn check_open_holds(&self) -> Result<(), Violation> {
        let orders = self.orders.iter().filter(|order| order.status.holds_units()).map(Order::open_lines);
        let parts = self.parts.values().filter(|part| part.status == PartStatus::Held).map(|part| part.lines.len());
        let (open, open_lines) = orders.chain(parts).fold((0, 0), |(holds, all), lines| (holds + 1, all + lines));
        let (counted, counted_lines) = (self.open_holds, self.open_lines);
        if (counted, counted_lines) == (open, open_lines) {
            return Ok(());
        }
        Err(Violation::OpenHolds { counted, open, counted_lines, open_lines })
    }

    /// Everything about paying.
    pub(crate) fn check_payments(&self) -> Result<(), Violation> {
        let all =
            self.payments.iter().flat_map(|(id, payment)| payment.steps().map(|(step, open)| (open.lsn, *id, step)));
        let open: BTreeSet<_> = all.collect();
        if let Some((_, order, _)) = open.symmetric_difference(&self.steps).next() {
            let (indexed, open) = (self.steps.len(), open.len());
            return Err(Violation::Steps { indexed, open, order: *order });
        }
        for order in self.orders.iter() {
            let payment = self.payments.get(&order.id).map(AsRef::as_ref);
            if !says(payment, order.status) {
                return Err(Violation::Attempts { order: order.id, status: order.status });
            }
            payment.map_or(Ok(()), |payment| check_payment(order, payment))?;
        }
        // Nobody would ever forget it.
        let orphan = self.payments.keys().find(|id| self.place_of(**id).is_none());
        orphan.map_or(Ok(()), |order| {
            Err(Violation::Steps { indexed: self.steps.len(), open: open.len(), order: *order })
        })
    }

    /// Whether every event fitted.
    pub(crate) fn check_history(&self) -> Result<(), Violation> {
        self.misfit.map_or(Ok(()), |lsn| Err(Violation::History { lsn }))
    }
}

/// Whether the attempts say what the order's status says.
fn says(payment: Option<&Payment>, status: OrderStatus) -> bool {
    let attempts = payment.map_or(&[][..], |payment| &payment.attempts);
    let mut live = attempts.iter().rev().enumerate().filter(|(_, attempt)| attempt.status.is_live());
    let newest = live.next();
    if live.next().is_some() {
        return false;
    }
    match (status, newest) {
        (OrderStatus::Paying, Some((0, attempt))) => {
            attempt.status != AttemptStatus::Approving && attempt.step.is_some()
        }
        (OrderStatus::Approving, Some((0, attempt))) => {
            attempt.status == AttemptStatus::Approving && attempt.step.is_some() && !attempt.proofs.is_empty()
        }
        (OrderStatus::Paying | OrderStatus::Approving, _) => false,
        (_, live) => live.is_none(),
    }
}

fn check_payment(order: &Order, payment: &Payment) -> Result<(), Violation> {
    let sold = matches!(order.status, OrderStatus::Confirmed | OrderStatus::Refunded);
    let mut confirmed = 0;
    for (number, attempt) in (1..).zip(&payment.attempts) {
        let of_it = || payment.refunds.iter().filter(move |refund| refund.attempt == number);
        let late = of_it().filter(|refund| refund.key.is_none()).count();
        let (has_use, refunds) = match attempt.status {
            AttemptStatus::Captured => {
                confirmed += 1;
                (sold && confirmed == 1, 0)
            }
            AttemptStatus::CapturedLate => (true, 1),
            _ => (attempt.captured.is_none(), 0),
        };
        if !has_use || late != refunds {
            return Err(Violation::Charges { order: order.id, attempt: number });
        }
        let captured = attempt.captured.as_ref().map_or(0, |captured| captured.amount.0);
        let done = of_it().filter(|refund| refund.status == RefundStatus::Done);
        let by_refunds: i64 = done.filter_map(|refund| refund.sized).map(|(amount, _)| amount.0).sum();
        let refunded = attempt.refunded.0;
        // Of money that came late the gateway's word on how much there is to give back counts.
        let too_much = attempt.status == AttemptStatus::Captured && refunded > captured;
        if too_much || refunded != by_refunds {
            return Err(Violation::Refunds { order: order.id, captured, refunded, by_refunds });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Attempt;
    use crate::invariants::check;
    use crate::payment::{Begun, Captured, GatewayRef, Nonce, Pages, PaymentMethod, Proof};
    use crate::step::StepRef;
    use crate::{
        Command, CustomerId, LineRequest, OrderId, PartitionId, PlaceOrder, Report, RequestKey, Requester, Sku, Time,
        Won,
    };

    fn id() -> OrderId {
        OrderId::new(Time(0), 1, PartitionId(0))
    }

    fn key(n: u8) -> RequestKey {
        RequestKey { key: [n; 16], request: [0; 16] }
    }

    /// An order whose shopper has authorised its one attempt; `paid`: and whose money was taken.
    fn partition(paid: bool) -> Partition {
        let mut partition = Partition::new(PartitionId(0), 1);
        let sku = Sku::parse("air").unwrap();
        let mut run = |command: Command| {
            partition.step(Time(1), &command, |_| ());
            partition.lsn()
        };
        run(Command::CreateProduct { sku: sku.clone(), name: "Air".into(), price: Won(9), on_hand: 5, key: None });
        let (order, customer) = (id(), CustomerId::parse("ann").unwrap());
        let lines = std::iter::once(LineRequest { sku, quantity: 1 }).collect();
        let place = PlaceOrder { id: order, customer, key: key(1), lines, parts: vec![], hold_millis: 10 };
        run(Command::PlaceOrder(place));
        let (by, method, nonce) = (Requester::Admin, PaymentMethod::KakaoPay, Nonce([1; 16]));
        let seen = run(Command::StartPayment { order, by, method, key: key(2), nonce });
        let page = || "http://page".into();
        let pages = Pages { desktop: page(), mobile: page(), app: page(), android: None, ios: None };
        let begun = Begun { reference: GatewayRef::parse("T1").unwrap(), pages, expires_at: Time(900) };
        let step = StepRef::Attempt(1);
        run(Command::Report { order, step, seen, report: Report::Ready(Box::new(begun)) });
        let proof = Proof::parse("right").ok();
        let seen = run(Command::ReportReturn { order, attempt: 1, nonce, proof });
        if paid {
            let captured = Captured { amount: Won(9), receipt: "A1".into(), means: "CARD".into(), at: Time(2) };
            run(Command::Report { order, step, seen, report: Report::Captured(Box::new(captured)) });
        }
        assert_eq!(check(&partition), Ok(()));
        partition
    }

    fn told(mut partition: Partition, spoil: impl FnOnce(&mut Partition)) -> String {
        spoil(&mut partition);
        check(&partition).map_or_else(|violation| violation.to_string(), |()| "nothing".to_owned())
    }

    fn payment(partition: &mut Partition) -> &mut Payment {
        partition.payments.get_mut(&id()).unwrap()
    }

    #[test]
    fn what_is_wrong_with_paying_is_told_by_number() {
        type Spoil = fn(&mut Partition);
        let rows: [(&str, bool, Spoil); 9] = [
            ("9 ", false, |partition| partition.steps.clear()),
            ("9 ", false, |partition| payment(partition).attempts[0].step = None),
            ("9 ", true, |partition| drop(partition.payments.insert(OrderId::from_bytes([7; 16]), Box::default()))),
            ("10 ", false, |partition| {
                let second = Attempt { step: None, ..payment(partition).attempts[0].clone() };
                payment(partition).attempts.push(second);
            }),
            ("10 ", false, |partition| payment(partition).attempts[0].status = AttemptStatus::Ready),
            ("10 ", false, |partition| payment(partition).attempts[0].proofs.clear()),
            ("11 ", true, |partition| payment(partition).attempts[0].status = AttemptStatus::CapturedLate),
            ("12 ", true, |partition| payment(partition).attempts[0].refunded = Won(10)),
            ("12 ", true, |partition| payment(partition).attempts[0].refunded = Won(1)),
        ];
        for (at, (number, paid, spoil)) in rows.into_iter().enumerate() {
            let told = told(partition(paid), spoil);
            assert!(told.starts_with(number), "row {at}: {told}");
        }
        let twice = |partition: &mut Partition| {
            let again = payment(partition).attempts[0].clone();
            payment(partition).attempts.push(again);
        };
        assert!(told(partition(true), twice).starts_with("11 "));
    }
}
