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

use super::load::Pace;
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

/// The point, if it is of a closed loop.
fn closed(point: &Point) -> Option<&Point> {
    matches!(point.load.pace, Pace::Closed { .. }).then_some(point)
}

fn is_ours(line: &Line) -> bool {
    line.backend.starts_with(OURS)
}

#[cfg(test)]
mod tests;
