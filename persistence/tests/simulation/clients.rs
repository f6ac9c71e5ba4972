//! Customers and the shop's admin: what they want, how often they ask again, and what
//! they were promised.

use crate::node::{Ask, Told};
use crate::oracle::{Checked, broken};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use son7shop_engine::payment::{Nonce, PaymentMethod};
use son7shop_engine::{
    Answer, Basket, Command, CustomerId, LineRequest, OrderId, OrderStatus, OrderView, Outcome, PartitionId,
    PlaceOrder, RefundRequest, RequestKey, Requester, SaleTerms, Sku, Time, Won, partition_of,
};
use std::collections::BTreeMap;

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
    /// Whether its order is still to be placed: other partitions are asked.
    opening: bool,
    /// The attempt or refund that it led to.
    number: Option<u32>,
}

/// How people are in one history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    /// How long an order's units are set aside, in milliseconds.
    pub(crate) hold: (i64, i64),
    /// After so long nobody asks again under a key, in milliseconds; far less than what it takes to forget one.
    pub(crate) ask_again: i64,
    /// Of a hundred wishes, how many are about orders, about paying, and about refunds; the rest is about
    /// products.
    pub(crate) orders: u32,
    pub(crate) paying: u32,
    pub(crate) refunds: u32,
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
    Pay { order: OrderId, by: Requester },
    Refund { order: OrderId, amount: Option<Won>, lines: Vec<LineRequest>, restock: bool },
    Show { order: OrderId },
}

/// Everybody outside.
#[derive(Debug)]
pub(crate) struct Clients {
    ways: Ways,
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
    pub(crate) fn new(partitions: u16, ways: Ways) -> Self {
        Self { ways, intents: Vec::new(), partitions, promises: BTreeMap::new() }
    }

    /// The next thing that is sent: something new, or something again.
    pub(crate) fn send(&mut self, rng: &mut SmallRng, now: i64) -> (usize, PartitionId, Ask) {
        let again: Vec<usize> = self
            .intents
            .iter()
            .enumerate()
            .filter(|(_, intent)| now - intent.first_sent < self.ways.ask_again)
            .map(|(at, _)| at)
            .collect();
        let opening: Vec<usize> = again.iter().copied().filter(|at| self.intents[*at].opening).collect();
        let again = if opening.is_empty() { again } else { opening };
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
        (at, intent.to, intent.ask(id, Nonce(rng.random())))
    }

    fn intend(&mut self, rng: &mut SmallRng, now: i64, want: Want) -> usize {
        let to = match &want {
            Want::Order { basket, .. } => basket.home,
            Want::Cancel { order, .. }
            | Want::Confirm { order }
            | Want::Pay { order, .. }
            | Want::Refund { order, .. }
            | Want::Show { order } => order.home(),
            Want::Create { sku, .. } | Want::Adjust { sku, .. } | Want::Sale { sku, .. } | Want::Unsale { sku } => {
                partition_of(sku, self.partitions)
            }
        };
        let key = RequestKey { key: rng.random(), request: rng.random() };
        self.intents.push(Intent { want, to, key, first_sent: now, order: None, opening: false, number: None });
        self.intents.len() - 1
    }

    /// The shop is filled before anybody buys.
    pub(crate) fn open_shop(&mut self, rng: &mut SmallRng, now: i64) -> Vec<(usize, PartitionId, Ask)> {
        let mut out = Vec::new();
        for sku in skus() {
            let units = rng.random_range(0..120);
            let at = self.intend(rng, now, Want::Create { sku, units });
            let intent = &self.intents[at];
            out.push((at, intent.to, intent.ask(OrderId::new(Time(now), 0, intent.to), Nonce([0; 16]))));
        }
        out
    }

    fn want(&self, rng: &mut SmallRng, now: i64) -> Want {
        let Ways { orders, paying, refunds, .. } = self.ways;
        let about = rng.random_range(0..100);
        if about < orders {
            return self.order(rng);
        }
        if about < orders + paying {
            return self.paid(rng).unwrap_or_else(|| self.order(rng));
        }
        if about < orders + paying + refunds {
            return self.refund(rng).unwrap_or_else(|| self.order(rng));
        }
        let sku = sku(rng.random_range(0..SKUS));
        match rng.random_range(0..30) {
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
            _ => self.end(rng).unwrap_or_else(|| self.order(rng)),
        }
    }

    fn order(&self, rng: &mut SmallRng) -> Want {
        let lines = (0..rng.random_range(1..5))
            .map(|_| LineRequest { sku: sku(rng.random_range(0..SKUS)), quantity: rng.random_range(1..3) })
            .collect();
        let basket = Basket::new(lines, self.partitions).expect("at least one line");
        let customer = customer(rng.random_range(0..CUSTOMERS));
        Want::Order { customer, basket, hold_millis: rng.random_range(self.ways.hold.0..self.ways.hold.1) }
    }

    /// The orders that their customers know of, the oldest first.
    fn known(&self) -> Vec<(OrderId, &CustomerId, &Basket)> {
        let known = self.intents.iter().filter_map(|intent| match &intent.want {
            Want::Order { customer, basket, .. } => Some((intent.order?, customer, basket)),
            _ => None,
        });
        known.collect()
    }

    /// An end for some order.
    fn end(&self, rng: &mut SmallRng) -> Option<Want> {
        let (order, owner, _) = *self.known().choose(rng)?;
        Some(match rng.random_range(0..10) {
            0..4 => Want::Confirm { order },
            4 => Want::Cancel { order, by: Requester::Admin },
            5 => Want::Cancel { order, by: Requester::Customer(customer(rng.random_range(0..CUSTOMERS))) },
            _ => Want::Cancel { order, by: Requester::Customer(owner.clone()) },
        })
    }

    /// Paying one of the newest orders, or asking how it stands.
    fn paid(&self, rng: &mut SmallRng) -> Option<Want> {
        let known = self.known();
        let newest = &known[known.len().saturating_sub(8)..];
        // Mostly one that nobody has begun to pay.
        let asked = |id: OrderId| {
            self.intents.iter().rev().any(|intent| matches!(intent.want, Want::Pay { order, .. } if order == id))
        };
        let new: Vec<_> = newest.iter().filter(|(order, ..)| !asked(*order)).collect();
        let (order, owner, _) = match new.choose(rng) {
            Some(new) if rng.random_ratio(3, 4) => **new,
            _ => *newest.choose(rng)?,
        };
        Some(match rng.random_range(0..20) {
            0..12 => Want::Pay { order, by: Requester::Customer(owner.clone()) },
            12 => Want::Pay { order, by: Requester::Customer(customer(rng.random_range(0..CUSTOMERS))) },
            13 => Want::Cancel { order, by: Requester::Customer(owner.clone()) },
            _ => Want::Show { order },
        })
    }

    /// Money back, of an order that may be paid as far as anybody knows: all, some, too much, or what units cost.
    fn refund(&self, rng: &mut SmallRng) -> Option<Want> {
        let known = self.known();
        let basket_of = |id: OrderId| known.iter().find(|(order, ..)| *order == id).map(|(_, _, basket)| *basket);
        let begun = self.intents.iter().rev().filter_map(|intent| match intent.want {
            Want::Pay { order, .. } if intent.number.is_some() => Some(order),
            _ => None,
        });
        let ended = [OrderStatus::Cancelled, OrderStatus::Expired, OrderStatus::Refunded];
        let paid = begun.filter(|order| self.promises.get(order).is_none_or(|told| !ended.contains(told)));
        let order = *paid.take(8).collect::<Vec<_>>().choose(rng)?;
        let basket = basket_of(order)?;
        let (mut amount, mut lines) = (None, Vec::new());
        match rng.random_range(0..10) {
            0..3 => {}
            3..6 => amount = Some(Won(rng.random_range(1..150))),
            6 => amount = Some(Won(rng.random_range(0..5_000))),
            _ => {
                let bought = basket.lines.iter().chain(basket.parts.iter().flat_map(|part| &part.lines));
                let bought: Vec<&LineRequest> = bought.collect();
                let line = bought.choose(rng)?;
                lines.push(LineRequest { sku: line.sku.clone(), quantity: rng.random_range(1..line.quantity + 2) });
            }
        }
        Some(Want::Refund { order, amount, lines, restock: rng.random_ratio(2, 3) })
    }

    /// Takes in an answer to the intent `at`.
    pub(crate) fn hear(&mut self, at: usize, told: &Told) -> Checked {
        match told {
            Told::Decided(Outcome::Accepted(Answer::Order(view)) | Outcome::Repeated(Answer::Order(view))) => {
                self.shown(at, view)
            }
            Told::Shown(Some(view)) => self.shown(at, view),
            Told::Decided(Outcome::Accepted(Answer::Number(number)) | Outcome::Repeated(Answer::Number(number))) => {
                let intent = &mut self.intents[at];
                let known = *intent.number.get_or_insert(*number);
                if known != *number {
                    return Err(broken("exactly once", format!("one key led to {known} and to {number}: {intent:?}")));
                }
                self.is_theirs(at)
            }
            _ => Ok(()),
        }
    }

    /// Nobody pays for somebody else's order.
    fn is_theirs(&self, at: usize) -> Checked {
        let Want::Pay { order, by } = &self.intents[at].want else { return Ok(()) };
        match self.known().into_iter().find(|(known, ..)| known == order) {
            Some((_, owner, _)) if !by.may_see(owner) => {
                Err(broken("exactly once", format!("{by:?} pays for order {order} of {owner}")))
            }
            _ => Ok(()),
        }
    }

    fn shown(&mut self, at: usize, view: &OrderView) -> Checked {
        let intent = &mut self.intents[at];
        intent.opening = view.status == OrderStatus::Opening;
        if intent.opening {
            return Ok(());
        }
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
        if promise.holds_units() || view.status == OrderStatus::Refunded {
            *promise = view.status;
        }
        Ok(())
    }
}

impl Intent {
    /// What is sent: `id` and `nonce` are drawn each time, the key decides which of them count.
    fn ask(&self, id: OrderId, nonce: Nonce) -> Ask {
        match &self.want {
            Want::Show { order } => Ask::Show(*order),
            want => Ask::Decide(self.command(want, id, nonce)),
        }
    }

    fn command(&self, want: &Want, id: OrderId, nonce: Nonce) -> Command {
        match want {
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
            Want::Pay { order, by } => {
                let (by, method, key) = (by.clone(), PaymentMethod::KakaoPay, self.key);
                Command::StartPayment { order: *order, by, method, key, nonce }
            }
            Want::Refund { order, amount, lines, restock } => {
                let lines = lines.iter().cloned().collect();
                let (key, amount, restock, reason) = (self.key, *amount, *restock, "broken".into());
                let refund = Box::new(RefundRequest { key, amount, lines, restock, reason });
                Command::RequestRefund { order: *order, refund }
            }
            Want::Show { .. } => Command::Tick,
        }
    }
}

/// An order of one line, by somebody new.
pub(crate) fn buy(id: OrderId, sku: &Sku, quantity: u32, rng: &mut SmallRng) -> Command {
    regular(id, sku, quantity, 60_000, rng)
}

/// The same, with a hold of so many milliseconds.
pub(crate) fn regular(id: OrderId, sku: &Sku, quantity: u32, hold_millis: i64, rng: &mut SmallRng) -> Command {
    Command::PlaceOrder(PlaceOrder {
        id,
        customer: customer(CUSTOMERS),
        key: RequestKey { key: rng.random(), request: rng.random() },
        lines: std::iter::once(LineRequest { sku: sku.clone(), quantity }).collect(),
        parts: Vec::new(),
        hold_millis,
    })
}
