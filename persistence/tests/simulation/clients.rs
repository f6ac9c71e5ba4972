//! Customers and the shop's admin: what they want, how often they ask again, and what
//! they were promised.

use crate::node::{Ask, Told};
use crate::oracle::{Checked, broken};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use son7shop_engine::{
    Answer, Basket, Command, CustomerId, LineRequest, OrderId, OrderStatus, Outcome, PartitionId, PlaceOrder,
    RequestKey, Requester, SaleTerms, Sku, Time, Won, partition_of,
};
use std::collections::BTreeMap;

/// After so long nobody asks again under a key, in milliseconds; far less than what it
/// takes to forget one.
pub(crate) const ASK_AGAIN_MILLIS: i64 = 3_000;
const SKUS: usize = 9;
const CUSTOMERS: u32 = 12;

/// Something that somebody wants, under one key.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    want: Want,
    pub(crate) to: PartitionId,
    key: RequestKey,
    first_sent: i64,
    /// The order that the key led to, once that was promised.
    order: Option<OrderId>,
}

#[derive(Debug, Clone)]
enum Want {
    Order { customer: CustomerId, basket: Basket, hold_millis: i64 },
    Cancel { order: OrderId, by: Requester },
    Confirm { order: OrderId },
    Create { sku: Sku, units: u64 },
    Adjust { sku: Sku, delta: i64 },
    Sale { sku: Sku, terms: SaleTerms },
    Unsale { sku: Sku },
}

/// Everybody outside.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    intents: Vec<Intent>,
    pub(crate) partitions: u16,
    /// What an order's customer was told last.
    pub(crate) promises: BTreeMap<OrderId, OrderStatus>,
}

pub(crate) fn sku(at: usize) -> Sku {
    Sku::parse(&format!("sku-{at}")).expect("a sku")
}

pub(crate) fn skus() -> impl Iterator<Item = Sku> {
    (0..SKUS).map(sku)
}

fn customer(at: u32) -> CustomerId {
    CustomerId::parse(&format!("customer-{at}")).expect("a customer")
}

impl Clients {
    pub(crate) fn new(partitions: u16) -> Self {
        Self { partitions, ..Self::default() }
    }

    /// The next thing that is sent: something new, or something again.
    pub(crate) fn send(&mut self, rng: &mut SmallRng, now: i64) -> (usize, PartitionId, Ask) {
        let again: Vec<usize> = self
            .intents
            .iter()
            .enumerate()
            .filter(|(_, intent)| now - intent.first_sent < ASK_AGAIN_MILLIS)
            .map(|(at, _)| at)
            .collect();
        let at = match again.choose(rng) {
            Some(&at) if rng.random_ratio(3, 10) => at,
            _ => {
                let want = self.want(rng, now);
                self.intend(rng, now, want)
            }
        };
        let intent = &self.intents[at];
        // Whoever takes in a request draws a new id for it; the key decides which order it is.
        let id = OrderId::new(Time(now), rng.random(), intent.to);
        (at, intent.to, Ask::Decide(intent.command(id)))
    }

    fn intend(&mut self, rng: &mut SmallRng, now: i64, want: Want) -> usize {
        let to = match &want {
            Want::Order { basket, .. } => basket.home,
            Want::Cancel { order, .. } | Want::Confirm { order } => order.home(),
            Want::Create { sku, .. } | Want::Adjust { sku, .. } | Want::Sale { sku, .. } | Want::Unsale { sku } => {
                partition_of(sku, self.partitions)
            }
        };
        let key = RequestKey { key: rng.random(), request: rng.random() };
        self.intents.push(Intent { want, to, key, first_sent: now, order: None });
        self.intents.len() - 1
    }

    /// The shop is filled before anybody buys.
    pub(crate) fn open_shop(&mut self, rng: &mut SmallRng, now: i64) -> Vec<(usize, PartitionId, Ask)> {
        let mut out = Vec::new();
        for sku in skus() {
            let units = rng.random_range(0..120);
            let at = self.intend(rng, now, Want::Create { sku, units });
            let intent = &self.intents[at];
            out.push((at, intent.to, Ask::Decide(intent.command(OrderId::new(Time(now), 0, intent.to)))));
        }
        out
    }

    fn want(&self, rng: &mut SmallRng, now: i64) -> Want {
        let sku = sku(rng.random_range(0..SKUS));
        match rng.random_range(0..100) {
            0..2 => Want::Create { sku, units: rng.random_range(0..120) },
            2..10 => Want::Adjust { sku, delta: rng.random_range(-15..60) },
            10..14 => Want::Unsale { sku },
            14..16 => {
                let opens = now + rng.random_range(-500..500);
                let terms = SaleTerms {
                    opens_at: Time(opens),
                    closes_at: Time(opens + rng.random_range(500..4000)),
                    price: Won(rng.random_range(1..500)),
                    per_customer_limit: rng.random_range(1..8),
                };
                Want::Sale { sku, terms }
            }
            16..40 => self.end(rng).unwrap_or_else(|| self.order(rng)),
            _ => self.order(rng),
        }
    }

    fn order(&self, rng: &mut SmallRng) -> Want {
        let lines = (0..rng.random_range(1..6))
            .map(|_| LineRequest { sku: sku(rng.random_range(0..SKUS)), quantity: rng.random_range(1..3) })
            .collect();
        let basket = Basket::new(lines, self.partitions).expect("at least one line");
        let customer = customer(rng.random_range(0..CUSTOMERS));
        Want::Order { customer, basket, hold_millis: rng.random_range(100..5000) }
    }

    /// An end for some order that its customer knows of.
    fn end(&self, rng: &mut SmallRng) -> Option<Want> {
        let orders: Vec<(OrderId, &CustomerId)> = self
            .intents
            .iter()
            .filter_map(|intent| match &intent.want {
                Want::Order { customer, .. } => Some((intent.order?, customer)),
                _ => None,
            })
            .collect();
        let (order, owner) = *orders.choose(rng)?;
        Some(match rng.random_range(0..10) {
            0..4 => Want::Confirm { order },
            4 => Want::Cancel { order, by: Requester::Admin },
            5 => Want::Cancel { order, by: Requester::Customer(customer(rng.random_range(0..CUSTOMERS))) },
            _ => Want::Cancel { order, by: Requester::Customer(owner.clone()) },
        })
    }

    /// Takes in an answer to the intent `at`.
    pub(crate) fn hear(&mut self, at: usize, told: &Told) -> Checked {
        let Told::Decided(Outcome::Accepted(Answer::Order(view)) | Outcome::Repeated(Answer::Order(view))) = told
        else {
            return Ok(());
        };
        if view.status == OrderStatus::Opening {
            return Ok(());
        }
        let intent = &mut self.intents[at];
        if let Want::Order { customer, .. } = &intent.want {
            if *customer != view.customer {
                return Err(broken("exactly once", format!("{customer} was shown the order of {}", view.customer)));
            }
            let known = *intent.order.get_or_insert(view.id);
            if known != view.id {
                return Err(broken("exactly once", format!("one key led to {known} and to {}", view.id)));
            }
        }
        let promise = self.promises.entry(view.id).or_insert(view.status);
        // An answer may be late: what ended stays ended.
        if promise.holds_units() {
            *promise = view.status;
        }
        Ok(())
    }
}

impl Intent {
    fn command(&self, id: OrderId) -> Command {
        match &self.want {
            Want::Order { customer, basket, hold_millis } => Command::PlaceOrder(PlaceOrder {
                id,
                customer: customer.clone(),
                key: self.key,
                lines: basket.lines.clone(),
                parts: basket.parts.clone(),
                hold_millis: *hold_millis,
            }),
            Want::Cancel { order, by } => Command::CancelOrder { order: *order, by: by.clone() },
            Want::Confirm { order } => Command::ConfirmOrder { order: *order },
            Want::Create { sku, units } => Command::CreateProduct {
                sku: sku.clone(),
                name: "a thing".into(),
                price: Won(100),
                on_hand: *units,
                key: Some(self.key),
            },
            Want::Adjust { sku, delta } => {
                Command::AdjustStock { sku: sku.clone(), delta: *delta, reason: "counted".into(), key: self.key }
            }
            Want::Sale { sku, terms } => Command::SetSale { sku: sku.clone(), terms: *terms },
            Want::Unsale { sku } => Command::DeleteSale { sku: sku.clone() },
        }
    }
}

/// An order of one line, by somebody new.
pub(crate) fn buy(id: OrderId, sku: &Sku, quantity: u32, rng: &mut SmallRng) -> Command {
    Command::PlaceOrder(PlaceOrder {
        id,
        customer: customer(CUSTOMERS),
        key: RequestKey { key: rng.random(), request: rng.random() },
        lines: std::iter::once(LineRequest { sku: sku.clone(), quantity }).collect(),
        parts: Vec::new(),
        hold_millis: 60_000,
    })
}
