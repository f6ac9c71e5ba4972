//! The report: one HTML page that needs nothing else, with the graphs as SVG, the figures as
//! a table, and the raw data as JSON inside.
//!
//! Must never draw what was not measured: a backend that is missing is named with the
//! reason, and has no point in a graph.

use super::load::Pace;
use super::plan::Plan;
use super::run::{Missing, Outcome, PLANTED};
use super::summary::{Line, Point, Spread, summarize};
use crate::page::graph::{Axis, Curve, Graph, GraphError};
use crate::page::machine::machine;
use crate::page::{escape, page, short};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What the report is about: its lines stand out.
const OURS: &str = "son7shop";

/// Everything that a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The machine, in words: processors, memory, kernel.
    pub machine: Vec<(String, String)>,
    /// How it was measured.
    pub plan: Plan,
    /// What was found.
    pub outcome: Outcome,
    /// What could not be measured at all, and why.
    pub missing: Vec<Missing>,
    /// The rounds put together.
    pub lines: Vec<Line>,
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
    /// A report of this run.
    pub fn new(plan: Plan, outcome: Outcome, missing: Vec<Missing>) -> Self {
        let lines = summarize(&outcome.records);
        Self { machine: machine(), plan, outcome, missing, lines }
    }

    /// Each graph's file name and SVG.
    pub fn graphs(&self) -> Result<Vec<(&'static str, String)>, GraphError> {
        let percent = |point: &Point| Some(point.wrong_share * 100.0);
        let p50 = |point: &Point| Some(point.micros?.p50.median / 1e3);
        let p99 = |point: &Point| Some(point.micros?.p99.median / 1e3);
        let rate = |point: &Point| Some(point.sold_per_second.median);
        let wrong = ("% of the units sold, worst round", Axis::Linear(0.0..100.0));
        let millis = || ("milliseconds", Axis::Log);
        Ok(vec![
            ("wrong-units", self.by_threads("Wrong units by threads", wrong, percent)?),
            ("response-time", self.by_threads("Response time (median) by threads", millis(), p50)?),
            ("p99", self.by_threads("Response time (99th percentile) by threads", millis(), p99)?),
            ("throughput", self.by_threads("Units sold a second by threads", ("units a second", Axis::Log), rate)?),
        ])
    }

    fn by_threads(
        &self,
        title: &str,
        (unit, axis): (&str, Axis),
        of: impl Fn(&Point) -> Option<f64>,
    ) -> Result<String, GraphError> {
        let curves = self.curves(|point| Some((threads(closed(point)?), of(point)?)));
        let x = ("threads".to_owned(), Axis::Log);
        Graph { title: title.to_owned(), x, y: (unit.to_owned(), axis), curves }.svg()
    }

    /// Ours first.
    fn curves(&self, of: impl Fn(&Point) -> Option<(f64, f64)>) -> Vec<Curve> {
        let (ours, others): (Vec<_>, Vec<_>) = self.lines.iter().partition(|line| is_ours(line));
        let curve = |line: &Line| Curve {
            name: line.backend.clone(),
            stands_out: is_ours(line),
            points: line.points.iter().filter_map(&of).collect(),
        };
        ours.into_iter().chain(others).map(curve).collect()
    }

    /// The page.
    pub fn html(&self) -> Result<String, ReportError> {
        let mut body = "<p>Every backend sells units of one product to the same threads, in turn, and each unit is an \
             order that it writes. Afterwards the stock is counted: a unit that was sold and is still for sale, or is \
             gone and was not sold, is wrong.</p>"
            .to_owned();
        if !self.outcome.is_whole {
            body.push_str(
                "<p class=\"broken\">This run was broken off: what is here was measured, the rest is missing.</p>",
            );
        }
        for (name, svg) in self.graphs()? {
            let _ = write!(body, "<figure id=\"{name}\">{svg}</figure>");
        }
        body.push_str(
            "<h2>Figures</h2><p>Median of the rounds (smallest–largest). Units sold only: refusals are not sales. \
             What is not there was not measured.</p><table><thead><tr><th>backend<th>threads<th>sold a second<th>p50 ms\
             <th>p99 ms<th>p99.9 ms<th>wrong units<th>oversold<th>failed<th>retries a sale<th>promise</tr></thead><tbody>",
        );
        for line in &self.lines {
            for point in line.points.iter().filter_map(closed) {
                self.row(&mut body, line, point);
            }
        }
        body.push_str("</tbody></table>");
        let _ = write!(
            body,
            "<p>{PLANTED} is a lock that was broken on purpose; a run that does not find it writes no report.</p>"
        );
        for Missing { name, why } in self.missing.iter().chain(&self.outcome.broke) {
            let _ = write!(body, "<p class=\"missing\"><b>{}</b> was not measured: {}</p>", escape(name), escape(why));
        }
        body.push_str("<h2>Machine</h2><dl>");
        for (what, is) in &self.machine {
            let _ = write!(body, "<dt>{}<dd>{}", escape(what), escape(is));
        }
        body.push_str("</dl>");
        Ok(page("Many threads, one product", &body, self)?)
    }

    fn row(&self, page: &mut String, line: &Line, point: &Point) {
        let promise =
            self.outcome.backends.iter().find(|one| one.name == line.backend).map_or("", |one| one.promise.words());
        let spread = |spread: Option<Spread>| {
            spread.map_or("–".to_owned(), |Spread { median, min, max }| {
                format!("{} <small>{}–{}</small>", short(median), short(min), short(max))
            })
        };
        let class = if point.is_right { "" } else { " class=\"wrong\"" };
        let _ = write!(
            page,
            "<tr{class} data-backend=\"{}\" data-threads=\"{}\" data-sold=\"{}\" data-wrong=\"{}\">\
             <td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            escape(&line.backend),
            point.load.threads,
            point.sold_per_second.median,
            point.wrong_units,
            escape(&line.backend),
            point.load.threads,
            spread(Some(point.sold_per_second)),
            spread(point.micros.map(|micros| micros.p50.scaled(1e-3))),
            spread(point.micros.map(|micros| micros.p99.scaled(1e-3))),
            spread(point.micros.map(|micros| micros.p999.scaled(1e-3))),
            point.wrong_units,
            point.oversold,
            point.failed,
            short(point.retries_per_sale),
            promise,
        );
    }
}

/// The point, if it is of a closed loop.
fn closed(point: &Point) -> Option<&Point> {
    matches!(point.load.pace, Pace::Closed { .. }).then_some(point)
}

fn is_ours(line: &Line) -> bool {
    line.backend.starts_with(OURS)
}

#[allow(clippy::cast_precision_loss, reason = "threads are few")]
fn threads(point: &Point) -> f64 {
    point.load.threads as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::backend::{Promise, Shelf};
    use crate::lab::load::{Costs, Counted, Load, Micros, Sale};
    use crate::lab::plan::small;
    use crate::lab::run::{About, Record};
    use crate::lab::verdict::Verdict;

    fn record(backend: &str, threads: usize, sold: u64, left: i64) -> Record {
        let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 };
        let micros = (sold > 0).then_some(Micros { p50: 1500.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 });
        let first_failure = Some("</script><b>".to_owned());
        let counted = Counted { seconds: 2.0, sold, sold_in_all: sold, micros, first_failure, ..Counted::default() };
        let verdict = Verdict::new(100, sold, 0, Shelf { left, orders: sold });
        let sale = Sale { counted, costs: Costs::default(), verdict };
        Record { backend: backend.to_owned(), round: 1, load: Load { threads, units: 100, pace }, sale }
    }

    fn report(is_whole: bool) -> Report {
        let records = vec![
            record("son7shop-http", 1, 10, 90),
            record("son7shop-http", 20, 10, 90),
            record("naive", 20, 11, 94),
            record("dead", 1, 0, 100),
        ];
        let about = |name: &str| About {
            name: name.to_owned(),
            about: String::new(),
            promise: Promise::InMemory,
            settings: Vec::new(),
        };
        let backends = vec![about("son7shop-http"), about("naive"), about("dead")];
        let outcome = Outcome { backends, records, broke: Vec::new(), is_whole };
        let missing = vec![Missing { name: "mysql".to_owned(), why: "it <cannot> be had".to_owned() }];
        Report::new(small(), outcome, missing)
    }

    #[test]
    fn the_page_has_the_figures_as_text_and_as_data() {
        let page = report(true).html().unwrap();
        assert!(page.contains(r#"data-backend="naive" data-threads="20" data-sold="5.5" data-wrong="5""#));
        assert!(page.contains("it &lt;cannot> be had"));
        let (_, data) = page.split_once(r#"id="data">"#).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Report>(data).unwrap(), report(true));
        assert_eq!(page.matches("<svg").count(), 4);
        // Nothing is fetched.
        assert!(!page.contains("src=") && !page.contains("href="));
    }

    #[test]
    fn what_was_broken_off_says_so() {
        assert!(report(false).html().unwrap().contains("broken off"));
        assert!(!report(true).html().unwrap().contains("broken off"));
    }

    #[test]
    fn what_did_not_sell_has_no_time() {
        let report = report(true);
        let curves = report.curves(|point| Some((threads(point), point.micros?.p50.median)));
        let points = |name: &str| curves.iter().find(|curve| curve.name == name).unwrap().points.clone();
        assert_eq!(points("dead"), []);
        assert_eq!(points("naive"), [(20.0, 1500.0)]);
        assert_eq!(curves[0].name, "son7shop-http");
    }
}
