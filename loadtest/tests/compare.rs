//! `loadtest compare`, as a script would run it: what it prints, and its exit code.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use serde_json::Value;
use son7shop_loadtest::lab::backend::{Promise, Shelf};
use son7shop_loadtest::lab::load::{Costs, Counted, Load, Micros, PLENTY, Pace, Sale};
use son7shop_loadtest::lab::plan::{Closed, Open, Plan, SellOut};
use son7shop_loadtest::lab::report::Report;
use son7shop_loadtest::lab::run::{About, Missing, Outcome, Record};
use son7shop_loadtest::lab::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A run in which one backend sold so many units in each round.
fn report(backend: &str, rounds: &[u64]) -> Report {
    let load = Load { threads: 20, units: PLENTY, pace: Pace::Closed { warmup_seconds: 0.0, window_seconds: 1.0 } };
    let sale = |sold| Sale {
        counted: Counted {
            seconds: 1.0,
            sold,
            sold_in_all: sold,
            micros: Some(Micros { p50: 1_500.0, p90: 2_000.0, p99: 3_000.0, p999: 4_000.0, max: 5_000.0 }),
            ..Counted::default()
        },
        costs: Costs::default(),
        verdict: Verdict::new(PLENTY, sold, 0, Shelf { left: i64::try_from(PLENTY - sold).unwrap(), orders: sold }),
    };
    let records = rounds.iter().enumerate();
    let records = records
        .map(|(round, sold)| Record { backend: backend.to_owned(), round: round + 1, load, sale: sale(*sold) })
        .collect();
    let about = About {
        name: backend.to_owned(),
        about: String::new(),
        promise: Promise::SyncedBeforeAnswer,
        settings: Vec::new(),
    };
    let plan = Plan {
        rounds: rounds.len(),
        closed: Closed { threads: vec![20], warmup_seconds: 0.0, window_seconds: 1.0 },
        sell_out: SellOut { threads: Vec::new(), units: 1, patience_seconds: 1.0 },
        open: Open { threads: 1, per_second: Vec::new(), window_seconds: 1.0 },
    };
    let outcome = Outcome { backends: vec![about], records, broke: Vec::new(), is_whole: true };
    Report::new(plan, outcome, Vec::new())
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The exit code, and what was printed and complained about.
fn compare(a: &Path, b: &Path, more: &[&Path]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = command.arg("compare").arg(a).arg(b).args(more).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn the_exit_code_says_whether_the_second_is_worse() {
    let folder = tempfile::tempdir().unwrap();
    let json = |report: &Report| serde_json::to_string(report).unwrap();
    let fast = written(folder.path(), "fast.json", &json(&report("son7shop-http", &[1_000, 1_010, 990])));
    let slow = written(folder.path(), "slow.json", &json(&report("son7shop-http", &[500, 510, 490])));
    let once = written(folder.path(), "once.json", &json(&report("son7shop-http", &[10])));
    let page = folder.path().join("page.html");

    let (code, said) = compare(&fast, &slow, &[Path::new("--out"), &page]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("-50.0 % WORSE") && said.contains("+0.0 % noise"), "{said}");
    let html = std::fs::read_to_string(&page).unwrap();
    let (_, data) = html.split_once(r#"id="data">"#).unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(data.pointer("/rows/0/sold_per_second/verdict"), Some(&Value::from("worse")));

    let (code, said) = compare(&slow, &fast, &[]);
    assert!(code == 0 && said.contains("+100.0 % better"), "{said}");
    let (code, said) = compare(&fast, &fast, &[]);
    assert!(code == 0 && !said.contains("not the same"), "{said}");
    // A hundredth of it, in a single round: no one can tell.
    let (code, said) = compare(&fast, &once, &[]);
    assert!(code == 0 && said.contains("-99.0 % one round: cannot tell"), "{said}");
    assert!(said.contains("not the same: plan: rounds: A: 3, B: 1"), "{said}");
}

#[test]
fn ours_that_broke_or_is_missing_is_told_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let both = |ours: &[u64]| {
        let (mut both, other) = (report("redis-lua-always", &[1_000, 1_010]), report("son7shop-http", ours));
        both.outcome.backends.extend(other.outcome.backends);
        both.outcome.records.extend(other.outcome.records);
        both
    };
    let json =
        |report: Report| serde_json::to_string(&Report::new(report.plan, report.outcome, report.missing)).unwrap();
    let whole = written(folder.path(), "whole.json", &json(both(&[1_000, 1_010])));
    let why = || vec![Missing { name: "son7shop-http".to_owned(), why: "out of order".to_owned() }];
    let (mut broke, mut none) = (both(&[1_000]), report("redis-lua-always", &[1_000, 1_010]));
    (broke.outcome.broke, none.missing) = (why(), why());
    let broke = written(folder.path(), "broke.json", &json(broke));
    let none = written(folder.path(), "none.json", &json(none));
    for (b, lost) in [(&broke, "son7shop-http broke: out of order"), (&none, "son7shop-http is missing: out of order")]
    {
        let (code, said) = compare(&whole, b, &[]);
        assert!(code == 1 && said.contains(&format!("LOST in B: {lost}.")), "{said}");
    }
    let (code, said) = compare(&none, &whole, &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let ours = report("son7shop-http", &[1_000, 1_010]);
    let good = written(folder.path(), "good.json", &serde_json::to_string(&ours).unwrap());
    let mut older = serde_json::to_value(&ours).unwrap();
    older.as_object_mut().unwrap().remove("plan").unwrap();
    let older = written(folder.path(), "older.json", &older.to_string());
    let other = serde_json::to_string(&report("redis-lua-always", &[1_000, 1_010])).unwrap();
    for (bad, why) in [
        (folder.path().join("nowhere.json"), "reading "),
        (written(folder.path(), "text.json", "no { json"), "is not JSON"),
        (written(folder.path(), "list.json", "[1, 2]"), "is no report"),
        (older, "missing field `plan`"),
        (written(folder.path(), "other.json", &other), "no backend and load in common"),
    ] {
        for (a, b) in [(&good, &bad), (&bad, &good)] {
            let (code, said) = compare(a, b, &[]);
            assert_eq!(code, 2, "{said}");
            assert!(said.contains(why) && said.contains(&bad.display().to_string()), "{said}");
        }
    }
    let (code, said) = compare(&good, &good, &[Path::new("--out"), &folder.path().join("no/such/page.html")]);
    assert!(code == 2 && said.contains("writing "), "{said}");
}
