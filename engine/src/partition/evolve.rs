//! What happened: one small function for each event. Changes, and never refuses.
//!
//! An event that does not fit the state cannot come from this partition's own journal
//! (its frames are chained); it is passed over rather than half applied, and
//! [`crate::invariants`] tells.

use super::{Ended as Gone, KeyUse, Partition};
use crate::Lsn;
use crate::event::{Ended, Event, Record};
use crate::ids::{CustomerId, OrderId, RequestKey};
use crate::map::{Map, hasher};
use crate::money::Won;
use crate::order::{Line, Order, OrderStatus, Part, PartStatus, PricedLine};
use crate::product::{Product, Sale, SaleTerms, Stock};
use crate::time::Time;
use smallvec::SmallVec;
use std::cmp::Reverse;

type InnerLines = SmallVec<[Line; 1]>;

/// Where the units of an ended hold go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Units {
    Back,
    Sold,
}

impl Partition {
    /// Applies what happened. Never refuses.
    pub fn evolve(&mut self, record: &Record) {
        self.lsn = self.lsn.next();
        self.time = record.at;
        match &record.event {
            Event::OrderPlaced { id, customer, key, lines, total, deadline } => {
                let lines = self.take(customer, lines);
                let order = self.new_order(*id, customer, *key, lines, *deadline);
                self.insert_order(Order { total: *total, status: OrderStatus::Held, ..order });
            }
            Event::OrderOpened { id, customer, key, lines, parts, deadline } => {
                let lines = self.take(customer, lines);
                let asked = parts.iter().map(|part| part.partition).collect();
                let order = self.new_order(*id, customer, *key, lines, *deadline);
                self.insert_order(Order { asked, ..order });
            }
            Event::BasketPlaced { id, parts, total } => {
                let lsn = self.lsn;
                if let Some(order) = self.order_mut(*id) {
                    order.part_lines = parts.iter().flat_map(|(_, lines)| lines.iter().cloned()).collect();
                    order.total = *total;
                    order.status = OrderStatus::Held;
                    order.lsn = lsn;
                }
            }
            Event::OrderRefused(ended) => self.forget_refused(ended),
            Event::OrderConfirmed(ended) => self.end_order(ended, OrderStatus::Confirmed, Units::Sold),
            Event::OrderCancelled { ended, .. } => self.end_order(ended, OrderStatus::Cancelled, Units::Back),
            Event::OrderExpired(ended) => self.end_order(ended, OrderStatus::Expired, Units::Back),
            Event::PartHeld { order, customer, lines } => {
                let lines = self.take(customer, lines);
                let part = Part { customer: Some(customer.clone()), lines, status: PartStatus::Held };
                self.parts.insert(*order, part);
            }
            Event::PartReleased { order, .. } => self.end_part(*order, PartStatus::Released, Units::Back),
            Event::PartConfirmed { order, .. } => self.end_part(*order, PartStatus::Confirmed, Units::Sold),
            Event::ProductCreated { sku, name, price, on_hand, key } => {
                let stock = Stock { supplied: *on_hand, held: 0, sold: 0 };
                self.insert_product(Product { sku: sku.clone(), name: name.clone(), price: *price, stock, sale: None });
                if let Some(key) = key {
                    self.use_key(*key, self.products.len() - 1, stock);
                }
            }
            Event::StockAdjusted { sku, delta, key, .. } => {
                if let Some(product) = self.find(sku) {
                    let stock = &mut self.products[product as usize].stock;
                    stock.supplied = stock.supplied.saturating_add_signed(*delta);
                    let stock = *stock;
                    self.use_key(*key, product as usize, stock);
                }
            }
            Event::SaleSet { sku, terms, number } => {
                if let Some(product) = self.find(sku) {
                    self.set(product, *terms, *number);
                }
            }
            Event::SaleDeleted { sku } => {
                if let Some(product) = self.find(sku) {
                    self.products[product as usize].sale = None;
                }
            }
            Event::Forgotten { through } => self.forget_through(*through),
        }
    }

    fn new_order(
        &self,
        id: OrderId,
        customer: &CustomerId,
        key: RequestKey,
        lines: InnerLines,
        deadline: Time,
    ) -> Order {
        Order {
            id,
            customer: customer.clone(),
            key,
            lines,
            asked: Vec::new(),
            part_lines: Vec::new(),
            total: Won(0),
            status: OrderStatus::Opening,
            placed_at: self.time,
            deadline,
            ended_at: Time(0),
            lsn: self.lsn,
        }
    }

    pub(super) fn insert_order(&mut self, order: Order) {
        let (id, key, deadline, holds) = (order.id, order.key.key, order.deadline, order.status.holds_units());
        let at = self.orders.insert(order);
        self.by_id.insert(id, at);
        self.keys.insert(key, KeyUse::Order(at));
        if holds {
            self.deadlines.push(Reverse((deadline, id)));
        }
    }

    pub(super) fn insert_product(&mut self, product: Product) {
        #[expect(clippy::cast_possible_truncation, reason = "4 billion products do not fit the memory")]
        let at = self.products.len() as u32;
        self.by_sku.insert(product.sku.clone(), at);
        self.sorted.insert(product.sku.clone(), at);
        self.products.push(product);
    }

    fn order_mut(&mut self, id: OrderId) -> Option<&mut Order> {
        self.orders.get_mut(*self.by_id.get(&id)?)
    }

    /// Moves the units of `lines` from available to held and counts them in their sale.
    fn take(&mut self, customer: &CustomerId, lines: &[PricedLine]) -> InnerLines {
        let mut taken = InnerLines::with_capacity(lines.len());
        for line in lines {
            let Some(at) = self.find(&line.sku) else { continue };
            let product = &mut self.products[at as usize];
            product.stock.held += u64::from(line.quantity);
            if let Some(sale) = product.sale.as_mut().filter(|sale| sale.number == line.sale) {
                *sale.taken.entry(customer.clone()).or_insert(0) += line.quantity;
            }
            taken.push(Line { product: at, quantity: line.quantity, unit_price: line.unit_price, sale: line.sale });
        }
        taken
    }

    /// Moves the units of `lines` out of held. Units that go back no longer count in their sale.
    fn move_units(&mut self, customer: &CustomerId, lines: &[Line], to: Units) {
        for line in lines {
            let product = &mut self.products[line.product as usize];
            let units = u64::from(line.quantity);
            product.stock.held -= units;
            if to == Units::Sold {
                product.stock.sold += units;
                continue;
            }
            let Some(sale) = product.sale.as_mut().filter(|sale| sale.number == line.sale) else { continue };
            if let Some(taken) = sale.taken.get_mut(customer) {
                *taken = taken.saturating_sub(line.quantity);
                if *taken == 0 {
                    sale.taken.remove(customer);
                }
            }
        }
    }

    fn end_order(&mut self, ended: &Ended, status: OrderStatus, to: Units) {
        let (now, lsn) = (self.time, self.lsn);
        let Some(order) = self.order_mut(ended.id) else { return };
        order.status = status;
        order.ended_at = now;
        order.lsn = lsn;
        let (customer, lines) = (order.customer.clone(), order.lines.clone());
        self.move_units(&customer, &lines, to);
        self.ended.push_back((now, lsn, Gone::Order(ended.id)));
        self.drop_ended_deadlines();
    }

    fn forget_refused(&mut self, ended: &Ended) {
        if let Some(order) = self.remove_order(ended.id) {
            self.move_units(&order.customer, &order.lines, Units::Back);
        }
        self.drop_ended_deadlines();
    }

    fn end_part(&mut self, id: OrderId, status: PartStatus, to: Units) {
        let part = self.parts.entry(id).or_insert(Part { customer: None, lines: InnerLines::new(), status });
        part.status = status;
        let (customer, lines) = (part.customer.clone(), part.lines.clone());
        if let Some(customer) = customer {
            self.move_units(&customer, &lines, to);
        }
        self.ended.push_back((self.time, self.lsn, Gone::Part(id)));
    }

    /// Keeps the promise that the earliest deadline belongs to an order that holds units.
    fn drop_ended_deadlines(&mut self) {
        while let Some(Reverse((_, id))) = self.deadlines.peek() {
            if self.find_order(*id).is_some_and(|order| order.status.holds_units()) {
                return;
            }
            self.deadlines.pop();
        }
    }

    fn use_key(&mut self, key: RequestKey, product: usize, stock: Stock) {
        #[expect(clippy::cast_possible_truncation, reason = "an index of `products`, which counts in u32")]
        let product = product as u32;
        self.keys.insert(key.key, KeyUse::Product { request: key.request, product, stock });
        self.ended.push_back((self.time, self.lsn, Gone::Key(key.key)));
    }

    fn set(&mut self, product: u32, terms: SaleTerms, number: u32) {
        self.sales = self.sales.max(number);
        let seed = self.seed;
        let sale = &mut self.products[product as usize].sale;
        match sale {
            Some(sale) if sale.number == number => sale.terms = terms,
            _ => *sale = Some(Box::new(Sale { number, terms, taken: Map::with_hasher(hasher(seed)) })),
        }
    }

    fn remove_order(&mut self, id: OrderId) -> Option<Order> {
        let order = self.orders.remove(self.by_id.remove(&id)?)?;
        self.keys.remove(&order.key.key);
        Some(order)
    }

    fn forget_through(&mut self, through: Lsn) {
        while let Some((_, _, gone)) = self.ended.pop_front_if(|(_, lsn, _)| *lsn <= through) {
            match gone {
                Gone::Order(id) => drop(self.remove_order(id)),
                Gone::Part(id) => drop(self.parts.remove(&id)),
                Gone::Key(key) => drop(self.keys.remove(&key)),
            }
        }
    }
}
