//! Two runs of the lab, side by side: what differs, and whether by more than the noise. Pure.
//!
//! The rule: a figure differs by more than the noise when every round of one run lies beyond every
//! round of the other, and the medians are further apart than the rounds of either run are among
//! themselves. Of one round nothing is known about its noise, so nothing is said.
//!
//! Where that comes from: if both runs were alike, each order of their rounds would be as likely as any
//! other, and `m` and `n` rounds would lie apart with the chance 2·m!·n!/(m+n)! (the rank test of
//! Wilcoxon, Mann and Whitney at its extreme): a third for two rounds and two, a tenth for three and
//! three, 0.8 % for five and five. Among hundreds of figures that alone would name dozens that are
//! alike; so the distance has to exceed the spread as well. It remains a rule of thumb for few
//! rounds, which is why [`Comparison::apart_by_chance`] is printed beside the result. And the rounds of
//! a run know nothing of what changed on the machine between the runs: repeat the first to see that.
//!
//! Must never call a difference none because it could not be told, nor add up loads: each stands alone.

mod page;
#[cfg(test)]
mod tests;

use super::load::{Load, Pace};
use super::report::{OURS, Report};
use super::run::{About, Missing, PLANTED};
use super::summary::{Line, MicrosSpread, Point, Spread};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The setting that says how much each size of a pool sold.
const POOLS_TRIED: &str = "pools tried";

/// What differs between run A and run B.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was not the same, and makes every difference below doubtful: machine, plan, settings.
    pub warnings: Vec<String>,
    /// What only one of the runs has.
    pub only_in: Vec<OnlyIn>,
    /// Where one run was right and the other wrong, in the order of A.
    pub wrong_units: Vec<WrongUnits>,
    /// Every backend and load that both have, in the order of A.
    pub rows: Vec<Row>,
    /// Backends of ours that were wrong in B, whatever A has.
    pub ours_wrong_in_b: Vec<String>,
    /// What B lost of ours, and why: backends that broke in it, and what A has and B was to have.
    pub ours_lost_in_b: Vec<String>,
}

/// One of the two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Run {
    A,
    B,
}

/// A backend, or one load of it, that one run has and the other has not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnlyIn {
    /// The run that has it.
    pub run: Run,
    /// The backend.
    pub backend: String,
    /// The load; `None` where the other run lacks the backend altogether.
    pub load: Option<String>,
    /// Why the other run lacks it, if it says so.
    pub why: Option<String>,
}

/// Wrong units that appeared or vanished.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrongUnits {
    /// The backend.
    pub backend: String,
    /// The load, in words.
    pub load: String,
    /// In which of the runs it was wrong.
    pub wrong_in: Run,
    /// What was wrong in A, each of its worst round.
    pub a: Wrong,
    /// The same of B.
    pub b: Wrong,
}

/// What was wrong: see [`Point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "they are what they are called there")]
pub struct Wrong {
    pub wrong_units: i64,
    pub oversold: u64,
    pub missing_orders: i64,
}

/// A backend under one load, in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The backend.
    pub backend: String,
    /// The load, in words.
    pub load: String,
    /// Threads of a closed loop; `None` for other loads.
    pub closed_threads: Option<usize>,
    /// Units sold a second: more is better.
    pub sold_per_second: Difference,
    /// The median latency in microseconds: less is better.
    pub p50_micros: Difference,
    /// The 99th percentile of the latency in microseconds: less is better.
    pub p99_micros: Difference,
}

/// A figure of both runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Of A, over its rounds; `None` where it was not measured.
    pub a: Option<Spread>,
    /// The same of B.
    pub b: Option<Spread>,
    /// Rounds of A and of B that have it.
    pub rounds: (usize, usize),
    /// By how many percent of A's median that of B is larger; `None` where that cannot be said.
    pub percent: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is better by more than the noise.
    Better,
    /// B is worse by more than the noise.
    Worse,
    /// Not larger than the noise.
    Noise,
    /// One of the runs has a single round: cannot tell.
    OneRound,
    /// One of the runs has no such figure.
    NotMeasured,
}

impl Verdict {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Noise => "noise",
            Self::OneRound => "one round: cannot tell",
            Self::NotMeasured => "not measured",
        }
    }
}

/// Two runs have nothing in common that could be compared.
#[derive(Debug, thiserror::Error)]
#[error("the two runs have no backend and load in common, but for the lock that is broken on purpose")]
pub struct NothingInCommon;

/// Compares `b` with `a`.
///
/// # Errors
/// [`NothingInCommon`].
pub fn compare(a: &Report, b: &Report) -> Result<Comparison, NothingInCommon> {
    let (mut rows, mut wrong_units) = (Vec::new(), Vec::new());
    for (line, other) in a.lines.iter().filter_map(|line| Some((line, find(b, &line.backend)?))) {
        for (point, matching) in line.points.iter().filter_map(|point| Some((point, matching(other, point)?))) {
            wrong_units.extend(wrong(&line.backend, point, matching));
            rows.push(row(&line.backend, point, matching));
        }
    }
    if rows.iter().all(|row| row.backend == PLANTED) {
        return Err(NothingInCommon);
    }
    let mut only_in = lacking(Run::A, a, b);
    only_in.extend(lacking(Run::B, b, a));
    let is_wrong = |line: &&Line| line.backend.starts_with(OURS) && line.points.iter().any(|point| !point.is_right);
    let ours_wrong_in_b = b.lines.iter().filter(is_wrong).map(|line| line.backend.clone()).collect();
    let ours_lost_in_b = ours_lost(a, b);
    Ok(Comparison { warnings: warnings(a, b), only_in, wrong_units, rows, ours_wrong_in_b, ours_lost_in_b })
}

impl Comparison {
    /// Whether B is worse: slower somewhere by more than the noise, or one of ours is wrong, broke or
    /// is missing. The lock that is broken on purpose does not count.
    pub fn is_worse(&self) -> bool {
        let is_worse_at_all = self.count(Verdict::Worse) > 0;
        is_worse_at_all || !self.ours_wrong_in_b.is_empty() || !self.ours_lost_in_b.is_empty()
    }

    /// How many figures have this verdict, those of the lock that is broken on purpose left out.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.judged().filter(|one| one.verdict == verdict).count()
    }

    /// How many figures' rounds would lie apart if the runs were alike, for that reason alone; the
    /// verdicts ask for more.
    pub fn apart_by_chance(&self) -> f64 {
        let can_tell = |one: &Difference| matches!(one.verdict, Verdict::Better | Verdict::Worse | Verdict::Noise);
        self.judged().filter(can_tell).map(|one| apart_by_chance(one.rounds)).sum()
    }

    fn judged(&self) -> impl Iterator<Item = Difference> {
        let rows = self.rows.iter().filter(|row| row.backend != PLANTED);
        rows.flat_map(|row| [row.sold_per_second, row.p50_micros, row.p99_micros])
    }
}

/// 2·m!·n!/(m+n)!
fn apart_by_chance((m, n): (usize, usize)) -> f64 {
    // Factor by factor: the factorials themselves would not fit.
    #[allow(clippy::cast_precision_loss, reason = "rounds are few")]
    let orders: f64 = (1..=n).map(|i| (m + i) as f64 / i as f64).product();
    (2.0 / orders).min(1.0)
}

fn find<'a>(report: &'a Report, backend: &str) -> Option<&'a Line> {
    report.lines.iter().find(|line| line.backend == backend)
}

/// The point of the same load. How many seconds it took may differ: that is in the warnings.
fn matching<'a>(line: &'a Line, point: &Point) -> Option<&'a Point> {
    line.points.iter().find(|other| is_same(&other.load, &point.load))
}

fn is_same(a: &Load, b: &Load) -> bool {
    let is_same_pace = match (a.pace, b.pace) {
        (Pace::Closed { .. }, Pace::Closed { .. }) | (Pace::SellOut { .. }, Pace::SellOut { .. }) => true,
        (Pace::Open { per_second: a, .. }, Pace::Open { per_second: b, .. }) => a.total_cmp(&b).is_eq(),
        _ => false,
    };
    is_same_pace && a.threads == b.threads && a.units == b.units
}

/// A load in few words.
fn words(load: &Load) -> String {
    let threads = match load.threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    match load.pace {
        Pace::Closed { .. } => threads,
        Pace::Open { per_second, .. } => format!("{threads}, {per_second}/s due"),
        Pace::SellOut { .. } => format!("{threads}, sell-out of {}", load.units),
    }
}

fn row(backend: &str, a: &Point, b: &Point) -> Row {
    let closed_threads = matches!(a.load.pace, Pace::Closed { .. }).then_some(a.load.threads);
    let micros = |of: fn(&MicrosSpread) -> Spread| {
        let of = |micros: &MicrosSpread| (of(micros), micros.rounds);
        difference(a.micros.as_ref().map(of), b.micros.as_ref().map(of), false)
    };
    Row {
        backend: backend.to_owned(),
        load: words(&a.load),
        closed_threads,
        sold_per_second: difference(Some((a.sold_per_second, a.rounds)), Some((b.sold_per_second, b.rounds)), true),
        p50_micros: micros(|micros| micros.p50),
        p99_micros: micros(|micros| micros.p99),
    }
}

/// Of figures with the number of rounds that have them.
fn difference(a: Option<(Spread, usize)>, b: Option<(Spread, usize)>, more_is_better: bool) -> Difference {
    let of = |figure: Option<(Spread, usize)>| (figure.map(|one| one.0), figure.map_or(0, |one| one.1));
    let ((spread_a, rounds_a), (spread_b, rounds_b)) = (of(a), of(b));
    let rounds = (rounds_a, rounds_b);
    let said = |percent, verdict| Difference { a: spread_a, b: spread_b, rounds, percent, verdict };
    let Some((from, to)) = spread_a.zip(spread_b) else { return said(None, Verdict::NotMeasured) };
    let percent = (from.median > 0.0).then(|| (to.median / from.median - 1.0) * 100.0);
    let verdict = if rounds.0 < 2 || rounds.1 < 2 {
        Verdict::OneRound
    } else if !is_beyond_noise(from, to) {
        Verdict::Noise
    } else if (to.median > from.median) == more_is_better {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    said(percent, verdict)
}

/// The rule that this module opens with.
fn is_beyond_noise(a: Spread, b: Spread) -> bool {
    let are_apart = a.max < b.min || b.max < a.min;
    let spread = (a.max - a.min).max(b.max - b.min);
    are_apart && (a.median - b.median).abs() > spread
}

fn wrong(backend: &str, a: &Point, b: &Point) -> Option<WrongUnits> {
    let wrong_in = match (a.is_right, b.is_right) {
        (true, false) => Run::B,
        (false, true) => Run::A,
        _ => return None,
    };
    let load = words(&a.load);
    let of = |point: &Point| {
        let Point { wrong_units, oversold, missing_orders, .. } = *point;
        Wrong { wrong_units, oversold, missing_orders }
    };
    Some(WrongUnits { backend: backend.to_owned(), load, wrong_in, a: of(a), b: of(b) })
}

/// Why a report lacks a backend, or some loads of it, if it says so.
fn why_lacking<'a>(report: &'a Report, backend: &str) -> Option<&'a str> {
    let reasons = report.missing.iter().chain(&report.outcome.broke);
    reasons.filter(|one| one.name == backend).map(|one| one.why.as_str()).next()
}

/// What `has` has and `lacks` does not.
fn lacking(run: Run, has: &Report, lacks: &Report) -> Vec<OnlyIn> {
    let mut only_in = Vec::new();
    for line in &has.lines {
        let why = why_lacking(lacks, &line.backend);
        let mut add =
            |load| only_in.push(OnlyIn { run, backend: line.backend.clone(), load, why: why.map(str::to_owned) });
        match find(lacks, &line.backend) {
            None => add(None),
            Some(other) => {
                let alone = line.points.iter().filter(|point| matching(other, point).is_none());
                alone.for_each(|point| add(Some(words(&point.load))));
            }
        }
    }
    only_in
}

/// What is lost counts, or a backend that breaks would look no worse than one that does not. A load that
/// B was not to have is no loss.
fn ours_lost(a: &Report, b: &Report) -> Vec<String> {
    let is_ours = |name: &str| name.starts_with(OURS);
    let broke = b.outcome.broke.iter().filter(|one| is_ours(&one.name));
    let mut lost: Vec<String> = broke.map(|Missing { name, why }| format!("{name} broke: {why}")).collect();
    let has_broken = |name: &str| b.outcome.broke.iter().any(|one| one.name == name);
    let wanted = b.plan.steps(1);
    for Line { backend, points } in a.lines.iter().filter(|line| is_ours(&line.backend) && !has_broken(&line.backend)) {
        let Some(line) = find(b, backend) else {
            let why = why_lacking(b, backend).map_or(String::new(), |why| format!(": {why}"));
            lost.push(format!("{backend} is missing{why}"));
            continue;
        };
        let is_wanted = |point: &&Point| wanted.iter().any(|step| is_same(&step.load, &point.load));
        let lacks = |point: &&Point| matching(line, point).is_none();
        let alone = points.iter().filter(is_wanted).filter(lacks);
        lost.extend(alone.map(|point| format!("{backend} with {} is missing", words(&point.load))));
    }
    lost
}

fn warnings(a: &Report, b: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    for (run, report) in [(Run::A, a), (Run::B, b)] {
        if !report.outcome.is_whole {
            warnings.push(format!("{run:?} was broken off: it has fewer rounds or loads than it was to have"));
        }
        let broke = report.outcome.broke.iter();
        warnings.extend(broke.map(|Missing { name, why }| format!("{name} broke in {run:?}: {why}")));
    }
    differ("machine", &json(&a.machine), &json(&b.machine), &mut warnings);
    differ("plan", &json(&a.plan), &json(&b.plan), &mut warnings);
    for one in &a.outcome.backends {
        if let Some(other) = b.outcome.backends.iter().find(|other| other.name == one.name) {
            if one.promise != other.promise {
                let (a, b) = (one.promise.words(), other.promise.words());
                warnings.push(format!("{} promises otherwise: A: {a}, B: {b}", one.name));
            }
            let what = format!("settings of {}", one.name);
            differ(&what, &json(&settings(one)), &json(&settings(other)), &mut warnings);
        }
    }
    warnings
}

/// A backend's settings, without what was only measured on the way to one: no two runs have the same.
fn settings(about: &About) -> Vec<&(String, String)> {
    about.settings.iter().filter(|(name, _)| name != POOLS_TRIED).collect()
}

/// As a JSON document; of what cannot be one, nothing.
fn json(any: &impl Serialize) -> Value {
    serde_json::to_value(any).unwrap_or(Value::Null)
}

/// Says where two documents differ.
fn differ(what: &str, a: &Value, b: &Value, said: &mut Vec<String>) {
    match (members(a), members(b)) {
        _ if a == b => {}
        (Some(a), Some(b)) => {
            let mut names: Vec<&str> = a.keys().chain(b.keys()).map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let of = |members: &BTreeMap<String, Value>| members.get(name).cloned().unwrap_or(Value::Null);
                differ(&format!("{what}: {name}"), &of(&a), &of(&b), said);
            }
        }
        _ => said.push(format!("{what}: A: {}, B: {}", plain(a), plain(b))),
    }
}

/// The members of an object, or of a list of names and values.
fn members(value: &Value) -> Option<BTreeMap<String, Value>> {
    let pair = |one: &Value| match one.as_array()?.as_slice() {
        [Value::String(name), value] => Some((name.clone(), value.clone())),
        _ => None,
    };
    match value {
        Value::Object(members) => Some(members.clone().into_iter().collect()),
        Value::Array(list) => list.iter().map(pair).collect(),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
