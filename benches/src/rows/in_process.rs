//! The rows that other programs of this crate measure, in process; they print one JSON line a figure.

use crate::spread::Spread;
use crate::table::{Asked, Measured, Row};
use anyhow::Context;
use serde::Deserialize;
use son7shop_loadtest::program::output;
use std::path::Path;
use std::process::Command;

/// What is asked of decisions through one partition, in millions a second.
pub const DECISIONS_ASKED: Asked = Asked::AtLeast(2.0, 5.0);

/// What is asked of write-behind alone, against a plain multi-row insert.
pub const WRITE_BEHIND_ASKED: Asked = Asked::AtLeast(0.5, 0.8);

/// OS threads that place orders, each count a run.
const THREADS: [u32; 5] = [1, 10, 100, 500, 2_000];

/// Seconds that each run lasts.
const SECONDS: &str = "2";

/// A line of the program `in_process`.
#[derive(Debug, Clone, Deserialize)]
struct Run {
    threads: u32,
    per_second: f64,
}

/// A line of the program `decide`.
#[derive(Debug, Deserialize)]
struct Decisions {
    row: String,
    /// Millions a second.
    rounds: Vec<f64>,
}

/// Orders from OS threads, with and without syncs, in rounds.
pub fn orders(programs: &Path, folder: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Row>> {
    let (mut durable, mut unsynced) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        say(&format!("orders in process, round {round} of {rounds}"));
        durable.push(runs(programs, folder, false)?);
        unsynced.push(runs(programs, folder, true)?);
    }
    Ok(order_rows(&durable, &unsynced))
}

fn runs(programs: &Path, folder: &Path, no_sync: bool) -> anyhow::Result<Vec<Run>> {
    let mut command = Command::new(programs.join("in_process"));
    let threads = THREADS.map(|threads| threads.to_string()).join(",");
    command.args(["--threads", &threads, "--seconds", SECONDS, "--folder"]).arg(folder);
    if no_sync {
        command.arg("--no-sync");
    }
    lines(&output(command)?)
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> anyhow::Result<Vec<T>> {
    let json = text.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn order_rows(durable: &[Vec<Run>], unsynced: &[Vec<Run>]) -> Vec<Row> {
    let most = THREADS[THREADS.len() - 1];
    let at = |runs: &[Run], threads| runs.iter().find(|run| run.threads == threads).map(|run| run.per_second);
    let best = |runs: &[Run]| runs.iter().map(|run| run.per_second).max_by(f64::total_cmp);
    let steady: Spread = durable.iter().filter_map(|runs| Some(at(runs, most)? / best(runs)?)).collect();
    let against: Spread = durable
        .iter()
        .zip(unsynced)
        .filter_map(|(durable, unsynced)| Some(at(durable, most)? / at(unsynced, most)?))
        .collect();
    let rates = |rounds: &[Vec<Run>]| {
        let rate = |threads| {
            let spread: Spread = rounds.iter().filter_map(|runs| at(runs, threads)).collect();
            format!("{threads}: {}", spread.show(|rate| format!("{rate:.0}")))
        };
        THREADS.map(rate).join(", ")
    };
    let row = |figure: String, asked, measured: Spread, beside| {
        let measured = if measured.median().is_some() {
            Measured::Rounds(measured)
        } else {
            Measured::Not("the program printed no such run".to_owned())
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
            against,
            format!("without sync, a second by threads: {}", rates(unsynced)),
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

    #[test]
    fn rows_follow_from_the_lines() {
        let text = "noise\n{\"threads\":1,\"durable\":true,\"orders\":5,\"seconds\":1.0,\"per_second\":100.0}\n\
                    {\"threads\":2000,\"durable\":true,\"orders\":5,\"seconds\":1.0,\"per_second\":90.0}\n";
        let durable: Vec<Run> = lines(text).unwrap();
        let unsynced = vec![Run { threads: 2_000, per_second: 180.0 }];
        let rows = order_rows(&[durable], &[unsynced]);
        assert_eq!(rows[0].measured, Measured::Rounds([0.9].into_iter().collect()));
        assert_eq!(rows[1].measured, Measured::Rounds([0.5].into_iter().collect()));
        let none = order_rows(&[], &[]);
        assert!(matches!(none[0].measured, Measured::Not(_)));
    }
}
