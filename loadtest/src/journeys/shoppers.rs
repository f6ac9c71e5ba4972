//! The shoppers: each on its own connection, one weighted step after another. What it ordered it may
//! look at, cancel or have confirmed; a step that it cannot take is not drawn.

use super::ledger::{Ledger, Told};
use super::promises::{Acknowledged, Books, Unknown};
use super::scenario::{Scenario, Weights};
use crate::answer::Answer;
use crate::api::{Placed, Problem};
use crate::drive::{Failure, Then, Workload};
use crate::request::Request;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Orders that a shopper remembers, to cancel or confirm them.
const OWN_ORDERS_MAX: usize = 50;

/// A step of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The list of products.
    List,
    /// One product.
    Product,
    /// An order.
    Order,
    /// The shopper's orders.
    OwnOrders,
    /// Cancels an order.
    Cancel,
    /// The admin confirms an order.
    Confirm,
}

impl Step {
    /// Its name in reports and scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Product => "product",
            Self::Order => "order",
            Self::OwnOrders => "own_orders",
            Self::Cancel => "cancel",
            Self::Confirm => "confirm",
        }
    }

    /// Refusals that the step explains; being asked to wait belongs to every step. No product of a
    /// journey is on sale, so neither a limit nor a window explains anything.
    fn refusals(self) -> &'static [&'static str] {
        match self {
            Self::Order => &["sold_out"],
            Self::Cancel | Self::Confirm => &["wrong_state"],
            Self::List | Self::Product | Self::OwnOrders => &[],
        }
    }
}

/// Draws a step; `chance` is in 0..1, and steps that need an order are left out without one.
pub fn draw(weights: &Weights, has_order: bool, chance: f64) -> Step {
    let needs_order = |weight: f64| if has_order { weight } else { 0.0 };
    let steps = [
        (Step::List, weights.list),
        (Step::Product, weights.product),
        (Step::Order, weights.order),
        (Step::OwnOrders, weights.own_orders),
        (Step::Cancel, needs_order(weights.cancel)),
        (Step::Confirm, needs_order(weights.confirm)),
    ];
    let mut left = chance * steps.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut last = Step::List;
    for (step, weight) in steps.into_iter().filter(|(_, weight)| *weight > 0.0) {
        last = step;
        if left < weight {
            return step;
        }
        left -= weight;
    }
    last
}

/// What all shoppers of a run share.
#[derive(Debug)]
pub struct Shared<'a> {
    /// What is to happen.
    pub scenario: &'a Scenario,
    /// The seed of every choice.
    pub seed: u64,
    /// The run's own name, in keys.
    pub run: u64,
    /// The products.
    pub skus: Vec<String>,
    /// `Host`.
    pub host: String,
    /// For confirming.
    pub admin_token: &'a str,
    /// One for each shopper.
    pub customer_tokens: &'a [String],
    /// When the run began; unset until every connection is open.
    pub start: OnceLock<Instant>,
    /// Ends the run early.
    pub stop: &'a AtomicBool,
}

impl Shared<'_> {
    /// Whose requests a connection sends.
    fn customer(&self, connection: usize) -> usize {
        connection % self.customer_tokens.len()
    }
}

struct Shopper {
    chance: StdRng,
    step: Step,
    request: Request,
    due: Option<Instant>,
    sku: usize,
    quantity: u32,
    /// The order that is being changed.
    order: String,
    own: Vec<String>,
    sent: u64,
}

/// The shoppers of one thread.
pub struct Shoppers<'a> {
    shared: &'a Shared<'a>,
    start: Instant,
    of_connection: BTreeMap<usize, Shopper>,
    /// What they were told.
    pub ledger: Ledger,
    /// What is to be compared with the shop's account, if it is.
    pub books: Books,
}

impl<'a> Shoppers<'a> {
    /// A thread's shoppers.
    pub fn new(shared: &'a Shared<'a>) -> Self {
        let start = Instant::now();
        let ledger = Ledger::new(start, shared.scenario.load.seconds);
        Self { shared, start, of_connection: BTreeMap::new(), ledger, books: Books::default() }
    }

    /// What was never answered is an error; call it once, after the run.
    pub fn finish(mut self) -> (Ledger, Books) {
        for connection in self.of_connection.keys().copied().collect::<Vec<_>>() {
            let shopper = self.shopper(connection);
            let step = shopper.step;
            if let Some(due) = shopper.due.take() {
                self.ledger.tell(step.name(), due, Told::Unanswered);
                self.ledger.explain(|| format!("{}: not answered when the run ended", step.name()));
                self.nobody_knows(connection);
            }
        }
        (self.ledger, self.books)
    }

    fn shopper(&mut self, connection: usize) -> &mut Shopper {
        let seed = self.shared.seed ^ (connection as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.of_connection.entry(connection).or_insert_with(|| Shopper {
            chance: StdRng::seed_from_u64(seed),
            step: Step::List,
            request: Request::to("GET", "", "/").empty(),
            due: None,
            sku: 0,
            quantity: 1,
            order: String::new(),
            own: Vec::new(),
            sent: 0,
        })
    }

    /// The step may or may not have had its effect.
    fn nobody_knows(&mut self, connection: usize) {
        let shared = self.shared;
        let shopper = self.shopper(connection);
        let (step, quantity, order) = (shopper.step, shopper.quantity.into(), shopper.order.clone());
        let sku = &shared.skus[shopper.sku];
        match step {
            Step::Order if shared.scenario.load.check_orders => {
                self.books.unknown.push(Unknown { customer: shared.customer(connection), sku: sku.clone(), quantity });
            }
            Step::List | Step::Product | Step::OwnOrders | Step::Order => {}
            Step::Cancel | Step::Confirm => {
                if let Some(order) = self.books.orders.get_mut(&order) {
                    order.status = None;
                }
            }
        }
    }

    fn tell(&mut self, connection: usize, told: Told) {
        let shopper = self.shopper(connection);
        let (step, due) = (shopper.step, shopper.due.take());
        if let Some(due) = due {
            self.ledger.tell(step.name(), due, told);
        }
    }

    /// Remembers what an accepted step changed; false when the answer is not what was promised.
    fn accepted(&mut self, connection: usize, body: &[u8]) -> bool {
        let check = self.shared.scenario.load.check_orders;
        let (skus, customer) = (&self.shared.skus, self.shared.customer(connection));
        let shopper = self.of_connection.entry(connection);
        let std::collections::btree_map::Entry::Occupied(mut shopper) = shopper else { return false };
        let shopper = shopper.get_mut();
        let status = match shopper.step {
            Step::List | Step::Product | Step::OwnOrders => return true,
            Step::Order => {
                let Ok(Placed { id }) = serde_json::from_slice(body) else { return false };
                if check {
                    let (sku, quantity) = (skus[shopper.sku].clone(), shopper.quantity.into());
                    let order = Acknowledged { customer, sku, quantity, status: Some("held") };
                    self.books.acknowledge(id.clone(), order);
                }
                if shopper.own.len() < OWN_ORDERS_MAX {
                    shopper.own.push(id);
                }
                return true;
            }
            Step::Cancel => "cancelled",
            Step::Confirm => "confirmed",
        };
        if let Some(order) = self.books.orders.get_mut(&shopper.order) {
            order.status = Some(status);
        }
        true
    }

    fn then(&mut self, connection: usize) -> Then {
        let Some(think) = self.shared.scenario.load.think else { return Then::Next };
        let chance = self.shopper(connection).chance.random();
        Then::At(Instant::now() + think.draw(chance))
    }
}

impl Workload for Shoppers<'_> {
    fn started(&mut self, start: Instant) {
        self.start = *self.shared.start.get_or_init(|| start);
        self.ledger.begins(self.start);
    }

    #[allow(clippy::cast_precision_loss, reason = "shoppers are few")]
    fn first_due(&mut self, connection: usize) -> Option<Instant> {
        let load = &self.shared.scenario.load;
        let part = connection as f64 / load.shoppers as f64;
        Duration::try_from_secs_f64(load.ramp_seconds * part).ok().map(|after| self.start + after)
    }

    fn due(&mut self, connection: usize, due: Instant) {
        self.shopper(connection).due = Some(due);
    }

    fn dropped(&mut self, due: Instant) {
        self.ledger.dropped(due);
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn prepare(&mut self, connection: usize) -> bool {
        let shared = self.shared;
        let Scenario { weights, products, .. } = shared.scenario;
        let token = &shared.customer_tokens[shared.customer(connection)];
        let shopper = self.shopper(connection);
        let chance = shopper.chance.random();
        shopper.step = draw(weights, !shopper.own.is_empty(), chance);
        shopper.sku = shopper.chance.random_range(0..shared.skus.len());
        shopper.sent += 1;
        let sku = &shared.skus[shopper.sku];
        let get = |path: &str| Request::to("GET", &shared.host, path).bearer(token).empty();
        shopper.request = match shopper.step {
            Step::List => get("/v1/products?limit=20"),
            Step::Product => get(&format!("/v1/products/{sku}")),
            Step::OwnOrders => get("/v1/orders?limit=10"),
            Step::Order => {
                shopper.quantity = shopper.chance.random_range(1..=products.quantity_max);
                let body = serde_json::json!({ "lines": [{ "sku": sku, "quantity": shopper.quantity }] });
                let key = format!("{:016x}-{connection}-{}", shared.run, shopper.sent);
                let request = Request::to("POST", &shared.host, "/v1/orders").bearer(token);
                request.header("Idempotency-Key", &key).json(&body.to_string())
            }
            Step::Cancel | Step::Confirm => {
                let at = shopper.chance.random_range(0..shopper.own.len());
                shopper.order = shopper.own.swap_remove(at);
                let cancels = shopper.step == Step::Cancel;
                let path = format!("/v1/orders/{}/{}", shopper.order, shopper.step.name());
                let token = if cancels { token } else { shared.admin_token };
                Request::to("POST", &shared.host, &path).bearer(token).header("Content-Length", "0").empty()
            }
        };
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.of_connection.get(&connection).map_or(&[], |shopper| shopper.request.bytes())
    }

    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then {
        let step = self.shopper(connection).step;
        self.ledger.answered(answer.status);
        if (200..300).contains(&answer.status) && self.accepted(connection, answer.body) {
            self.tell(connection, Told::Accepted);
            return self.then(connection);
        }
        let code = serde_json::from_slice::<Problem>(answer.body).map(|problem| problem.code).unwrap_or_default();
        // Whether an order of unknown outcome exists is not known: that is no refusal.
        let is_busy = answer.status == 503 && answer.retry_after.is_some() && code != "outcome_unknown";
        if !code.is_empty() && (is_busy || step.refusals().contains(&code.as_str())) {
            *self.ledger.codes.entry(code).or_default() += 1;
            self.tell(connection, Told::Refused);
        } else {
            let body = String::from_utf8_lossy(answer.body);
            self.ledger.explain(|| format!("{}: {} {body}", step.name(), answer.status));
            // A refusal that the step does not explain is one all the same: nothing happened.
            if !(400..500).contains(&answer.status) {
                self.nobody_knows(connection);
            }
            self.tell(connection, Told::Error);
        }
        self.then(connection)
    }

    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        let step = self.shopper(connection).step;
        self.nobody_knows(connection);
        self.ledger.explain(|| format!("{}: {failure}", step.name()));
        self.tell(connection, Told::Error);
        Then::Next
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn steps_come_as_often_as_they_weigh() {
        let weights = Weights { product: 6.0, order: 3.0, cancel: 1.0, ..Weights::default() };
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut chance = StdRng::seed_from_u64(seed);
        for (has_order, shares) in [(true, [0.6, 0.3, 0.1]), (false, [2.0 / 3.0, 1.0 / 3.0, 0.0])] {
            let mut counts = BTreeMap::new();
            for _ in 0..100_000 {
                *counts.entry(draw(&weights, has_order, chance.random())).or_insert(0_u32) += 1;
            }
            let steps = [Step::Product, Step::Order, Step::Cancel];
            assert!(counts.keys().all(|step| steps.contains(step)), "{counts:?}");
            for (step, share) in steps.into_iter().zip(shares) {
                let found = f64::from(counts.get(&step).copied().unwrap_or(0)) / 100_000.0;
                // Ten standard deviations: chance alone does not get there.
                assert!((found - share).abs() < 0.016, "seed {seed}: {step:?} {found}");
            }
        }
    }

    #[test]
    fn shoppers_arrive_from_when_every_connection_is_open() {
        let text = "[load]\nshoppers = 10\nseconds = 20.0\nramp_seconds = 10.0\n[weights]\nlist = 1.0\n\
            [products]\ncount = 1\nunits = 5\n";
        let stop = AtomicBool::new(false);
        let shared = Shared {
            scenario: &Scenario::parse(text).unwrap(),
            seed: 1,
            run: 1,
            skus: vec!["a".to_owned()],
            host: String::new(),
            admin_token: "",
            customer_tokens: &[String::new()],
            start: OnceLock::new(),
            stop: &stop,
        };
        let mut shoppers = Shoppers::new(&shared);
        // Opening took so long.
        let start = Instant::now() + Duration::from_secs(30);
        shoppers.started(start);
        assert_eq!(shoppers.first_due(5), Some(start + Duration::from_secs(5)));
        shoppers.ledger.tell("list", start, Told::Accepted);
        assert_eq!(shoppers.ledger.points().len(), 1, "the time before is no part of the run");
        assert_eq!(shared.start.get(), Some(&start));
    }
}
