//! A flash sale: a crowd looks at a product, and buys when its sale opens. Orders are due at fixed times,
//! whatever the shop does. Afterwards the shop's account is compared with what everybody was told.

use super::ledger::{Ledger, Told as Count, percentile_ms};
use super::thresholds::{Figures, Judged, judge};
use crate::answer::Answer;
use crate::api::{Admin, ApiError, Placed, Problem, Sale};
use crate::contention::Target;
use crate::contention::buyers::{REFUSALS, STILL_RUNNING};
use crate::contention::check::{Evidence, Outcome, Told, Violation, check, sellable};
use crate::drive::{self, DriveError, Failure, Pace, Plan, Then, Workload};
use crate::request::Request;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The refusal before the opening.
const NOT_OPEN: &str = "sale_not_open";
/// How often an order is sent again before its buyer gives up.
const AGAIN_MAX: u32 = 100;
/// A pause before an order is sent again.
const AGAIN_PAUSE: Duration = Duration::from_millis(20);

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleScenario {
    /// The seed of the jitter; without it one is drawn, and printed.
    pub seed: Option<u64>,
    /// Connections.
    pub buyers: usize,
    /// Customers; buyer `n` is customer `n` modulo their number.
    pub customers: usize,
    /// Orders of one unit that each buyer sends, one after another.
    pub requests: u64,
    /// Units that there are.
    pub units: u64,
    /// The sale's unit price in won.
    pub price: i64,
    /// The product's own unit price in won; another one.
    pub price_before: i64,
    /// Units that one customer may have.
    pub per_customer_limit: u32,
    /// The sale opens after so many whole seconds.
    pub opens_in_seconds: u32,
    /// Who waits looks at the product every so many milliseconds.
    pub poll_ms: f64,
    /// First orders are due within so many milliseconds of the opening.
    pub jitter_ms: f64,
    /// Of so many buyers one also tries half a second and more before the opening; 0: nobody.
    pub too_early_every: usize,
    /// The run ends so many seconds after the opening.
    pub patience_seconds: f64,
    /// What figures may come to, by name.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum SaleError {
    /// A scenario that cannot be read.
    #[error("the scenario cannot be read: {0}")]
    Form(String),
    /// A value is out of its range.
    #[error("{field}: {expected}")]
    Value {
        /// Which field.
        field: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The opening cannot be written down.
    #[error("the time of the opening")]
    Time(#[from] time::error::Format),
    /// The shop cannot be prepared or asked afterwards.
    #[error("the shop's API")]
    Api(#[from] ApiError),
    /// The load could not be sent.
    #[error("the load")]
    Drive(#[from] DriveError),
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq)]
pub enum SaleViolation {
    /// An order was acknowledged before the opening.
    SoldEarly {
        /// The order.
        id: String,
    },
    /// What every contention promises.
    Contention(Violation),
}

impl fmt::Display for SaleViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SoldEarly { id } => write!(f, "order {id} was acknowledged before the sale opened"),
            Self::Contention(violation) => violation.fmt(f),
        }
    }
}

impl SaleScenario {
    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, SaleError> {
        let scenario: Self = toml::from_str(text).map_err(|error| SaleError::Form(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), SaleError> {
        let is_ms = |ms: f64, least: f64| ms >= least && ms <= 60_000.0;
        let rules: [(&str, bool, &'static str); 10] = [
            ("buyers", (1..=20_000).contains(&self.buyers), "1 to 20000"),
            ("customers", (1..=self.buyers).contains(&self.customers), "1 to the number of buyers"),
            ("requests", (1..=1_000).contains(&self.requests), "1 to 1000"),
            ("price", (1..=10_000_000_000).contains(&self.price), "1 to 10000000000"),
            ("price_before", self.price_before >= 1 && self.price_before != self.price, "above 0 and not the sale's"),
            ("per_customer_limit", self.per_customer_limit > 0, "at least 1"),
            ("opens_in_seconds", (1..=3_600).contains(&self.opens_in_seconds), "1 to 3600"),
            ("poll_ms", is_ms(self.poll_ms, 1.0), "1 to 60000"),
            ("jitter_ms", is_ms(self.jitter_ms, 0.0), "0 to 60000"),
            ("patience_seconds", self.patience_seconds >= 1.0 && self.patience_seconds <= 3_600.0, "1 to 3600"),
        ];
        if let Some((field, _, expected)) = rules.into_iter().find(|(_, is_sound, _)| !is_sound) {
            return Err(SaleError::Value { field: field.to_owned(), expected });
        }
        let unknown = |name: &&String| super::thresholds::figure_of(name).is_none();
        match self.thresholds.keys().find(unknown) {
            Some(name) => {
                let field = format!("thresholds.{name}");
                Err(SaleError::Value { field, expected: "a figure's name with _max or _min" })
            }
            None => Ok(()),
        }
    }

    fn customer(&self, connection: usize) -> usize {
        connection % self.customers
    }
}

/// What came of it.
#[derive(Debug)]
pub struct SaleOutcome {
    /// The seed of the jitter.
    pub seed: u64,
    /// It was ended early.
    pub interrupted: bool,
    /// What was told, over time; steps `look`, `early` and `order`.
    pub ledger: Ledger,
    /// Seconds from the opening to the first `sold_out`; none when it was not sold out.
    pub sold_out_after: Option<f64>,
    /// Orders that could be and that were acknowledged.
    pub sellable: u64,
    /// Orders acknowledged.
    pub sold: u64,
    /// What was measured.
    pub figures: Figures,
    /// The thresholds and what became of them.
    pub thresholds: Vec<Judged>,
    /// Broken promises.
    pub violations: Vec<SaleViolation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Look,
    Early,
    Order,
}

struct Buyer {
    looking: Request,
    buying: Request,
    doing: Doing,
    due: Option<Instant>,
    first_order: Instant,
    early_left: bool,
    /// Orders begun, the early one among them.
    begun: u64,
    again: u32,
}

struct Crowd<'a> {
    scenario: &'a SaleScenario,
    stop: &'a AtomicBool,
    opens: Instant,
    buyers: Vec<Buyer>,
    ledger: Ledger,
    told: Vec<Told>,
    sold_early: Vec<String>,
    /// Early orders that were acknowledged, by customer: they are demand, too.
    early_demand: Vec<usize>,
    sold_out: Option<Instant>,
}

impl Crowd<'_> {
    /// Tells the ledger and says what comes next.
    fn done(&mut self, connection: usize, told: Count) -> Then {
        let buyer = &mut self.buyers[connection];
        let step = match buyer.doing {
            Doing::Look => "look",
            Doing::Early => "early",
            Doing::Order => "order",
        };
        if let Some(due) = buyer.due.take() {
            self.ledger.tell(step, due, told);
        }
        if buyer.doing == Doing::Order {
            return Then::Next;
        }
        let poll = Duration::try_from_secs_f64(self.scenario.poll_ms / 1_000.0).unwrap_or_default();
        Then::At((Instant::now() + poll).min(buyer.first_order))
    }

    fn remember(&mut self, connection: usize, outcome: Outcome) {
        let key = connection as u64 * (self.scenario.requests + 1) + self.buyers[connection].begun - 1;
        self.told.push(Told { customer: self.scenario.customer(connection), key, outcome });
    }

    fn unexpected(&mut self, connection: usize, why: String) -> Then {
        self.ledger.explain(|| why.clone());
        if self.buyers[connection].doing == Doing::Order {
            self.remember(connection, Outcome::Unexpected(why));
        }
        self.done(connection, Count::Error)
    }

    fn again_or(&mut self, connection: usize, pause: Duration, why: impl FnOnce() -> String) -> Then {
        self.buyers[connection].again += 1;
        if self.buyers[connection].again > AGAIN_MAX {
            return self.unexpected(connection, format!("given up: {}", why()));
        }
        Then::Again(pause)
    }

    fn accepted(&mut self, connection: usize, id: String) -> Then {
        if self.buyers[connection].doing == Doing::Early {
            self.early_demand.push(self.scenario.customer(connection));
        }
        // The answer is here and the sale is not open: that needs no clock but this one.
        if Instant::now() < self.opens {
            self.sold_early.push(id.clone());
        }
        self.remember(connection, Outcome::Accepted(id));
        self.done(connection, Count::Accepted)
    }
}

impl Workload for Crowd<'_> {
    fn first_due(&mut self, connection: usize) -> Option<Instant> {
        Some(self.buyers[connection].first_order.min(Instant::now()))
    }

    fn due(&mut self, connection: usize, due: Instant) {
        self.buyers[connection].due = Some(due);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn prepare(&mut self, connection: usize) -> bool {
        let requests = self.scenario.requests;
        let buyer = &mut self.buyers[connection];
        buyer.again = 0;
        let is_open = buyer.due.is_some_and(|due| due >= buyer.first_order) || buyer.doing == Doing::Order;
        buyer.doing = match (is_open, buyer.early_left) {
            (true, _) => Doing::Order,
            (false, true) => Doing::Early,
            (false, false) => Doing::Look,
        };
        if buyer.doing == Doing::Look {
            return true;
        }
        if buyer.doing == Doing::Early {
            buyer.early_left = false;
        } else if buyer.begun == 0 {
            // Key 0 belongs to the early order, whether there was one or not.
            buyer.begun = 1;
        }
        if buyer.begun > requests {
            buyer.due = None;
            return false;
        }
        buyer.buying.set_key(connection as u64 * (requests + 1) + buyer.begun);
        buyer.begun += 1;
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        let buyer = &self.buyers[connection];
        if buyer.doing == Doing::Look { buyer.looking.bytes() } else { buyer.buying.bytes() }
    }

    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then {
        let doing = self.buyers[connection].doing;
        self.ledger.answered(answer.status);
        let text = || format!("{} {}", answer.status, String::from_utf8_lossy(answer.body));
        if doing == Doing::Look {
            return if answer.status == 200 {
                self.done(connection, Count::Accepted)
            } else {
                self.unexpected(connection, text())
            };
        }
        if answer.status == 201 {
            return match serde_json::from_slice::<Placed>(answer.body) {
                Ok(placed) => self.accepted(connection, placed.id),
                Err(_) => self.unexpected(connection, text()),
            };
        }
        if let (503, Some(seconds)) = (answer.status, answer.retry_after) {
            return self.again_or(connection, Duration::from_secs(seconds.into()) + AGAIN_PAUSE, text);
        }
        let code = serde_json::from_slice::<Problem>(answer.body).map(|problem| problem.code).unwrap_or_default();
        if code == STILL_RUNNING || (code == NOT_OPEN && doing == Doing::Order) {
            // The shop's clock may be a moment behind this one's.
            return self.again_or(connection, AGAIN_PAUSE, text);
        }
        let is_explained = if doing == Doing::Early { code == NOT_OPEN } else { REFUSALS.contains(&code.as_str()) };
        if !is_explained {
            return self.unexpected(connection, text());
        }
        *self.ledger.codes.entry(code.clone()).or_default() += 1;
        if code == "sold_out" {
            self.sold_out.get_or_insert_with(Instant::now);
        }
        if doing == Doing::Order {
            self.remember(connection, Outcome::Refused(code));
        }
        self.done(connection, Count::Refused)
    }

    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        self.again_or(connection, Duration::from_millis(100), || failure.to_string())
    }
}

/// Sets a sale up, lets the crowd loose, and checks. Setting `stop` ends it early.
pub fn run(scenario: &SaleScenario, target: &Target, stop: &AtomicBool) -> Result<SaleOutcome, SaleError> {
    scenario.check()?;
    if target.customer_tokens.len() < scenario.customers {
        return Err(SaleError::Value { field: "customers".to_owned(), expected: "a token for each is needed" });
    }
    let (seed, run) = (scenario.seed.unwrap_or_else(rand::random), rand::random::<u64>());
    let sku = format!("sale-{run:016x}");
    let mut admin = Admin::new(target.address, &target.admin_token);
    admin.create_product(&sku, scenario.price_before, scenario.units)?;
    let start = Instant::now();
    let now = OffsetDateTime::now_utc();
    let soon = now + Duration::from_secs(u64::from(scenario.opens_in_seconds) + 1);
    // A whole second, which every clock can say.
    let opens_at = soon.replace_nanosecond(0).unwrap_or(soon);
    let opens = start + Duration::try_from(opens_at - now).unwrap_or_default();
    let closes_at = opens_at + Duration::from_hours(1);
    let terms = Sale { price: scenario.price, per_customer_limit: scenario.per_customer_limit };
    admin.set_sale_between(&sku, terms, &opens_at.format(&Rfc3339)?, &closes_at.format(&Rfc3339)?)?;
    let crowd = crowd(scenario, target, stop, opens, (seed, run, &sku));
    let plan = Plan {
        address: target.address,
        connections: scenario.buyers,
        threads: 1,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        window: None,
        patience: opens.saturating_duration_since(Instant::now())
            + Duration::try_from_secs_f64(scenario.patience_seconds).unwrap_or_default(),
    };
    let (_, crowds) = drive::run(&plan, vec![crowd], &mut ())?;
    // One workload went in.
    let Some(mut crowd) = crowds.into_iter().next() else { return Err(DriveError::Panicked.into()) };
    for at in 0..crowd.buyers.len() {
        if crowd.buyers[at].due.is_some() {
            crowd.unexpected(at, "not answered when the run ended".to_owned());
        }
    }
    let mut demand = vec![0; scenario.customers];
    (0..scenario.buyers).for_each(|buyer| demand[scenario.customer(buyer)] += scenario.requests);
    crowd.early_demand.iter().for_each(|customer| demand[*customer] += 1);
    let limit = Some(u64::from(scenario.per_customer_limit));
    let sellable = sellable(scenario.units, limit, &demand);
    let (stock, orders) = (admin.stock(&sku)?, admin.orders_of(&sku)?);
    let sold = orders.len() as u64;
    let told = std::mem::take(&mut crowd.told);
    let evidence = Evidence { units: scenario.units, limit, demand, told, stock, orders, sku, price: scenario.price };
    let interrupted = stop.load(Ordering::Relaxed);
    let mut violations: Vec<_> =
        crowd.sold_early.iter().map(|id| SaleViolation::SoldEarly { id: id.clone() }).collect();
    // In a part of a run not everybody has asked.
    let counts =
        |v: &Violation| !(interrupted && matches!(v, Violation::WrongSale { .. } | Violation::KeysUnanswered { .. }));
    violations.extend(check(&evidence).into_iter().filter(counts).map(SaleViolation::Contention));
    let sold_out_after = crowd.sold_out.map(|when| when.saturating_duration_since(opens).as_secs_f64());
    let figures = figures(
        sold_out_after,
        &crowd.ledger,
        violations.len(),
        (stock.held + stock.sold).saturating_sub(scenario.units),
    );
    Ok(SaleOutcome {
        seed,
        interrupted,
        sold_out_after,
        sellable,
        sold,
        thresholds: judge(&scenario.thresholds, &figures),
        figures,
        violations,
        ledger: crowd.ledger,
    })
}

fn crowd<'a>(
    scenario: &'a SaleScenario,
    target: &Target,
    stop: &'a AtomicBool,
    opens: Instant,
    (seed, run, sku): (u64, u64, &str),
) -> Crowd<'a> {
    let mut chance = StdRng::seed_from_u64(seed);
    let host = target.address.to_string();
    let body = serde_json::json!({ "lines": [{ "sku": sku, "quantity": 1 }] }).to_string();
    let buyer = |connection: usize| {
        let token = &target.customer_tokens[scenario.customer(connection)];
        let after = chance.random::<f64>() * scenario.jitter_ms / 1_000.0;
        Buyer {
            looking: Request::to("GET", &host, &format!("/v1/products/{sku}")).bearer(token).empty(),
            buying: Request::to("POST", &host, "/v1/orders")
                .bearer(token)
                .numbered_key(&format!("{run:016x}"))
                .json(&body),
            doing: Doing::Look,
            due: None,
            first_order: opens + Duration::try_from_secs_f64(after).unwrap_or_default(),
            early_left: scenario.too_early_every > 0 && connection.is_multiple_of(scenario.too_early_every),
            begun: 0,
            again: 0,
        }
    };
    Crowd {
        scenario,
        stop,
        opens,
        buyers: (0..scenario.buyers).map(buyer).collect(),
        ledger: Ledger::new(Instant::now(), f64::from(scenario.opens_in_seconds) + 5.0),
        told: Vec::new(),
        sold_early: Vec::new(),
        early_demand: Vec::new(),
        sold_out: None,
    }
}

/// Latencies are the orders'; looking does not count among them.
#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn figures(sold_out_after: Option<f64>, ledger: &Ledger, broken: usize, oversold: u64) -> Figures {
    let errors: u64 = ledger.steps.values().map(|tally| tally.errors).sum();
    let orders = ledger.steps.get("order");
    let measured = [
        ("accepted", orders.map(|tally| tally.accepted as f64)),
        ("broken_promises", Some(broken as f64)),
        ("busy", ledger.busy_share()),
        ("errors", Some(errors as f64)),
        ("orders_accepted", Some(orders.map_or(0, |tally| tally.accepted) as f64)),
        ("oversold", Some(oversold as f64)),
        ("p50_ms", orders.and_then(|tally| percentile_ms(&tally.latency, 50.0))),
        ("p99_ms", orders.and_then(|tally| percentile_ms(&tally.latency, 99.0))),
        ("sold_out_seconds", sold_out_after),
        ("refused_p99_ms", orders.and_then(|tally| percentile_ms(&tally.refused_latency, 99.0))),
    ];
    measured.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
}

impl SaleOutcome {
    /// As a report.
    pub fn into_report(self, title: &str, scenario: &SaleScenario) -> super::report::Outcome {
        super::report::Outcome {
            title: title.to_owned(),
            interrupted: self.interrupted,
            seed: self.seed,
            seconds: f64::from(scenario.opens_in_seconds),
            figures: self.figures,
            thresholds: self.thresholds,
            broken: self.violations.iter().map(ToString::to_string).collect(),
            scenario: serde_json::to_value(scenario).unwrap_or_default(),
            steps: self.ledger.steps.iter().map(|(step, tally)| super::report::StepRow::of(step, tally)).collect(),
            series: self.ledger.points(),
            refused: self.ledger.codes,
            errors: self.ledger.errors,
            samples: Vec::new(),
            machine: crate::page::machine::machine(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scenario_can_be_played_and_bad_values_are_named() {
        let whole = include_str!("../../scenarios/sale.toml");
        let thresholds = SaleScenario::parse(whole).unwrap().thresholds;
        assert!(thresholds["orders_accepted_min"] > 0.0 && thresholds["busy_max"] < 1.0);
        for (from, to, named) in [
            ("buyers = 500", "buyers = 0", "buyers"),
            ("customers = 250", "customers = 501", "customers"),
            ("requests = 2", "requests = 0", "requests"),
            ("price_before = 129000", "price_before = 99000", "price_before"),
            ("per_customer_limit = 1", "per_customer_limit = 0", "per_customer_limit"),
            ("opens_in_seconds = 3", "opens_in_seconds = 0", "opens_in_seconds"),
            ("poll_ms = 500.0", "poll_ms = nan", "poll_ms"),
            ("jitter_ms = 50.0", "jitter_ms = -1.0", "jitter_ms"),
            ("units = 200", "unit = 200", "unknown field `unit`"),
            ("errors_max", "error_max", "thresholds.error_max"),
        ] {
            assert!(whole.contains(from), "{from}");
            let error = SaleScenario::parse(&whole.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
