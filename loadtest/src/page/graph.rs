//! Graphs as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Circle, DashedLineSeries, DrawingArea, IntoDrawingArea, IntoLogRange, LineSeries, PathElement,
    RGBColor, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoFont, IntoTextStyle, ShapeStyle, WHITE};
use std::ops::Range;

/// Width and height of a graph, in pixels; a legend with more names makes it higher.
const SIZE: (u32, u32) = (1_120, 560);
/// Width of the legend beside the plot, in pixels.
const LEGEND_PIXELS: u32 = 268;
/// Height of a name in the legend, in pixels.
const NAME_PIXELS: i32 = 19;
/// From the legend's top to its first name, in pixels.
const LEGEND_TOP: i32 = 58;
/// A dash and the gap after it, in pixels.
const DASH_PIXELS: (i32, i32) = (7, 5);
/// Distinct on white.
const COLOURS: [(u8, u8, u8); 12] = [
    (200, 30, 30),
    (31, 119, 180),
    (44, 160, 44),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (127, 127, 127),
    (188, 189, 34),
    (23, 190, 207),
    (255, 127, 14),
    (57, 59, 121),
    (99, 121, 57),
];

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stroke {
    /// Red, green, blue.
    pub colour: (u8, u8, u8),
    /// In dashes.
    pub is_dashed: bool,
}

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

/// A graph; its legend names its curves in their order.
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
    /// Draws it, with colours in the order of the curves.
    pub fn svg(&self) -> Result<String, GraphError> {
        let colours = COLOURS.iter().cycle().take(self.curves.len());
        self.svg_with(&colours.map(|colour| Stroke { colour: *colour, is_dashed: false }).collect::<Vec<_>>())
    }

    /// Draws it, each curve with its stroke; a curve without one is not drawn.
    pub fn svg_with(&self, strokes: &[Stroke]) -> Result<String, GraphError> {
        let linear = |axis: &Axis| match axis {
            Axis::Linear(range) => Some(range.clone()),
            Axis::Log => None,
        };
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x_log = log_range(points().map(|point| point.0)).log_scale();
        let y_log = log_range(points().map(|point| point.1)).log_scale();
        match (linear(&self.x.1), linear(&self.y.1)) {
            (Some(x), Some(y)) => self.draw(strokes, x, y),
            (Some(x), None) => self.draw(strokes, x, y_log),
            (None, Some(y)) => self.draw(strokes, x_log, y),
            (None, None) => self.draw(strokes, x_log, y_log),
        }
        .map_err(|why| GraphError { title: self.title.clone(), why })
    }

    fn draw<X, Y>(&self, strokes: &[Stroke], x: X, y: Y) -> Result<String, String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let curves: Vec<(&Curve, Stroke)> = self.curves.iter().zip(strokes.iter().copied()).collect();
        let names = i32::try_from(curves.len()).unwrap_or(i32::MAX / NAME_PIXELS);
        let height = SIZE.1.max(u32::try_from(LEGEND_TOP + NAME_PIXELS * (names + 1)).unwrap_or(SIZE.1));
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
            area.fill(&WHITE).map_err(words)?;
            let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND_PIXELS);
            let mut chart = ChartBuilder::on(&plot)
                .caption(&self.title, ("sans-serif", 24))
                .margin(14)
                .x_label_area_size(52)
                .y_label_area_size(84)
                .build_cartesian_2d(x, y)
                .map_err(words)?;
            let mut mesh = chart.configure_mesh();
            mesh.x_desc(&self.x.0).y_desc(&self.y.0).light_line_style(WHITE);
            mesh.bold_line_style(RGBColor(225, 225, 225)).axis_style(RGBColor(60, 60, 60));
            mesh.label_style(("sans-serif", 15)).axis_desc_style(("sans-serif", 16));
            mesh.x_label_formatter(&|x| tick(*x)).y_label_formatter(&|y| tick(*y)).draw().map_err(words)?;
            // What stands out comes last, over the others.
            let (over, under): (Vec<_>, Vec<_>) = curves.iter().partition(|(curve, _)| curve.stands_out);
            for (curve, stroke) in under.into_iter().chain(over) {
                let style = stroke.style(curve);
                let drawn = self.drawn(curve);
                let dots =
                    drawn.iter().map(|point| Circle::new(*point, if curve.stands_out { 4 } else { 3 }, style.filled()));
                chart.draw_series(dots).map_err(words)?;
                if stroke.is_dashed {
                    let (dash, gap) = DASH_PIXELS;
                    chart.draw_series(DashedLineSeries::new(drawn, dash, gap, style)).map_err(words)?;
                } else {
                    chart.draw_series(LineSeries::new(drawn, style)).map_err(words)?;
                }
            }
            draw_legend(&legend, &curves)?;
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

impl Stroke {
    fn style(self, curve: &Curve) -> ShapeStyle {
        let (red, green, blue) = self.colour;
        RGBColor(red, green, blue).stroke_width(if curve.stands_out { 4 } else { 2 })
    }
}

/// Beside the plot, so that it hides nothing.
fn draw_legend<S: plotters::coord::CoordTranslate>(
    area: &DrawingArea<SVGBackend, S>,
    curves: &[(&Curve, Stroke)],
) -> Result<(), String> {
    let area = area.strip_coord_spec();
    let font = ("sans-serif", 15).into_font().transform(FontTransform::None).into_text_style(&area);
    let font = font.pos(Pos::new(HPos::Left, VPos::Center));
    let mut y = LEGEND_TOP;
    for (curve, stroke) in curves {
        let style = stroke.style(curve);
        let strokes: &[(i32, i32)] = if stroke.is_dashed { &[(2, 9), (14, 21), (26, 33)] } else { &[(2, 33)] };
        for (from, to) in strokes {
            area.draw(&PathElement::new(vec![(*from, y), (*to, y)], style)).map_err(words)?;
        }
        area.draw(&Text::new(curve.name.as_str(), (42, y), font.clone())).map_err(words)?;
        y += NAME_PIXELS;
    }
    Ok(())
}

/// A number beside an axis.
fn tick(value: f64) -> String {
    let digits = if value.abs() >= 1.0 || value == 0.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    // Thousands apart.
    let (sign, figures) = text.strip_prefix('-').map_or(("", text), |figures| ("−", figures));
    let mut shown = sign.to_owned();
    for (at, digit) in figures.char_indices() {
        if digits == 0 && at > 0 && (figures.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
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
    fn a_legend_stands_beside_the_plot_and_dashes_are_drawn() {
        let points = vec![(1.0, 1.0), (20.0, 50.0)];
        let mut graph = graph(Axis::Log, Axis::Log, points);
        let solid = Stroke { colour: (1, 2, 3), is_dashed: false };
        let one = graph.svg_with(&[solid]).unwrap();
        let dashed = graph.svg_with(&[Stroke { is_dashed: true, ..solid }]).unwrap();
        let strokes = |svg: &str| svg.matches(r##"stroke="#010203""##).count();
        assert!(strokes(&dashed) > 5 * strokes(&one));
        // So many names need more height.
        graph.curves = vec![graph.curves[0].clone(); 40];
        let many = graph.svg_with(&[solid; 40]).unwrap();
        assert!(one.contains(r#"height="560""#) && many.contains(r#"height="837""#));
    }

    #[test]
    fn ticks_are_numbers_for_people() {
        assert_eq!([0.0, 0.01, 20.0, 12_345.0, -5.0].map(tick), ["0", "0.01", "20", "12,345", "−5"]);
    }

    #[test]
    fn what_an_axis_cannot_show_is_left_out_and_nothing_is_drawable() {
        let with_zero = graph(Axis::Linear(0.0..10.0), Axis::Log, vec![(1.0, 0.0), (2.0, 3.0)]);
        assert_eq!(with_zero.drawn(&with_zero.curves[0]), [(2.0, 3.0)]);
        graph(Axis::Log, Axis::Log, Vec::new()).svg().unwrap();
    }
}
