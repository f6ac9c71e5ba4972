//! Load from many connections, until the shop dies under it; each keeps what it was told.

use crate::support::{Caller, Chance, code};
use serde::Deserialize;
use serde_json::{Value, json};
use son7shop_engine::{PartitionId, Sku, partition_of};
use son7shop_loadtest::client::{ClientError, Response};
use std::net::SocketAddr;

/// Partitions of the shop.
pub(crate) const PARTITIONS: u16 = 3;
/// Connections; two of each customer.
pub(crate) const CONNECTIONS: usize = 32;
/// Customers.
pub(crate) const CUSTOMERS: usize = CONNECTIONS / 2;
/// Every so many orders the two connections of a customer send the same one under the same key.
const SHARED_EVERY: u64 = 8;

/// The products: some that never run out, and one in each partition that does.
#[derive(Debug)]
pub(crate) struct Assortment {
    /// By partition; the last of each is the scarce one.
    pub(crate) by_partition: Vec<Vec<String>>,
}

impl Assortment {
    /// Four products in each partition.
    pub(crate) fn new() -> Self {
        let in_partition = |partition: u16| -> Vec<String> {
            let skus = (0..).map(|n| format!("sku-{n}"));
            let here = skus.filter(|sku| partition_of(&Sku::parse(sku).unwrap(), PARTITIONS) == PartitionId(partition));
            here.take(4).collect()
        };
        Self { by_partition: (0..PARTITIONS).map(in_partition).collect() }
    }

    /// Every product, with the units that it begins with.
    pub(crate) fn products(&self) -> impl Iterator<Item = (&String, u64)> {
        self.by_partition
            .iter()
            .flat_map(|skus| skus.iter().enumerate().map(|(at, sku)| (sku, [1 << 30, 1 << 30, 1 << 30, 40][at])))
    }
}

/// What of an order never changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
pub(crate) struct Placed {
    /// Its id.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) customer: String,
    /// Its lines, priced.
    pub(crate) lines: Vec<Line>,
    /// Its total.
    pub(crate) total: i64,
    /// When it was placed.
    pub(crate) placed_at: String,
    /// Its deadline.
    pub(crate) expires_at: String,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    /// The product.
    pub(crate) sku: String,
    /// Units.
    pub(crate) quantity: u64,
    /// In won.
    pub(crate) unit_price: i64,
}

/// An order as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Whose it is, counted from 0.
    pub(crate) customer: usize,
    /// Its key.
    pub(crate) key: String,
    /// Product and units, by product.
    pub(crate) lines: Vec<(String, u64)>,
    /// Whether both connections of the customer send it; then neither ends it.
    pub(crate) shared: bool,
}

impl Wish {
    /// The request's body.
    pub(crate) fn body(&self) -> Value {
        let lines: Vec<Value> =
            self.lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
        json!({ "lines": lines })
    }
}

/// A change of stock as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The product.
    pub(crate) sku: String,
    /// Units.
    pub(crate) delta: i64,
    /// Its key.
    pub(crate) key: String,
}

/// How a held order is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By its customer.
    Cancelled,
    /// By an admin.
    Confirmed,
}

impl End {
    /// The status that it leads to.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Confirmed => "confirmed",
        }
    }

    /// The call that asks for it.
    pub(crate) fn path(self, id: &str) -> String {
        let verb = if self == Self::Cancelled { "cancel" } else { "confirm" };
        format!("/v1/orders/{id}/{verb}")
    }
}

/// What came of something that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate<T> {
    /// Acknowledged.
    Done(T),
    /// Refused; nothing happened.
    Refused,
    /// No answer, or one that says so: it may have happened.
    Unknown,
}

/// One thing that was sent, and what came of it.
#[derive(Debug)]
pub(crate) enum Happened {
    /// An order.
    Order(Wish, Fate<Placed>),
    /// An order's end.
    End(String, End, Fate<()>),
    /// A change of stock.
    Stock(Change, Fate<()>),
    /// An answer that may not come.
    Unexpected(String),
}

/// One connection of a customer, and one of an admin.
pub(crate) struct Buyer<'a> {
    pub(crate) assortment: &'a Assortment,
    pub(crate) seed: u64,
    pub(crate) round: u64,
    pub(crate) index: usize,
    pub(crate) customer: Caller,
    pub(crate) admin: Caller,
    /// An order of an earlier round, to be asked for again.
    pub(crate) earlier: Option<Wish>,
    pub(crate) happened: Vec<Happened>,
    /// Own orders that are held.
    held: Vec<String>,
    own: Vec<Wish>,
}

/// What a buyer is told to begin with.
pub(crate) struct Start<'a> {
    pub(crate) assortment: &'a Assortment,
    pub(crate) seed: u64,
    pub(crate) round: u64,
    pub(crate) address: SocketAddr,
}

impl<'a> Buyer<'a> {
    /// The buyer of this index.
    pub(crate) fn new(start: &Start<'a>, index: usize, customer: &str, admin: &str, earlier: Option<Wish>) -> Self {
        Self {
            assortment: start.assortment,
            seed: start.seed,
            round: start.round,
            index,
            customer: Caller::new(start.address, customer),
            admin: Caller::new(start.address, admin),
            earlier,
            happened: Vec::new(),
            held: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Sends until the shop is dead.
    pub(crate) fn run(mut self) -> Vec<Happened> {
        let mut chance = Chance::new(self.seed, &[self.round, self.index as u64]);
        for n in 0.. {
            let alive = match chance.within(0, 100) {
                _ if n % SHARED_EVERY == 0 => self.buy(self.wish(n, true)),
                0..60 => self.buy(self.wish(n, false)),
                60..70 => self.end(&mut chance, End::Cancelled),
                70..80 => self.end(&mut chance, End::Confirmed),
                80..90 => self.repeat(&mut chance),
                _ => self.change(&mut chance, n),
            };
            if !alive {
                break;
            }
        }
        self.happened
    }

    /// The n-th order of this connection, or of both connections of its customer.
    fn wish(&self, n: u64, shared: bool) -> Wish {
        let customer = self.index / 2;
        let who = if shared { 1000 + customer as u64 } else { self.index as u64 };
        let mut chance = Chance::new(self.seed, &[self.round, who, n]);
        let width = [1, 1, 1, 2, 3][usize::try_from(chance.within(0, 5)).unwrap()];
        let first = usize::try_from(chance.within(0, PARTITIONS.into())).unwrap();
        let mut lines: Vec<(String, u64)> = (0..width)
            .map(|at| {
                let skus = &self.assortment.by_partition[(first + at) % usize::from(PARTITIONS)];
                (chance.one(skus).unwrap().clone(), chance.within(1, 4))
            })
            .collect();
        lines.sort();
        Wish { customer, key: format!("{}-{who}-{n}", self.round), lines, shared }
    }

    fn buy(&mut self, wish: Wish) -> bool {
        let answer = self.customer.post("/v1/orders", Some(&wish.key), Some(&wish.body()));
        let fate = fate(answer, 201, &["sold_out"], |response| response.json().ok().and_then(placed));
        let Ok(fate) = fate.map_err(|said| self.happened.push(Happened::Unexpected(said))) else { return false };
        let alive = fate != Fate::Unknown || self.customer.get("/healthz").is_ok();
        if let Fate::Done(placed) = &fate {
            if !wish.shared {
                self.held.push(placed.id.clone());
            }
            self.own.push(wish.clone());
        }
        self.happened.push(Happened::Order(wish, fate));
        alive
    }

    fn end(&mut self, chance: &mut Chance, end: End) -> bool {
        let Some(id) = chance.one(&self.held).cloned() else { return true };
        self.held.retain(|held| *held != id);
        let caller = if end == End::Cancelled { &mut self.customer } else { &mut self.admin };
        let answer = caller.post(&end.path(&id), None, None);
        let fate = fate(answer, 200, &[], |response| {
            response.json().ok().filter(|json| json["status"] == end.status()).map(drop)
        });
        let Ok(fate) = fate.map_err(|said| self.happened.push(Happened::Unexpected(said))) else { return false };
        let alive = fate != Fate::Unknown;
        self.happened.push(Happened::End(id, end, fate));
        alive
    }

    /// Asks for an order again, by its key.
    fn repeat(&mut self, chance: &mut Chance) -> bool {
        let earlier = self.earlier.take();
        let Some(wish) = earlier.or_else(|| chance.one(&self.own).cloned()) else { return true };
        self.buy_again(wish)
    }

    fn buy_again(&mut self, wish: Wish) -> bool {
        let answer = self.customer.post("/v1/orders", Some(&wish.key), Some(&wish.body()));
        let fate = fate(answer, 201, &[], |response| response.json().ok().and_then(placed));
        let Ok(fate) = fate.map_err(|said| self.happened.push(Happened::Unexpected(said))) else { return false };
        let alive = fate != Fate::Unknown;
        self.happened.push(Happened::Order(wish, fate));
        alive
    }

    fn change(&mut self, chance: &mut Chance, n: u64) -> bool {
        let skus = chance.one(&self.assortment.by_partition).unwrap();
        let delta = chance.within(1, 6).cast_signed() * if chance.within(0, 3) == 0 { -1 } else { 1 };
        let sku = chance.one(skus).unwrap().clone();
        let change = Change { sku, delta, key: format!("stock-{}-{}-{n}", self.round, self.index) };
        let fate = send_change(&mut self.admin, &change);
        let Ok(fate) = fate.map_err(|said| self.happened.push(Happened::Unexpected(said))) else { return false };
        let alive = fate != Fate::Unknown;
        self.happened.push(Happened::Stock(change, fate));
        alive
    }
}

/// Sends a change of stock.
pub(crate) fn send_change(admin: &mut Caller, change: &Change) -> Result<Fate<()>, String> {
    let path = format!("/v1/products/{}/stock", change.sku);
    let body = json!({ "delta": change.delta, "reason": "counted" });
    let answer = admin.post(&path, Some(&change.key), Some(&body));
    fate(answer, 200, &["stock_out_of_range"], |_| Some(()))
}

/// What of an order never changes.
pub(crate) fn placed(order: Value) -> Option<Placed> {
    serde_json::from_value(order).ok()
}

/// What came of it. An answer that is none of those that may come is an error.
pub(crate) fn fate<T>(
    answer: Result<Response, ClientError>,
    done: u16,
    refusals: &[&str],
    read: impl FnOnce(&Response) -> Option<T>,
) -> Result<Fate<T>, String> {
    // Not even sent, perhaps: but the same key may have been sent before.
    let Ok(response) = answer else { return Ok(Fate::Unknown) };
    let unexpected = || format!("{}: {}", response.status, response.text());
    if response.status == done {
        return read(&response).map(Fate::Done).ok_or_else(unexpected);
    }
    match code(&response).as_str() {
        "request_in_progress" | "outcome_unknown" => Ok(Fate::Unknown),
        code if refusals.contains(&code) => Ok(Fate::Refused),
        _ => Err(unexpected()),
    }
}
