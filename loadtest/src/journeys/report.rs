//! The report of a run: one page that needs nothing else, JSON and CSV. What was not measured is blank.

use super::ledger::{Point, Tally, percentile_ms};
use super::samples::Sample;
use super::thresholds::{Figures, Judged};
use crate::page::graph::{Axis, Curve, Graph, GraphError};
use crate::page::{escape, page, short};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Broken promises that the page shows one by one.
const BROKEN_SHOWN: usize = 20;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What it was.
    pub title: String,
    /// It was ended early: the report is partial.
    pub interrupted: bool,
    /// The seed of every choice.
    pub seed: u64,
    /// Seconds of load.
    pub seconds: f64,
    /// What was timed: from when to when.
    pub seconds_are: &'static str,
    /// What failed beside the requests that were told: the report is there in spite of it, and nothing held.
    pub failed: Vec<String>,
    /// What was measured.
    pub figures: Figures,
    /// The thresholds and what became of them.
    pub thresholds: Vec<Judged>,
    /// Broken promises.
    pub broken: Vec<String>,
    /// What was to happen.
    pub scenario: serde_json::Value,
    /// By step.
    pub steps: Vec<StepRow>,
    /// Refusals by code.
    pub refused: BTreeMap<String, u64>,
    /// What the first errors said.
    pub errors: Vec<String>,
    /// Over time.
    pub series: Vec<Point>,
    /// The server over time.
    pub samples: Vec<Sample>,
    /// What it was measured on.
    pub machine: Vec<(String, String)>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    /// Its name.
    pub step: String,
    /// Accepted.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// Gone wrong.
    pub errors: u64,
    /// Of the accepted ones and those that were waited for in vain, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Of the accepted ones and those that were waited for in vain, in milliseconds.
    pub p99_ms: Option<f64>,
}

impl StepRow {
    /// From what was counted.
    pub fn of(step: &str, tally: &Tally) -> Self {
        let Tally { accepted, refused, errors, .. } = *tally;
        let (p50_ms, p99_ms) = (percentile_ms(&tally.latency, 50.0), percentile_ms(&tally.latency, 99.0));
        Self { step: step.to_owned(), accepted, refused, errors, p50_ms, p99_ms }
    }
}

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every threshold held and every promise was kept.
    Held,
    /// A threshold was missed, a promise broken, or the shop failed.
    Missed,
    /// It was ended early or nothing was answered: nothing can be said.
    Unknown,
}

/// The report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The data.
    #[error("the report's data")]
    Json(#[from] serde_json::Error),
}

impl Outcome {
    /// What can be said; what is wrong in a part of a run is wrong.
    pub fn verdict(&self) -> Verdict {
        let count = |name| self.figures.get(name).copied().unwrap_or(0.0);
        let nothing_answered = count("accepted") == 0.0 && self.refused.is_empty() && count("errors") == 0.0;
        if !self.broken.is_empty() || !self.failed.is_empty() {
            Verdict::Missed
        } else if self.interrupted || nothing_answered {
            Verdict::Unknown
        } else if self.thresholds.iter().all(|judged| judged.held) {
            Verdict::Held
        } else {
            Verdict::Missed
        }
    }

    /// The page.
    pub fn html(&self) -> Result<String, ReportError> {
        let mut body = String::new();
        if self.interrupted {
            body.push_str("<p class=\"broken\">It was ended early: this report is partial.</p>");
        }
        let say = match self.verdict() {
            Verdict::Held => "Every threshold held and every promise was kept.",
            Verdict::Missed => "A threshold was missed, a promise was broken, or the shop failed.",
            Verdict::Unknown => "Nothing can be said.",
        };
        let _ =
            write!(body, "<p>{say} {} s of load ({}), seed {}.</p>", short(self.seconds), self.seconds_are, self.seed);
        body.push_str(&self.thresholds_table());
        list(&mut body, "Failed", &self.failed);
        list(&mut body, "Broken promises", &self.broken);
        list(&mut body, "First errors", &self.errors);
        body.push_str("<h2>Figures</h2><dl>");
        for (name, figure) in &self.figures {
            let _ = write!(body, "<dt>{name}</dt><dd>{}</dd>", short(*figure));
        }
        body.push_str("</dl><h2>Steps</h2><table><tr><th>step<th>accepted<th>refused<th>errors<th>p50 ms<th>p99 ms");
        for StepRow { step, accepted, refused, errors, p50_ms, p99_ms } in &self.steps {
            let (p50, p99) = (blank(*p50_ms), blank(*p99_ms));
            let _ = write!(body, "<tr><td>{step}<td>{accepted}<td>{refused}<td>{errors}<td>{p50}<td>{p99}");
        }
        body.push_str("</table>");
        let codes: Vec<String> = self.refused.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        list(&mut body, "Refusals by code", &codes);
        for (_, svg) in self.graphs()? {
            let _ = write!(body, "<figure>{svg}</figure>");
        }
        let machine: Vec<String> = self.machine.iter().map(|(what, is)| format!("{what}: {is}")).collect();
        list(&mut body, "Machine", &machine);
        Ok(page(&self.title, &body, self)?)
    }

    fn thresholds_table(&self) -> String {
        let mut table = "<h2>Thresholds</h2><table><tr><th>threshold<th>bound<th>figure<th>".to_owned();
        for Judged { name, bound, figure, held, why } in &self.thresholds {
            let (class, say) = if *held { ("", "held") } else { (" class=\"wrong\"", "missed") };
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            let (name, bound, figure) = (escape(name), short(*bound), blank(*figure));
            let _ = write!(table, "<tr{class}><td>{name}<td>{bound}<td>{figure}<td>{say}{why}");
        }
        table + "</table>"
    }

    /// Names and graphs.
    pub fn graphs(&self) -> Result<Vec<(&'static str, String)>, GraphError> {
        let rate = |of: fn(&Point) -> u64| {
            #[allow(clippy::cast_precision_loss, reason = "for a graph")]
            let a_second = move |point: &Point| Some(of(point) as f64 / point.seconds);
            self.over_time(a_second)
        };
        let mut graphs = vec![
            (
                "rate",
                "Answers by outcome, at the time they were due",
                "a second",
                vec![
                    ("accepted", rate(|p| p.accepted)),
                    ("refused", rate(|p| p.refused)),
                    ("errors", rate(|p| p.errors)),
                    ("never sent", rate(|p| p.dropped)),
                ],
            ),
            (
                "latency",
                "Latency of accepted requests, from the time they were due",
                "ms",
                vec![("p50", self.over_time(|p| p.p50_ms)), ("p99", self.over_time(|p| p.p99_ms))],
            ),
        ];
        let looks = |of: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            self.samples.iter().filter_map(|sample| Some((sample.at_seconds, of(sample)?))).collect()
        };
        graphs.push(("memory", "Memory of the server", "MiB", vec![("resident", looks(|s| s.memory_mib))]));
        graphs.push((
            "lag",
            "Events that the database does not have yet",
            "events",
            vec![("lag", looks(|s| s.lag_events))],
        ));
        graphs.push(("journal", "Journal on disk", "MiB", vec![("segments", looks(|s| s.journal_mib))]));
        graphs
            .into_iter()
            .filter_map(|(name, title, unit, curves)| drawn(title, unit, curves).map(|svg| svg.map(|svg| (name, svg))))
            .collect()
    }

    fn over_time(&self, of: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
        self.series.iter().filter_map(|point| Some((point.at_seconds, of(point)?))).collect()
    }

    /// The run over time, one interval a line.
    pub fn csv(&self) -> String {
        let mut csv = "at_seconds,seconds,accepted,refused,errors,dropped,p50_ms,p99_ms\n".to_owned();
        for Point { at_seconds, seconds, accepted, refused, errors, dropped, p50_ms, p99_ms } in &self.series {
            let (p50, p99) = (blank(*p50_ms), blank(*p99_ms));
            let _ = writeln!(csv, "{at_seconds:.3},{seconds:.3},{accepted},{refused},{errors},{dropped},{p50},{p99}");
        }
        csv
    }

    /// The server over time, one look a line.
    pub fn samples_csv(&self) -> String {
        let mut csv = "at_seconds,memory_mib,lag_events,lag_seconds,journal_mib\n".to_owned();
        for sample in &self.samples {
            let figures = [sample.memory_mib, sample.lag_events, sample.lag_seconds, sample.journal_mib].map(blank);
            let _ = writeln!(csv, "{:.3},{}", sample.at_seconds, figures.join(","));
        }
        csv
    }
}

/// None when there is nothing to draw.
fn drawn(title: &str, unit: &str, curves: Vec<(&str, Vec<(f64, f64)>)>) -> Option<Result<String, GraphError>> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let (right, top) = points().fold((0.0_f64, 0.0_f64), |(right, top), (x, y)| (right.max(*x), top.max(*y)));
    if right == 0.0 {
        return None;
    }
    let curve = |(name, points): (&str, Vec<(f64, f64)>)| Curve { name: name.to_owned(), stands_out: false, points };
    let graph = Graph {
        title: title.to_owned(),
        x: ("seconds".to_owned(), Axis::Linear(0.0..right)),
        y: (unit.to_owned(), Axis::Linear(0.0..(top * 1.1).max(1.0))),
        curves: curves.into_iter().map(curve).collect(),
    };
    Some(graph.svg())
}

fn blank(figure: Option<f64>) -> String {
    figure.map_or(String::new(), |figure| format!("{figure:.3}"))
}

fn list(body: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(body, "<h2>{title}</h2><ul>");
    for line in lines.iter().take(BROKEN_SHOWN) {
        let _ = write!(body, "<li>{}", escape(line));
    }
    if lines.len() > BROKEN_SHOWN {
        let _ = write!(body, "<li>… and {} more", lines.len() - BROKEN_SHOWN);
    }
    body.push_str("</ul>");
}
