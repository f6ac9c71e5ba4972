//! The report: one HTML page that needs nothing else, with the graphs as SVG, the figures as
//! a table, and the raw data as JSON inside.
//!
//! Must never draw what was not measured: a backend that is missing is named with the
//! reason, and has no point in a graph.

use super::run::{PLANTED, Plan, Record};
use super::summary::{Line, Point, Spread, summarize};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition,
};
use plotters::style::{BLACK, Color, WHITE};
use serde::Serialize;
use std::fmt::Write as _;

/// Width and height of a graph, in pixels.
const SIZE: (u32, u32) = (980, 520);
/// Distinct on white; the first is ours.
const COLOURS: [RGBColor; 12] = [
    RGBColor(200, 30, 30),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
    RGBColor(255, 127, 14),
    RGBColor(57, 59, 121),
    RGBColor(99, 121, 57),
];
/// Wider lines for what the report is about.
const OURS: &str = "son7shop";

/// Everything that a report says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine, in words: processors, memory, kernel.
    pub machine: Vec<(String, String)>,
    /// How it was measured.
    pub plan: Plan,
    /// Whether the run came to its end.
    pub is_whole: bool,
    /// The rounds put together.
    pub lines: Vec<Line>,
    /// Every record.
    pub records: Vec<Record>,
    /// What could not be measured, and why.
    pub missing: Vec<(String, String)>,
}

/// A graph could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the graph {title} could not be drawn: {why}")]
pub struct GraphError {
    title: String,
    why: String,
}

impl Report {
    /// A report of these records.
    pub fn new(plan: Plan, records: Vec<Record>, missing: Vec<(String, String)>, is_whole: bool) -> Self {
        Self { machine: machine(), plan, is_whole, lines: summarize(&records), records, missing }
    }

    /// Each graph's file name and SVG.
    pub fn graphs(&self) -> Result<Vec<(&'static str, String)>, GraphError> {
        Ok(vec![
            ("wrong-units", self.wrong_units()?),
            ("response-time", self.times("Response time (median) by threads", |point| point.p50_micros.map(millis))?),
            ("p99", self.times("Response time (99th percentile) by threads", |point| point.p99_micros.map(millis))?),
            ("throughput", self.rates()?),
        ])
    }

    /// The share of units sold that the stock does not know of: the first graph of the old shop.
    fn wrong_units(&self) -> Result<String, GraphError> {
        let share = |line: &Line, point: &Point| {
            let of = |record: &&Record| record.backend == line.backend && record.threads == point.threads;
            let shares = self.records.iter().filter(of).map(|record| {
                #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
                let share = record.verdict.wrong_units.unsigned_abs() as f64 / record.sold_in_all.max(1) as f64;
                share * 100.0
            });
            Spread::of(shares).map(|spread| spread.max)
        };
        let curves = self.curves(share);
        draw("Wrong units by threads", "% of the units sold, worst round", &curves, 0.0..100.0)
    }

    fn times(&self, title: &str, of: impl Fn(&Point) -> Option<f64>) -> Result<String, GraphError> {
        draw_log(title, "milliseconds", &self.curves(|_, point| of(point)))
    }

    fn rates(&self) -> Result<String, GraphError> {
        draw_log(
            "Units sold a second by threads",
            "units a second",
            &self.curves(|_, point| Some(point.sold_per_second.median)),
        )
    }

    fn curves(&self, of: impl Fn(&Line, &Point) -> Option<f64>) -> Vec<Curve> {
        let ours_first =
            self.lines.iter().filter(|line| is_ours(line)).chain(self.lines.iter().filter(|line| !is_ours(line)));
        ours_first
            .zip(COLOURS.iter().cycle())
            .map(|(line, colour)| Curve {
                name: line.backend.clone(),
                colour: *colour,
                width: if is_ours(line) { 4 } else { 2 },
                points: line.points.iter().filter_map(|point| Some((threads(point), of(line, point)?))).collect(),
            })
            .collect()
    }

    /// The page.
    pub fn html(&self) -> Result<String, GraphError> {
        let mut page = HEAD.to_owned();
        if !self.is_whole {
            page.push_str(
                "<p class=\"broken\">This run was broken off: what is here was measured, the rest is missing.</p>",
            );
        }
        for (name, svg) in self.graphs()? {
            let _ = write!(page, "<figure id=\"{name}\">{svg}</figure>");
        }
        page.push_str(
            "<h2>Figures</h2><p>Median of the rounds (smallest–largest). Units sold only: refusals are not sales. \
             What is not there was not measured.</p><table><thead><tr><th>backend<th>threads<th>sold a second<th>p50 ms\
             <th>p99 ms<th>p99.9 ms<th>wrong units<th>oversold<th>failed<th>retries a sale<th>promise</tr></thead><tbody>",
        );
        for line in &self.lines {
            for point in &line.points {
                row(&mut page, line, point);
            }
        }
        page.push_str("</tbody></table>");
        let _ = write!(
            page,
            "<p>{PLANTED} is a lock that was broken on purpose; a run that does not find it writes no report.</p>"
        );
        for (name, why) in &self.missing {
            let _ = write!(page, "<p class=\"missing\"><b>{}</b> was not measured: {}</p>", escape(name), escape(why));
        }
        page.push_str("<h2>Machine</h2><dl>");
        for (what, is) in &self.machine {
            let _ = write!(page, "<dt>{}<dd>{}", escape(what), escape(is));
        }
        let _ = write!(
            page,
            "</dl><p>{} rounds; {} s of warming up and {} s counted in each run; closed loop, a thread for each buyer.</p>",
            self.plan.rounds, self.plan.warmup_seconds, self.plan.window_seconds
        );
        // No text of a script may end the script.
        let data = serde_json::to_string(self).unwrap_or_default().replace("</", "<\\/");
        let _ = write!(page, "<script type=\"application/json\" id=\"data\">{data}</script></main></html>");
        Ok(page)
    }
}

fn row(page: &mut String, line: &Line, point: &Point) {
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
        point.threads,
        point.sold_per_second.median,
        point.wrong_units,
        escape(&line.backend),
        point.threads,
        spread(Some(point.sold_per_second)),
        spread(point.p50_micros.map(|micros| micros.scaled(1e-3))),
        spread(point.p99_micros.map(|micros| micros.scaled(1e-3))),
        spread(point.p999_micros.map(|micros| micros.scaled(1e-3))),
        point.wrong_units,
        point.oversold,
        point.failed,
        short(point.retries_per_sale),
        line.promise.words(),
    );
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Contention lab</title><style>\
    body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#111;background:#fff}\
    table{border-collapse:collapse;width:100%}th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd}\
    th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}small{color:#777}\
    tr.wrong td{background:#fde8e8}figure{margin:1rem 0}svg{max-width:100%;height:auto}\
    .broken,.missing{background:#fff4d6;padding:.5rem 1rem}dt{font-weight:600}</style><main>\
    <h1>Many threads, one product</h1><p>Every backend sells units of one product to the same threads, in turn, and each \
    unit is an order that it writes. Afterwards the stock is counted: a unit that was sold and is still for sale, or is \
    gone and was not sold, is wrong.</p>";

struct Curve {
    name: String,
    colour: RGBColor,
    width: u32,
    points: Vec<(f64, f64)>,
}

fn is_ours(line: &Line) -> bool {
    line.backend.starts_with(OURS)
}

#[allow(clippy::cast_precision_loss, reason = "threads are few")]
fn threads(point: &Point) -> f64 {
    point.threads as f64
}

fn millis(micros: Spread) -> f64 {
    micros.median / 1e3
}

/// Three digits that count.
fn short(figure: f64) -> String {
    let digits = if figure.abs() >= 100.0 {
        0
    } else if figure.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.digits$}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The range of these values with some room, for a logarithmic axis.
fn log_range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value), high.max(value));
    }
    if high > 0.0 { low / 1.3..high * 1.3 } else { 0.1..10.0 }
}

fn draw_log(title: &str, unit: &str, curves: &[Curve]) -> Result<String, GraphError> {
    let y = log_range(curves.iter().flat_map(|curve| &curve.points).map(|point| point.1));
    draw_on(title, unit, curves, y.log_scale())
}

fn draw(title: &str, unit: &str, curves: &[Curve], y: std::ops::Range<f64>) -> Result<String, GraphError> {
    draw_on(title, unit, curves, y)
}

fn draw_on<Y>(title: &str, unit: &str, curves: &[Curve], y: Y) -> Result<String, GraphError>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let failed = |why: String| GraphError { title: title.to_owned(), why };
    let x = log_range(curves.iter().flat_map(|curve| &curve.points).map(|point| point.0));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(74)
            .build_cartesian_2d(x.log_scale(), y)
            .map_err(|error| failed(error.to_string()))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("threads").y_desc(unit).light_line_style(WHITE);
        mesh.x_label_formatter(&|threads| format!("{threads:.0}")).draw().map_err(|error| failed(error.to_string()))?;
        // Ours last, over the others.
        for curve in curves.iter().rev() {
            let style = curve.colour.stroke_width(curve.width);
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), style).point_size(3))
                .map_err(|error| failed(error.to_string()))?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()
            .map_err(|error| failed(error.to_string()))?;
        area.present().map_err(|error| failed(error.to_string()))?;
    }
    Ok(svg)
}

/// What the kernel says about the machine.
fn machine() -> Vec<(String, String)> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim().to_owned()))
    };
    let (cpu, memory) = (file("/proc/cpuinfo"), file("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    [
        ("processor", field(&cpu, "model name")),
        ("cores", Some(cores.to_string())),
        ("memory", field(&memory, "MemTotal")),
        ("kernel", Some(file("/proc/sys/kernel/osrelease").trim().to_owned())),
    ]
    .into_iter()
    .map(|(what, is)| (what.to_owned(), is.unwrap_or_else(|| "unknown".to_owned())))
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::backend::{Promise, Shelf};
    use crate::lab::run::Micros;
    use crate::lab::verdict::Verdict;

    fn record(backend: &str, threads: usize, sold: u64, left: i64) -> Record {
        Record {
            backend: backend.to_owned(),
            promise: Promise::SyncedBeforeAnswer,
            threads,
            round: 1,
            sold_per_second: 1234.5,
            sold,
            sold_in_all: sold,
            refused: 0,
            failed: 0,
            first_failure: Some("</script><b>".to_owned()),
            retries: 0,
            micros: (sold > 0).then_some(Micros { p50: 1500.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 }),
            verdict: Verdict::new(100, sold, 0, Shelf { left, orders: sold }),
        }
    }

    fn report(is_whole: bool) -> Report {
        let plan = Plan { threads: vec![1, 20], rounds: 1, warmup_seconds: 1.0, window_seconds: 3.0 };
        let records = vec![
            record("son7shop-http", 1, 10, 90),
            record("son7shop-http", 20, 10, 90),
            record("naive", 20, 10, 95),
            record("dead", 1, 0, 100),
        ];
        Report::new(plan, records, vec![("mysql".to_owned(), "it <cannot> be had".to_owned())], is_whole)
    }

    #[test]
    fn the_page_has_the_figures_as_text_and_as_data() {
        let page = report(true).html().unwrap();
        assert!(page.contains(r#"data-backend="naive" data-threads="20" data-sold="1234.5" data-wrong="5""#));
        assert!(page.contains("it &lt;cannot> be had"));
        let (_, data) = page.split_once(r#"id="data">"#).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["records"][2]["verdict"]["wrong_units"], 5);
        assert_eq!(data["records"][0]["first_failure"], "</script><b>");
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
        let curves = report.curves(|_, point| point.p50_micros.map(millis));
        let points = |name: &str| curves.iter().find(|curve| curve.name == name).unwrap().points.clone();
        assert_eq!(points("dead"), []);
        assert_eq!(points("naive"), [(20.0, 1.5)]);
        assert_eq!(curves[0].name, "son7shop-http");
    }
}
