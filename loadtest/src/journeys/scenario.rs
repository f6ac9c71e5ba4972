//! A scenario from TOML: who walks, how, over what, for how long. Every value is checked before
//! anything is started; an unknown field is refused.

use super::thresholds::figure_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Shoppers, at most: each has a connection.
pub(super) const SHOPPERS_MAX: usize = 20_000;
/// Steps a second, at most.
const PER_SECOND_MAX: f64 = 1e6;
/// A day.
const SECONDS_MAX: f64 = 86_400.0;
/// Units of one product in one order, at most.
const QUANTITY_MAX: u32 = 100_000;

/// Why a scenario cannot be played.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// It is not TOML, or has a field that scenarios do not have, or one is missing.
    #[error("the scenario cannot be read: {0}")]
    Form(String),
    /// A value is out of its range.
    #[error("{field} = {value}: {expected}")]
    Value {
        /// Which field.
        field: String,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The seed of every choice; without it one is drawn, and printed.
    pub seed: Option<u64>,
    /// Who, how fast, how long.
    pub load: Load,
    /// How often each step is taken.
    pub weights: Weights,
    /// What is sold.
    pub products: Products,
    /// What figures may come to, by name.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
}

/// Who, how fast, how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Shoppers, each on a connection of its own.
    pub shoppers: usize,
    /// Seconds of load.
    pub seconds: f64,
    /// Steps a second over all shoppers, whatever the shop does (open loop); without it every shopper
    /// takes a step, thinks, and takes the next one (closed loop).
    pub per_second: Option<f64>,
    /// How long shoppers think, in a closed loop.
    pub think: Option<Think>,
    /// In a closed loop, the shoppers arrive evenly within so many seconds.
    #[serde(default)]
    pub ramp_seconds: f64,
    /// Seconds that answers are awaited at the end.
    #[serde(default = "patience")]
    pub patience_seconds: f64,
    /// Threads of this program.
    #[serde(default = "one")]
    pub threads: usize,
    /// Compare every acknowledged order with the list afterwards; remembers them all.
    #[serde(default)]
    pub check_orders: bool,
}

fn patience() -> f64 {
    10.0
}

fn one() -> usize {
    1
}

/// How long a shopper thinks before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "lowercase", deny_unknown_fields)]
pub enum Think {
    /// Always so long.
    Constant {
        /// Milliseconds.
        ms: f64,
    },
    /// Anything between.
    Uniform {
        /// Milliseconds at least.
        min_ms: f64,
        /// Milliseconds at most.
        max_ms: f64,
    },
    /// Mostly short, sometimes long; cut off at ten times the mean.
    Exponential {
        /// Milliseconds on average.
        mean_ms: f64,
    },
}

impl Think {
    /// A thinking time; `chance` is in 0..1.
    pub fn draw(&self, chance: f64) -> Duration {
        let ms = match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { min_ms, max_ms } => min_ms + (max_ms - min_ms) * chance,
            Self::Exponential { mean_ms } => (-(1.0 - chance).ln() * mean_ms).min(10.0 * mean_ms),
        };
        Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default()
    }
}

/// How often each step is taken, against the others.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Looks at the list of products.
    pub list: f64,
    /// Looks at one product.
    pub product: f64,
    /// Orders one product.
    pub order: f64,
    /// Looks at the shopper's own orders.
    pub own_orders: f64,
    /// Cancels an order that the shopper has.
    pub cancel: f64,
    /// The admin confirms an order that the shopper has.
    pub confirm: f64,
}

/// What is sold: products of this run's own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Products {
    /// How many products.
    pub count: usize,
    /// Units of each.
    pub units: u64,
    /// Units of one order: 1 to this many.
    #[serde(default = "one_unit")]
    pub quantity_max: u32,
}

fn one_unit() -> u32 {
    1
}

impl Scenario {
    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::Form(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether every value is in its range.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let Load { shoppers, seconds, per_second, think, ramp_seconds, patience_seconds, threads, .. } = self.load;
        within("load.shoppers", shoppers, 1, SHOPPERS_MAX)?;
        within("load.seconds", seconds, 0.1, SECONDS_MAX)?;
        within("load.ramp_seconds", ramp_seconds, 0.0, seconds)?;
        within("load.patience_seconds", patience_seconds, 0.1, 3_600.0)?;
        within("load.threads", threads, 1, shoppers.min(64))?;
        if let Some(per_second) = per_second {
            within("load.per_second", per_second, 0.001, PER_SECOND_MAX)?;
            if think.is_some() || ramp_seconds > 0.0 {
                return Err(value("load.per_second", &per_second, "not together with think or ramp_seconds"));
            }
        }
        match think {
            Some(Think::Constant { ms }) => within("load.think.ms", ms, 0.0, 3.6e6)?,
            Some(Think::Exponential { mean_ms }) => within("load.think.mean_ms", mean_ms, 0.0, 3.6e6)?,
            Some(Think::Uniform { min_ms, max_ms }) => {
                within("load.think.max_ms", max_ms, 0.0, 3.6e6)?;
                within("load.think.min_ms", min_ms, 0.0, max_ms)?;
            }
            None => {}
        }
        self.check_weights()?;
        within("products.count", self.products.count, 1, 10_000)?;
        within("products.units", self.products.units, 0, 1_000_000_000_000)?;
        within("products.quantity_max", self.products.quantity_max, 1, QUANTITY_MAX)?;
        check_thresholds(&self.thresholds)
    }

    fn check_weights(&self) -> Result<(), ScenarioError> {
        let Weights { list, product, order, own_orders, cancel, confirm } = self.weights;
        let named = [("list", list), ("product", product), ("order", order), ("own_orders", own_orders)];
        for (name, weight) in named.into_iter().chain([("cancel", cancel), ("confirm", confirm)]) {
            within(&format!("weights.{name}"), weight, 0.0, 1e9)?;
        }
        if named.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(value("weights", &"all 0", "list, product, order or own_orders must be above 0"));
        }
        Ok(())
    }
}

/// Every threshold is one of a figure that there is, and a number.
pub(super) fn check_thresholds(thresholds: &BTreeMap<String, f64>) -> Result<(), ScenarioError> {
    for (name, bound) in thresholds {
        let field = format!("thresholds.{name}");
        if figure_of(name).is_none() {
            return Err(value(&field, bound, "no figure of this name with _max or _min"));
        }
        within(&field, *bound, f64::MIN, f64::MAX)?;
    }
    Ok(())
}

/// A value that it may not have.
pub(super) fn value(field: &str, value: &impl ToString, expected: &str) -> ScenarioError {
    ScenarioError::Value { field: field.to_owned(), value: value.to_string(), expected: expected.to_owned() }
}

/// What is no number is in no range.
pub(super) fn within<T: PartialOrd + ToString + Copy>(
    field: &str,
    found: T,
    least: T,
    most: T,
) -> Result<(), ScenarioError> {
    if found >= least && found <= most {
        return Ok(());
    }
    let expected = format!("must be between {} and {}", least.to_string(), most.to_string());
    Err(value(field, &found, &expected))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const WHOLE: &str =
        "[load]\nshoppers = 2\nseconds = 1.0\n[weights]\norder = 1.0\n[products]\ncount = 1\nunits = 5\n";

    #[test]
    fn the_shipped_scenarios_can_be_played() {
        for text in [include_str!("../../scenarios/journey.toml"), include_str!("../../scenarios/soak.toml")] {
            let thresholds = Scenario::parse(text).unwrap().thresholds;
            // A shop that sells nothing, or asks everybody to wait, must not pass.
            assert!(thresholds["orders_accepted_min"] > 0.0 && thresholds["busy_max"] < 1.0);
        }
        Scenario::parse(WHOLE).unwrap();
    }

    #[test]
    fn the_soak_misses_a_database_that_stands_still_and_two_kib_more_for_each_order() {
        let Scenario { load, weights, thresholds, .. } =
            Scenario::parse(include_str!("../../scenarios/soak.toml")).unwrap();
        let Weights { list, product, order, own_orders, cancel, confirm } = weights;
        let whole = list + product + order + own_orders + cancel + confirm;
        let orders_a_second = load.per_second.unwrap() * order / whole;
        assert!(thresholds["lag_events_max"] < orders_a_second * load.seconds);
        assert!(thresholds["lag_seconds_max"] < load.seconds);
        let mib_an_hour = orders_a_second * 3_600.0 * 2.0 / 1_024.0;
        assert!(thresholds["memory_growth_mib_per_hour_max"] < mib_an_hour);
    }

    #[test]
    fn every_bad_value_is_named() {
        let check = |from: &str, to: &str, field: &str| {
            assert!(WHOLE.contains(from), "{from}");
            let error = Scenario::parse(&WHOLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(field), "{to}: {error}");
        };
        check("shoppers = 2", "shoppers = 0", "load.shoppers = 0");
        check("shoppers = 2", "shopers = 2", "unknown field `shopers`");
        check("shoppers = 2\n", "", "missing field `shoppers`");
        check("seconds = 1.0", "seconds = nan", "load.seconds = NaN");
        check("seconds = 1.0", "seconds = 1.0\nramp_seconds = 2.0", "load.ramp_seconds = 2");
        check("seconds = 1.0", "seconds = 1.0\nthreads = 3", "load.threads = 3");
        check("seconds = 1.0", "seconds = 1.0\nper_second = 0.0", "load.per_second = 0");
        check("seconds = 1.0", "seconds = 1.0\npatience_seconds = 0.0", "load.patience_seconds = 0");
        let think = "seconds = 1.0\nthink = { distribution = \"constant\", ms = 1.0 }";
        check("seconds = 1.0", &think.replace("think", "per_second = 1.0\nthink"), "not together");
        check("seconds = 1.0", &think.replace("1.0 }", "-1.0 }"), "load.think.ms = -1");
        check("seconds = 1.0", &think.replace("constant", "normal"), "unknown variant `normal`");
        let uniform = "seconds = 1.0\nthink = { distribution = \"uniform\", min_ms = 3.0, max_ms = 2.0 }";
        check("seconds = 1.0", uniform, "load.think.min_ms = 3");
        let exponential = "seconds = 1.0\nthink = { distribution = \"exponential\", mean_ms = -1.0 }";
        check("seconds = 1.0", exponential, "load.think.mean_ms = -1");
        check("seconds = 1.0", &uniform.replace("2.0", "nan"), "load.think.max_ms = NaN");
        check("seconds = 1.0", "seconds = 1.0\nper_second = 1.0\nramp_seconds = 0.5", "not together");
        check("order = 1.0", "order = -1.0", "weights.order = -1");
        for name in ["list", "product", "own_orders", "cancel", "confirm"] {
            check("order = 1.0", &format!("order = 1.0\n{name} = -1.0"), &format!("weights.{name} = -1"));
        }
        check("order = 1.0", "order = 0.0", "weights = all 0");
        check("order = 1.0", "cancel = 1.0", "weights = all 0");
        check("order = 1.0", "pay = 1.0", "unknown field `pay`");
        check("count = 1", "count = 0", "products.count = 0");
        check("units = 5", "units = 5\nquantity_max = 0", "products.quantity_max = 0");
        // And what is too much.
        check("shoppers = 2", "shoppers = 20001", "load.shoppers = 20001");
        check("seconds = 1.0", "seconds = 86401.0", "load.seconds = 86401");
        check("seconds = 1.0", "seconds = 1.0\nper_second = 1000001.0", "load.per_second = 1000001");
        check("seconds = 1.0", "seconds = 1.0\npatience_seconds = 3601.0", "load.patience_seconds = 3601");
        check("seconds = 1.0", &think.replace("1.0 }", "3600001.0 }"), "load.think.ms = 3600001");
        check("count = 1", "count = 10001", "products.count = 10001");
        check("units = 5", "units = 1000000000001", "products.units = 1000000000001");
        check("units = 5", "units = 5\nquantity_max = 100001", "products.quantity_max = 100001");
        check("units = 5", "units = 5\n[thresholds]\nspeed_max = 1", "thresholds.speed_max = 1");
        check("units = 5", "units = 5\n[thresholds]\nerrors_max = nan", "thresholds.errors_max = NaN");
    }

    #[test]
    fn thinking_has_its_bounds() {
        let ms = |think: Think, chance: f64| think.draw(chance).as_secs_f64() * 1_000.0;
        assert!((ms(Think::Uniform { min_ms: 2.0, max_ms: 4.0 }, 0.5) - 3.0).abs() < 1e-6);
        assert!((ms(Think::Exponential { mean_ms: 5.0 }, 0.0)).abs() < 1e-6);
        assert!((ms(Think::Exponential { mean_ms: 5.0 }, 1.0) - 50.0).abs() < 1e-6);
    }
}
