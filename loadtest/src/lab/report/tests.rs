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
    // Two of 300 are too many; of 600, as the plan has it, they would not be.
    let mut once = dropped.clone();
    (once.backend, once.sale.counted.dropped) = ("once".to_owned(), 2);
    let mut sold_out = record("naive", 4, 1, 101, 0);
    sold_out.sale.verdict.missing_orders = 8;
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
        once,
    ];
    let about = |name: &str| About {
        name: name.to_owned(),
        about: String::new(),
        promise: Promise::InMemory,
        settings: vec![("url".to_owned(), "redis://:secret@host".to_owned())],
    };
    let backends = vec![about(PLANTED), about("son7shop-http"), about("naive"), about("dead"), about("once")];
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
        ("/lines/1/points/0/rounds", None, "1"),
        ("/lines/1/points/1/rounds", None, "2"),
        ("/lines/2/points/2/oversold", None, "1"),
        ("/lines/2/points/2/missing_orders", None, "8"),
        ("/lines/2/points/1/missing_orders", None, "0"),
        ("/lines/2/points/0/missing_orders", None, "0"),
        ("/ratios/sold_wrongly_by_ours", None, "0"),
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
    assert!(!report(true).html().unwrap().contains("This run was broken off"));
}

#[test]
fn what_broke_or_was_measured_in_part_says_so() {
    let broke = |name: &str| Missing { name: name.to_owned(), why: format!("<{name}> is gone") };
    let mut report = report(true);
    report.outcome.broke = vec![broke("son7shop-http"), broke("never")];
    let about = About { name: "never".to_owned(), ..report.outcome.backends[0].clone() };
    report.outcome.backends.push(about);
    let page = report.html().unwrap();
    // Two rounds of two numbers of threads, a sell-out and the lowest rate; another rate does not count.
    let part = "of the 8 runs that every backend was to have were measured";
    for said in [
        "<h1>Many threads, one product</h1><p class=\"broken\"><b>son7shop-http broke</b>: &lt;son7shop-http> is gone</p>",
        "<b>mysql</b> was not measured: it",
        &format!(
            "<b>son7shop-http</b> broke midway; 3 {part}, and its figures are of these: &lt;son7shop-http> is gone"
        ),
        "<b>never</b> broke before anything was measured: &lt;never> is gone",
        &format!("<b>naive</b> was measured in part: 2 {part}"),
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("<b>never broke</b>") && !page.contains("Every backend that was wanted was measured"));
    let ours: Vec<_> = report.ours_that_broke().map(|one| one.name.as_str()).collect();
    assert_eq!(ours, ["son7shop-http"]);
    // All of it, and nothing missing.
    let mut whole = report.clone();
    (whole.missing, whole.outcome.broke) = (Vec::new(), Vec::new());
    whole.plan.closed.threads = vec![20];
    (whole.plan.rounds, whole.plan.sell_out.threads, whole.plan.open.per_second) = (1, Vec::new(), Vec::new());
    whole.outcome.backends.retain(|one| one.name == "naive");
    assert!(whole.html().unwrap().contains("Every backend that was wanted was measured"));
}

#[test]
fn nothing_of_ours_is_not_nothing_wrong() {
    let mut report = report(true);
    report.outcome.records.retain(|one| !one.backend.starts_with(OURS));
    let page = Report::new(report.plan, report.outcome, Vec::new()).html().unwrap();
    assert!(page.contains("<b>son7shop was not measured.</b>") && !page.contains("<b>son7shop: "));
}

#[test]
fn nothing_is_drawn_for_what_was_not_measured() {
    let report = report(true);
    let graphs = report.graphs().unwrap();
    let svg = |name: &str| &graphs.iter().find(|graph| graph.0 == name).unwrap().1;
    // It never sold: it has a share that is wrong, and no time.
    assert!(svg("wrong-units").contains("dead") && !svg("latency").contains("dead"));
    // They dropped attempts.
    assert!(svg("open-p50").contains("son7shop-http") && !svg("open-p50").contains("naive"));
    assert!(!svg("open-p50").contains("once"));
    assert!(graphs.iter().all(|(_, svg)| !svg.contains("mysql")));
    let headline = report.headline_graphs().unwrap();
    assert!(headline.iter().all(|(_, svg)| svg.contains("naive") && !svg.contains("dead")));
}

/// What the page says of losses when these were measured, each with its promise.
fn losses(measured: &[(Promise, Record)]) -> String {
    let mut backends: Vec<About> = Vec::new();
    for (promise, Record { backend, .. }) in measured {
        if backends.iter().all(|one| one.name != *backend) {
            let (name, about, settings) = (backend.clone(), String::new(), Vec::new());
            backends.push(About { name, about, promise: *promise, settings });
        }
    }
    let records = measured.iter().map(|(_, record)| record.clone()).collect();
    let outcome = Outcome { backends, records, broke: Vec::new(), is_whole: true };
    let report = Report::new(small(), outcome, Vec::new());
    report.losses_table(&Figures::of(&report).unwrap())
}

const SYNCED: Promise = Promise::SyncedBeforeAnswer;
const LATER: Promise = Promise::SyncedLater;
const MEMORY: Promise = Promise::InMemory;

fn right(promise: Promise, backend: &str, threads: usize, sold: u64) -> (Promise, Record) {
    (promise, record(backend, threads, 1, sold, 100 - sold.cast_signed()))
}

fn wrong(promise: Promise, backend: &str, threads: usize, sold: u64) -> (Promise, Record) {
    (promise, record(backend, threads, 1, sold, 100))
}

/// With 20 threads ours sells 20 over HTTP and 40 in process, 60 unsynced; with one 10, 20, 30.
fn ours() -> Vec<(Promise, Record)> {
    let mut ours = Vec::new();
    for (threads, times) in [(1, 1), (20, 2)] {
        ours.push(right(SYNCED, "son7shop-http", threads, 10 * times));
        ours.push(right(SYNCED, "son7shop-in-process", threads, 20 * times));
        ours.push(right(MEMORY, "son7shop-in-process-unsynced", threads, 30 * times));
    }
    ours
}

#[test]
fn where_ours_sells_less_is_told_by_equal_promises() {
    let told = |more: &[(Promise, Record)]| losses(&[ours(), more.to_vec()].concat());
    for (other, (threads, best)) in [
        (right(SYNCED, "redis", 20, 22), (20, "son7shop-http")),
        (right(SYNCED, "redis", 1, 11), (1, "son7shop-http")),
        // The unsynced one sells more and promises less: it hides nothing.
        (right(SYNCED, "mutex-sync-each", 1, 22), (1, "son7shop-in-process")),
        (right(MEMORY, "mutex", 20, 62), (20, "son7shop-in-process-unsynced")),
    ] {
        let begins = format!("<tr><td>{threads}<td>{}<td>", other.1.backend);
        let (ours, told) = (format!("<td>{best}<td>"), told(&[other]));
        assert!(told.contains(&begins) && told.contains(&ours), "{told}");
        assert_eq!(told.matches("<tr>").count(), 2, "{told}");
        assert!(!told.contains("weaker") && !told.contains("Nowhere"), "{told}");
    }
    // The best of ours counts, if it was right.
    let pool = |of: fn(Promise, &str, usize, u64) -> _| {
        [of(SYNCED, "son7shop-http-pool", 20, 60), right(SYNCED, "redis", 20, 22)]
    };
    assert!(told(&pool(right)).contains("Nowhere"));
    assert!(told(&pool(wrong)).contains("<td>redis<td>"));
    let mut open = right(SYNCED, "redis", 20, 90);
    open.1.load.pace = Pace::Open { per_second: 300.0, window_seconds: 1.0 };
    let slow = right(SYNCED, "slow", 20, 20);
    for not_more in
        [right(SYNCED, "redis", 20, 20), wrong(SYNCED, "redis", 20, 80), right(MEMORY, PLANTED, 1, 90), open]
    {
        let told = told(&[slow.clone(), not_more.clone()]);
        assert!(told.contains("Nowhere") && !told.contains("<tr"), "{}: {told}", not_more.1.backend);
    }
}

#[test]
fn a_weaker_promise_that_sells_more_is_told_apart() {
    let told = losses(&[ours(), vec![right(LATER, "redis-later", 20, 22), right(SYNCED, "redis", 20, 9)]].concat());
    let (before, after) = told.split_once("weaker than any of ours").unwrap();
    assert!(before.contains("Nowhere") && after.contains("<td>20<td>redis-later<td>"), "{told}");
    assert!(
        after.contains("a second later<td>son7shop-http<td>") && after.contains("before the answer</tr>"),
        "{told}"
    );
}

#[test]
fn where_ours_was_not_measured_nothing_is_said() {
    let told = losses(&[right(SYNCED, "redis", 20, 22)]);
    assert!(told.contains("son7shop was not measured") && !told.contains("Nowhere"), "{told}");
    // With one thread it was not measured; with 20 it was wrong; in process never.
    let some = [wrong(SYNCED, "son7shop-http", 20, 10), right(SYNCED, "son7shop-http-pool", 20, 10)];
    let others = [right(SYNCED, "redis", 20, 5), right(SYNCED, "redis", 1, 5), right(MEMORY, "mutex", 20, 5)];
    let told = losses(&[&some[..], &others[..]].concat());
    assert!(told.contains("Of those that could be compared, none") && !told.contains("Nowhere"), "{told}");
    assert!(told.contains("<b>redis</b> is not compared (threads: 1)"), "{told}");
    assert!(told.contains("<b>mutex</b> is not compared (threads: 20)"), "{told}");
    for alone in [vec![some[0].clone(), others[0].clone()], ours()] {
        let told = losses(&alone);
        assert!(told.contains("Nothing can be said") && !told.contains("Nowhere"), "{told}");
    }
}
