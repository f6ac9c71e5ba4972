//! Where somebody else sold more than ours: nothing is said by leaving it out.

use super::figure::Figures;
use super::{Report, closed};
use crate::lab::run::PLANTED;
use crate::lab::summary::Point;
use crate::page::escape;
use std::fmt::Write as _;

/// Ours, and who is compared with it: what sells in its buyers' process with what does so too.
const HTTP: &str = "son7shop-http";
const IN_PROCESS: &str = "son7shop-in-process";
const MUTEX: &str = "mutex";

/// A point, by its line's and its own place.
#[derive(Clone, Copy)]
struct At<'a> {
    backend: &'a str,
    pointer: (usize, usize),
    point: &'a Point,
}

impl At<'_> {
    fn sold(&self) -> f64 {
        self.point.sold_per_second.median
    }

    fn figure(&self, figures: &Figures) -> String {
        let (line, point) = self.pointer;
        figures.spread(&format!("/lines/{line}/points/{point}/sold_per_second"))
    }
}

impl Report {
    /// Every number of threads of the closed loop at which a backend that was right sold more, by the
    /// medians, than the best of ours that is reached in the same way.
    pub(super) fn losses_table(&self, figures: &Figures) -> String {
        let mut rows = String::new();
        for threads in &self.plan.closed.threads {
            let points: Vec<At> = self.at(*threads).collect();
            for other in points.iter().filter(|at| !at.backend.starts_with(super::OURS) && at.backend != PLANTED) {
                let like = if other.backend.starts_with(MUTEX) { IN_PROCESS } else { HTTP };
                let ours = points.iter().filter(|at| at.backend.starts_with(like));
                let Some(best) = ours.max_by(|a, b| a.sold().total_cmp(&b.sold())) else { continue };
                if other.point.is_right && other.sold() > best.sold() {
                    let _ = write!(
                        rows,
                        "<tr><td>{}<td>{threads}<td>{}<td>{}<td>{}<td>{}</tr>",
                        escape(other.backend),
                        other.figure(figures),
                        escape(best.backend),
                        best.figure(figures),
                        self.promise_of(other.backend)
                    );
                }
            }
        }
        if rows.is_empty() {
            return "<p>Nowhere: no backend that was right sold more than ours.</p>".to_owned();
        }
        format!(
            "<div class=\"wide\"><table><thead><tr><th>backend<th>threads<th>sold/s<th>best of ours<th>sold/s\
             <th>the other\u{2019}s promise</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }

    /// Every backend with so many threads in the closed loop.
    fn at(&self, threads: usize) -> impl Iterator<Item = At<'_>> {
        self.lines.iter().enumerate().flat_map(move |(line_at, line)| {
            let points = line.points.iter().enumerate();
            points
                .filter(move |(_, point)| closed(point).is_some() && point.load.threads == threads)
                .map(move |(point_at, point)| At { backend: &line.backend, pointer: (line_at, point_at), point })
        })
    }
}
