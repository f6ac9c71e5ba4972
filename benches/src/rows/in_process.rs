//! The rows that other programs of this crate measure, in process.

use crate::spread::Spread;
use crate::table::{Asked, Measured, Row};
use anyhow::{Context, ensure};
use serde::Deserialize;
use son7shop_loadtest::lab::backend::Contender;
use son7shop_loadtest::lab::backends::in_process::{InProcess, PROGRAM, Way};
use son7shop_loadtest::lab::load::{Load, PLENTY, Pace, Sale};
use son7shop_loadtest::program::output;
use std::path::Path;
use std::process::Command;

/// What is asked of decisions through one partition, in millions a second.
pub const DECISIONS_ASKED: Asked = Asked::AtLeast(2.0, 5.0);

/// What is asked of write-behind alone, against a plain multi-row insert.
pub const WRITE_BEHIND_ASKED: Asked = Asked::AtLeast(0.5, 0.8);

/// What is asked of durable orders against one mutex with a sync for each order.
const MUTEX_ASKED: Asked = Asked::AtLeast(20.0, 100.0);

/// OS threads that place orders, each count a run.
const THREADS: [usize; 5] = [1, 10, 100, 500, 2_000];
const MOST_THREADS: usize = THREADS[THREADS.len() - 1];

/// Every thread buys again as soon as it has its answer. What is not counted: until a thread uses its
/// memory again, the kernel clears a page for every few orders, and that would be most of what is
/// measured.
const PACE: Pace = Pace::Closed { warmup_seconds: 0.5, window_seconds: 2.0 };

/// Orders a second from so many threads.
#[derive(Debug, Clone)]
struct Run {
    threads: usize,
    per_second: f64,
}

/// A line of the program `decide`.
#[derive(Debug, Deserialize)]
struct Decisions {
    row: String,
    /// Millions a second.
    rounds: Vec<f64>,
}

/// Orders from OS threads: with syncs, without, and through one mutex; in rounds.
pub fn orders(programs: &Path, folder: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Row>> {
    let contender = |way| InProcess::new(way, &programs.join(PROGRAM), folder);
    let (engine, engine_unsynced) = (contender(Way::Engine)?, contender(Way::EngineUnsynced)?);
    let one_mutex = contender(Way::Mutex)?;
    let (mut durable, mut unsynced, mut mutex) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        say(&format!("orders in process, round {round} of {rounds}"));
        durable.push(runs(&engine, &THREADS)?);
        unsynced.push(runs(&engine_unsynced, &THREADS)?);
        mutex.push(runs(&one_mutex, &[MOST_THREADS])?);
    }
    Ok(order_rows(&durable, &unsynced, &mutex))
}

fn runs(contender: &dyn Contender, threads: &[usize]) -> anyhow::Result<Vec<Run>> {
    let run = |threads: &usize| {
        let load = Load { threads: *threads, units: PLENTY, pace: PACE };
        let sale = contender.sell(&load).with_context(|| format!("{} from {threads} threads", contender.name()))?;
        figure(contender.name(), *threads, &sale)
    };
    threads.iter().map(run).collect()
}

/// Orders that were sold wrongly have no rate.
fn figure(name: &str, threads: usize, sale: &Sale) -> anyhow::Result<Run> {
    let (counted, verdict) = (&sale.counted, &sale.verdict);
    ensure!(
        verdict.is_right() && counted.failed == 0,
        "{name} from {threads} threads: {} failed ({:?}), {verdict:?}",
        counted.failed,
        counted.first_failure
    );
    Ok(Run { threads, per_second: counted.sold_per_second() })
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> anyhow::Result<Vec<T>> {
    let json = text.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn order_rows(durable: &[Vec<Run>], unsynced: &[Vec<Run>], mutex: &[Vec<Run>]) -> Vec<Row> {
    let most = MOST_THREADS;
    let at = |runs: &[Run], threads| runs.iter().find(|run| run.threads == threads).map(|run| run.per_second);
    let best = |runs: &[Run]| runs.iter().map(|run| run.per_second).max_by(f64::total_cmp);
    let steady: Spread = durable.iter().filter_map(|runs| Some(at(runs, most)? / best(runs)?)).collect();
    let against = |others: &[Vec<Run>]| -> Spread {
        let rounds = durable.iter().zip(others);
        rounds.filter_map(|(durable, other)| Some(at(durable, most)? / at(other, most)?)).collect()
    };
    let rate = |rounds: &[Vec<Run>], threads| {
        let spread: Spread = rounds.iter().filter_map(|runs| at(runs, threads)).collect();
        spread.show(|rate| format!("{rate:.0}"))
    };
    let rates = |rounds: &[Vec<Run>]| THREADS.map(|threads| format!("{threads}: {}", rate(rounds, threads))).join(", ");
    let row = |figure: String, asked, measured: Spread, beside| {
        let measured = if measured.median().is_some() {
            Measured::Rounds(measured)
        } else {
            Measured::Not("there was no such run".to_owned())
        };
        Row { figure, asked, unit: "", measured, beside }
    };
    vec![
        row(
            format!("durable orders in process from {most} OS threads ÷ its own best over 1…{most}"),
            Asked::AtLeast(0.90, 0.97),
            steady,
            format!("a second by threads: {}", rates(durable)),
        ),
        row(
            format!("durable ÷ the same without sync, in process, {most} OS threads"),
            Asked::AtLeast(0.6, 0.9),
            against(unsynced),
            format!("without sync, a second by threads: {}", rates(unsynced)),
        ),
        row(
            "in process, 2,000 OS threads, durable ÷ one Mutex around the same decision with a sync for each order"
                .to_owned(),
            MUTEX_ASKED,
            against(mutex),
            format!("the Mutex, a second: {}", rate(mutex, most)),
        ),
    ]
}

/// Decisions through one partition.
pub fn decisions(programs: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<Row> {
    say("decisions");
    let mut command = Command::new(programs.join("decide"));
    command.args([&rounds.to_string(), "1000000", "--json"]);
    let rows: Vec<Decisions> = lines(&output(command)?)?;
    let (first, others) = rows.split_first().context("`decide` printed nothing")?;
    let spread = |row: &Decisions| row.rounds.iter().copied().collect::<Spread>();
    let beside: Vec<_> = others.iter().map(|row| format!("{} {}", row.row, spread(row))).collect();
    Ok(Row {
        figure: format!("decisions through one `Partition` in process, no I/O: {}", first.row),
        asked: DECISIONS_ASKED,
        unit: "M/s",
        measured: Measured::Rounds(spread(first)),
        beside: beside.join("; "),
    })
}

/// A line of the program `replay`.
#[derive(Debug, Deserialize)]
struct Replay {
    events: u64,
    bytes: u64,
    /// Millions a second.
    rounds: Vec<f64>,
}

/// Replay of a journal.
pub fn replay(programs: &Path, folder: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<Row> {
    say("replay");
    let mut command = Command::new(programs.join("replay"));
    command.args(["--rounds", &rounds.to_string(), "--folder"]).arg(folder);
    let replay: Replay = lines(&output(command)?)?.pop().context("`replay` printed nothing")?;
    Ok(Row {
        figure: "replay of a journal, events a second".to_owned(),
        asked: Asked::AtLeast(1.0, 5.0),
        unit: "M/s",
        measured: Measured::Rounds(replay.rounds.into_iter().collect()),
        beside: format!("{} events in {} bytes, from segments alone", replay.events, replay.bytes),
    })
}

/// A line of the program `write_behind`.
#[derive(Debug, Deserialize)]
struct WriteBehind {
    row: String,
    /// Orders a second by write-behind, and by plain inserts, in turn.
    store: Vec<f64>,
    plain: Vec<f64>,
    /// Why there are none.
    not_run: Option<String>,
}

/// Write-behind alone, into each database.
pub fn write_behind(programs: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Row>> {
    say("write-behind alone");
    let mut command = Command::new(programs.join("write_behind"));
    command.args([&rounds.to_string(), "40000", "--json"]);
    let rates = |rates: &[f64]| rates.iter().copied().collect::<Spread>().show(|rate| format!("{rate:.0}"));
    let runs: Vec<WriteBehind> = lines(&output(command)?)?;
    anyhow::ensure!(!runs.is_empty(), "write_behind said nothing");
    let row = |run: WriteBehind| {
        let ratios = run.store.iter().zip(&run.plain).map(|(store, plain)| store / plain);
        Row {
            figure: format!("write-behind, alone: orders a second ÷ a plain multi-row insert: {}", run.row),
            asked: WRITE_BEHIND_ASKED,
            unit: "",
            measured: match run.not_run {
                Some(why) => Measured::Not(why),
                None => Measured::Rounds(ratios.collect()),
            },
            beside: format!("{} against {} a second", rates(&run.store), rates(&run.plain)),
        }
    };
    Ok(runs.into_iter().map(row).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use son7shop_loadtest::lab::load::{Costs, Counted};
    use son7shop_loadtest::lab::verdict::Verdict;

    #[test]
    fn rows_follow_from_the_runs() {
        let run = |threads, per_second| Run { threads, per_second };
        let durable = [vec![run(1, 100.0), run(2_000, 90.0)]];
        let rows = order_rows(&durable, &[vec![run(2_000, 180.0)]], &[vec![run(2_000, 3.0)]]);
        let measured: Vec<_> = rows.into_iter().map(|row| row.measured).collect();
        assert_eq!(measured, [0.9, 0.5, 30.0].map(|ratio| Measured::Rounds([ratio].into_iter().collect())));
        for row in order_rows(&[], &[], &[]) {
            assert!(matches!(row.measured, Measured::Not(_)));
        }
    }

    #[test]
    fn what_was_sold_wrongly_has_no_rate() {
        let counted = Counted { seconds: 2.0, sold: 90, sold_in_all: 100, ..Counted::default() };
        let verdict = Verdict { wrong_units: 0, oversold: 0, missing_orders: 0, unknown: 0 };
        let sale = Sale { counted, costs: Costs::default(), verdict };
        assert!((figure("mutex", 7, &sale).unwrap().per_second - 45.0).abs() < 1e-9);
        let wrong = Sale { verdict: Verdict { wrong_units: 1, ..verdict }, ..sale.clone() };
        assert!(figure("mutex", 7, &wrong).is_err());
        let first_failure = Some("no disk".to_owned());
        let failed = Counted { failed: 1, unknown_in_all: 1, first_failure, ..sale.counted.clone() };
        let error = figure("mutex", 7, &Sale { counted: failed, ..sale }).unwrap_err();
        assert!(error.to_string().contains("no disk"), "{error}");
    }

    #[test]
    fn lines_of_json_are_found_among_others() {
        let rows: Vec<Decisions> = lines("noise\n{\"row\":\"place\",\"rounds\":[1.5]}\n").unwrap();
        assert_eq!((rows[0].row.as_str(), &rows[0].rounds[..]), ("place", &[1.5][..]));
    }
}
