//! What happened: one small function for each event. Changes, and never refuses.
//!
//! An event that does not fit the state cannot come from this partition's own journal.
//! Should one come all the same, nothing wraps and nothing panics: what does not fit is
//! passed over, its position is kept in [`Partition::misfit`], and [`crate::invariants`]
//! tells. Each function here returns whether its event fitted.

use super::decide::holder;
use super::{Gone, KeyUse, Partition, ProductKey, has_id, hash_key, leads_from};
use crate::arena::Arena;
use crate::event::{Ended, Event, Record};
use crate::ids::{CustomerId, OrderId, RequestKey, Sku};
use crate::index::Index;
use crate::money::Won;
use crate::order::{Elsewhere, Line, Order, OrderStatus, Part, PartStatus, PricedLine};
use crate::product::{Product, Sale, SaleTerms, Stock, Taken};
use crate::time::Time;
use crate::{Lsn, PartRequest, PartitionId};
use smallvec::SmallVec;
use std::cmp::Reverse;

type InnerLines = SmallVec<[Line; 1]>;

/// Where the units of an ended hold go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    Back,
    Sold,
    /// Sold units that are for sale again.
    Restocked,
}

impl Partition {
    /// Applies what happened. Never refuses.
    pub fn evolve(&mut self, record: &Record) {
        self.lsn = self.lsn.next();
        let in_order = record.at >= self.time;
        self.time = self.time.max(record.at);
        let fits = self.apply(&record.event);
        if !(fits && in_order) {
            self.misfit = self.misfit.or(Some(self.lsn));
        }
    }

    /// Applies `event` at the time and position that were set; whether it fitted.
    pub(super) fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::OrderPlaced { id, customer, key, lines, total, deadline } => {
                self.place(*id, customer, *key, lines, *total, *deadline)
            }
            Event::OrderOpened { id, customer, key, lines, parts, deadline } => {
                self.open(*id, customer, *key, lines, parts, *deadline)
            }
            Event::BasketPlaced { id, parts, total } => self.place_basket(*id, parts, *total),
            Event::OrderRefused(ended) => self.refuse(ended),
            Event::OrderConfirmed(ended) => self.end_order(ended, OrderStatus::Confirmed, Units::Sold),
            Event::OrderCancelled { ended, .. } => self.end_order(ended, OrderStatus::Cancelled, Units::Back),
            Event::OrderExpired(ended) => self.end_order(ended, OrderStatus::Expired, Units::Back),
            Event::PartHeld { order, customer, lines } => self.hold_units(*order, customer, lines),
            Event::PartReleased { order, lines } => {
                let never_held = lines.is_empty() && !self.parts.contains_key(order);
                if never_held {
                    self.bar_part(*order)
                } else {
                    self.end_part(*order, PartStatus::Released, Units::Back)
                }
            }
            Event::PartConfirmed { order, .. } => self.end_part(*order, PartStatus::Confirmed, Units::Sold),
            Event::ProductCreated { sku, name, price, on_hand, key } => {
                let stock = Stock { supplied: *on_hand, held: 0, sold: 0 };
                let product = Product { sku: sku.clone(), name: name.clone(), price: *price, stock, sale: None };
                self.insert_product(product) && key.is_none_or(|key| self.use_key(key, sku))
            }
            Event::StockAdjusted { sku, delta, key, .. } => self.adjust(sku, *delta) && self.use_key(*key, sku),
            Event::SaleSet { sku, terms, number } => self.begin_sale(sku, *terms, *number),
            Event::SaleDeleted { sku } => self.end_sale(sku),
            Event::Forgotten { through } => self.forget_through(*through),
            payment => self.evolve_payment(payment),
        }
    }

    fn place(
        &mut self,
        id: OrderId,
        customer: &CustomerId,
        key: RequestKey,
        lines: &[PricedLine],
        total: Won,
        deadline: Time,
    ) -> bool {
        let order = self.new_order(id, customer, key, deadline);
        let place = self.insert_order(Order { total, status: OrderStatus::Held, ..order });
        place.is_some_and(|at| self.take_for(at, customer, lines))
    }

    fn open(
        &mut self,
        id: OrderId,
        customer: &CustomerId,
        key: RequestKey,
        lines: &[PricedLine],
        parts: &[PartRequest],
        deadline: Time,
    ) -> bool {
        let asked = parts.iter().map(|part| part.partition).collect();
        let elsewhere = Some(Box::new(Elsewhere { asked, lines: Vec::new() }));
        let order = self.new_order(id, customer, key, deadline);
        let place = self.insert_order(Order { elsewhere, ..order });
        place.is_some_and(|at| self.take_for(at, customer, lines))
    }

    fn new_order(&self, id: OrderId, customer: &CustomerId, key: RequestKey, deadline: Time) -> Order {
        Order {
            id,
            customer: customer.clone(),
            key,
            lines: InnerLines::new(),
            elsewhere: None,
            total: Won(0),
            status: OrderStatus::Opening,
            placed_at: self.time,
            deadline,
            ended_at: Time(0),
            lsn: self.lsn,
        }
    }

    /// The order's place; `None`, and nothing changed, if its id or its key leads to another order.
    pub(super) fn insert_order(&mut self, order: Order) -> Option<u32> {
        let (id, key, deadline, holds) = (order.id, order.key.key, order.deadline, order.status.holds_units());
        let (open_lines, ticks) = (order.open_lines(), order.status.has_deadline());
        let at = self.orders.insert(order);
        let (orders, product_keys) = (&self.orders, &self.product_keys);
        let has_this_id = |place| place != at && has_id(orders, place, id);
        let use_place = KeyUse::Order(at).place();
        let has_key = |place| place != use_place && leads_from(orders, product_keys, KeyUse::at_place(place), &key);
        let id_hash = self.by_id.hash(id);
        let new_id = self.by_id.insert(id_hash, at, has_this_id);
        let new_key = new_id && self.keys.insert(hash_key(&self.keys, &key), use_place, has_key);
        if !new_key {
            if new_id {
                self.by_id.remove(id_hash, |place| place == at);
            }
            self.orders.remove(at);
            return None;
        }
        if holds {
            self.open_holds += 1;
            self.open_lines += open_lines;
        }
        // One that a snapshot brings back while it is approved has no deadline until it is thawed.
        if ticks {
            self.deadlines.push(Reverse((deadline, id, at)));
        }
        Some(at)
    }

    /// Takes the units of `lines` for the order at `place`.
    fn take_for(&mut self, place: u32, customer: &CustomerId, lines: &[PricedLine]) -> bool {
        let (lines, fits) = self.take(customer, lines);
        let Some(order) = self.orders.get_mut(place) else { return false };
        self.open_lines += lines.len();
        order.lines = lines;
        fits
    }

    fn place_basket(&mut self, id: OrderId, parts: &[(PartitionId, Vec<PricedLine>)], total: Won) -> bool {
        let lsn = self.lsn;
        let Some(order) = self.order_mut(id).filter(|order| order.status == OrderStatus::Opening) else {
            return false;
        };
        order.total = total;
        order.status = OrderStatus::Held;
        order.lsn = lsn;
        let Some(elsewhere) = &mut order.elsewhere else { return false };
        elsewhere.lines = parts.iter().flat_map(|(_, lines)| lines.iter().cloned()).collect();
        true
    }

    fn refuse(&mut self, ended: &Ended) -> bool {
        if self.find_order(ended.id).is_none_or(|order| order.status != OrderStatus::Opening) {
            return false;
        }
        let Some(order) = self.remove_order(ended.id) else { return false };
        self.open_holds -= 1;
        self.open_lines -= order.open_lines();
        let fits = move_units(&mut self.products, &order.customer, &order.lines, Units::Back);
        self.refused.insert(order.id, ());
        self.ended.push_back((self.time, self.lsn, Gone::Refused(order.id)));
        self.drop_ended_deadlines();
        fits
    }

    pub(super) fn end_order(&mut self, ended: &Ended, status: OrderStatus, to: Units) -> bool {
        let (now, lsn) = (self.time, self.lsn);
        let place = self.place_of(ended.id).and_then(|at| self.orders.get_mut(at));
        let holds = |order: &&mut Order| order.status.holds_units() && order.status != OrderStatus::Opening;
        let Some(order) = place.filter(holds) else { return false };
        order.status = status;
        order.ended_at = now;
        order.lsn = lsn;
        self.open_holds -= 1;
        self.open_lines -= order.open_lines();
        let fits = move_units(&mut self.products, &order.customer, &order.lines, to);
        self.close_payment(ended.id, status);
        self.over(ended.id);
        self.drop_ended_deadlines();
        fits
    }

    fn hold_units(&mut self, id: OrderId, customer: &CustomerId, lines: &[PricedLine]) -> bool {
        if self.parts.contains_key(&id) {
            return false;
        }
        let (lines, fits) = self.take(customer, lines);
        let part = Part { customer: Some(customer.clone()), lines, status: PartStatus::Held };
        self.insert_part(id, part);
        fits
    }

    pub(super) fn insert_part(&mut self, id: OrderId, part: Part) {
        if part.status == PartStatus::Held {
            self.open_holds += 1;
            self.open_lines += part.lines.len();
        }
        self.parts.insert(id, part);
    }

    /// Home ended a part before it was asked for: whoever asks for it late is refused.
    fn bar_part(&mut self, id: OrderId) -> bool {
        self.insert_part(id, Part { customer: None, lines: InnerLines::new(), status: PartStatus::Released });
        self.ended.push_back((self.time, self.lsn, Gone::Part(id)));
        true
    }

    fn end_part(&mut self, id: OrderId, status: PartStatus, to: Units) -> bool {
        let held = self.parts.get_mut(&id).filter(|part| part.status == PartStatus::Held);
        let Some(part) = held else { return false };
        part.status = status;
        self.open_holds -= 1;
        self.open_lines -= part.lines.len();
        let fits =
            part.customer.as_ref().is_some_and(|customer| move_units(&mut self.products, customer, &part.lines, to));
        self.ended.push_back((self.time, self.lsn, Gone::Part(id)));
        fits
    }

    /// False if the sku is taken; then nothing changes.
    pub(super) fn insert_product(&mut self, product: Product) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "4 billion products do not fit the memory")]
        let at = self.products.len() as u32;
        let (products, hash) = (&self.products, self.by_sku.hash(&product.sku));
        let new = self.by_sku.insert(hash, at, |at| products[at as usize].sku == product.sku);
        if new {
            self.sorted.insert(product.sku.clone(), at);
            self.products.push(product);
        }
        new
    }

    fn adjust(&mut self, sku: &Sku, delta: i64) -> bool {
        let Some(at) = self.find(sku) else { return false };
        let stock = &mut self.products[at as usize].stock;
        let supplied = stock.supplied.checked_add_signed(delta);
        stock.supplied = supplied.unwrap_or(stock.supplied);
        supplied.is_some()
    }

    fn begin_sale(&mut self, sku: &Sku, terms: SaleTerms, number: u32) -> bool {
        let Some(at) = self.find(sku) else { return false };
        self.sales = self.sales.max(number);
        let seed = self.seed;
        let sale = &mut self.products[at as usize].sale;
        match sale {
            Some(sale) if sale.number == number => sale.terms = terms,
            _ => *sale = Some(Box::new(Sale { number, terms, taken: Taken::new(seed) })),
        }
        true
    }

    fn end_sale(&mut self, sku: &Sku) -> bool {
        self.find(sku).and_then(|at| self.products[at as usize].sale.take()).is_some()
    }

    pub(super) fn order_mut(&mut self, id: OrderId) -> Option<&mut Order> {
        self.orders.get_mut(self.place_of(id)?)
    }

    /// Moves the units of `lines` from available to held and counts them in their sale.
    /// Also says whether there were as many.
    fn take(&mut self, customer: &CustomerId, lines: &[PricedLine]) -> (InnerLines, bool) {
        let mut taken = InnerLines::with_capacity(lines.len());
        let mut fits = true;
        for line in lines {
            let Some(at) = self.find(&line.sku) else {
                fits = false;
                continue;
            };
            let product = &mut self.products[at as usize];
            let units = u64::from(line.quantity);
            fits &= units <= product.stock.available();
            product.stock.held = product.stock.held.saturating_add(units);
            if let Some(sale) = product.sale.as_mut().filter(|sale| sale.number == line.sale) {
                sale.taken.add(customer, line.quantity);
            }
            taken.push(Line { product: at, quantity: line.quantity, unit_price: line.unit_price, sale: line.sale });
        }
        (taken, fits)
    }

    /// Keeps the promise that the earliest deadline belongs to an order that holds units.
    pub(super) fn drop_ended_deadlines(&mut self) {
        while let Some(Reverse(hold)) = self.deadlines.peek() {
            if holder(&self.orders, hold).is_some() {
                return;
            }
            self.deadlines.pop();
        }
    }

    fn use_key(&mut self, key: RequestKey, sku: &Sku) -> bool {
        let Some(product) = self.find(sku) else { return false };
        let stock = self.products[product as usize].stock;
        let new = self.insert_product_key(ProductKey { key, product, stock });
        if new {
            self.ended.push_back((self.time, self.lsn, Gone::Key(key.key)));
        }
        new
    }

    /// False, and nothing changed, if the key leads to something else.
    pub(super) fn insert_product_key(&mut self, used: ProductKey) -> bool {
        let key = used.key.key;
        let at = self.product_keys.insert(used);
        let (orders, product_keys) = (&self.orders, &self.product_keys);
        let use_place = KeyUse::Product(at).place();
        let has_key = |place| place != use_place && leads_from(orders, product_keys, KeyUse::at_place(place), &key);
        let new = self.keys.insert(hash_key(&self.keys, &key), use_place, has_key);
        if !new {
            self.product_keys.remove(at);
        }
        new
    }

    fn remove_order(&mut self, id: OrderId) -> Option<Order> {
        let (orders, product_keys) = (&self.orders, &self.product_keys);
        let at = self.by_id.remove(self.by_id.hash(id), |at| has_id(orders, at, id))?;
        let key = orders.get(at)?.key.key;
        remove_key(&mut self.keys, orders, product_keys, &key);
        self.orders.remove(at)
    }

    /// False if there was nothing to forget.
    fn forget_through(&mut self, through: Lsn) -> bool {
        let mut forgot = false;
        while let Some((_, lsn, gone)) = self.ended.pop_front_if(|(_, lsn, _)| *lsn <= through) {
            forgot = true;
            match gone {
                // One that something happened to since has ended again, and stands further back.
                Gone::Order(id) if self.find_order(id).is_none_or(|order| order.lsn != lsn) => {}
                Gone::Order(id) => {
                    self.remove_order(id);
                    self.payments.remove(&id);
                }
                // Kept for ever: home may ask again whenever its cursor was held up, and units must not be
                // restocked twice.
                Gone::Restocked(..) => self.ended.push_back((self.time, self.lsn, gone)),
                Gone::Part(id) => drop(self.parts.remove(&id)),
                Gone::Refused(id) => drop(self.refused.remove(&id)),
                Gone::Key(key) => {
                    let used = remove_key(&mut self.keys, &self.orders, &self.product_keys, &key);
                    if let Some(KeyUse::Product(at)) = used {
                        self.product_keys.remove(at);
                    }
                }
            }
        }
        forgot
    }
}

fn remove_key(
    keys: &mut Index,
    orders: &Arena<Order>,
    product_keys: &Arena<ProductKey>,
    key: &[u8; 16],
) -> Option<KeyUse> {
    let has_key = |place| leads_from(orders, product_keys, KeyUse::at_place(place), key);
    keys.remove(hash_key(keys, key), has_key).map(KeyUse::at_place)
}

/// Moves the units of `lines` out of held, or out of sold. Units that go back no longer count in their
/// sale. False if they were not held.
pub(super) fn move_units(products: &mut [Product], customer: &CustomerId, lines: &[Line], to: Units) -> bool {
    let mut fits = true;
    for line in lines {
        let product = &mut products[line.product as usize];
        let units = u64::from(line.quantity);
        let from = if to == Units::Restocked { &mut product.stock.sold } else { &mut product.stock.held };
        let Some(left) = from.checked_sub(units) else {
            fits = false;
            continue;
        };
        *from = left;
        if to == Units::Sold {
            product.stock.sold = product.stock.sold.saturating_add(units);
            continue;
        }
        if let Some(sale) = product.sale.as_mut().filter(|sale| sale.number == line.sale) {
            fits &= sale.taken.give_back(customer, line.quantity);
        }
    }
    fits
}
