//! A flash sale: a crowd looks at a product, and buys when its sale opens. Orders are due at fixed times,
//! whatever the shop does. Afterwards the shop's account is compared with what everybody was told.
//!
//! [`scenario`]: what is to happen. `crowd`: who looks, tries and buys.

mod crowd;
pub mod scenario;

use super::ledger::{Ledger, percentile_ms};
use super::scenario::{ScenarioError, value};
use super::thresholds::{Figures, Judged, judge};
use crate::api::{Admin, ApiError, Sale};
use crate::contention::Target;
use crate::contention::check::{Evidence, Violation, check, sellable};
use crate::drive::{self, DriveError, Pace, Plan};
use crowd::crowd;
use scenario::SaleScenario;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum SaleError {
    /// The scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
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

/// Sets a sale up, lets the crowd loose, and checks. Setting `stop` ends it early.
pub fn run(scenario: &SaleScenario, target: &Target, stop: &AtomicBool) -> Result<SaleOutcome, SaleError> {
    scenario.check()?;
    if target.customer_tokens.len() < scenario.customers {
        return Err(value("customers", &scenario.customers, "a token for each is needed").into());
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
            crowd.unanswered(at);
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
