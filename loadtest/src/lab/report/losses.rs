//! Where somebody else sold more than ours: nothing is said by leaving it out, and nothing is said of what
//! was not measured.

use super::figure::Figures;
use super::{OURS, Report, closed, is_ours};
use crate::lab::backend::Promise;
use crate::lab::run::PLANTED;
use crate::lab::summary::Point;
use crate::page::escape;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Ours, and who is compared with it: what sells in its buyers' process with what does so too.
const HTTP: &str = "son7shop-http";
const IN_PROCESS: &str = "son7shop-in-process";
const MUTEX: &str = "mutex";

/// A point, by its line's and its own place.
#[derive(Clone, Copy)]
struct At<'a> {
    backend: &'a str,
    promise: Promise,
    pointer: (usize, usize),
    point: &'a Point,
}

impl At<'_> {
    fn sold(&self) -> f64 {
        self.point.sold_per_second.median
    }

    /// Three cells: who, how much, how safely.
    fn cells(&self, figures: &Figures) -> String {
        let (line, point) = self.pointer;
        let sold = figures.spread(&format!("/lines/{line}/points/{point}/sold_per_second"));
        format!("<td>{}<td>{sold}<td>{}", escape(self.backend), self.promise.words())
    }

    /// The best of ours that is reached in the same way, was right, and promises the same; where none does,
    /// of those that promise the least more.
    fn best_of_ours<'a>(&self, points: &[At<'a>]) -> Option<At<'a>> {
        let like = if self.backend.starts_with(MUTEX) { IN_PROCESS } else { HTTP };
        let strength = |at: &At| at.promise.strength();
        let can_be = |at: &At| at.backend.starts_with(like) && at.point.is_right && strength(at) >= strength(self);
        let ours = points.iter().copied().filter(can_be);
        ours.max_by(|a, b| Reverse(strength(a)).cmp(&Reverse(strength(b))).then(a.sold().total_cmp(&b.sold())))
    }
}

impl Report {
    /// Every number of threads of the closed loop at which a backend that was right sold more, by the
    /// medians, than the best of ours that it may be compared with; and which could not be compared.
    pub(super) fn losses_table(&self, figures: &Figures) -> String {
        if !self.lines.iter().any(is_ours) {
            return "<p class=\"missing\">son7shop was not measured: nothing can be said.</p>".to_owned();
        }
        let (mut alike, mut weaker, mut is_compared) = (String::new(), String::new(), false);
        let mut alone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for threads in &self.plan.closed.threads {
            let points: Vec<At> = self.at(*threads).collect();
            let is_other = |at: &&At| !at.backend.starts_with(OURS) && at.backend != PLANTED && at.point.is_right;
            for other in points.iter().filter(is_other) {
                let Some(best) = other.best_of_ours(&points) else {
                    alone.entry(other.backend).or_default().push(threads.to_string());
                    continue;
                };
                let promises_the_same = best.promise == other.promise;
                is_compared |= promises_the_same;
                if other.sold() > best.sold() {
                    let rows = if promises_the_same { &mut alike } else { &mut weaker };
                    let (other, best) = (other.cells(figures), best.cells(figures));
                    let _ = write!(rows, "<tr><td>{threads}{other}{best}</tr>");
                }
            }
        }
        let mut said = match (alike.is_empty(), is_compared, alone.is_empty()) {
            (false, _, _) => table(&alike),
            (true, true, true) => {
                "<p>Nowhere: no backend that was right and promises the same sold more.</p>".to_owned()
            }
            (true, true, false) => "<p>Of those that could be compared, none sold more.</p>".to_owned(),
            (true, false, _) => "<p class=\"missing\">Nothing can be said: no backend that was right and promises \
                 the same as one of ours that was right was measured.</p>"
                .to_owned(),
        };
        if !weaker.is_empty() {
            let _ = write!(said, "<p>More, for a promise that is weaker than any of ours:</p>{}", table(&weaker));
        }
        for (backend, threads) in alone {
            let _ = write!(
                said,
                "<p class=\"missing\"><b>{}</b> is not compared (threads: {}): none of ours that is reached in the \
                 same way, promises as much and was right was measured.</p>",
                escape(backend),
                threads.join(", ")
            );
        }
        said
    }

    /// Every backend with so many threads in the closed loop.
    fn at(&self, threads: usize) -> impl Iterator<Item = At<'_>> {
        self.lines.iter().enumerate().flat_map(move |(line_at, line)| {
            let promise = self.outcome.backends.iter().find(|one| one.name == line.backend).map(|one| one.promise);
            let points = line.points.iter().enumerate();
            points.filter(move |(_, point)| closed(point).is_some() && point.load.threads == threads).filter_map(
                move |(point_at, point)| {
                    Some(At { backend: &line.backend, promise: promise?, pointer: (line_at, point_at), point })
                },
            )
        })
    }
}

fn table(rows: &str) -> String {
    format!(
        "<div class=\"wide\"><table><thead><tr><th>threads<th>backend<th>sold/s<th>its promise\
         <th>best of ours<th>sold/s<th>our promise</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}
