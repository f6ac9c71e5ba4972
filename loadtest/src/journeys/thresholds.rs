//! Thresholds: what a figure may come to. They set the exit code. Pure.

use serde::Serialize;
use std::collections::BTreeMap;

/// The figures that a run may measure; a threshold is one of these names with `_max` or `_min`.
/// `busy` is the share of answers that were 503 or 429, in 0..1.
pub const FIGURES: [&str; 17] = [
    "accepted",
    "accepted_per_second",
    "broken_promises",
    "busy",
    "dropped",
    "errors",
    "journal_mib",
    "lag_events",
    "lag_seconds",
    "memory_growth_mib_per_hour",
    "memory_mib",
    "orders_accepted",
    "oversold",
    "p50_ms",
    "p99_ms",
    "refused_p99_ms",
    "sold_out_seconds",
];

/// What was measured, by name; what was not is absent.
pub type Figures = BTreeMap<&'static str, f64>;

/// One threshold and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// As it stands in the scenario.
    pub name: String,
    /// The bound.
    pub bound: f64,
    /// The figure, if it was measured.
    pub figure: Option<f64>,
    /// Whether the figure is within the bound.
    pub held: bool,
    /// Why it was missed, if it was.
    pub why: Option<String>,
}

/// The figure that a threshold speaks of and whether it is its upper bound; none for a name that is no threshold.
pub fn figure_of(name: &str) -> Option<(&'static str, bool)> {
    let (figure, is_upper) =
        name.strip_suffix("_max").map(|figure| (figure, true)).or(name.strip_suffix("_min").map(|f| (f, false)))?;
    FIGURES.iter().find(|known| **known == figure).map(|known| (*known, is_upper))
}

/// Compares; a threshold whose figure was not measured is missed.
pub fn judge(thresholds: &BTreeMap<String, f64>, figures: &Figures) -> Vec<Judged> {
    thresholds
        .iter()
        .map(|(name, &bound)| {
            let figure = figure_of(name).and_then(|(figure, _)| figures.get(figure).copied());
            let is_upper = figure_of(name).is_some_and(|(_, is_upper)| is_upper);
            let held = figure.is_some_and(|figure| if is_upper { figure <= bound } else { figure >= bound });
            let why = match figure {
                None => Some("its figure was not measured".to_owned()),
                Some(_) if held => None,
                Some(_) => Some(if is_upper { "above the bound" } else { "below the bound" }.to_owned()),
            };
            Judged { name: name.clone(), bound, figure, held, why }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_held_missed_or_not_measured() {
        let figures = Figures::from([("errors", 1.0), ("accepted_per_second", 50.0)]);
        let check = |name: &str, bound: f64, held: bool, why: Option<&str>| {
            let judged = &judge(&BTreeMap::from([(name.to_owned(), bound)]), &figures)[0];
            assert_eq!((judged.held, judged.why.as_deref()), (held, why), "{name} {bound}");
        };
        check("errors_max", 1.0, true, None);
        check("errors_max", 0.0, false, Some("above the bound"));
        check("accepted_per_second_min", 50.0, true, None);
        check("accepted_per_second_min", 51.0, false, Some("below the bound"));
        check("p99_ms_max", 1e9, false, Some("its figure was not measured"));
    }

    #[test]
    fn only_known_figures_have_thresholds() {
        assert_eq!(figure_of("p99_ms_max"), Some(("p99_ms", true)));
        assert_eq!(figure_of("accepted_min"), Some(("accepted", false)));
        assert_eq!([figure_of("errors"), figure_of("speed_max"), figure_of("_max")], [None; 3]);
    }
}
