//! A partition: products, their stock, and the orders whose home they are. A value.

mod check;
mod decide;
mod evolve;
mod image;
mod paid;
mod pay;
mod sagas;
mod told;

use crate::arena::Arena;
use crate::attempt::Payment;
use crate::command::Command;
use crate::event::Record;
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey, Sku};
use crate::index::{Index, NameHash};
use crate::map::{Map, hasher};
use crate::order::{Line, Order, OrderStatus, OrderView, Part, PricedLine};
use crate::product::{Product, ProductView, Stock};
use crate::refusal::Refusal;
use crate::step::StepRef;
use crate::time::Time;
use crate::{Lsn, order::PartStatus};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

pub use image::{ImageBeforePayments, PartitionImage};
pub use sagas::{SagaFigures, Timeline};

/// What an accepted or repeated command is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The product after the command.
    Product(ProductView),
    /// The order after the command.
    Order(OrderView),
    /// What a part holds, at which price.
    Part(Vec<PricedLine>),
    /// The number of the attempt or the refund that was begun.
    Number(u32),
    /// Nothing to show.
    Done,
}

/// What [`Partition::decide`] says would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This happens.
    Accept(Record, Answer),
    /// It happened before; nothing happens now.
    Repeat(Answer),
    /// Nothing happens.
    Refuse(Refusal),
    /// Holds have reached their deadline: [`Command::Tick`] comes first.
    Overdue,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its events were applied.
    Accepted(Answer),
    /// It had been accepted before.
    Repeated(Answer),
    /// It changed nothing.
    Refused(Refusal),
}

/// Where the key of an idempotent command is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    /// With the order at this place.
    Order(u32),
    /// With the product key at this place.
    Product(u32),
}

impl KeyUse {
    /// As a place in an index: the lowest bit says of what.
    const fn place(self) -> u32 {
        match self {
            Self::Order(at) => at << 1,
            Self::Product(at) => at << 1 | 1,
        }
    }

    const fn at_place(place: u32) -> Self {
        if place & 1 == 0 { Self::Order(place >> 1) } else { Self::Product(place >> 1) }
    }
}

/// A key that led to a new product or a stock adjustment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct ProductKey {
    key: RequestKey,
    /// Index of the product.
    product: u32,
    /// The stock that it was answered with.
    stock: Stock,
}

/// When the order at a place gives its units back: deadline, id, place.
type Deadline = Reverse<(Time, OrderId, u32)>;

/// What leaves memory some time after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Gone {
    Order(OrderId),
    Part(OrderId),
    Key([u8; 16]),
    /// A basket that was refused: nothing of it is left but its id.
    Refused(OrderId),
    /// That a part's units went back for sale with this refund.
    Restocked(OrderId, u32),
}

/// Products, their stock and the orders whose home they are.
#[derive(Debug, Clone)]
pub struct Partition {
    id: PartitionId,
    lsn: Lsn,
    time: Time,
    products: Vec<Product>,
    by_sku: Index,
    sorted: BTreeMap<Sku, u32>,
    /// The number of the last sale.
    sales: u32,
    orders: Arena<Order>,
    by_id: Index,
    product_keys: Arena<ProductKey>,
    keys: Index,
    parts: Map<OrderId, Part>,
    /// Ids of refused baskets. Other partitions may not have heard of the refusal yet, so
    /// a request that comes late must not open the same order again.
    refused: Map<OrderId, ()>,
    /// What is known of the paying of those orders that somebody began to pay.
    payments: BTreeMap<OrderId, Box<Payment>>,
    /// The open steps of sagas, by the event that opened or last changed them.
    steps: BTreeSet<(Lsn, OrderId, StepRef)>,
    /// Those that wait for no shopper, by when they were opened.
    at_work: BTreeSet<(Time, OrderId, StepRef)>,
    /// How many of them are parked.
    parked: usize,
    /// The refunds with which units of parts went back for sale.
    restocked: BTreeSet<(OrderId, u32)>,
    /// Orders that hold units, by deadline. One that ended early stays in until it comes
    /// to the top; the top always holds units.
    deadlines: BinaryHeap<Deadline>,
    /// What ended, in the order in which it did.
    ended: VecDeque<(Time, Lsn, Gone)>,
    /// Orders and parts that hold units.
    open_holds: usize,
    /// What their ends will repeat: the lines here, and the partitions asked for a part.
    open_lines: usize,
    /// The first event that did not fit the state it met.
    misfit: Option<Lsn>,
    seed: u64,
}

impl Partition {
    /// An empty partition. `seed` is the hash maps' seed: nothing decided depends on it.
    #[must_use]
    pub fn new(id: PartitionId, seed: u64) -> Self {
        Self {
            id,
            lsn: Lsn(0),
            time: Time(0),
            products: Vec::new(),
            by_sku: Index::new(seed),
            sorted: BTreeMap::new(),
            sales: 0,
            orders: Arena::new(),
            by_id: Index::new(seed),
            product_keys: Arena::new(),
            keys: Index::new(seed),
            parts: Map::with_hasher(hasher(seed)),
            refused: Map::with_hasher(hasher(seed)),
            payments: BTreeMap::new(),
            steps: BTreeSet::new(),
            at_work: BTreeSet::new(),
            parked: 0,
            restocked: BTreeSet::new(),
            deadlines: BinaryHeap::new(),
            ended: VecDeque::new(),
            open_holds: 0,
            open_lines: 0,
            misfit: None,
            seed,
        }
    }

    /// Which partition it is.
    #[must_use]
    pub const fn id(&self) -> PartitionId {
        self.id
    }

    /// The position of the last event applied.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The time of the last event applied.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.time
    }

    /// Decides `command` and applies what happened, passing each event to `record` first.
    /// Holds whose deadline has come end before the command is decided. This is the one
    /// way in for live traffic and simulation; recovery calls [`Partition::evolve`].
    ///
    /// `clock` may run backwards; the partition's time does not.
    pub fn step(&mut self, clock: Time, command: &Command, mut record: impl FnMut(&Record)) -> Outcome {
        let now = clock.max(self.time);
        loop {
            match self.decided(now, command) {
                Ok(Decision::Accept(happened, answer)) => {
                    record(&happened);
                    self.evolve(&happened);
                    return Outcome::Accepted(answer);
                }
                Ok(Decision::Repeat(answer)) => return Outcome::Repeated(answer),
                Ok(Decision::Refuse(refusal)) | Err(refusal) => return Outcome::Refused(refusal),
                Ok(Decision::Overdue) => {
                    self.end_overdue(now, usize::MAX, &mut record);
                }
            }
        }
    }

    /// Ends holds whose deadline has come, the earliest first, at most `at_most` of them;
    /// says whether all have ended. A [`Command::Tick`] in pieces, for when many are due at
    /// once: the next command ends what is left before it is decided.
    pub fn end_overdue(&mut self, clock: Time, at_most: usize, mut record: impl FnMut(&Record)) -> bool {
        let now = clock.max(self.time);
        for _ in 0..at_most {
            let Some(event) = self.overdue(now) else { return true };
            let happened = Record { at: now, event };
            record(&happened);
            self.evolve(&happened);
        }
        self.due(now).is_none()
    }

    /// When the next hold ends, if none ends sooner.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.peek().map(|Reverse((deadline, ..))| *deadline)
    }

    /// The product, as it is shown.
    #[must_use]
    pub fn product(&self, sku: &Sku) -> Option<ProductView> {
        self.find(sku).map(|at| self.products[at as usize].view())
    }

    /// Up to `limit` products after `after`, by sku.
    pub fn products_after(&self, after: Option<&Sku>, limit: usize) -> Vec<ProductView> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.sorted
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .take(limit)
            .map(|(_, at)| self.products[*at as usize].view())
            .collect()
    }

    /// The order, as it is shown; none while it is opening.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderView> {
        self.find_order(id).filter(|order| order.status != OrderStatus::Opening).map(|order| self.view(order))
    }

    /// The order, as it is shown, if the event at `lsn` was the last to change it and it is
    /// `of`'s (anybody's for `None`).
    #[must_use]
    pub fn order_changed_at(&self, lsn: Lsn, id: OrderId, of: Option<&CustomerId>) -> Option<OrderView> {
        let order = self.find_order(id)?;
        let wanted = order.lsn == lsn && of.is_none_or(|customer| *customer == order.customer);
        (wanted && order.status.is_shown()).then(|| self.view(order))
    }

    /// The orders that changed after `lsn`, each with the last event that changed it; in no
    /// order. None that is opening.
    pub fn changes_after(&self, lsn: Lsn) -> impl Iterator<Item = (Lsn, OrderId)> {
        let changed = self.orders.iter().filter(move |order| order.lsn > lsn && order.status.is_shown());
        changed.map(|order| (order.lsn, order.id))
    }

    /// The baskets that other partitions have not answered for. Only tests look: after a crash
    /// it is the stock participant's cursor that leads to them again.
    pub fn opening_orders(&self) -> impl Iterator<Item = OrderId> {
        self.orders.iter().filter(|order| order.status == OrderStatus::Opening).map(|order| order.id)
    }

    /// Whether home's order still waits for other partitions.
    #[must_use]
    pub fn is_opening(&self, id: OrderId) -> bool {
        self.find_order(id).is_some_and(|order| order.status == OrderStatus::Opening)
    }

    /// Every order that is remembered, as it is shown; in no order. None that is opening.
    pub fn orders(&self) -> impl Iterator<Item = OrderView> {
        self.orders.iter().filter(|order| order.status != OrderStatus::Opening).map(|order| self.view(order))
    }

    /// Every part of another partition's order that is remembered; in no order.
    pub fn parts(&self) -> impl Iterator<Item = (OrderId, PartStatus)> {
        self.parts.iter().map(|(id, part)| (*id, part.status))
    }

    /// Every key that led to an order or a product, with the digest of its request.
    pub fn keys(&self) -> impl Iterator<Item = RequestKey> {
        self.keys.places().filter_map(|place| key_at(&self.orders, &self.product_keys, KeyUse::at_place(place)))
    }

    /// How many orders and parts hold units: each may still need room in the journal.
    #[must_use]
    pub const fn open_holds(&self) -> usize {
        self.open_holds
    }

    /// How much the events that end the open holds will repeat: the lines that the orders and
    /// parts hold here, and for each order the other partitions that were asked for a part.
    #[must_use]
    pub const fn open_lines(&self) -> usize {
        self.open_lines
    }

    /// The first event applied that did not fit the state it met. `None` for every
    /// journal that this engine wrote: anything else must not be served from.
    #[must_use]
    pub const fn misfit(&self) -> Option<Lsn> {
        self.misfit
    }

    fn find(&self, sku: &Sku) -> Option<u32> {
        self.by_sku.get(self.by_sku.hash(sku), |at| self.products[at as usize].sku == *sku)
    }

    fn place_of(&self, id: OrderId) -> Option<u32> {
        self.by_id.get(self.by_id.hash(id), |at| has_id(&self.orders, at, id))
    }

    fn find_order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(self.place_of(id)?)
    }

    fn find_key(&self, key: &[u8; 16]) -> Option<KeyUse> {
        let leads = |place| leads_from(&self.orders, &self.product_keys, KeyUse::at_place(place), key);
        self.keys.get(hash_key(&self.keys, key), leads).map(KeyUse::at_place)
    }

    fn priced(&self, lines: &[Line]) -> impl Iterator<Item = PricedLine> {
        lines.iter().map(|line| PricedLine {
            sku: self.products[line.product as usize].sku.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            sale: line.sale,
        })
    }

    fn view(&self, order: &Order) -> OrderView {
        let ended = !order.status.holds_units();
        OrderView {
            id: order.id,
            customer: order.customer.clone(),
            status: order.status,
            lines: self.view_lines(order),
            total: order.total,
            placed_at: order.placed_at,
            deadline: order.deadline,
            ended_at: ended.then_some(order.ended_at),
            payment: self.payment_view(order.id),
            lsn: order.lsn,
        }
    }
}

fn has_id(orders: &Arena<Order>, at: u32, id: OrderId) -> bool {
    orders.get(at).is_some_and(|order| order.id == id)
}

fn key_at(orders: &Arena<Order>, product_keys: &Arena<ProductKey>, used: KeyUse) -> Option<RequestKey> {
    match used {
        KeyUse::Order(at) => orders.get(at).map(|order| order.key),
        KeyUse::Product(at) => product_keys.get(at).map(|product| product.key),
    }
}

fn leads_from(orders: &Arena<Order>, product_keys: &Arena<ProductKey>, used: KeyUse, key: &[u8; 16]) -> bool {
    key_at(orders, product_keys, used).is_some_and(|found| found.key == *key)
}

fn hash_key(keys: &Index, key: &[u8; 16]) -> NameHash {
    keys.hash(u128::from_ne_bytes(*key))
}
