//! A sale's scenario from TOML. Every value is checked before anything is started; an unknown field is refused.

use crate::journeys::scenario::{SHOPPERS_MAX, ScenarioError, check_thresholds, value, within};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Won, at most.
const PRICE_MAX: i64 = 10_000_000_000;

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
    /// Of so many buyers one also tries before the opening, one after the other, the last one twice
    /// `margin_ms` before; 0: nobody.
    pub too_early_every: usize,
    /// The shop's clock may differ by so many milliseconds from this one's: an order that was acknowledged
    /// within the margin before the opening was not early, one refused within the margin after it not late.
    #[serde(default = "margin_ms")]
    pub margin_ms: f64,
    /// The run ends so many seconds after the opening, or up to two later.
    pub patience_seconds: f64,
    /// What figures may come to, by name.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
}

fn margin_ms() -> f64 {
    100.0
}

impl SaleScenario {
    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::Form(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether every value is in its range.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("buyers", self.buyers, 1, SHOPPERS_MAX)?;
        within("customers", self.customers, 1, self.buyers)?;
        within("requests", self.requests, 1, 1_000)?;
        within("price", self.price, 1, PRICE_MAX)?;
        within("price_before", self.price_before, 1, PRICE_MAX)?;
        if self.price_before == self.price {
            return Err(value("price_before", &self.price_before, "must not be the sale's"));
        }
        within("per_customer_limit", self.per_customer_limit, 1, u32::MAX)?;
        within("opens_in_seconds", self.opens_in_seconds, 1, 3_600)?;
        within("poll_ms", self.poll_ms, 1.0, 60_000.0)?;
        within("jitter_ms", self.jitter_ms, 0.0, 60_000.0)?;
        within("margin_ms", self.margin_ms, 0.0, f64::from(self.opens_in_seconds) * 250.0)?;
        within("patience_seconds", self.patience_seconds, 1.0, 3_600.0)?;
        check_thresholds(&self.thresholds)
    }

    pub(super) fn margin(&self) -> Duration {
        Duration::try_from_secs_f64(self.margin_ms / 1_000.0).unwrap_or_default()
    }

    pub(super) fn customer(&self, connection: usize) -> usize {
        connection % self.customers
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scenario_can_be_played_and_bad_values_are_named() {
        let whole = include_str!("../../../scenarios/sale.toml");
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
            ("margin_ms = 100.0", "margin_ms = 751.0", "margin_ms"),
            ("units = 200", "unit = 200", "unknown field `unit`"),
            ("errors_max", "error_max", "thresholds.error_max"),
        ] {
            assert!(whole.contains(from), "{from}");
            let error = SaleScenario::parse(&whole.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
