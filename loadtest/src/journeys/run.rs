//! A run: makes the products, lets the shoppers loose, looks at the server meanwhile, and has what the
//! shop shows afterwards compared with what was acknowledged.

use super::ledger::{Ledger, percentile_ms};
use super::promises::{Account, Books, check};
use super::report::Outcome;
use super::samples::{Sample, Sampler, memory_growth_per_hour};
use super::scenario::{Scenario, ScenarioError};
use super::shoppers::{Shared, Shoppers};
use super::thresholds::{Figures, judge};
use crate::api::{Admin, ApiError};
use crate::contention::Target;
use crate::drive::{self, DriveError, Pace, Plan, in_full};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The unit price in won.
const PRICE: i64 = 10_000;
/// Looks at the server in a run, about; at least a tenth of a second apart.
const LOOKS: f64 = 200.0;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum JourneyError {
    /// The scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// There is no token for any shopper.
    #[error("there is no customer's token")]
    NoToken,
    /// The shop cannot be prepared or asked afterwards.
    #[error("the shop's API")]
    Api(#[from] ApiError),
    /// The load could not be sent.
    #[error("the load")]
    Drive(#[from] DriveError),
}

/// Plays a scenario against the shop; `own` names its process and data folder when it is ours. Setting `stop`
/// ends it early, with what there is by then.
pub fn run(
    title: &str,
    scenario: &Scenario,
    target: &Target,
    own: Option<(u32, PathBuf)>,
    stop: &AtomicBool,
) -> Result<Outcome, JourneyError> {
    scenario.check()?;
    if target.customer_tokens.is_empty() {
        return Err(JourneyError::NoToken);
    }
    let (seed, run) = (scenario.seed.unwrap_or_else(rand::random), rand::random::<u64>());
    let products = scenario.products;
    let skus: Vec<String> = (0..products.count).map(|n| format!("journey-{run:016x}-{n}")).collect();
    let mut admin = Admin::new(target.address, &target.admin_token);
    for sku in &skus {
        admin.create_product(sku, PRICE, products.units)?;
    }
    let shared = Shared {
        scenario,
        seed,
        run,
        skus,
        host: target.address.to_string(),
        admin_token: &target.admin_token,
        customer_tokens: &target.customer_tokens,
        start: OnceLock::new(),
        stop,
    };
    let (ledger, books, samples) = load(&shared, target, own)?;
    let start = *shared.start.get_or_init(Instant::now);
    let seconds = start.elapsed().as_secs_f64().min(scenario.load.seconds);
    let account = account(&mut admin, &shared);
    let mut failed = Vec::new();
    // A shop that died gives no account: the report says so, and what was to be learnt from it is absent.
    let account = account.map_err(|error| failed.push(in_full(&error))).ok();
    let broken = account.as_ref().map(|account| check(&books, account));
    let (oversold, broken_count) = (account.as_ref().map(Account::oversold), broken.as_ref().map(Vec::len));
    let figures = figures(&ledger, &samples, seconds, oversold, broken_count);
    Ok(Outcome {
        title: title.to_owned(),
        interrupted: stop.load(Ordering::Relaxed),
        seed,
        seconds,
        seconds_are: "in which requests were due",
        failed,
        thresholds: judge(&scenario.thresholds, &figures),
        figures,
        broken: broken.unwrap_or_default(),
        scenario: serde_json::to_value(scenario).unwrap_or_default(),
        series: ledger.points(),
        steps: ledger.steps.iter().map(|(step, tally)| super::report::StepRow::of(step, tally)).collect(),
        refused: ledger.codes,
        errors: ledger.errors,
        samples,
        machine: crate::page::machine::machine(),
    })
}

type Gathered = (Ledger, Books, Vec<Sample>);

fn load(shared: &Shared<'_>, target: &Target, own: Option<(u32, PathBuf)>) -> Result<Gathered, JourneyError> {
    let load = &shared.scenario.load;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let plan = Plan {
        address: target.address,
        connections: load.shoppers,
        threads: load.threads,
        pace: load.per_second.map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
        warmup: Duration::ZERO,
        window: Some(seconds(load.seconds)),
        patience: seconds(load.patience_seconds),
    };
    let shoppers = (0..load.threads).map(|_| Shoppers::new(shared)).collect();
    let over = AtomicBool::new(false);
    let every = seconds((load.seconds / LOOKS).max(0.1));
    let (driven, samples) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let start = *shared.start.wait();
            let mut sampler = Sampler::new(target.address, own, start);
            let mut samples = vec![sampler.look()];
            let mut next = start + every;
            while !over.load(Ordering::Acquire) {
                std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
                if Instant::now() >= next {
                    samples.push(sampler.look());
                    next += every;
                }
            }
            samples
        });
        let driven = drive::run(&plan, shoppers, &mut ());
        over.store(true, Ordering::Release);
        // Where not every connection could be opened nobody has set it, and the other thread waits.
        shared.start.get_or_init(Instant::now);
        looks.thread().unpark();
        // A look that panicked leaves no samples; what needs them is then not measured.
        (driven, looks.join().unwrap_or_default())
    });
    let (_, shoppers) = driven?;
    let (mut ledger, mut books) = (Ledger::new(Instant::now(), load.seconds), Books::default());
    for part in shoppers {
        let (told, orders) = part.finish();
        ledger.add(told);
        books.add(orders);
    }
    Ok((ledger, books, samples))
}

/// What the shop shows of the run's products and orders.
fn account(admin: &mut Admin, shared: &Shared<'_>) -> Result<Account, ApiError> {
    let stocks = shared.skus.iter().map(|sku| Ok((sku.clone(), admin.stock(sku)?))).collect::<Result<_, ApiError>>()?;
    let check_orders = shared.scenario.load.check_orders;
    let orders = check_orders.then(|| admin.orders_with(|line| shared.skus.contains(&line.sku))).transpose()?;
    Ok(Account { units: shared.scenario.products.units, price: PRICE, stocks, orders })
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn figures(ledger: &Ledger, samples: &[Sample], seconds: f64, oversold: Option<u64>, broken: Option<usize>) -> Figures {
    let whole = ledger.whole();
    let most = |of: fn(&Sample) -> Option<f64>| samples.iter().filter_map(of).reduce(f64::max);
    let measured = [
        ("accepted", Some(whole.accepted as f64)),
        ("accepted_per_second", (seconds > 0.0).then(|| whole.accepted as f64 / seconds)),
        ("broken_promises", broken.map(|count| count as f64)),
        ("busy", ledger.busy_share()),
        ("dropped", Some(whole.dropped as f64)),
        ("errors", Some(whole.errors as f64)),
        ("journal_mib", most(|sample| sample.journal_mib)),
        ("lag_events", most(|sample| sample.lag_events)),
        ("lag_seconds", most(|sample| sample.lag_seconds)),
        ("memory_growth_mib_per_hour", memory_growth_per_hour(samples)),
        ("memory_mib", most(|sample| sample.memory_mib)),
        ("orders_accepted", Some(ledger.steps.get("order").map_or(0, |tally| tally.accepted) as f64)),
        ("oversold", oversold.map(|units| units as f64)),
        ("p50_ms", percentile_ms(&whole.latency, 50.0)),
        ("p99_ms", percentile_ms(&whole.latency, 99.0)),
        ("refused_p99_ms", percentile_ms(&whole.refused_latency, 99.0)),
    ];
    measured.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
}
