//! The two runs as a page: what was not the same, two graphs of B ÷ A, every figure.

use super::{Comparison, Difference, Row, Run, Verdict};
use crate::lab::report::ReportError;
use crate::lab::run::PLANTED;
use crate::page::graph::{Axis, Curve, Graph, GraphError};
use crate::page::{escape, page, short};
use std::fmt::Write as _;

/// Up to this ratio a graph's axis is even.
const EVEN_UP_TO: f64 = 4.0;

impl Comparison {
    /// The page; `names` are what A and B are called, such as their files' paths.
    ///
    /// # Errors
    /// [`ReportError`]: a graph that cannot be drawn, figures that are no JSON.
    pub fn html(&self, names: (&str, &str)) -> Result<String, ReportError> {
        let mut body = format!("<p><b>A</b> is {}, <b>B</b> is {}.</p>", escape(names.0), escape(names.1));
        for warning in &self.warnings {
            let _ = write!(body, "<p class=\"missing\">Not the same: {}</p>", escape(warning));
        }
        for one in self.only_in.iter().map(ToString::to_string).chain(self.wrong_units.iter().map(ToString::to_string))
        {
            let _ = write!(body, "<p class=\"missing\">{}</p>", escape(&one));
        }
        let _ = write!(body, "<p>{}</p>", escape(&self.summary()));
        let throughput =
            self.by_threads("Units sold a second, B ÷ A (above 1: B sells more)", |row| row.sold_per_second);
        let _ = write!(body, "<figure id=\"throughput\">{}</figure>", throughput?);
        let p99 = self.by_threads("Latency (99th percentile), B ÷ A (above 1: B is slower)", |row| row.p99_micros);
        let _ = write!(body, "<figure id=\"p99\">{}</figure>", p99?);
        body.push_str("<h2>Figures</h2><p>Medians of the rounds.</p><table><thead><tr><th>backend<th>load");
        for figure in ["sold/s", "p50 ms", "p99 ms"] {
            let _ = write!(body, "<th>{figure} A<th>B<th>difference");
        }
        body.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            let figures = [(row.sold_per_second, 1.0), (row.p50_micros, 1e-3), (row.p99_micros, 1e-3)];
            let class =
                if figures.iter().any(|(one, _)| one.verdict == Verdict::Worse) { " class=\"wrong\"" } else { "" };
            let _ = write!(body, "<tr{class}><td>{}<td>{}", escape(&row.backend), escape(&row.load));
            for (one, scale) in figures {
                let figure = |spread: Option<f64>| spread.map_or("–".to_owned(), |figure| short(figure * scale));
                let (a, b) = (one.a.map(|a| a.median), one.b.map(|b| b.median));
                let _ = write!(body, "<td>{}<td>{}<td>{one}", figure(a), figure(b));
            }
            body.push_str("</tr>");
        }
        body.push_str("</tbody></table>");
        Ok(page("Two runs of the lab", &body, self)?)
    }

    /// What came of it, in a few sentences.
    pub fn summary(&self) -> String {
        let [better, worse, noise, one_round] =
            [Verdict::Better, Verdict::Worse, Verdict::Noise, Verdict::OneRound].map(|verdict| self.count(verdict));
        let mut said = format!(
            "B is better in {better} figures and worse in {worse}; {noise} differ by no more than the noise. \
             Larger than the noise: all rounds of one run lie beyond all of the other, and the medians are further \
             apart than the rounds of either run. If the runs were alike, the rounds of {:.1} figures would lie \
             apart by chance. What changed on the machine between the runs is not in this noise.",
            self.apart_by_chance()
        );
        if one_round > 0 {
            let _ = write!(said, " Of {one_round} figures a run has one round: cannot tell.");
        }
        if !self.ours_wrong_in_b.is_empty() {
            let _ = write!(said, " WRONG in B: {}.", self.ours_wrong_in_b.join(", "));
        }
        if !self.ours_lost_in_b.is_empty() {
            let _ = write!(said, " LOST in B: {}.", self.ours_lost_in_b.join("; "));
        }
        said
    }

    fn by_threads(&self, title: &str, of: impl Fn(&Row) -> Difference) -> Result<String, GraphError> {
        let mut curves: Vec<Curve> = Vec::new();
        for row in self.rows.iter().filter(|row| row.backend != PLANTED) {
            let Some((threads, ratio)) = row.closed_threads.zip(of(row).percent) else { continue };
            #[allow(clippy::cast_precision_loss, reason = "threads are few")]
            let point = (threads as f64, 1.0 + ratio / 100.0);
            if let Some(curve) = curves.iter_mut().find(|curve| curve.name == row.backend) {
                curve.points.push(point);
            } else {
                let stands_out = row.backend.starts_with(super::OURS);
                curves.push(Curve { name: row.backend.clone(), stands_out, points: vec![point] });
            }
        }
        let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
        let (least, most) =
            points().fold((f64::INFINITY, 0.0_f64), |(least, most), (x, _)| (least.min(x), most.max(x)));
        let top = points().map(|point| point.1).fold(1.5, f64::max);
        if most > 0.0 {
            let points = vec![(least, 1.0), (most, 1.0)];
            curves.push(Curve { name: "no difference".to_owned(), stands_out: false, points });
        }
        let y = if top > EVEN_UP_TO { Axis::Log } else { Axis::Linear(0.0..top * 1.1) };
        let (x, y) = (("threads".to_owned(), Axis::Log), ("B ÷ A".to_owned(), y));
        Graph { title: title.to_owned(), x, y, curves }.svg()
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.percent {
            Some(percent) => write!(f, "{percent:+.1} % {}", self.verdict.words()),
            None => f.write_str(self.verdict.words()),
        }
    }
}

impl std::fmt::Display for super::OnlyIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lacks = match self.run {
            Run::A => Run::B,
            Run::B => Run::A,
        };
        write!(f, "{lacks:?} has no {}", self.backend)?;
        if let Some(load) = &self.load {
            write!(f, " with {load}")?;
        }
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

impl std::fmt::Display for super::WrongUnits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let happened = match self.wrong_in {
            Run::A => "is not wrong any more",
            Run::B => "is WRONG now and was not",
        };
        write!(f, "{} with {} {happened}: A {}, B {}", self.backend, self.load, self.a, self.b)
    }
}

impl std::fmt::Display for super::Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wrong_units, oversold, missing_orders } = self;
        write!(f, "{wrong_units} wrong units, {oversold} oversold, {missing_orders} missing orders")
    }
}
