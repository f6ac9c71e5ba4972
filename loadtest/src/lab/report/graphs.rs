//! What is drawn, and how: relatives in shades of one colour, ours wide and on top.

use super::{OURS, Report, closed, is_ours};
use crate::lab::load::Pace;
use crate::lab::run::PLANTED;
use crate::lab::summary::{Line, Point};
use crate::page::graph::{Axis, Curve, Graph, GraphError, Stroke};

/// Below nothing wrong, in percent: room that keeps a line at zero off the axis.
const BELOW_ZERO: f64 = -4.0;
/// What a short graph shows, beside whatever reads and writes without a lock.
const HEADLINE: [&str; 4] = ["son7shop-http", "mysql-for-update", "redis-lock", "redis-lua-always"];

/// A larger share of dropped attempts than this, of those that were due, would be seen in the percentiles.
const DROPPED_MAX: f64 = 0.005;

/// Shades of one colour.
type Shades = [(u8, u8, u8); 4];
/// By what a name begins with; the first that fits.
const FAMILIES: [(&str, Shades); 7] = [
    (OURS, [(214, 20, 20), (240, 100, 20), (150, 0, 60), (240, 80, 140)]),
    (PLANTED, [(0, 0, 0); 4]),
    ("mysql", [(8, 48, 130), (33, 113, 200), (90, 170, 230), (20, 150, 190)]),
    ("mariadb", [(0, 80, 30), (35, 150, 70), (130, 190, 60), (0, 150, 130)]),
    ("redis-lock", [(84, 39, 143), (158, 120, 210), (120, 80, 170), (190, 150, 220)]),
    ("redis-lua", [(130, 70, 10), (200, 140, 20), (100, 90, 20), (170, 110, 70)]),
    ("", [(80, 80, 80), (150, 150, 150), (110, 120, 130), (60, 60, 90)]),
];

impl Report {
    /// The page's graphs: each one's file name and SVG.
    pub fn graphs(&self) -> Result<Vec<(&'static str, String)>, GraphError> {
        let all = |_: &str| true;
        let mut graphs = vec![
            ("wrong-units", self.wrong_units("Wrong units by threads", all)?),
            ("latency", self.latency("Latency (median) by threads", all)?),
            (
                "throughput",
                self.by_threads(
                    "Units sold a second by threads",
                    ("units a second", Axis::Log),
                    |point| Some(point.sold_per_second.median),
                    all,
                )?,
            ),
            ("p99", self.by_threads("Latency (99th percentile) by threads", millis(), p99, all)?),
        ];
        if self.lines.iter().flat_map(|line| &line.points).any(|point| due_per_second(point).is_some()) {
            graphs.push(("open-p50", self.by_rate("Latency (median) by attempts due a second", p50)?));
            graphs.push(("open-p99", self.by_rate("Latency (99th percentile) by attempts due a second", p99)?));
        }
        Ok(graphs)
    }

    /// Two graphs of few lines, to be shown elsewhere.
    pub fn headline_graphs(&self) -> Result<Vec<(&'static str, String)>, GraphError> {
        let few = |name: &str| HEADLINE.contains(&name) || name == PLANTED || name.ends_with("naive");
        Ok(vec![
            ("headline", self.wrong_units("One hot product: wrong units by threads", few)?),
            ("headline-latency", self.latency("One hot product: latency (median) by threads", few)?),
        ])
    }

    fn wrong_units(&self, title: &str, which: impl Fn(&str) -> bool) -> Result<String, GraphError> {
        let percent = |point: &Point| Some(point.wrong_share * 100.0);
        let closed = self.lines.iter().flat_map(|line| &line.points).filter_map(closed);
        let most = closed.filter_map(percent).fold(100.0, f64::max);
        let y = ("wrong units, % of the units sold, worst round", Axis::Linear(BELOW_ZERO..most * 1.02));
        self.by_threads(title, y, percent, which)
    }

    fn latency(&self, title: &str, which: impl Fn(&str) -> bool) -> Result<String, GraphError> {
        self.by_threads(title, millis(), p50, which)
    }

    fn by_threads(
        &self,
        title: &str,
        y: (&str, Axis),
        of: impl Fn(&Point) -> Option<f64>,
        which: impl Fn(&str) -> bool,
    ) -> Result<String, GraphError> {
        let curves = self.curves(|point| Some((threads(closed(point)?), of(point)?)));
        draw(title, "threads", y, curves.into_iter().filter(|curve| which(&curve.name)).collect())
    }

    fn by_rate(&self, title: &str, of: impl Fn(&Point) -> Option<f64>) -> Result<String, GraphError> {
        // Where many attempts were dropped the latency is that of the window's length.
        let curves = self.curves(|point| keeps_up(point).then_some((due_per_second(point)?, of(point)?)));
        draw(title, "attempts due a second", millis(), curves)
    }

    /// Ours first; what has no point has no curve.
    pub(super) fn curves(&self, of: impl Fn(&Point) -> Option<(f64, f64)>) -> Vec<Curve> {
        let (ours, others): (Vec<_>, Vec<_>) = self.lines.iter().partition(|line| is_ours(line));
        let curve = |line: &Line| Curve {
            name: line.backend.clone(),
            stands_out: is_ours(line),
            points: line.points.iter().filter_map(&of).collect(),
        };
        ours.into_iter().chain(others).map(curve).filter(|curve| !curve.points.is_empty()).collect()
    }
}

fn draw(title: &str, x: &str, (unit, axis): (&str, Axis), curves: Vec<Curve>) -> Result<String, GraphError> {
    let strokes = strokes(curves.iter().map(|curve| curve.name.as_str()));
    Graph { title: title.to_owned(), x: (x.to_owned(), Axis::Log), y: (unit.to_owned(), axis), curves }
        .svg_with(&strokes)
}

/// The first four of a family in its shades, the next in dashes.
fn strokes<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Stroke> {
    let mut seen = [0; FAMILIES.len()];
    let stroke = |name: &str| {
        // The last family takes every name.
        let family = FAMILIES.iter().position(|(begins, _)| name.starts_with(begins)).unwrap_or(FAMILIES.len() - 1);
        let nth = seen[family];
        seen[family] += 1;
        let shades = FAMILIES[family].1;
        Stroke { colour: shades[nth % shades.len()], is_dashed: nth >= shades.len() || name == PLANTED }
    };
    names.map(stroke).collect()
}

/// Whether so few attempts of an open loop were dropped that the percentiles are not theirs.
#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn keeps_up(point: &Point) -> bool {
    let Pace::Open { per_second, window_seconds } = point.load.pace else { return false };
    // In the rounds that there were: of those that a backend did not live to see nothing was due.
    let due = per_second * window_seconds * point.rounds as f64;
    point.dropped as f64 <= DROPPED_MAX * due
}

fn millis() -> (&'static str, Axis) {
    ("milliseconds", Axis::Log)
}

fn p50(point: &Point) -> Option<f64> {
    Some(point.micros?.p50.median / 1e3)
}

fn p99(point: &Point) -> Option<f64> {
    Some(point.micros?.p99.median / 1e3)
}

/// Attempts that an open loop has due a second.
fn due_per_second(point: &Point) -> Option<f64> {
    match point.load.pace {
        Pace::Open { per_second, .. } => Some(per_second),
        Pace::Closed { .. } | Pace::SellOut { .. } => None,
    }
}

#[allow(clippy::cast_precision_loss, reason = "threads are few")]
fn threads(point: &Point) -> f64 {
    point.load.threads as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_are_told_apart() {
        let names = ["mysql-a", "mysql-b", "mysql-c", "mysql-d", "mysql-e", "son7shop-http", PLANTED, "mutex"];
        let strokes = strokes(names.into_iter());
        for (at, stroke) in strokes.iter().enumerate() {
            assert!(!strokes[..at].contains(stroke), "{}", names[at]);
        }
        assert!(strokes[4].is_dashed && strokes[4].colour == strokes[0].colour);
    }
}
