//! A flash sale: a crowd looks at a product, and buys when its sale opens. Orders are due at fixed times,
//! whatever the shop does. Afterwards the shop's account is compared with what everybody was told.
//!
//! [`scenario`]: what is to happen. `crowd`: who looks, tries and buys.

mod crowd;
pub mod scenario;

use super::ledger::{Ledger, percentile_ms};
use super::scenario::{ScenarioError, value};
use super::thresholds::{Figures, Judged, judge};
use crate::api::{Admin, ApiError};
use crate::contention::Target;
use crate::contention::check::{Evidence, Violation, check, sellable};
use crate::drive::{self, DriveError, Pace, Plan, Report, in_full};
use crowd::{Announced, Crowd, crowd};
use scenario::SaleScenario;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    /// An order was refused because the sale was not open, though it was.
    OpenedLate {
        /// How long after the opening it was sent, in seconds.
        seconds: f64,
    },
    /// What every contention promises.
    Contention(Violation),
}

impl fmt::Display for SaleViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SoldEarly { id } => write!(f, "order {id} was acknowledged before the sale opened"),
            Self::OpenedLate { seconds } => {
                write!(f, "{seconds:.3} s after the opening an order was refused because the sale was not open")
            }
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
    /// Orders in the list afterwards; none when it could not be had.
    pub sold: Option<u64>,
    /// Seconds from the first look to the last answer.
    pub seconds: f64,
    /// What failed: connections that broke, answers that never came, an account that could not be had.
    pub failed: Vec<String>,
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
    let sale = Announced { sku: &sku, admin: Admin::new(target.address, &target.admin_token) };
    let crowd = crowd(scenario, target, stop, sale, (seed, run));
    let plan = Plan {
        address: target.address,
        connections: scenario.buyers,
        threads: 1,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        window: None,
        // The opening is a whole second, and announcing it takes its time.
        patience: Duration::from_secs(u64::from(scenario.opens_in_seconds) + 2)
            + Duration::try_from_secs_f64(scenario.patience_seconds).unwrap_or_default(),
    };
    let (report, crowds) = drive::run(&plan, vec![crowd], &mut ())?;
    // One workload went in.
    let Some(mut crowd) = crowds.into_iter().next() else { return Err(DriveError::Panicked.into()) };
    if let Some(error) = crowd.failed.take() {
        return Err(error);
    }
    for at in 0..crowd.buyers.len() {
        if crowd.buyers[at].due.is_some() {
            crowd.unanswered(at);
        }
    }
    let mut failed = drive_failures(&report);
    let account = admin.stock(&sku).and_then(|stock| Ok((stock, admin.orders_of(&sku)?)));
    let account = account.map_err(|error| failed.push(in_full(&error))).ok();
    let sold = account.as_ref().map(|(_, orders)| orders.len() as u64);
    let oversold = account.as_ref().map(|(stock, _)| (stock.held + stock.sold).saturating_sub(scenario.units));
    let interrupted = stop.load(Ordering::Relaxed);
    let demand = demand(scenario, &crowd.early_demand);
    let sellable = sellable(scenario.units, Some(u64::from(scenario.per_customer_limit)), &demand);
    let mut violations = violations_of_time(&crowd);
    if let Some((stock, orders)) = account {
        let told = std::mem::take(&mut crowd.told);
        let (units, limit) = (scenario.units, Some(u64::from(scenario.per_customer_limit)));
        let evidence = Evidence { units, limit, demand, told, stock, orders, sku: sku.clone(), price: scenario.price };
        // In a part of a run not everybody has asked.
        let is_of_all = |v: &Violation| matches!(v, Violation::WrongSale { .. } | Violation::KeysUnanswered { .. });
        let counts = |v: &Violation| !(interrupted && is_of_all(v));
        violations.extend(check(&evidence).into_iter().filter(counts).map(SaleViolation::Contention));
    }
    let sold_out_after = crowd.sold_out.map(|when| when.saturating_duration_since(crowd.opens).as_secs_f64());
    // Without the account nobody knows how many promises were broken.
    let broken = sold.map(|_| violations.len());
    let figures = figures(sold_out_after, &crowd.ledger, broken, oversold);
    Ok(SaleOutcome {
        seed,
        interrupted,
        sold_out_after,
        sellable,
        sold,
        seconds: report.window.as_secs_f64(),
        failed,
        thresholds: judge(&scenario.thresholds, &figures),
        figures,
        violations,
        ledger: crowd.ledger,
    })
}

/// Units that each customer asked for: early orders that were acknowledged are demand, too.
fn demand(scenario: &SaleScenario, early: &[usize]) -> Vec<u64> {
    let mut demand = vec![0; scenario.customers];
    for buyer in 0..scenario.buyers {
        demand[scenario.customer(buyer)] += scenario.requests;
    }
    for customer in early {
        demand[*customer] += 1;
    }
    demand
}

/// Buyers ask again after a broken connection, so their answers do not tell of it.
fn drive_failures(report: &Report) -> Vec<String> {
    let mut failed = Vec::new();
    if report.failures > 0 {
        let first = report.first_failure.as_deref().unwrap_or_default();
        failed.push(format!("{} requests failed, the first because {first}", report.failures));
    }
    if report.unanswered > 0 {
        failed.push(format!("{} requests were not answered when the run ended", report.unanswered));
    }
    failed
}

/// The opening was neither early nor late.
fn violations_of_time(crowd: &Crowd<'_>) -> Vec<SaleViolation> {
    let early = crowd.sold_early.iter().map(|id| SaleViolation::SoldEarly { id: id.clone() });
    let late = crowd.not_open_after.map(|after| SaleViolation::OpenedLate { seconds: after.as_secs_f64() });
    early.chain(late).collect()
}

/// Latencies are the orders'; looking does not count among them.
#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn figures(sold_out_after: Option<f64>, ledger: &Ledger, broken: Option<usize>, oversold: Option<u64>) -> Figures {
    let errors: u64 = ledger.steps.values().map(|tally| tally.errors).sum();
    let orders = ledger.steps.get("order");
    let measured = [
        ("accepted", orders.map(|tally| tally.accepted as f64)),
        ("broken_promises", broken.map(|count| count as f64)),
        ("busy", ledger.busy_share()),
        ("errors", Some(errors as f64)),
        ("orders_accepted", Some(orders.map_or(0, |tally| tally.accepted) as f64)),
        ("oversold", oversold.map(|units| units as f64)),
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
            seconds: self.seconds,
            seconds_are: "from the first look to the last answer",
            failed: self.failed,
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
