//! The report: one HTML page that needs nothing else, with the graphs as SVG, the figures as
//! tables, and the raw data as JSON inside; the same figures as CSV.
//!
//! - `page`: the page, `tables` its tables, `figure` how one figure stands on it.
//! - `graphs`: what is drawn, and in which colours.
//! - [`ratios`]: how much faster ours is, against what was asked of it; `losses`: where it is not.
//! - [`csv`]: one row for each record.
//! - [`redact`]: passwords, which no report shows.
//!
//! Must never draw what was not measured: a backend that is missing is named with the
//! reason, and has no point in a graph.

pub mod csv;
mod figure;
mod graphs;
mod losses;
mod page;
pub mod ratios;
pub mod redact;
mod tables;

use super::load::{Load, Pace};
use super::plan::Plan;
use super::run::{Missing, Outcome};
use super::summary::{Line, Point, summarize};
use crate::page::graph::GraphError;
use crate::page::machine::machine;
use ratios::Ratios;
use redact::redacted;
use serde::{Deserialize, Serialize};

/// What the report is about: its lines stand out.
pub(super) const OURS: &str = "son7shop";

/// Everything that a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The machine, in words: processors, memory, kernel.
    pub machine: Vec<(String, String)>,
    /// By which command, when, by which version: names and values.
    #[serde(default)]
    pub made: Vec<(String, String)>,
    /// How it was measured.
    pub plan: Plan,
    /// What was found.
    pub outcome: Outcome,
    /// What could not be measured at all, and why.
    pub missing: Vec<Missing>,
    /// The rounds put together.
    pub lines: Vec<Line>,
    /// Ours against the others.
    pub ratios: Ratios,
}

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A graph could not be drawn.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The data could not be written as JSON.
    #[error("the report's data")]
    Json(#[from] serde_json::Error),
}

impl Report {
    /// A report of this run, without a password that an error or a setting may have in it.
    pub fn new(plan: Plan, mut outcome: Outcome, mut missing: Vec<Missing>) -> Self {
        for one in missing.iter_mut().chain(&mut outcome.broke) {
            one.why = redacted(&one.why);
        }
        for (_, value) in outcome.backends.iter_mut().flat_map(|one| &mut one.settings) {
            *value = redacted(value);
        }
        for failure in outcome.records.iter_mut().filter_map(|record| record.sale.counted.first_failure.as_mut()) {
            *failure = redacted(failure);
        }
        let lines = summarize(&outcome.records);
        let ratios = Ratios::of(&plan, &outcome.records);
        Self { machine: machine(), made: Vec::new(), plan, outcome, missing, lines, ratios }
    }
}

/// How much of a backend was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measured {
    runs: usize,
    /// Runs that every backend was to have: rates of an open loop but the lowest are only for those that
    /// keep up.
    wanted: usize,
}

impl Report {
    /// Those of ours that broke while they were measured, and why.
    pub fn ours_that_broke(&self) -> impl Iterator<Item = &Missing> {
        self.outcome.broke.iter().filter(|one| one.name.starts_with(OURS))
    }

    fn measured(&self, backend: &str) -> Measured {
        let lowest = self.plan.open.per_second.first();
        let is_for_all = |load: &Load| match load.pace {
            Pace::Open { per_second, .. } => lowest.is_some_and(|lowest| per_second.total_cmp(lowest).is_eq()),
            Pace::Closed { .. } | Pace::SellOut { .. } => true,
        };
        let records = self.outcome.records.iter().filter(|record| record.backend == backend);
        Measured {
            runs: records.filter(|record| is_for_all(&record.load)).count(),
            wanted: self.plan.steps(1).iter().filter(|step| is_for_all(&step.load)).count(),
        }
    }
}

/// The point, if it is of a closed loop.
fn closed(point: &Point) -> Option<&Point> {
    matches!(point.load.pace, Pace::Closed { .. }).then_some(point)
}

fn is_ours(line: &Line) -> bool {
    line.backend.starts_with(OURS)
}

#[cfg(test)]
mod tests;
