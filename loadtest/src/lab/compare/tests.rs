//! Each way in which two runs can differ.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::lab::backend::{Promise, Shelf};
use crate::lab::load::{Costs, Counted, Micros, PLENTY, Sale};
use crate::lab::plan::small;
use crate::lab::run::{About, Outcome, Record};

const SECONDS: f64 = 2.0;

/// A round: how many units a second it sold, its latencies in microseconds, its wrong units.
#[derive(Clone, Copy)]
struct Round {
    sold: u64,
    micros: f64,
    wrong: i64,
}

fn rounds(sold: &[u64], micros: f64) -> Vec<Round> {
    sold.iter().map(|sold| Round { sold: *sold, micros, wrong: 0 }).collect()
}

fn load(threads: usize, window_seconds: f64) -> Load {
    Load { threads, units: PLENTY, pace: Pace::Closed { warmup_seconds: 0.0, window_seconds } }
}

fn record(backend: &str, round: usize, load: Load, was: Round) -> Record {
    let sold = was.sold * 2;
    let micros = Micros { p50: was.micros, p90: 0.0, p99: was.micros * 3.0, p999: 0.0, max: 0.0 };
    let micros = (sold > 0).then_some(micros);
    let counted = Counted { seconds: SECONDS, sold, sold_in_all: sold, micros, ..Counted::default() };
    let left = i64::try_from(PLENTY - sold).unwrap() + was.wrong;
    let verdict = super::super::verdict::Verdict::new(PLENTY, sold, 0, Shelf { left, orders: sold });
    Record { backend: backend.to_owned(), round, load, sale: Sale { counted, costs: Costs::default(), verdict } }
}

/// A run of these backends, each with so many threads and these rounds.
fn report(backends: &[(&str, usize, Vec<Round>)]) -> Report {
    let mut records = Vec::new();
    let mut about: Vec<About> = Vec::new();
    for (name, threads, rounds) in backends {
        for (number, round) in rounds.iter().enumerate() {
            records.push(record(name, number + 1, load(*threads, SECONDS), *round));
        }
        if about.iter().all(|one| one.name != *name) {
            let settings = vec![("pool".to_owned(), "32".to_owned())];
            let promise = Promise::SyncedBeforeAnswer;
            about.push(About { name: (*name).to_owned(), about: String::new(), promise, settings });
        }
    }
    let outcome = Outcome { backends: about, records, broke: Vec::new(), is_whole: true };
    Report::new(small(), outcome, Vec::new())
}

fn one(sold: &[u64], micros: f64) -> Report {
    report(&[("other", 20, rounds(sold, micros))])
}

/// Rounds of A and of B, units a second; what that means for B.
#[test]
fn a_difference_counts_only_beyond_the_noise() {
    for (a, b, expected) in [
        (&[100, 104, 98][..], &[150, 148, 155][..], Verdict::Better),
        (&[150, 148, 155], &[100, 104, 98], Verdict::Worse),
        // The same.
        (&[100, 104, 98], &[100, 104, 98], Verdict::Noise),
        // They overlap, though the medians are far apart.
        (&[100, 100, 200], &[190, 300, 300], Verdict::Noise),
        // They lie apart by less than the rounds of A do among themselves.
        (&[100, 110, 120], &[121, 122, 123], Verdict::Noise),
        // The same the other way round: the wider of the two counts.
        (&[121, 122, 123], &[100, 110, 120], Verdict::Noise),
        // Two rounds are enough to say something.
        (&[100, 101], &[50, 51], Verdict::Worse),
        // One is not, however large the difference.
        (&[100], &[10, 10, 10], Verdict::OneRound),
        (&[100, 100, 100], &[10], Verdict::OneRound),
    ] {
        let comparison = compare(&one(a, 5.0), &one(b, 5.0)).unwrap();
        let [row] = comparison.rows.as_slice() else { panic!("{comparison:?}") };
        assert_eq!(row.sold_per_second.verdict, expected, "{a:?} {b:?}");
        assert_eq!(row.sold_per_second.rounds, (a.len(), b.len()));
        assert_eq!(comparison.is_worse(), expected == Verdict::Worse, "{a:?} {b:?}");
    }
}

#[test]
fn a_longer_latency_is_worse_and_a_missing_one_is_nothing() {
    let sold = [100, 100, 100];
    let slower = compare(&one(&sold, 10.0), &one(&sold, 15.0)).unwrap();
    let row = &slower.rows[0];
    assert_eq!((row.p50_micros.verdict, row.p99_micros.verdict), (Verdict::Worse, Verdict::Worse));
    assert!((row.p50_micros.percent.unwrap() - 50.0).abs() < 1e-9);
    assert!(slower.is_worse());
    let faster = compare(&one(&sold, 15.0), &one(&sold, 10.0)).unwrap();
    assert_eq!(faster.rows[0].p99_micros.verdict, Verdict::Better);
    assert!(!faster.is_worse());

    let silent = compare(&one(&[0, 0, 0], 1.0), &one(&sold, 10.0)).unwrap();
    let row = &silent.rows[0];
    assert_eq!((row.p50_micros.verdict, row.p50_micros.a), (Verdict::NotMeasured, None));
    // Nothing is no base for a percentage, but it is less.
    assert_eq!((row.sold_per_second.percent, row.sold_per_second.verdict), (None, Verdict::Better));
}

#[test]
fn a_latency_that_one_round_has_cannot_be_told_whatever_the_other_rounds_have() {
    // Two of B's rounds sold nothing.
    let comparison = compare(&one(&[100, 100, 100], 5.0), &one(&[100, 0, 0], 50.0)).unwrap();
    let row = &comparison.rows[0];
    assert_eq!((row.sold_per_second.rounds, row.p50_micros.rounds), ((3, 3), (3, 1)));
    assert_eq!((row.sold_per_second.verdict, row.p50_micros.verdict), (Verdict::Noise, Verdict::OneRound));
    assert_eq!(row.p99_micros.verdict, Verdict::OneRound);
    // The one figure that can tell, of three rounds and three.
    assert!((comparison.apart_by_chance() - 0.1).abs() < 1e-9);
}

#[test]
fn wrong_units_that_come_or_go_are_always_listed() {
    let sold_wrongly = |backend: &str, wrong: &[i64]| {
        let rounds = wrong.iter().map(|wrong| Round { sold: 100, micros: 5.0, wrong: *wrong }).collect();
        report(&[(backend, 20, rounds)])
    };
    // One round of three is enough, and so is one round altogether.
    for (a, b) in [(&[0, 0, 0][..], &[0, 7, 0][..]), (&[0], &[7])] {
        let came = compare(&sold_wrongly("naive", a), &sold_wrongly("naive", b)).unwrap();
        let wrong = |wrong_units| Wrong { wrong_units, oversold: 0, missing_orders: 0 };
        let (backend, load) = ("naive".to_owned(), "20 threads".to_owned());
        let expected = WrongUnits { backend, load, wrong_in: Run::B, a: wrong(0), b: wrong(7) };
        assert_eq!(came.wrong_units, [expected]);
        // Others promise nothing.
        assert!(!came.is_worse());
        let went = compare(&sold_wrongly("naive", b), &sold_wrongly("naive", a)).unwrap();
        assert_eq!((went.wrong_units.len(), went.wrong_units[0].wrong_in), (1, Run::A));
        let ours = compare(&sold_wrongly("son7shop-http", a), &sold_wrongly("son7shop-http", b)).unwrap();
        assert!(ours.is_worse() && ours.summary().contains("WRONG in B: son7shop-http"));
        assert!(!compare(&sold_wrongly("son7shop-http", b), &sold_wrongly("son7shop-http", a)).unwrap().is_worse());
    }
    // That it was wrong before is no excuse.
    let both = compare(&sold_wrongly("son7shop-http", &[1, 1]), &sold_wrongly("son7shop-http", &[1, 1])).unwrap();
    assert!(both.wrong_units.is_empty() && both.is_worse());
}

#[test]
fn an_order_that_is_missing_is_named_though_no_unit_is_wrong() {
    let a = report(&[("son7shop-http", 20, rounds(&[100, 101], 5.0))]);
    let mut b = a.clone();
    b.outcome.records[1].sale.verdict.missing_orders = 2;
    let b = Report::new(b.plan, b.outcome, Vec::new());
    let comparison = compare(&a, &b).unwrap();
    let said = "son7shop-http with 20 threads is WRONG now and was not: A 0 wrong units, 0 oversold, 0 missing \
                orders, B 0 wrong units, 0 oversold, 2 missing orders";
    assert_eq!(comparison.wrong_units.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
    assert!(comparison.is_worse() && comparison.html(("a", "b")).unwrap().contains(said));
}

#[test]
fn what_only_one_has_is_named() {
    let few = || rounds(&[100, 101, 102], 5.0);
    let a = report(&[("both", 1, few()), ("both", 20, few()), ("mysql-naive", 1, few())]);
    let mut b = report(&[("both", 1, few()), ("redis-lua", 1, few())]);
    b.missing =
        ["mysql", "mysql-naive"].map(|name| Missing { name: name.to_owned(), why: format!("no {name}") }).to_vec();
    let comparison = compare(&a, &b).unwrap();
    assert_eq!(comparison.rows.len(), 1);
    let said: Vec<String> = comparison.only_in.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["B has no both with 20 threads", "B has no mysql-naive: no mysql-naive", "A has no redis-lua"]);
    assert!(!comparison.is_worse());
}

#[test]
fn one_of_ours_that_broke_or_is_missing_is_worse() {
    let few = || rounds(&[100, 101, 102], 5.0);
    let run = |threads: &[usize], backends: &[&str]| {
        let all = backends.iter().flat_map(|name| threads.iter().map(|threads| (*name, *threads, few())));
        report(&all.collect::<Vec<_>>())
    };
    let missing = |name: &str| vec![Missing { name: name.to_owned(), why: "gone".to_owned() }];
    let a = run(&[1, 20], &["redis", "son7shop-http", "son7shop-http-pool"]);
    let mut broke = a.clone();
    broke.outcome.broke = missing("son7shop-http");
    let mut had_no = run(&[1, 20], &["redis", "son7shop-http-pool"]);
    had_no.missing = missing("son7shop-http");
    let mut of_another_name = run(&[1, 20], &["redis", "son7shop-http"]);
    of_another_name.missing = missing("son7shop-http");
    let partly = {
        let mut few = a.clone();
        few.outcome.records.retain(|one| one.backend != "son7shop-http" || one.load.threads == 1);
        Report::new(few.plan, few.outcome, Vec::new())
    };
    for (b, lost) in [
        (&broke, "son7shop-http broke: gone"),
        (&had_no, "son7shop-http is missing: gone"),
        (&of_another_name, "son7shop-http-pool is missing"),
        (&partly, "son7shop-http with 20 threads is missing"),
    ] {
        let comparison = compare(&a, b).unwrap();
        assert_eq!(comparison.ours_lost_in_b, [lost]);
        assert!(comparison.is_worse() && comparison.summary().contains(&format!("LOST in B: {lost}.")));
    }
    assert!(compare(&a, &broke).unwrap().warnings.contains(&"son7shop-http broke in B: gone".to_owned()));
    // That it broke before is no excuse.
    assert!(compare(&broke, &broke).unwrap().is_worse());
    let mut other = a.clone();
    other.outcome.broke = missing("redis");
    let mut fewer = run(&[20], &["redis", "son7shop-http", "son7shop-http-pool"]);
    fewer.plan.closed.threads = vec![20];
    // What A lacked, what is not ours, what was not wanted.
    for (a, b) in [(&broke, &a), (&had_no, &a), (&had_no, &had_no), (&a, &other), (&a, &fewer)] {
        let comparison = compare(a, b).unwrap();
        assert_eq!((comparison.ours_lost_in_b.as_slice(), comparison.is_worse()), (&[][..], false));
    }
}

#[test]
fn nothing_in_common_is_no_result() {
    let few = || rounds(&[100, 101, 102], 5.0);
    let a = report(&[(PLANTED, 20, few()), ("one", 20, few())]);
    assert!(compare(&a, &report(&[(PLANTED, 20, few()), ("other", 20, few())])).is_err());
    assert!(compare(&a, &report(&[("one", 1, few())])).is_err());
    assert!(compare(&a, &report(&[("one", 20, few())])).is_ok());
}

#[test]
fn the_lock_that_is_broken_on_purpose_does_not_judge() {
    let run = |sold: &[u64]| report(&[(PLANTED, 20, rounds(sold, 5.0)), ("one", 20, rounds(&[100, 101], 5.0))]);
    let comparison = compare(&run(&[100, 101]), &run(&[10, 11])).unwrap();
    assert_eq!(comparison.rows[0].sold_per_second.verdict, Verdict::Worse);
    assert!(!comparison.is_worse());
}

#[test]
fn what_was_not_the_same_is_said_first() {
    let a = one(&[100, 101, 102], 5.0);
    assert_eq!(compare(&a, &a).unwrap().warnings, [""; 0]);
    let mut b = a.clone();
    b.plan.closed.window_seconds = 9.0;
    let settings = [("pool", "64"), ("new", "1"), ("pools tried", "32: 1/s, 64: 2/s")];
    b.outcome.backends[0].settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    b.outcome.backends[0].promise = Promise::InMemory;
    b.outcome.is_whole = false;
    let mut a = a;
    a.machine = vec![("cores".to_owned(), "2".to_owned()), ("kernel".to_owned(), "6".to_owned())];
    b.machine = vec![("cores".to_owned(), "4".to_owned()), ("kernel".to_owned(), "6".to_owned())];
    let said = compare(&a, &b).unwrap().warnings;
    assert_eq!(
        said,
        [
            "B was broken off: it has fewer rounds or loads than it was to have",
            "machine: cores: A: 2, B: 4",
            "plan: closed: window_seconds: A: 0.02, B: 9.0",
            "other promises otherwise: A: on disk before the answer, B: in memory only",
            "settings of other: new: A: nothing, B: 1",
            "settings of other: pool: A: 32, B: 64",
        ]
    );
}

#[test]
fn a_load_is_the_same_however_long_it_took_and_another_at_another_rate() {
    let with = |pace| Load { threads: 20, units: 10, pace };
    let open = |per_second, window_seconds| with(Pace::Open { per_second, window_seconds });
    assert!(is_same(&load(20, 1.0), &load(20, 9.0)));
    assert!(!is_same(&load(20, 1.0), &load(21, 1.0)));
    assert!(is_same(&open(100.0, 1.0), &open(100.0, 2.0)));
    assert!(!is_same(&open(100.0, 1.0), &open(101.0, 1.0)));
    assert!(!is_same(&open(100.0, 1.0), &with(Pace::SellOut { patience_seconds: 1.0 })));
}

#[test]
fn the_chance_that_equals_lie_apart() {
    for (rounds, expected) in [((1, 1), 1.0), ((2, 2), 1.0 / 3.0), ((3, 3), 0.1), ((5, 5), 2.0 / 252.0)] {
        assert!((apart_by_chance(rounds) - expected).abs() < 1e-9, "{rounds:?}");
    }
    // Three figures of the one row.
    let comparison = compare(&one(&[100, 104, 98], 5.0), &one(&[100, 104, 98], 5.0)).unwrap();
    assert!((comparison.apart_by_chance() - 0.3).abs() < 1e-9);
}

#[test]
fn the_page_has_both_graphs_and_every_row() {
    let few = |sold| rounds(&[sold, sold + 1, sold + 2], 5.0);
    let a = report(&[("one", 1, few(100)), ("one", 20, few(200)), ("a<b", 20, few(100))]);
    let b = report(&[("one", 1, few(100)), ("one", 20, few(20)), ("a<b", 20, few(100))]);
    let comparison = compare(&a, &b).unwrap();
    let page = comparison.html(("a.json", "b<.json")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(page.matches("<tr").count(), 1 + 3);
    assert_eq!(page.matches("<tr class=\"wrong\"><td>one<td>20 threads").count(), 1);
    assert!(page.contains("b&lt;.json") && page.contains("<td>a&lt;b") && !page.contains("a<b<"));
    assert!(page.contains("<td>-89.6 % WORSE"), "{page}");
    assert!(!page.contains("src=") && !page.contains("href="));
}
