//! Shoppers at the gateway's pages, their browsers on the way back to the shop, and those who forge returns.

use crate::gateway::Gateway;
use crate::node::Node;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use son7shop_engine::payment::{Nonce, Proof};
use son7shop_engine::{Command, Event, OrderId, Time};
use son7shop_payments::sandbox::machine::{Act, Arrival, Callback, Means, Moved, Visit, Whose};

/// A page that a shopper was shown; they keep it, whatever becomes of its attempt.
#[derive(Debug, Clone)]
struct Page {
    order: OrderId,
    attempt: u32,
    nonce: Nonce,
    tid: String,
}

/// How many of the newest pages somebody still looks at.
const NEWEST: usize = 12;

/// Everybody at the gateway's pages.
#[derive(Debug, Default)]
pub(crate) struct Shoppers {
    pages: Vec<Page>,
    nonces: Vec<(OrderId, u32, Nonce)>,
    /// Up to where the events of each home were seen.
    seen: Vec<usize>,
    /// Browsers on their way to the shop, and when they get there.
    visits: Vec<(i64, Visit)>,
    /// Those that were there already.
    before: Vec<Visit>,
}

impl Shoppers {
    /// Shoppers see what their shop has on disk.
    pub(crate) fn look(&mut self, at: usize, node: &Node) {
        let Some(owner) = &node.owner else { return };
        self.seen.resize(self.seen.len().max(at + 1), 0);
        let committed = usize::try_from(owner.journal.committed().position.lsn.0).expect("few events");
        for record in &node.written[self.seen[at].min(committed)..committed] {
            match &record.event {
                Event::PaymentStarted { order, attempt, nonce, .. } => self.nonces.push((*order, *attempt, *nonce)),
                Event::PaymentReady { order, attempt, begun } => {
                    let of = self.nonces.iter().find(|(id, number, _)| (id, number) == (order, attempt));
                    let nonce = of.map(|(.., nonce)| *nonce).expect("the attempt was started");
                    let tid = begun.reference.to_string();
                    self.pages.push(Page { order: *order, attempt: *attempt, nonce, tid });
                }
                _ => {}
            }
        }
        self.seen[at] = self.seen[at].max(committed);
    }

    /// Somebody does something; what comes back at once comes to the shop as it is.
    pub(crate) fn act(&mut self, gateway: &mut Gateway, latest: i64, rng: &mut SmallRng) -> Option<Command> {
        let newest = &self.pages[self.pages.len().saturating_sub(NEWEST)..];
        let page = newest.choose(rng)?.clone();
        let (now, whose) = (Time(latest), Whose::Tid(&page.tid));
        let means = if rng.random() { Means::Card } else { Means::Money };
        let moved = match rng.random_range(0..100) {
            0..50 => gateway.machine.pay(now, whose, means),
            50..58 => gateway.machine.act(now, whose, Act::Quit),
            58..63 => gateway.machine.mistype(now, whose, means),
            63..68 => gateway.machine.act(now, whose, Act::Open),
            68..76 => return Some(forged(&page, Proof::parse("f0f0f0f0f0f0f0f0f0f0").ok())),
            76..84 => return Some(forged(&page, None)),
            84..90 => {
                let other = self.pages.choose(rng)?;
                return Some(forged(&Page { nonce: other.nonce, ..page }, Proof::parse("f1f1").ok()));
            }
            _ => {
                // Once more, late: a browser's history.
                let again = self.before.choose(rng)?.clone();
                self.visits.push((latest + rng.random_range(0..2_000), again));
                return None;
            }
        };
        if let Ok(moved) = moved {
            self.leave(moved, latest);
        }
        None
    }

    /// Every page of these orders is paid at; `quit`: one of them is left instead.
    pub(crate) fn pay_all(&mut self, gateway: &mut Gateway, latest: i64, orders: &[OrderId], quit: bool) {
        let pages: Vec<Page> = self.pages.iter().filter(|page| orders.contains(&page.order)).cloned().collect();
        for page in pages {
            let (now, whose) = (Time(latest), Whose::Tid(&page.tid));
            let quits = quit && page.order == orders[0];
            let moved = if quits {
                gateway.machine.act(now, whose, Act::Quit)
            } else {
                gateway.machine.pay(now, whose, Means::Card)
            };
            if let Ok(moved) = moved {
                self.leave(moved, latest);
            }
        }
    }

    fn leave(&mut self, moved: Moved, latest: i64) {
        for visit in moved.visits {
            let at = match visit.arrival {
                Arrival::Next | Arrival::Together => latest,
                Arrival::At(time) => time.0,
            };
            self.visits.push((at, visit));
        }
    }

    /// One of the browsers that are there by now comes in.
    pub(crate) fn visit(&mut self, latest: i64, rng: &mut SmallRng) -> Option<Command> {
        let there: Vec<usize> = (0..self.visits.len()).filter(|&at| self.visits[at].0 <= latest).collect();
        let (_, visit) = self.visits.swap_remove(*there.choose(rng)?);
        let proof = visit.pg_token().filter(|_| visit.to == Callback::Approval);
        let proof = proof.and_then(|token| Proof::parse(token).ok());
        let command = returned(&visit, proof);
        self.before.push(visit);
        Some(command)
    }

    /// When the next browser comes.
    pub(crate) fn next(&self) -> Option<i64> {
        self.visits.iter().map(|(at, _)| *at).min()
    }

    /// An order that somebody has begun to pay.
    pub(crate) fn some_order(&self, rng: &mut SmallRng) -> Option<OrderId> {
        self.pages.choose(rng).map(|page| page.order)
    }
}

fn forged(page: &Page, proof: Option<Proof>) -> Command {
    Command::ReportReturn { order: page.order, attempt: page.attempt, nonce: page.nonce, proof }
}

/// Where an address of the shop leads.
fn returned(visit: &Visit, proof: Option<Proof>) -> Command {
    let address = visit.address.as_str().strip_prefix("http://shop.invalid/").expect("an address of the shop");
    let path = address.split('?').next().unwrap_or(address);
    let parts: Vec<&str> = path.split('/').collect();
    let nonce = u128::from_str_radix(parts[2], 16).expect("a nonce in hexadecimal");
    Command::ReportReturn {
        order: OrderId::parse(parts[0]).expect("an order"),
        attempt: parts[1].parse().expect("an attempt"),
        nonce: Nonce(nonce.to_be_bytes()),
        proof,
    }
}
