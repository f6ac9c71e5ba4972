//! The page's tables: every figure by its place in the page's data.

use super::figure::Figures;
use super::ratios::Ratio;
use super::{Report, closed};
use crate::lab::load::Pace;
use crate::lab::summary::Point;
use crate::page::escape;
use std::fmt::Write as _;

/// Microseconds to milliseconds.
const MILLIS: f64 = 0.001;

/// A column: what stands above it, and where its figure is, below the point; how it is shown.
type Column = (&'static str, &'static str, Show);

#[derive(Clone, Copy)]
enum Show {
    /// As it is.
    Plain,
    /// In milliseconds.
    Millis,
    /// With smallest and largest.
    Spread,
}

const ROUNDS: Column = ("rounds", "rounds", Show::Plain);
const SOLD: Column = ("sold/s", "sold_per_second", Show::Spread);
const P50: Column = ("p50 ms", "micros/p50/median", Show::Millis);
const P90: Column = ("p90 ms", "micros/p90/median", Show::Millis);
const P99: Column = ("p99 ms", "micros/p99/median", Show::Millis);
const P999: Column = ("p99.9 ms", "micros/p999/median", Show::Millis);
const MOST: Column = ("max ms", "micros/max/median", Show::Millis);
const THREADS: Column = ("threads", "load/threads", Show::Plain);
const WRONG: Column = ("wrong units", "wrong_units", Show::Plain);
const OVERSOLD: Column = ("oversold", "oversold", Show::Plain);
const MISSING: Column = ("missing orders", "missing_orders", Show::Plain);
const REFUSED: Column = ("refused", "refused", Show::Plain);
const FAILED: Column = ("failed", "failed", Show::Plain);

const CONTENTION: [Column; 18] = [
    THREADS,
    ROUNDS,
    SOLD,
    P50,
    P90,
    P99,
    P999,
    MOST,
    WRONG,
    OVERSOLD,
    MISSING,
    REFUSED,
    FAILED,
    ("retries a sale", "retries_per_sale", Show::Plain),
    ("backend CPU µs", "costs/backend_cpu_micros/median", Show::Plain),
    ("buyers' CPU µs", "costs/buyers_cpu_micros/median", Show::Plain),
    ("syncs", "costs/syncs/median", Show::Plain),
    ("disk flushes", "costs/disk_flushes/median", Show::Plain),
];
const SELL_OUT: [Column; 9] =
    [THREADS, ROUNDS, ("units", "load/units", Show::Plain), SOLD, WRONG, OVERSOLD, MISSING, REFUSED, FAILED];
const OPEN: [Column; 13] = [
    ("due/s", "load/pace/open/per_second", Show::Plain),
    THREADS,
    ROUNDS,
    SOLD,
    ("dropped", "dropped", Show::Plain),
    P50,
    P90,
    P99,
    P999,
    MOST,
    WRONG,
    MISSING,
    FAILED,
];

impl Report {
    pub(super) fn contention_table(&self, figures: &Figures) -> String {
        self.table(figures, &CONTENTION, |point| closed(point).is_some())
    }

    pub(super) fn sell_out_table(&self, figures: &Figures) -> String {
        self.table(figures, &SELL_OUT, |point| matches!(point.load.pace, Pace::SellOut { .. }))
    }

    pub(super) fn open_table(&self, figures: &Figures) -> String {
        self.table(figures, &OPEN, |point| matches!(point.load.pace, Pace::Open { .. }))
    }

    fn table(&self, figures: &Figures, columns: &[Column], which: impl Fn(&Point) -> bool) -> String {
        let mut table = "<div class=\"wide\"><table><thead><tr><th>backend".to_owned();
        for (head, _, _) in columns {
            let _ = write!(table, "<th>{head}");
        }
        table.push_str("<th>promise</tr></thead><tbody>");
        for (line_at, line) in self.lines.iter().enumerate() {
            for (point_at, point) in line.points.iter().enumerate().filter(|(_, point)| which(point)) {
                let class = if point.is_right { "" } else { " class=\"wrong\"" };
                let _ = write!(table, "<tr{class}><td>{}", escape(&line.backend));
                for (_, place, show) in columns {
                    let pointer = format!("/lines/{line_at}/points/{point_at}/{place}");
                    let figure = match show {
                        Show::Plain => figures.show(&pointer),
                        Show::Millis => figures.scaled(&pointer, MILLIS),
                        Show::Spread => figures.spread(&pointer),
                    };
                    let _ = write!(table, "<td>{figure}");
                }
                let _ = write!(table, "<td>{}</tr>", self.promise_of(&line.backend));
            }
        }
        table.push_str("</tbody></table></div>");
        table
    }

    pub(super) fn promise_of(&self, backend: &str) -> &'static str {
        self.outcome.backends.iter().find(|one| one.name == backend).map_or("", |one| one.promise.words())
    }

    /// The ratios that were asked for.
    pub(super) fn ratios_table(&self, figures: &Figures) -> String {
        let mut table = "<div class=\"wide\"><table><thead><tr><th>over<th>ours ÷ that<th>at least<th>aim<th>judged\
             <th></tr></thead><tbody>"
            .to_owned();
        for (at, Ratio { over, judged, ours, verdict, .. }) in self.ratios.rows.iter().enumerate() {
            let _ = write!(table, "<tr><td>{}<td>", escape(over));
            for (column, one) in ours.iter().enumerate() {
                let pointer = format!("/ratios/rows/{at}/ours/{column}/ratio");
                let _ = write!(
                    table,
                    "{}{}: {}",
                    if column > 0 { "<br>" } else { "" },
                    escape(&one.backend),
                    figures.spread(&pointer)
                );
            }
            let asked = |what: &str| figures.show(&format!("/ratios/rows/{at}/{what}"));
            let (least, aim) = (asked("at_least"), asked("aim"));
            let _ = write!(table, "<td>{least}<td>{aim}<td>{}<td>{}</tr>", escape(judged), verdict.words());
        }
        table.push_str("</tbody></table></div>");
        table
    }
}
