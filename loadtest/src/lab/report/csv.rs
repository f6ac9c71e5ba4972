//! The records as CSV, one row for each. Pure.
//!
//! What is not known is blank, not zero.

use crate::lab::load::{Counted, Pace};
use crate::lab::run::Record;

/// The columns, in order.
pub const HEADER: [&str; 26] = [
    "backend",
    "round",
    "pace",
    "threads",
    "due_per_second",
    "units",
    "seconds",
    "sold",
    "sold_per_second",
    "refused",
    "failed",
    "dropped",
    "retries",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "max_us",
    "wrong_units",
    "oversold",
    "missing_orders",
    "unknown",
    "backend_cpu_us",
    "buyers_cpu_us",
    "syncs",
    "disk_flushes",
];

/// The whole file.
pub fn csv(records: &[Record]) -> String {
    let mut csv = HEADER.join(",");
    csv.push('\n');
    for record in records {
        csv.push_str(&row(record).join(","));
        csv.push('\n');
    }
    csv
}

fn row(record: &Record) -> Vec<String> {
    let Record { backend, round, load, sale } = record;
    let figure = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.3}"));
    let (pace, due) = match load.pace {
        Pace::Closed { .. } => ("closed", None),
        Pace::Open { per_second, .. } => ("open", Some(per_second)),
        Pace::SellOut { .. } => ("sell_out", None),
    };
    let Counted { seconds, sold, refused, failed, dropped, retries, micros, .. } = &sale.counted;
    let verdict = &sale.verdict;
    let rate = Some(sale.counted.sold_per_second()).filter(|rate| rate.is_finite());
    let mut row = vec![quoted(backend), round.to_string(), pace.to_owned(), load.threads.to_string(), figure(due)];
    row.extend([load.units.to_string(), figure(Some(*seconds)), sold.to_string(), figure(rate)]);
    row.extend([refused, failed, dropped, retries].map(u64::to_string));
    row.extend(micros.map_or([None; 5], |m| [m.p50, m.p90, m.p99, m.p999, m.max].map(Some)).map(figure));
    row.extend([verdict.wrong_units.to_string(), verdict.oversold.to_string()]);
    row.extend([verdict.missing_orders.to_string(), verdict.unknown.to_string()]);
    let costs = &sale.costs;
    row.extend([costs.backend_cpu_micros, costs.buyers_cpu_micros, costs.syncs, costs.disk_flushes].map(figure));
    row
}

/// As RFC 4180 wants it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::load::Costs;
    use crate::lab::report::tests::record;

    #[test]
    fn a_row_has_every_column_and_what_is_not_known_is_blank() {
        let mut odd = record("a,b", 20, 1, 0, 100);
        odd.load.pace = Pace::Open { per_second: 300.0, window_seconds: 1.0 };
        let counted = &mut odd.sale.counted;
        (counted.refused, counted.failed, counted.dropped, counted.retries) = (1, 2, 3, 4);
        (odd.sale.verdict.missing_orders, odd.sale.verdict.unknown) = (-6, 7);
        odd.sale.costs = Costs {
            backend_cpu_micros: Some(8.0),
            buyers_cpu_micros: Some(9.0),
            syncs: Some(10.0),
            disk_flushes: Some(11.0),
        };
        let csv = csv(&[record("naive", 20, 1, 11, 94), odd, record("a\"b", 20, 1, 11, 94)]);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("backend,round,pace,") && lines[0].ends_with(",syncs,disk_flushes"));
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        let naive = "naive,1,closed,20,,100,2.000,11,5.500,0,0,0,0,1500.000,2.000,3.000,4.000,5.000,5,0,0,0,,,,";
        assert_eq!(lines[1], naive);
        let odd = "\"a,b\",1,open,20,300.000,100,2.000,0,0.000,1,2,3,4,,,,,,0,0,-6,7,8.000,9.000,10.000,11.000";
        assert_eq!(lines[2], odd);
        assert!(lines[3].starts_with("\"a\"\"b\",1,"), "{}", lines[3]);
    }
}
