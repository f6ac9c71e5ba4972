//! What a batch of events means for the tables: pure, and the same for every dialect.
//!
//! Events of one batch about the same thing are folded into one row or one change: stock
//! moves once for each product, and an order that was placed and ended inside the batch
//! is inserted as it stands at the end. Nothing is read from the database for it: events
//! are self-contained.
//!
//! This module must never drop an event's effect and never talk to a database.

use super::paying::{Paying, PaymentPlan};
use super::rows::{
    Adjustment, HeldChange, NewOrder, NewProduct, OrderEnd, OrderLine, OrderMoved, OrderTouched, PartEnd, PartLine,
    Placed, Sale, StockChange, TimelineRow,
};
use super::{Batch, StoreError};
use son7shop_engine::{
    CustomerId, Ended, Event, LineRequest, Lsn, OrderId, OrderStatus, PartStatus, PartitionId, PricedLine, Role,
    SaleTerms, Sku, Time, Won,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The rows and changes of one batch.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub products: Vec<NewProduct<'a>>,
    /// Products of which only holds moved.
    pub held: Vec<HeldChange<'a>>,
    /// Products of which anything else moved too.
    pub stock: Vec<StockChange<'a>>,
    pub adjustments: Vec<Adjustment<'a>>,
    /// Sales of earlier batches that were deleted; before `sales`.
    pub deleted_sales: Vec<(&'a Sku, Time)>,
    pub sales: Vec<Sale<'a>>,
    pub orders: Vec<NewOrder<'a>>,
    pub lines: Vec<OrderLine<'a>>,
    /// Baskets opened by earlier batches and placed in this one; before `ended`.
    pub placed: Vec<Placed>,
    // An order of an earlier batch is in one of these three at most.
    /// Orders that ended.
    pub ended: Vec<OrderEnd>,
    /// Orders that stand elsewhere without having ended now.
    pub moved: Vec<OrderMoved>,
    /// Orders that something happened to which left them where they stand.
    pub touched: Vec<OrderTouched>,
    /// Baskets opened by earlier batches and refused in this one.
    pub refused: Vec<OrderId>,
    pub part_lines: Vec<PartLine<'a>>,
    /// Parts of earlier batches that ended.
    pub ended_parts: Vec<PartEnd>,
    pub payments: PaymentPlan<'a>,
    pub timeline: Vec<TimelineRow>,
    /// When the last event was.
    pub last_event_at: Option<Time>,
}

impl<'a> Plan<'a> {
    /// Works out what `batch` means.
    ///
    /// # Errors
    /// [`StoreError::BadBatch`] for a number that no event may carry.
    pub(super) fn new(batch: &Batch<'a>) -> Result<Self, StoreError> {
        let mut planner = Planner::new(batch.partition);
        let mut lsn = batch.first_lsn();
        for record in batch.records {
            planner.take(record.at, lsn, &record.event)?;
            lsn = lsn.next();
        }
        let mut plan = planner.finish();
        plan.last_event_at = batch.records.last().map(|record| record.at);
        Ok(plan)
    }
}

/// Units moved of one product.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub supplied: i64,
    pub held: i64,
    pub sold: i64,
}

/// What the batch did to an order of an earlier one.
struct OrderNews {
    id: OrderId,
    status: Option<OrderStatus>,
    ended_at: Option<Time>,
    lsn: Lsn,
}

/// A plan in the making, with what is needed to find its rows again.
pub(super) struct Planner<'a> {
    pub partition: PartitionId,
    pub plan: Plan<'a>,
    pub paying: Paying<'a>,
    moved: BTreeMap<&'a Sku, Moved>,
    created: HashMap<&'a Sku, usize>,
    sale_of: HashMap<&'a Sku, usize>,
    orders: HashMap<OrderId, usize>,
    /// Orders opened and refused inside the batch: their rows are dropped at the end.
    unmade: HashSet<OrderId>,
    parts: HashMap<OrderId, std::ops::Range<usize>>,
    news: Vec<OrderNews>,
    news_of: HashMap<OrderId, usize>,
}

impl<'a> Planner<'a> {
    fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            plan: Plan::default(),
            paying: Paying::default(),
            moved: BTreeMap::new(),
            created: HashMap::new(),
            sale_of: HashMap::new(),
            orders: HashMap::new(),
            unmade: HashSet::new(),
            parts: HashMap::new(),
            news: Vec::new(),
            news_of: HashMap::new(),
        }
    }

    pub(super) fn take(&mut self, at: Time, lsn: Lsn, event: &'a Event) -> Result<(), StoreError> {
        match event {
            Event::ProductCreated { sku, name, price, on_hand, .. } => self.product(at, sku, name, *price, *on_hand)?,
            Event::StockAdjusted { sku, delta, reason, .. } => self.adjust(at, lsn, sku, *delta, reason),
            Event::SaleSet { sku, terms, number } => self.set_sale(at, sku, *terms, *number),
            Event::SaleDeleted { sku } => self.delete_sale(at, sku),
            Event::OrderPlaced { id, customer, lines, total, deadline, .. } => {
                let order = NewOrder::new(*id, self.partition, customer, (at, lsn), *deadline);
                self.order(NewOrder { status: OrderStatus::Held, total: *total, ..order }, lines);
                self.note(*id, at, lsn, "placed", None);
            }
            Event::OrderOpened { id, customer, lines, deadline, .. } => {
                self.order(NewOrder::new(*id, self.partition, customer, (at, lsn), *deadline), lines);
                self.note(*id, at, lsn, "opened", None);
            }
            Event::BasketPlaced { id, parts, total } => self.place_basket(at, lsn, *id, parts, *total),
            Event::OrderRefused(ended) => self.refuse(at, lsn, ended),
            Event::OrderConfirmed(ended) => self.end(at, lsn, ended, OrderStatus::Confirmed, None),
            Event::OrderCancelled { ended, by } => {
                let by = match by {
                    Role::Customer => "by the customer",
                    Role::Admin => "by an admin",
                };
                self.end(at, lsn, ended, OrderStatus::Cancelled, Some(by));
            }
            Event::OrderExpired(ended) => self.end(at, lsn, ended, OrderStatus::Expired, None),
            Event::PartHeld { order, customer, lines } => self.hold_part(at, lsn, *order, customer, lines),
            Event::PartReleased { order, lines } => self.end_part(at, lsn, *order, lines, PartStatus::Released),
            Event::PartConfirmed { order, lines } => self.end_part(at, lsn, *order, lines, PartStatus::Confirmed),
            // What the owner forgets, the database keeps.
            Event::Forgotten { .. } => {}
            payment => self.payment(at, lsn, payment)?,
        }
        Ok(())
    }

    fn product(&mut self, at: Time, sku: &'a Sku, name: &'a str, price: Won, on_hand: u64) -> Result<(), StoreError> {
        let supplied = i64::try_from(on_hand).map_err(|_| StoreError::BadBatch("more units than can be counted"))?;
        self.created.insert(sku, self.plan.products.len());
        let partition = self.partition;
        self.plan.products.push(NewProduct { sku, partition, name, price, supplied, held: 0, sold: 0, at });
        Ok(())
    }

    fn adjust(&mut self, at: Time, lsn: Lsn, sku: &'a Sku, delta: i64, reason: &'a str) {
        self.units(sku, Moved { supplied: delta, ..Moved::default() });
        self.plan.adjustments.push(Adjustment { partition: self.partition, lsn, sku, delta, reason, at });
    }

    fn set_sale(&mut self, at: Time, sku: &'a Sku, terms: SaleTerms, number: u32) {
        let sale = Sale { sku, number, terms, changed_at: at, deleted_at: None };
        if let Some(&known) = self.sale_of.get(sku)
            && self.plan.sales[known].number == number
        {
            self.plan.sales[known] = sale;
            return;
        }
        self.sale_of.insert(sku, self.plan.sales.len());
        self.plan.sales.push(sale);
    }

    fn delete_sale(&mut self, at: Time, sku: &'a Sku) {
        match self.sale_of.remove(sku) {
            Some(known) => self.plan.sales[known].deleted_at = Some(at),
            None => self.plan.deleted_sales.push((sku, at)),
        }
    }

    fn order(&mut self, order: NewOrder<'a>, lines: &'a [PricedLine]) {
        self.orders.insert(order.id, self.plan.orders.len());
        for line in lines {
            self.units(&line.sku, Moved { held: i64::from(line.quantity), ..Moved::default() });
            self.plan.lines.push(OrderLine { order: order.id, line });
        }
        self.plan.orders.push(order);
    }

    fn place_basket(
        &mut self,
        at: Time,
        lsn: Lsn,
        id: OrderId,
        parts: &'a [(PartitionId, Vec<PricedLine>)],
        total: Won,
    ) {
        let lines = parts.iter().flat_map(|(_, lines)| lines);
        self.plan.lines.extend(lines.map(|line| OrderLine { order: id, line }));
        match self.orders.get(&id) {
            Some(&known) => {
                let order = &mut self.plan.orders[known];
                (order.status, order.total, order.lsn) = (OrderStatus::Held, total, lsn);
            }
            None => self.plan.placed.push(Placed { id, total, lsn }),
        }
        self.note(id, at, lsn, "placed", None);
    }

    fn refuse(&mut self, at: Time, lsn: Lsn, ended: &'a Ended) {
        self.give_back(&ended.lines);
        if self.orders.contains_key(&ended.id) {
            self.unmade.insert(ended.id);
        } else {
            self.plan.refused.push(ended.id);
        }
        self.note(ended.id, at, lsn, "refused", None);
    }

    fn end(&mut self, at: Time, lsn: Lsn, ended: &'a Ended, status: OrderStatus, detail: Option<&'static str>) {
        if status == OrderStatus::Confirmed {
            self.sell(&ended.lines);
        } else {
            self.give_back(&ended.lines);
        }
        let new = self.orders.contains_key(&ended.id);
        self.paying.close(ended.id, new, (at, lsn));
        self.end_order(ended.id, status, at, lsn);
        self.note(ended.id, at, lsn, status.as_str(), detail);
    }

    /// The order ends, and stands there.
    pub(super) fn end_order(&mut self, id: OrderId, status: OrderStatus, at: Time, lsn: Lsn) {
        self.change_order(id, Some(status), Some(at), lsn);
    }

    /// The order stands elsewhere.
    pub(super) fn move_order(&mut self, id: OrderId, status: OrderStatus, lsn: Lsn) {
        self.change_order(id, Some(status), None, lsn);
    }

    /// Something happened to the order, and it stands where it stood.
    pub(super) fn touch_order(&mut self, id: OrderId, lsn: Lsn) {
        self.change_order(id, None, None, lsn);
    }

    fn change_order(&mut self, id: OrderId, status: Option<OrderStatus>, ended_at: Option<Time>, lsn: Lsn) {
        if let Some(&known) = self.orders.get(&id) {
            let order = &mut self.plan.orders[known];
            (order.status, order.ended_at) = (status.unwrap_or(order.status), ended_at.or(order.ended_at));
            order.lsn = lsn;
            return;
        }
        let next = self.news.len();
        let known = *self.news_of.entry(id).or_insert(next);
        if known == next {
            self.news.push(OrderNews { id, status, ended_at, lsn });
        } else {
            let news = &mut self.news[known];
            (news.status, news.ended_at) = (status.or(news.status), ended_at.or(news.ended_at));
            news.lsn = lsn;
        }
    }

    fn hold_part(&mut self, at: Time, lsn: Lsn, order: OrderId, customer: &'a CustomerId, lines: &'a [PricedLine]) {
        let first = self.plan.part_lines.len();
        for line in lines {
            self.units(&line.sku, Moved { held: i64::from(line.quantity), ..Moved::default() });
            let partition = self.partition;
            self.plan.part_lines.push(PartLine {
                order,
                partition,
                customer,
                line,
                status: PartStatus::Held,
                held_at: at,
                ended_at: None,
            });
        }
        self.parts.insert(order, first..self.plan.part_lines.len());
        self.note(order, at, lsn, "part_held", None);
    }

    fn end_part(&mut self, at: Time, lsn: Lsn, order: OrderId, lines: &'a [LineRequest], status: PartStatus) {
        let event = if status == PartStatus::Confirmed {
            self.sell(lines);
            "part_confirmed"
        } else {
            self.give_back(lines);
            "part_released"
        };
        if let Some(known) = self.parts.remove(&order) {
            for line in &mut self.plan.part_lines[known] {
                (line.status, line.ended_at) = (status, Some(at));
            }
        } else if !lines.is_empty() {
            self.plan.ended_parts.push(PartEnd { order, status, ended_at: at, lines: lines.len() });
        }
        self.note(order, at, lsn, event, lines.is_empty().then_some("before it was asked for"));
    }

    fn give_back(&mut self, lines: &'a [LineRequest]) {
        for line in lines {
            self.units(&line.sku, Moved { held: -i64::from(line.quantity), ..Moved::default() });
        }
    }

    pub(super) fn sell(&mut self, lines: &'a [LineRequest]) {
        for line in lines {
            let units = i64::from(line.quantity);
            self.units(&line.sku, Moved { held: -units, sold: units, ..Moved::default() });
        }
    }

    pub(super) fn units(&mut self, sku: &'a Sku, by: Moved) {
        if let Some(&known) = self.created.get(sku) {
            let product = &mut self.plan.products[known];
            product.supplied += by.supplied;
            product.held += by.held;
            product.sold += by.sold;
            return;
        }
        let moved = self.moved.entry(sku).or_default();
        moved.supplied += by.supplied;
        moved.held += by.held;
        moved.sold += by.sold;
    }

    fn note(&mut self, order: OrderId, at: Time, lsn: Lsn, event: &'static str, detail: Option<&'static str>) {
        self.plan.timeline.push(TimelineRow { order, partition: self.partition, lsn, at, event, detail });
    }

    fn finish(self) -> Plan<'a> {
        let Self { mut plan, moved, unmade, news, paying, partition, .. } = self;
        for OrderNews { id, status, ended_at, lsn } in news {
            match (status, ended_at) {
                (Some(status), Some(ended_at)) => plan.ended.push(OrderEnd { id, status, ended_at, lsn }),
                (Some(status), None) => plan.moved.push(OrderMoved { id, status, lsn }),
                (None, _) => plan.touched.push(OrderTouched { id, lsn }),
            }
        }
        plan.payments = paying.finish(partition);
        if !unmade.is_empty() {
            plan.orders.retain(|order| !unmade.contains(&order.id));
            plan.lines.retain(|line| !unmade.contains(&line.order));
        }
        // Each by sku, so that every transaction takes its row locks in the same order.
        for (sku, moved) in moved {
            match moved {
                // What came back inside the batch moved nothing.
                Moved { supplied: 0, held: 0, sold: 0 } => {}
                Moved { supplied: 0, held, sold: 0 } => plan.held.push(HeldChange { sku, held }),
                Moved { supplied, held, sold } => plan.stock.push(StockChange { sku, supplied, held, sold }),
            }
        }
        plan
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use crate::{JournalId, Position};
    use son7shop_engine::Record;

    #[test]
    fn a_product_is_changed_once_by_the_smallest_statement_that_can() {
        let sku = |name| Sku::parse(name).unwrap();
        let hold = |name, quantity| Event::PartHeld {
            order: OrderId::from_bytes([0; 16]),
            customer: CustomerId::parse("c").unwrap(),
            lines: vec![PricedLine { sku: sku(name), quantity, unit_price: Won(1), sale: 0 }],
        };
        let units = |name, quantity| [LineRequest { sku: sku(name), quantity }].into_iter().collect();
        let end = |name, quantity| Ended {
            id: OrderId::from_bytes([1; 16]),
            lines: units(name, quantity),
            parts: Vec::new(),
        };
        let events = [
            hold("held", 2),
            hold("held", 1),
            hold("back", 3),
            Event::OrderExpired(end("back", 3)),
            hold("sold", 5),
            Event::OrderConfirmed(end("sold", 4)),
        ];
        let records = events.map(|event| Record { at: Time(0), event });
        let at = |lsn| Position { journal: JournalId([0; 16]), lsn: Lsn(lsn), chain: [0; 32] };
        let batch = Batch { partition: PartitionId(0), before: Some(at(1)), after: at(7), records: &records };
        let plan = Plan::new(&batch).unwrap();
        assert_eq!(plan.held, [HeldChange { sku: &sku("held"), held: 3 }]);
        assert_eq!(plan.stock, [StockChange { sku: &sku("sold"), supplied: 0, held: 1, sold: 4 }]);
    }
}
