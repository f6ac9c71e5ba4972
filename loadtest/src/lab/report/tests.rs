//! The page, from a report that has a bit of everything.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::lab::backend::{Promise, Shelf};
use crate::lab::load::{Costs, Counted, Load, Micros, Sale};
use crate::lab::plan::small;
use crate::lab::report::figure::Figures;
use crate::lab::run::{About, PLANTED, Record};
use crate::lab::verdict::Verdict;
use crate::page::short;
use serde_json::Value;

pub(super) fn record(backend: &str, threads: usize, round: usize, sold: u64, left: i64) -> Record {
    let pace = Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 };
    let micros = (sold > 0).then_some(Micros { p50: 1500.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 });
    let first_failure = Some("</script><b> mysql://me:secret@host".to_owned());
    let counted = Counted { seconds: 2.0, sold, sold_in_all: sold, micros, first_failure, ..Counted::default() };
    let verdict = Verdict::new(100, sold, 0, Shelf { left, orders: sold });
    let sale = Sale { counted, costs: Costs::default(), verdict };
    Record { backend: backend.to_owned(), round, load: Load { threads, units: 100, pace }, sale }
}

fn report(is_whole: bool) -> Report {
    let mut open = record("son7shop-http", 4, 1, 10, 90);
    open.load.pace = Pace::Open { per_second: 300.0, window_seconds: 1.0 };
    let mut dropped = record("naive", 4, 1, 10, 90);
    (dropped.load.pace, dropped.sale.counted.dropped) = (open.load.pace, 7);
    let mut sold_out = record("naive", 4, 1, 101, 0);
    sold_out.load.pace = Pace::SellOut { patience_seconds: 1.0 };
    let records = vec![
        record(PLANTED, 20, 1, 50, 90),
        record("son7shop-http", 1, 1, 10, 90),
        record("son7shop-http", 20, 1, 10, 90),
        record("son7shop-http", 20, 2, 30, 70),
        record("naive", 20, 1, 11, 94),
        record("dead", 1, 1, 0, 100),
        open,
        dropped,
        sold_out,
    ];
    let about = |name: &str| About {
        name: name.to_owned(),
        about: String::new(),
        promise: Promise::InMemory,
        settings: vec![("url".to_owned(), "redis://:secret@host".to_owned())],
    };
    let backends = vec![about(PLANTED), about("son7shop-http"), about("naive"), about("dead")];
    let outcome = Outcome { backends, records, broke: Vec::new(), is_whole };
    let why = "it <cannot> be had: mysql://me:secret@host".to_owned();
    Report::new(small(), outcome, vec![Missing { name: "mysql".to_owned(), why }])
}

/// The page's data, as text.
fn data(page: &str) -> &str {
    page.split_once(r#"id="data">"#).unwrap().1.split_once("</script>").unwrap().0
}

/// Every figure: its pointer, its scale, its text.
fn figures(page: &str) -> Vec<(&str, Option<f64>, &str)> {
    let mut found = Vec::new();
    for part in page.split("data-figure=\"").skip(1) {
        let (pointer, rest) = part.split_once('"').unwrap();
        let (attributes, rest) = rest.split_once('>').unwrap();
        let scale =
            attributes.split_once("data-scale=\"").map(|(_, scale)| scale.trim_end_matches('"').parse().unwrap());
        found.push((pointer, scale, rest.split_once('<').unwrap().0));
    }
    found
}

#[test]
fn every_figure_is_that_of_the_data() {
    let page = report(true).html().unwrap();
    let document: Value = serde_json::from_str(data(&page)).unwrap();
    let found = figures(&page);
    for (pointer, scale, text) in &found {
        let expected = match document.pointer(pointer) {
            Some(Value::Number(number)) if scale.is_none() && !number.is_f64() => number.to_string(),
            Some(Value::Number(number)) => short(number.as_f64().unwrap() * scale.unwrap_or(1.0)),
            Some(other) => {
                assert!(other.is_null(), "{pointer}: {other}");
                "–".to_owned()
            }
            None => {
                let parents = pointer.match_indices('/').map(|(at, _)| document.pointer(&pointer[..at]));
                assert!(parents.flatten().any(Value::is_null), "{pointer} leads nowhere");
                "–".to_owned()
            }
        };
        assert_eq!(*text, expected, "{pointer}");
    }
    // The planted lock first; ours, second, with the rounds' smallest and largest.
    for figure in [
        ("/lines/1/points/1/sold_per_second/median", None, "10.0"),
        ("/lines/1/points/1/sold_per_second/max", None, "15.0"),
        ("/lines/1/points/1/micros/p50/median", Some(0.001), "1.50"),
        ("/lines/2/points/0/wrong_units", None, "5"),
        ("/lines/3/points/0/micros/p50/median", Some(0.001), "–"),
        ("/lines/2/points/1/dropped", None, "7"),
        ("/lines/2/points/2/oversold", None, "1"),
        ("/ratios/wrong_units_of_ours", None, "0"),
        ("/ratios/rows/0/ours/0/ratio/median", None, "–"),
    ] {
        assert!(found.contains(&figure), "{figure:?}");
    }
}

#[test]
fn the_page_has_the_data_and_fetches_nothing_and_shows_no_password() {
    let page = report(true).html().unwrap();
    assert_eq!(serde_json::from_str::<Report>(data(&page)).unwrap(), report(true));
    assert!(page.contains("it &lt;cannot> be had"));
    assert_eq!(page.matches("<svg").count(), 6);
    assert!(!page.contains("src=") && !page.contains("href="));
    assert!(page.contains("***") && !page.contains("secret"));
}

#[test]
fn what_was_broken_off_says_so_before_all_else() {
    let broken = report(false).html().unwrap();
    assert!(broken.contains("<h1>Many threads, one product</h1><p class=\"broken\">This run was broken off"));
    assert!(!report(true).html().unwrap().contains("broken off"));
}

#[test]
fn nothing_is_drawn_for_what_was_not_measured() {
    let report = report(true);
    let graphs = report.graphs().unwrap();
    let svg = |name: &str| &graphs.iter().find(|graph| graph.0 == name).unwrap().1;
    // It never sold: it has a share that is wrong, and no time.
    assert!(svg("wrong-units").contains("dead") && !svg("response-time").contains("dead"));
    // It dropped attempts.
    assert!(svg("open-p50").contains("son7shop-http") && !svg("open-p50").contains("naive"));
    assert!(graphs.iter().all(|(_, svg)| !svg.contains("mysql")));
    let headline = report.headline_graphs().unwrap();
    assert!(headline.iter().all(|(_, svg)| svg.contains("naive") && !svg.contains("dead")));
}

#[test]
fn where_ours_sells_less_is_told() {
    let table = |more: Record| {
        let mut report = report(true);
        report.outcome.records.push(more);
        let report = Report::new(report.plan, report.outcome, Vec::new());
        report.losses_table(&Figures::of(&report).unwrap())
    };
    let right = |backend: &str, threads: usize, sold: u64| record(backend, threads, 1, sold, 100 - sold.cast_signed());
    // With 20 threads ours sells 5 and 15 a second: 10, by the median.
    let told = table(right("faster", 20, 22));
    assert!(told.contains("<td>faster<td>20<td>") && told.contains(">11.0</span>"), "{told}");
    assert!(told.contains("<td>son7shop-http<td>") && !told.contains("naive"), "{told}");
    // With one it sells 5.
    let told = table(right("faster", 1, 12));
    assert!(told.contains("<td>faster<td>1<td>") && !told.contains("<td>20<td>"), "{told}");
    // The best of ours counts.
    let told = table(right("son7shop-http-pool", 1, 20));
    assert!(told.contains("Nowhere"), "{told}");
    let mut two = report(true);
    two.outcome.records.extend([right("son7shop-http-pool", 20, 60), right("faster", 20, 22)]);
    let two = Report::new(two.plan, two.outcome, Vec::new());
    assert!(two.losses_table(&Figures::of(&two).unwrap()).contains("Nowhere"));
    let mut open = right("faster", 20, 90);
    open.load.pace = Pace::Open { per_second: 300.0, window_seconds: 1.0 };
    for not_more in [
        right("faster", 20, 20),
        // It sells more, and wrongly.
        record("careless", 20, 1, 80, 90),
        right(PLANTED, 1, 90),
        open,
        // Nothing of ours in its buyers' process was measured.
        right("mutex-sync-each", 20, 80),
    ] {
        let told = table(not_more.clone());
        assert!(told.contains("Nowhere"), "{}: {told}", not_more.backend);
    }
}
