//! What a partition's events add up to, worked out by nothing but addition: the events
//! are self-contained, so the engine's state is not needed and not believed.

use crate::books::Books;
use son7shop_engine::{
    CustomerId, Event, LineRequest, Lsn, OrderId, OrderStatus, PartStatus, Partition, PartitionId, PricedLine, Record,
    Sku, Stock, Time, Won,
};
use std::collections::{BTreeMap, BTreeSet};

/// A broken promise: its name, and what was seen.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) name: &'static str,
    pub(crate) what: String,
}

pub(crate) type Checked = Result<(), Broken>;

pub(crate) fn broken(name: &'static str, what: impl Into<String>) -> Broken {
    Broken { name, what: what.into() }
}

/// An order as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) customer: CustomerId,
    pub(crate) key: [u8; 16],
    pub(crate) status: OrderStatus,
    /// All that was bought, of other partitions too once they have it.
    pub(crate) lines: Vec<(Sku, u32)>,
    pub(crate) asked: Vec<PartitionId>,
    pub(crate) deadline: Time,
    /// What it costs; 0 while it is opening.
    pub(crate) total: Won,
    /// The last event about it.
    pub(crate) touched: Lsn,
}

/// The sums of one partition's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Oracle {
    pub(crate) lsn: Lsn,
    pub(crate) stock: BTreeMap<Sku, Stock>,
    pub(crate) orders: BTreeMap<OrderId, Known>,
    pub(crate) keys: BTreeMap<[u8; 16], OrderId>,
    pub(crate) parts: BTreeMap<OrderId, (PartStatus, Lsn)>,
    /// What was paid for each order that somebody began to pay, and what went back.
    pub(crate) books: BTreeMap<OrderId, Books>,
    /// Orders that were remembered until they were forgotten, as they ended.
    pub(crate) forgotten: BTreeMap<OrderId, OrderStatus>,
    /// Parts likewise.
    pub(crate) forgotten_parts: BTreeSet<OrderId>,
}

#[derive(Clone, Copy)]
pub(crate) enum Move {
    Take,
    Back,
    Sell,
    /// Out of what is sold.
    Restock,
}

impl Oracle {
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Broken> {
        let mut oracle = Self::default();
        records.into_iter().try_for_each(|record| oracle.take_in(record))?;
        Ok(oracle)
    }

    /// Adds an event up; says if it breaks a promise.
    pub(crate) fn take_in(&mut self, record: &Record) -> Checked {
        self.lsn = self.lsn.next();
        self.happened(record.at, &record.event)
    }

    fn happened(&mut self, at: Time, event: &Event) -> Checked {
        self.in_time(at, event)?;
        match event {
            Event::OperatorActed { effect, .. } => self.happened(at, effect),
            Event::ProductCreated { sku, on_hand, .. } => {
                let stock = Stock { supplied: *on_hand, held: 0, sold: 0 };
                if self.stock.insert(sku.clone(), stock).is_some() {
                    return Err(broken("exactly once", format!("product {sku} was created twice")));
                }
                Ok(())
            }
            Event::StockAdjusted { sku, delta, .. } => {
                let stock = self.stock.entry(sku.clone()).or_default();
                stock.supplied = stock.supplied.saturating_add_signed(*delta);
                in_bounds(sku, stock)
            }
            Event::OrderPlaced { id, customer, key, lines, deadline, total } => {
                self.begin(*id, customer, key.key, lines, *deadline, OrderStatus::Held, Vec::new())?;
                self.cost(*id, *total, &[]);
                Ok(())
            }
            Event::OrderOpened { id, customer, key, lines, parts, deadline } => {
                let asked = parts.iter().map(|part| part.partition).collect();
                self.begin(*id, customer, key.key, lines, *deadline, OrderStatus::Opening, asked)
            }
            Event::BasketPlaced { id, parts, total } => {
                self.turn(*id, &[OrderStatus::Opening], OrderStatus::Held)?;
                self.cost(*id, *total, parts);
                Ok(())
            }
            Event::OrderRefused(ended) => {
                self.turn(ended.id, &[OrderStatus::Opening], OrderStatus::Cancelled)?;
                if let Some(order) = self.orders.remove(&ended.id) {
                    self.keys.remove(&order.key);
                }
                self.shift(&ended.lines, Move::Back)
            }
            Event::OrderConfirmed(ended) => {
                self.turn(ended.id, &[OrderStatus::Held], OrderStatus::Confirmed)?;
                self.end(ended.id, &ended.lines, Move::Sell)
            }
            // An operator may end one whose payment is under way: what is taken goes back.
            Event::OrderCancelled { ended, .. } => {
                self.turn(
                    ended.id,
                    &[OrderStatus::Held, OrderStatus::Paying, OrderStatus::Approving],
                    OrderStatus::Cancelled,
                )?;
                self.end(ended.id, &ended.lines, Move::Back)
            }
            Event::OrderExpired(ended) => {
                self.turn(ended.id, &[OrderStatus::Held, OrderStatus::Paying], OrderStatus::Expired)?;
                self.end(ended.id, &ended.lines, Move::Back)
            }
            Event::PartHeld { order, lines, .. } => {
                if self.parts.insert(*order, (PartStatus::Held, self.lsn)).is_some() {
                    return Err(broken("exactly once", format!("the part of {order} was held twice")));
                }
                self.shift(&units(lines), Move::Take)
            }
            Event::PartReleased { order, lines } => self.end_part(*order, PartStatus::Released, lines, Move::Back),
            Event::PartConfirmed { order, lines } => self.end_part(*order, PartStatus::Confirmed, lines, Move::Sell),
            Event::Forgotten { through } => {
                self.forget(*through);
                Ok(())
            }
            Event::SaleSet { .. } | Event::SaleDeleted { .. } => Ok(()),
            event => self.paid(event),
        }
    }

    /// A hold is over at its deadline, and not before, unless it is frozen.
    fn in_time(&self, at: Time, event: &Event) -> Checked {
        let (id, over) = match event {
            Event::OrderExpired(ended) => (ended.id, true),
            Event::OrderConfirmed(ended)
            | Event::OrderCancelled { ended, .. }
            | Event::PaymentCaptured { ended, .. } => (ended.id, false),
            Event::BasketPlaced { id, .. } => (*id, false),
            Event::PaymentStarted { order, .. } | Event::PaymentAuthorised { order, .. } => (*order, false),
            _ => return Ok(()),
        };
        match self.orders.get(&id) {
            Some(known) if known.status == OrderStatus::Approving && !over => Ok(()),
            Some(known) if (at >= known.deadline) != over => {
                Err(broken("deadlines", format!("order {id}: {event:?} with the deadline {}", known.deadline.0)))
            }
            _ => Ok(()),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "an event's fields")]
    fn begin(
        &mut self,
        id: OrderId,
        customer: &CustomerId,
        key: [u8; 16],
        lines: &[PricedLine],
        deadline: Time,
        status: OrderStatus,
        asked: Vec<PartitionId>,
    ) -> Checked {
        if let Some(other) = self.keys.insert(key, id) {
            return Err(broken("exactly once", format!("the key of {other} led to {id} as well")));
        }
        let lines = units(lines);
        let wanted = lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        let (customer, total, touched) = (customer.clone(), Won(0), self.lsn);
        let known = Known { customer, key, status, lines: wanted, asked, deadline, total, touched };
        if self.orders.insert(id, known).is_some() {
            return Err(broken("exactly once", format!("order {id} began twice")));
        }
        self.shift(&lines, Move::Take)
    }

    /// What it costs, and what other partitions have of it.
    fn cost(&mut self, id: OrderId, total: Won, parts: &[(PartitionId, Vec<PricedLine>)]) {
        if let Some(order) = self.orders.get_mut(&id) {
            order.total = total;
            let elsewhere = parts.iter().flat_map(|(_, lines)| lines).map(|line| (line.sku.clone(), line.quantity));
            order.lines.extend(elsewhere);
        }
    }

    pub(crate) fn turn(&mut self, id: OrderId, from: &[OrderStatus], to: OrderStatus) -> Checked {
        let lsn = self.lsn;
        match self.orders.get_mut(&id) {
            Some(order) if from.contains(&order.status) => {
                order.status = to;
                order.touched = lsn;
                Ok(())
            }
            other => Err(broken("exactly once", format!("order {id} became {to:?} as it was {other:?}"))),
        }
    }

    /// The order has ended: its units move, and nobody pays for it any more.
    pub(crate) fn end(&mut self, id: OrderId, lines: &[LineRequest], how: Move) -> Checked {
        if let Some(books) = self.books.get_mut(&id) {
            books.order_ended();
        }
        self.shift(lines, how)
    }

    fn end_part(&mut self, id: OrderId, to: PartStatus, lines: &[LineRequest], how: Move) -> Checked {
        match self.parts.insert(id, (to, self.lsn)) {
            Some((PartStatus::Held, _)) => self.shift(lines, how),
            None if lines.is_empty() && to == PartStatus::Released => Ok(()),
            other => Err(broken("exactly once", format!("the part of {id} became {to:?} as it was {other:?}"))),
        }
    }

    pub(crate) fn shift(&mut self, lines: &[LineRequest], how: Move) -> Checked {
        for line in lines {
            let stock = self.stock.entry(line.sku.clone()).or_default();
            let units = u64::from(line.quantity);
            match how {
                Move::Take => stock.held += units,
                Move::Back | Move::Sell if stock.held < units => {
                    return Err(broken("conservation", format!("{} gave back more than was held", line.sku)));
                }
                Move::Restock if stock.sold < units => {
                    return Err(broken("conservation", format!("more of {} came back than was sold", line.sku)));
                }
                Move::Restock => stock.sold -= units,
                Move::Back => stock.held -= units,
                Move::Sell => {
                    stock.held -= units;
                    stock.sold += units;
                }
            }
            in_bounds(&line.sku, stock)?;
        }
        Ok(())
    }

    fn forget(&mut self, through: Lsn) {
        for (id, order) in &self.orders {
            let open = self.books.get(id).is_some_and(Books::is_open);
            if !order.status.holds_units() && !open && order.touched <= through {
                self.forgotten.insert(*id, order.status);
                self.keys.remove(&order.key);
            }
        }
        self.orders.retain(|id, _| !self.forgotten.contains_key(id));
        let ended = |(status, lsn): &(PartStatus, Lsn)| *status != PartStatus::Held && *lsn <= through;
        let gone: Vec<OrderId> = self.parts.iter().filter(|(_, part)| ended(part)).map(|(id, _)| *id).collect();
        for id in gone {
            self.parts.remove(&id);
            self.forgotten_parts.insert(id);
        }
    }

    /// The partition says the same as the sums.
    pub(crate) fn agrees(&self, partition: &Partition) -> Checked {
        for (sku, stock) in &self.stock {
            let shown = partition.product(sku).map(|view| view.stock);
            if shown != Some(*stock) {
                return Err(broken("conservation", format!("{sku} is {shown:?}, its events make {stock:?}")));
            }
        }
        for (id, known) in &self.orders {
            let view = partition.order(*id);
            let status = view.as_ref().map_or(OrderStatus::Opening, |view| view.status);
            if status != known.status {
                return Err(broken("conservation", format!("order {id} is {status:?}, its events say {known:?}")));
            }
            let shown = view.and_then(|view| view.payment);
            if !Books::agree(self.books.get(id), shown.as_deref()) {
                let books = self.books.get(id);
                return Err(broken("conservation", format!("order {id} shows {shown:?}, its events say {books:?}")));
            }
        }
        let parts: BTreeMap<_, _> = partition.parts().collect();
        let known: BTreeMap<_, _> = self.parts.iter().map(|(id, (status, _))| (*id, *status)).collect();
        if parts == known { Ok(()) } else { Err(broken("conservation", format!("parts {parts:?} are not {known:?}"))) }
    }
}

fn in_bounds(sku: &Sku, stock: &Stock) -> Checked {
    if stock.held + stock.sold > stock.supplied {
        return Err(broken("conservation", format!("{sku} was oversold: {stock:?}")));
    }
    Ok(())
}

fn units(lines: &[PricedLine]) -> Vec<LineRequest> {
    lines.iter().map(|line| LineRequest { sku: line.sku.clone(), quantity: line.quantity }).collect()
}
