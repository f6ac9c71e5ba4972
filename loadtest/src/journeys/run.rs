//! A run: makes the products, lets the shoppers loose, looks at the server meanwhile, and compares
//! what the shop shows afterwards with what was acknowledged.

use super::ledger::{Ledger, percentile_ms};
use super::report::Outcome;
use super::samples::{Sample, Sampler, memory_growth_per_hour};
use super::scenario::{Scenario, ScenarioError};
use super::shoppers::{Acknowledged, Shared, Shoppers};
use super::thresholds::{Figures, judge};
use crate::api::{Admin, ApiError, Order, Stock};
use crate::contention::Target;
use crate::drive::{self, DriveError, Pace, Plan};
use std::collections::BTreeMap;
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
    let (ledger, acknowledged, samples) = load(&shared, target, own)?;
    let start = *shared.start.get_or_init(Instant::now);
    let seconds = start.elapsed().as_secs_f64().min(scenario.load.seconds);
    let (oversold, broken) = compare(&mut admin, &shared, &acknowledged)?;
    let figures = figures(&ledger, &samples, seconds, oversold, broken.len());
    Ok(Outcome {
        title: title.to_owned(),
        interrupted: stop.load(Ordering::Relaxed),
        seed,
        seconds,
        seconds_are: "in which requests were due",
        failed: Vec::new(),
        thresholds: judge(&scenario.thresholds, &figures),
        figures,
        broken,
        scenario: serde_json::to_value(scenario).unwrap_or_default(),
        series: ledger.points(),
        steps: ledger.steps.iter().map(|(step, tally)| super::report::StepRow::of(step, tally)).collect(),
        refused: ledger.codes,
        errors: ledger.errors,
        samples,
        machine: crate::page::machine::machine(),
    })
}

type Gathered = (Ledger, BTreeMap<String, Acknowledged>, Vec<Sample>);

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
    let (mut ledger, mut acknowledged) = (Ledger::new(Instant::now(), load.seconds), BTreeMap::new());
    for part in shoppers {
        let (told, orders) = part.finish();
        ledger.add(told);
        acknowledged.extend(orders);
    }
    Ok((ledger, acknowledged, samples))
}

/// Units sold beyond what there was, and every promise that was broken.
fn compare(
    admin: &mut Admin,
    shared: &Shared<'_>,
    acknowledged: &BTreeMap<String, Acknowledged>,
) -> Result<(u64, Vec<String>), ApiError> {
    let (mut oversold, mut broken) = (0, Vec::new());
    let units = shared.scenario.products.units;
    for sku in &shared.skus {
        let stock = admin.stock(sku)?;
        oversold += (stock.held + stock.sold).saturating_sub(units);
        broken.extend(not_conserved(units, stock).map(|why| format!("{sku}: {why}")));
    }
    if shared.scenario.load.check_orders {
        let listed = admin.orders_with(|line| shared.skus.contains(&line.sku))?;
        broken.extend(not_as_acknowledged(acknowledged, &listed));
    }
    Ok((oversold, broken))
}

fn not_conserved(units: u64, stock: Stock) -> Option<String> {
    let Stock { on_hand, held, sold, available } = stock;
    (available + held + sold != units || on_hand != available + held)
        .then(|| format!("{units} supplied, the stock says {stock:?}"))
}

/// Acknowledged orders that the list does not show as they were acknowledged.
fn not_as_acknowledged(acknowledged: &BTreeMap<String, Acknowledged>, listed: &[Order]) -> Vec<String> {
    let by_id: BTreeMap<&str, &Order> = listed.iter().map(|order| (order.id.as_str(), order)).collect();
    let wrong = |(id, expected): (&String, &Acknowledged)| {
        let Some(order) = by_id.get(id.as_str()) else {
            return Some(format!("order {id} was acknowledged and is not in the list"));
        };
        let is_as_asked = matches!(&order.lines[..], [line] if line.sku == expected.sku && line.quantity == expected.quantity)
            && expected.status.is_none_or(|status| status == order.status)
            && i64::try_from(expected.quantity).is_ok_and(|quantity| order.total == quantity * PRICE);
        (!is_as_asked).then(|| format!("order {id}: acknowledged {expected:?}, listed {order:?}"))
    };
    acknowledged.iter().filter_map(wrong).collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn figures(ledger: &Ledger, samples: &[Sample], seconds: f64, oversold: u64, broken: usize) -> Figures {
    let whole = ledger.whole();
    let most = |of: fn(&Sample) -> Option<f64>| samples.iter().filter_map(of).reduce(f64::max);
    let measured = [
        ("accepted", Some(whole.accepted as f64)),
        ("accepted_per_second", (seconds > 0.0).then(|| whole.accepted as f64 / seconds)),
        ("broken_promises", Some(broken as f64)),
        ("busy", ledger.busy_share()),
        ("dropped", Some(whole.dropped as f64)),
        ("errors", Some(whole.errors as f64)),
        ("journal_mib", most(|sample| sample.journal_mib)),
        ("lag_events", most(|sample| sample.lag_events)),
        ("lag_seconds", most(|sample| sample.lag_seconds)),
        ("memory_growth_mib_per_hour", memory_growth_per_hour(samples)),
        ("memory_mib", most(|sample| sample.memory_mib)),
        ("orders_accepted", Some(ledger.steps.get("order").map_or(0, |tally| tally.accepted) as f64)),
        ("oversold", Some(oversold as f64)),
        ("p50_ms", percentile_ms(&whole.latency, 50.0)),
        ("p99_ms", percentile_ms(&whole.latency, 99.0)),
        ("refused_p99_ms", percentile_ms(&whole.refused_latency, 99.0)),
    ];
    measured.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Line;

    #[test]
    fn an_order_that_is_lost_changed_or_at_another_price_is_found() {
        let asked = Acknowledged { sku: "a".to_owned(), quantity: 2, status: Some("held") };
        let acknowledged = BTreeMap::from([("1".to_owned(), asked)]);
        let order = |status: &str, quantity, total| Order {
            id: "1".to_owned(),
            customer: "kim".to_owned(),
            status: status.to_owned(),
            lines: vec![Line { sku: "a".to_owned(), quantity }],
            total,
        };
        let check = |listed: &[Order], wrong: usize| {
            assert_eq!(not_as_acknowledged(&acknowledged, listed).len(), wrong, "{listed:?}");
        };
        check(&[order("held", 2, 2 * PRICE)], 0);
        check(&[], 1);
        check(&[order("cancelled", 2, 2 * PRICE)], 1);
        check(&[order("held", 1, 2 * PRICE)], 1);
        check(&[order("held", 2, PRICE)], 1);
    }

    #[test]
    fn units_may_not_come_or_go() {
        let stock = |on_hand, held, sold, available| Stock { on_hand, held, sold, available };
        assert_eq!(not_conserved(10, stock(9, 2, 1, 7)), None);
        assert!(not_conserved(10, stock(9, 2, 2, 7)).is_some());
        assert!(not_conserved(10, stock(8, 2, 1, 7)).is_some());
    }
}
