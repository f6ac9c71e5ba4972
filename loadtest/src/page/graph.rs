//! Graphs as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend, SeriesLabelPosition,
};
use plotters::style::{BLACK, Color, WHITE};
use std::ops::Range;

/// Width and height of a graph, in pixels.
const SIZE: (u32, u32) = (980, 520);
/// Distinct on white.
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

/// How an axis is divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Axis {
    /// Evenly over this range.
    Linear(Range<f64>),
    /// By factors, over what the points need; points at or below zero are not drawn.
    Log,
}

/// One line of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// Drawn wider than the others, and over them.
    pub stands_out: bool,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A graph; its curves get their colours in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Above it.
    pub title: String,
    /// Below the axis from left to right, and that axis.
    pub x: (String, Axis),
    /// Beside the axis upwards, and that axis.
    pub y: (String, Axis),
    /// What is drawn.
    pub curves: Vec<Curve>,
}

/// A graph could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the graph {title} could not be drawn: {why}")]
pub struct GraphError {
    title: String,
    why: String,
}

impl Graph {
    /// Draws it.
    pub fn svg(&self) -> Result<String, GraphError> {
        let linear = |axis: &Axis| match axis {
            Axis::Linear(range) => Some(range.clone()),
            Axis::Log => None,
        };
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x_log = log_range(points().map(|point| point.0)).log_scale();
        let y_log = log_range(points().map(|point| point.1)).log_scale();
        match (linear(&self.x.1), linear(&self.y.1)) {
            (Some(x), Some(y)) => self.draw(x, y),
            (Some(x), None) => self.draw(x, y_log),
            (None, Some(y)) => self.draw(x_log, y),
            (None, None) => self.draw(x_log, y_log),
        }
        .map_err(|why| GraphError { title: self.title.clone(), why })
    }

    fn draw<X, Y>(&self, x: X, y: Y) -> Result<String, String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(words)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, ("sans-serif", 22))
                .margin(12)
                .x_label_area_size(44)
                .y_label_area_size(74)
                .build_cartesian_2d(x, y)
                .map_err(words)?;
            let mut mesh = chart.configure_mesh();
            mesh.x_desc(&self.x.0).y_desc(&self.y.0).light_line_style(WHITE);
            mesh.x_label_formatter(&|x| format!("{x:.0}")).draw().map_err(words)?;
            let coloured: Vec<_> = self.curves.iter().zip(COLOURS.iter().cycle()).collect();
            // What stands out comes last, over the others.
            let (over, under): (Vec<_>, Vec<_>) = coloured.into_iter().partition(|(curve, _)| curve.stands_out);
            for (curve, colour) in under.into_iter().chain(over) {
                let style = colour.stroke_width(if curve.stands_out { 4 } else { 2 });
                let drawn = self.drawn(curve);
                chart
                    .draw_series(LineSeries::new(drawn, style).point_size(3))
                    .map_err(words)?
                    .label(&curve.name)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .draw()
                .map_err(words)?;
            area.present().map_err(words)?;
        }
        Ok(svg)
    }

    /// A curve's points that its axes can show.
    fn drawn(&self, curve: &Curve) -> Vec<(f64, f64)> {
        let shown = |axis: &Axis, value: f64| value.is_finite() && (*axis != Axis::Log || value > 0.0);
        let points = curve.points.iter().copied();
        points.filter(|(x, y)| shown(&self.x.1, *x) && shown(&self.y.1, *y)).collect()
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The range of these values with some room, for a logarithmic axis.
fn log_range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    if high > 0.0 { low / 1.3..high * 1.3 } else { 0.1..10.0 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn graph(x: Axis, y: Axis, points: Vec<(f64, f64)>) -> Graph {
        let curve = Curve { name: "ours".to_owned(), stands_out: true, points };
        Graph {
            title: "Wrong units".to_owned(),
            x: ("threads".to_owned(), x),
            y: ("%".to_owned(), y),
            curves: vec![curve],
        }
    }

    #[test]
    fn every_pair_of_axes_is_drawn() {
        let linear = || Axis::Linear(0.0..100.0);
        for (x, y) in [(linear(), linear()), (linear(), Axis::Log), (Axis::Log, linear()), (Axis::Log, Axis::Log)] {
            let svg = graph(x, y, vec![(1.0, 1.0), (20.0, 50.0)]).svg().unwrap();
            for text in ["Wrong units", "threads", "ours", "<polyline"] {
                assert!(svg.contains(text), "{text}");
            }
        }
    }

    #[test]
    fn what_an_axis_cannot_show_is_left_out_and_nothing_is_drawable() {
        let with_zero = graph(Axis::Linear(0.0..10.0), Axis::Log, vec![(1.0, 0.0), (2.0, 3.0)]);
        assert_eq!(with_zero.drawn(&with_zero.curves[0]), [(2.0, 3.0)]);
        graph(Axis::Log, Axis::Log, Vec::new()).svg().unwrap();
    }
}
