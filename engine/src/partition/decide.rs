//! What would happen: one small function for each command, each a list of early returns.

use super::{Answer, Decision, Gone, KeyUse, Partition};
use crate::arena::Arena;
use crate::command::{Command, LineRequest, PartHold, PlaceOrder, Requester};
use crate::event::{Ended, Event, Lines, Record, Role};
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey, Sku};
use crate::money::Won;
use crate::order::{Line, Order, OrderStatus, OrderView, PartStatus, PricedLine, PricedLines};
use crate::product::{MAX_UNITS, Product, ProductView, SaleTerms, Stock};
use crate::refusal::Refusal;
use crate::time::Time;
use crate::{Lsn, product::Sale};
use compact_str::CompactString;
use std::cmp::Reverse;

/// The most things that one [`Event::Forgotten`] makes a partition forget: selling waits meanwhile.
const FORGET_AT_ONCE: usize = 4096;

#[inline]
pub(super) fn accept(at: Time, event: Event, answer: Answer) -> Decision {
    Decision::Accept(Record { at, event }, answer)
}

impl Partition {
    /// Says what `command` would do at `now`. Looks, never changes anything.
    #[must_use]
    pub fn decide(&self, now: Time, command: &Command) -> Decision {
        self.decided(now.max(self.time), command).unwrap_or_else(Decision::Refuse)
    }

    /// The same, for a `now` that is not before the last event.
    pub(super) fn decided(&self, now: Time, command: &Command) -> Result<Decision, Refusal> {
        if self.due(now).is_some() {
            return Ok(Decision::Overdue);
        }
        match command {
            Command::PlaceOrder(place) => self.place_order(now, place),
            Command::CancelOrder { order, by } => self.cancel_order(now, *order, by),
            Command::ConfirmOrder { order } => self.confirm_order(now, *order),
            Command::CreateProduct { sku, name, price, on_hand, key } => {
                self.create_product(now, sku, name, *price, *on_hand, *key)
            }
            Command::AdjustStock { sku, delta, reason, key } => self.adjust_stock(now, sku, *delta, reason, *key),
            Command::SetSale { sku, terms } => self.set_sale(now, sku, terms),
            Command::DeleteSale { sku } => self.delete_sale(now, sku),
            Command::AcceptParts { order, parts } => self.accept_parts(now, *order, parts),
            Command::RefuseParts { order, .. } => self.refuse_parts(now, *order),
            Command::HoldPart(part) => self.hold_part(now, part),
            Command::ReleasePart { order } => self.release_part(now, *order),
            Command::ConfirmPart { order } => self.confirm_part(now, *order),
            Command::StartPayment { order, by, method, key, nonce } => {
                self.start_payment(now, *order, by, *method, *key, *nonce)
            }
            Command::ReportReturn { order, attempt, nonce, proof } => {
                self.report_return(now, *order, *attempt, *nonce, proof.as_ref())
            }
            Command::Report { order, step, seen, report } => self.report(now, *order, *step, *seen, report),
            Command::RequestRefund { order, refund } => self.request_refund(now, *order, refund),
            Command::Operate { order, step, act, by, reason } => self.operate(now, *order, *step, act, by, reason),
            Command::RestockPart { order, refund, lines } => self.restock_part(now, *order, *refund, lines),
            Command::RecallOrder(recalled) => self.recall_order(now, recalled),
            Command::Tick => Ok(Decision::Repeat(Answer::Done)),
            Command::Forget { stored, ended_by } => Ok(self.forget(now, *stored, *ended_by)),
        }
    }

    /// The end of the hold whose deadline has come; the earliest of them.
    pub(super) fn overdue(&self, now: Time) -> Option<Event> {
        let order = self.due(now)?;
        let ended = self.end_of(order);
        Some(match order.status {
            OrderStatus::Opening => Event::OrderRefused(ended),
            _ => Event::OrderExpired(ended),
        })
    }

    /// The order that holds units and whose deadline has come; the earliest of them.
    pub(super) fn due(&self, now: Time) -> Option<&Order> {
        let Reverse(hold) = self.deadlines.peek()?;
        if hold.0 > now { None } else { holder(&self.orders, hold) }
    }

    fn place_order(&self, now: Time, place: &PlaceOrder) -> Result<Decision, Refusal> {
        if let Some(used) = self.find_key(&place.key.key) {
            return self.repeat_order(used, &place.key);
        }
        if self.place_of(place.id).is_some() || self.refused.contains_key(&place.id) {
            return Err(Refusal::OrderIdTaken);
        }
        let (lines, total) = self.price_lines(now, &place.customer, &place.lines)?;
        let deadline = now.plus_millis(place.hold_millis);
        let mut view = OrderView {
            id: place.id,
            customer: place.customer.clone(),
            status: OrderStatus::Held,
            lines: copied(&lines),
            total,
            placed_at: now,
            deadline,
            ended_at: None,
            payment: None,
            lsn: self.lsn.next(),
        };
        let (id, customer, key) = (place.id, place.customer.clone(), place.key);
        if place.parts.is_empty() {
            return Ok(accept(
                now,
                Event::OrderPlaced { id, customer, key, lines, total, deadline },
                Answer::Order(view),
            ));
        }
        view.status = OrderStatus::Opening;
        let parts = place.parts.clone();
        Ok(accept(now, Event::OrderOpened { id, customer, key, lines, parts, deadline }, Answer::Order(view)))
    }

    fn repeat_order(&self, used: KeyUse, key: &RequestKey) -> Result<Decision, Refusal> {
        let KeyUse::Order(at) = used else { return Err(Refusal::KeyReused) };
        let order = self.orders.get(at).filter(|order| order.key.request == key.request).ok_or(Refusal::KeyReused)?;
        if order.status == OrderStatus::Opening {
            return Err(Refusal::StillRunning);
        }
        Ok(Decision::Repeat(Answer::Order(self.view(order))))
    }

    /// What `lines` cost, if every one of them may be taken; all or nothing. Lines of the
    /// same product count together, though callers should have summed them.
    fn price_lines(
        &self,
        now: Time,
        customer: &CustomerId,
        lines: &[LineRequest],
    ) -> Result<(PricedLines, Won), Refusal> {
        let mut total = Won(0);
        let mut priced = PricedLines::with_capacity(lines.len());
        let summed = lines.is_sorted_by(|a, b| a.sku < b.sku);
        for (at, line) in lines.iter().enumerate() {
            let before = if summed { 0 } else { units_of(&line.sku, &lines[..at]) };
            let (unit_price, sale) = self.may_take(now, customer, line, before)?;
            let cost = unit_price.times(line.quantity).ok_or(Refusal::TotalTooLarge)?;
            total = total.plus(cost).ok_or(Refusal::TotalTooLarge)?;
            priced.push(PricedLine { sku: line.sku.clone(), quantity: line.quantity, unit_price, sale });
        }
        Ok((priced, total))
    }

    /// The unit price and the sale's number, if `customer` may take `line` now, besides
    /// `before` units of the same product in the same request.
    fn may_take(
        &self,
        now: Time,
        customer: &CustomerId,
        line: &LineRequest,
        before: u32,
    ) -> Result<(Won, u32), Refusal> {
        let product = self.require(&line.sku)?;
        let terms = match &product.sale {
            None => (product.price, 0),
            Some(sale) => {
                in_window(now, &line.sku, &sale.terms)?;
                within_limit(sale, customer, line, before)?;
                (sale.terms.price, sale.number)
            }
        };
        let available = product.stock.available().saturating_sub(u64::from(before));
        if available < u64::from(line.quantity) {
            return Err(Refusal::SoldOut { sku: line.sku.clone(), requested: line.quantity, available });
        }
        Ok(terms)
    }

    fn cancel_order(&self, now: Time, id: OrderId, by: &Requester) -> Result<Decision, Refusal> {
        let order = self.require_order(id, by)?;
        match order.status {
            OrderStatus::Held | OrderStatus::Paying => {
                let role = if *by == Requester::Admin { Role::Admin } else { Role::Customer };
                let view = self.ended_view(order, OrderStatus::Cancelled, now);
                Ok(accept(now, Event::OrderCancelled { ended: self.end_of(order), by: role }, Answer::Order(view)))
            }
            OrderStatus::Cancelled => Ok(Decision::Repeat(Answer::Order(self.view(order)))),
            status => Err(Refusal::WrongState { status }),
        }
    }

    fn confirm_order(&self, now: Time, id: OrderId) -> Result<Decision, Refusal> {
        let order = self.require_order(id, &Requester::Admin)?;
        match order.status {
            OrderStatus::Held => {
                let view = self.ended_view(order, OrderStatus::Confirmed, now);
                Ok(accept(now, Event::OrderConfirmed(self.end_of(order)), Answer::Order(view)))
            }
            OrderStatus::Confirmed => Ok(Decision::Repeat(Answer::Order(self.view(order)))),
            status => Err(Refusal::WrongState { status }),
        }
    }

    fn create_product(
        &self,
        now: Time,
        sku: &Sku,
        name: &CompactString,
        price: Won,
        on_hand: u64,
        key: Option<RequestKey>,
    ) -> Result<Decision, Refusal> {
        if let Some(repeat) = key.and_then(|key| self.repeat_product(sku, &key)) {
            return repeat;
        }
        if self.find(sku).is_some() {
            return Err(Refusal::ProductExists { sku: sku.clone() });
        }
        if on_hand > MAX_UNITS {
            return Err(Refusal::StockOutOfRange { sku: sku.clone(), on_hand: 0, held: 0 });
        }
        let stock = Stock { supplied: on_hand, held: 0, sold: 0 };
        let view = ProductView { sku: sku.clone(), name: name.clone(), price, stock, sale: None };
        let event = Event::ProductCreated { sku: sku.clone(), name: name.clone(), price, on_hand, key };
        Ok(accept(now, event, Answer::Product(view)))
    }

    fn adjust_stock(
        &self,
        now: Time,
        sku: &Sku,
        delta: i64,
        reason: &CompactString,
        key: RequestKey,
    ) -> Result<Decision, Refusal> {
        if let Some(repeat) = self.repeat_product(sku, &key) {
            return repeat;
        }
        let product = self.require(sku)?;
        let stock = product.stock;
        let out_of_range = || Refusal::StockOutOfRange { sku: sku.clone(), on_hand: stock.on_hand(), held: stock.held };
        let supplied = stock.supplied.checked_add_signed(delta).ok_or_else(out_of_range)?;
        if supplied > MAX_UNITS || supplied < stock.sold + stock.held {
            return Err(out_of_range());
        }
        let view = ProductView { stock: Stock { supplied, ..stock }, ..product.view() };
        let event = Event::StockAdjusted { sku: sku.clone(), delta, reason: reason.clone(), key };
        Ok(accept(now, event, Answer::Product(view)))
    }

    /// The earlier answer to a product's or an adjustment's key: the stock as it was then.
    fn repeat_product(&self, sku: &Sku, key: &RequestKey) -> Option<Result<Decision, Refusal>> {
        let used = self.find_key(&key.key)?;
        let known = match used {
            KeyUse::Order(_) => None,
            KeyUse::Product(at) => self.product_keys.get(at).filter(|known| known.key == *key),
        };
        let product = known.map(|known| (&self.products[known.product as usize], known.stock));
        Some(match product {
            Some((product, stock)) if product.sku == *sku => {
                Ok(Decision::Repeat(Answer::Product(ProductView { stock, ..product.view() })))
            }
            _ => Err(Refusal::KeyReused),
        })
    }

    fn set_sale(&self, now: Time, sku: &Sku, terms: &SaleTerms) -> Result<Decision, Refusal> {
        let product = self.require(sku)?;
        let view = ProductView { sale: Some(*terms), ..product.view() };
        let number = match &product.sale {
            Some(sale) if sale.terms == *terms => return Ok(Decision::Repeat(Answer::Product(view))),
            Some(sale) => sale.number,
            None => self.sales + 1,
        };
        Ok(accept(now, Event::SaleSet { sku: sku.clone(), terms: *terms, number }, Answer::Product(view)))
    }

    fn delete_sale(&self, now: Time, sku: &Sku) -> Result<Decision, Refusal> {
        let product = self.require(sku)?;
        if product.sale.is_none() {
            return Err(Refusal::NoSale { sku: sku.clone() });
        }
        let view = ProductView { sale: None, ..product.view() };
        Ok(accept(now, Event::SaleDeleted { sku: sku.clone() }, Answer::Product(view)))
    }

    fn accept_parts(
        &self,
        now: Time,
        id: OrderId,
        parts: &[(PartitionId, Vec<PricedLine>)],
    ) -> Result<Decision, Refusal> {
        let order = self.find_order(id).ok_or(Refusal::UnknownOrder { order: id })?;
        match order.status {
            OrderStatus::Opening => {}
            OrderStatus::Held | OrderStatus::Paying | OrderStatus::Approving => {
                return Ok(Decision::Repeat(Answer::Order(self.view(order))));
            }
            status => return Err(Refusal::WrongState { status }),
        }
        let holds = |asked: &PartitionId| parts.iter().any(|(partition, _)| partition == asked);
        if parts.len() != order.asked().len() || !order.asked().iter().all(holds) {
            return Err(Refusal::WrongState { status: order.status });
        }
        let mut view = self.view(order);
        view.lines.extend(parts.iter().flat_map(|(_, lines)| lines.iter().cloned()));
        view.lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        view.status = OrderStatus::Held;
        view.lsn = self.lsn.next();
        view.total = total_of(&view.lines).ok_or(Refusal::TotalTooLarge)?;
        let event = Event::BasketPlaced { id, parts: parts.to_vec(), total: view.total };
        Ok(accept(now, event, Answer::Order(view)))
    }

    fn refuse_parts(&self, now: Time, id: OrderId) -> Result<Decision, Refusal> {
        let order = self.find_order(id).ok_or(Refusal::UnknownOrder { order: id })?;
        match order.status {
            OrderStatus::Opening => Ok(accept(now, Event::OrderRefused(self.end_of(order)), Answer::Done)),
            status => Err(Refusal::WrongState { status }),
        }
    }

    fn hold_part(&self, now: Time, part: &PartHold) -> Result<Decision, Refusal> {
        if let Some(known) = self.parts.get(&part.order) {
            return match known.status {
                PartStatus::Held => Ok(Decision::Repeat(Answer::Part(self.priced(&known.lines).collect()))),
                PartStatus::Confirmed | PartStatus::Released => Err(Refusal::PartEnded),
            };
        }
        if now >= part.deadline {
            return Err(Refusal::DeadlineBeforePlaced);
        }
        let (lines, _) = self.price_lines(now, &part.customer, &part.lines)?;
        let lines = lines.into_vec();
        let event = Event::PartHeld { order: part.order, customer: part.customer.clone(), lines: lines.clone() };
        Ok(accept(now, event, Answer::Part(lines)))
    }

    fn release_part(&self, now: Time, order: OrderId) -> Result<Decision, Refusal> {
        match self.parts.get(&order) {
            None => Ok(accept(now, Event::PartReleased { order, lines: Lines::new() }, Answer::Done)),
            Some(part) => match part.status {
                PartStatus::Held => {
                    let lines = self.units(&part.lines);
                    Ok(accept(now, Event::PartReleased { order, lines }, Answer::Done))
                }
                PartStatus::Released => Ok(Decision::Repeat(Answer::Done)),
                PartStatus::Confirmed => Err(Refusal::PartEnded),
            },
        }
    }

    fn confirm_part(&self, now: Time, order: OrderId) -> Result<Decision, Refusal> {
        let part = self.parts.get(&order).ok_or(Refusal::UnknownOrder { order })?;
        match part.status {
            PartStatus::Held => {
                let lines = self.units(&part.lines);
                Ok(accept(now, Event::PartConfirmed { order, lines }, Answer::Done))
            }
            PartStatus::Confirmed => Ok(Decision::Repeat(Answer::Done)),
            PartStatus::Released => Err(Refusal::PartEnded),
        }
    }

    fn forget(&self, now: Time, stored: Lsn, ended_by: Time) -> Decision {
        match self.forgettable(stored, ended_by).last() {
            Some((_, through, _)) => accept(now, Event::Forgotten { through: *through }, Answer::Done),
            None => Decision::Repeat(Answer::Done),
        }
    }

    fn forgettable(&self, stored: Lsn, ended_by: Time) -> impl Iterator<Item = &(Time, Lsn, Gone)> {
        self.ended.iter().take(FORGET_AT_ONCE).take_while(move |(at, lsn, _)| *at <= ended_by && *lsn <= stored)
    }

    /// The keys that [`Command::Forget`] would forget now.
    pub fn forgettable_keys(&self, stored: Lsn, ended_by: Time) -> Vec<[u8; 16]> {
        let keys = self.forgettable(stored, ended_by).filter_map(|(_, lsn, gone)| match gone {
            Gone::Order(id) => self.find_order(*id).filter(|order| order.lsn == *lsn).map(|order| order.key.key),
            Gone::Key(key) => Some(*key),
            Gone::Part(_) | Gone::Refused(_) | Gone::Restocked(..) => None,
        });
        keys.collect()
    }

    fn require(&self, sku: &Sku) -> Result<&Product, Refusal> {
        let at = self.find(sku).ok_or_else(|| Refusal::UnknownProduct { sku: sku.clone() })?;
        Ok(&self.products[at as usize])
    }

    pub(super) fn require_order(&self, id: OrderId, by: &Requester) -> Result<&Order, Refusal> {
        self.find_order(id)
            .filter(|order| order.status != OrderStatus::Opening && by.may_see(&order.customer))
            .ok_or(Refusal::UnknownOrder { order: id })
    }

    pub(super) fn end_of(&self, order: &Order) -> Ended {
        Ended { id: order.id, lines: self.units(&order.lines), parts: order.asked().to_vec() }
    }

    fn units(&self, lines: &[Line]) -> Lines {
        lines
            .iter()
            .map(|line| LineRequest { sku: self.products[line.product as usize].sku.clone(), quantity: line.quantity })
            .collect()
    }

    fn ended_view(&self, order: &Order, status: OrderStatus, now: Time) -> OrderView {
        OrderView { status, ended_at: Some(now), lsn: self.lsn.next(), ..self.view(order) }
    }
}

fn in_window(now: Time, sku: &Sku, terms: &SaleTerms) -> Result<(), Refusal> {
    if now < terms.opens_at {
        return Err(Refusal::SaleNotOpen { sku: sku.clone(), opens_at: terms.opens_at });
    }
    if now >= terms.closes_at {
        return Err(Refusal::SaleOver { sku: sku.clone(), closed_at: terms.closes_at });
    }
    Ok(())
}

fn within_limit(sale: &Sale, customer: &CustomerId, line: &LineRequest, before: u32) -> Result<(), Refusal> {
    let (limit, requested) = (sale.terms.per_customer_limit, line.quantity);
    let taken = sale.taken.by(customer).saturating_add(before);
    // A sum that does not fit is above every limit.
    if taken.checked_add(requested).is_none_or(|units| units > limit) {
        return Err(Refusal::LimitReached { sku: line.sku.clone(), requested, taken, limit });
    }
    Ok(())
}

fn units_of(sku: &Sku, lines: &[LineRequest]) -> u32 {
    let same = lines.iter().filter(|line| line.sku == *sku);
    same.fold(0, |sum, line| sum.saturating_add(line.quantity))
}

/// The order of `hold`, if it still holds units until that deadline.
pub(super) fn holder<'a>(orders: &'a Arena<Order>, hold: &(Time, OrderId, u32)) -> Option<&'a Order> {
    let (deadline, id, at) = *hold;
    orders.get(at).filter(|order| order.id == id && order.deadline == deadline && order.status.has_deadline())
}

/// A copy; most orders have one line, and it needs no loop.
fn copied(lines: &PricedLines) -> PricedLines {
    match &lines[..] {
        [line] => PricedLines::from_buf([line.clone()]),
        _ => lines.clone(),
    }
}

fn total_of(lines: &[PricedLine]) -> Option<Won> {
    lines.iter().try_fold(Won(0), |sum, line| sum.plus(line.unit_price.times(line.quantity)?))
}
