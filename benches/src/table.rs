//! The speed table: what is asked of each figure and what was measured, as Markdown. A figure that
//! was not measured says so and why; there is never a number that nobody measured.

use crate::spread::Spread;
use std::fmt;

/// What is asked of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asked {
    /// As much as this, better more; the floor and the aim.
    AtLeast(f64, f64),
    /// No more than this, better less; the ceiling and the aim.
    AtMost(f64, f64),
    /// Nothing: it is only reported.
    Nothing,
}

impl Asked {
    /// Whether a value is as much, or as little, as is asked at least.
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(floor, _) => value >= floor,
            Self::AtMost(ceiling, _) => value <= ceiling,
            Self::Nothing => true,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(floor, aim) => write!(f, "floor {floor}, aim {aim}"),
            Self::AtMost(ceiling, aim) => write!(f, "ceiling {ceiling}, aim {aim}"),
            Self::Nothing => f.write_str("reported"),
        }
    }
}

/// What came of a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    /// Its rounds.
    Rounds(Spread),
    /// It was measured and cannot be held against what is asked: some answers were wrong, say.
    Void(Spread, String),
    /// It was to be measured and was not; why.
    Not(String),
    /// Nobody asked for it: its load or its part is left out of this run.
    LeftOut(String),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What is measured.
    pub figure: String,
    /// What is asked of it.
    pub asked: Asked,
    /// Its unit, after each number; empty for a ratio.
    pub unit: &'static str,
    /// What came of it.
    pub measured: Measured,
    /// Counts and absolute figures that explain it.
    pub beside: String,
}

/// The rows, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// The rows whose median misses what is asked at least, or is void.
    pub fn missed(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(|row| match &row.measured {
            Measured::Rounds(spread) => spread.median().is_some_and(|median| !row.asked.is_met_by(median)),
            Measured::Void(..) => true,
            Measured::Not(_) | Measured::LeftOut(_) => false,
        })
    }

    /// The rows that were to be measured and were not.
    pub fn not_measured(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(|row| match &row.measured {
            Measured::Rounds(spread) => spread.median().is_none(),
            Measured::Not(_) => true,
            Measured::Void(..) | Measured::LeftOut(_) => false,
        })
    }
}

impl Row {
    fn number(&self, value: f64) -> String {
        let digits = if self.unit.is_empty() || value.abs() < 10.0 { 2 } else { 0 };
        let space = if self.unit.is_empty() { "" } else { " " };
        format!("{value:.digits$}{space}{}", self.unit)
    }

    fn measured(&self) -> String {
        match &self.measured {
            Measured::Rounds(spread) if spread.median().is_none() => "**not measured: no rounds**".to_owned(),
            Measured::Rounds(spread) => {
                let is_met = spread.median().is_none_or(|median| self.asked.is_met_by(median));
                let missed = if is_met { "" } else { ", **missed**" };
                format!("{}{missed}", spread.show(|value| self.number(value)))
            }
            Measured::Void(spread, why) => format!("{}, **void: {why}**", spread.show(|value| self.number(value))),
            Measured::Not(why) => format!("**not measured: {why}**"),
            Measured::LeftOut(why) => format!("left out: {why}"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | at least | aim | measured: median (min–max) | beside |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.0 {
            let (least, aim) = match row.asked {
                Asked::AtLeast(floor, aim) => (row.number(floor), row.number(aim)),
                Asked::AtMost(ceiling, aim) => (format!("≤ {}", row.number(ceiling)), format!("≤ {}", row.number(aim))),
                Asked::Nothing => ("reported".to_owned(), String::new()),
            };
            // A bar would end the cell.
            let [figure, measured, beside] =
                [&row.figure, &row.measured(), &row.beside].map(|text| text.replace('|', "/").replace('\n', " "));
            writeln!(f, "| {figure} | {least} | {aim} | {measured} | {beside} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(asked: Asked, unit: &'static str, measured: Measured) -> Row {
        Row { figure: "a|b".to_owned(), asked, unit, measured, beside: String::new() }
    }

    fn rounds(values: &[f64]) -> Measured {
        Measured::Rounds(values.iter().copied().collect())
    }

    #[test]
    fn what_is_missed_and_what_was_not_measured_is_said() {
        let table = Table(vec![
            row(Asked::AtLeast(0.5, 0.85), "", rounds(&[0.6, 0.7, 0.8])),
            row(Asked::AtLeast(0.5, 0.85), "", rounds(&[0.4])),
            row(Asked::AtMost(600.0, 300.0), "MB", rounds(&[601.0])),
            row(Asked::Nothing, "", Measured::Not("no disk\nhere".to_owned())),
            row(Asked::AtLeast(0.5, 0.85), "", Measured::Void([0.9].into_iter().collect(), "3 answers 503".to_owned())),
            row(Asked::AtLeast(0.5, 0.85), "", rounds(&[])),
            row(Asked::AtLeast(0.5, 0.85), "", Measured::LeftOut("no load of 64 connections".to_owned())),
        ]);
        let text = table.to_string();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| a/b | 0.50 | 0.85 | 0.70 (0.60–0.80) |  |");
        assert_eq!(lines[1], "| a/b | 0.50 | 0.85 | 0.40, **missed** |  |");
        assert_eq!(lines[2], "| a/b | ≤ 600 MB | ≤ 300 MB | 601 MB, **missed** |  |");
        assert_eq!(lines[3], "| a/b | reported |  | **not measured: no disk here** |  |");
        assert_eq!(lines[4], "| a/b | 0.50 | 0.85 | 0.90, **void: 3 answers 503** |  |");
        assert_eq!(lines[5], "| a/b | 0.50 | 0.85 | **not measured: no rounds** |  |");
        assert_eq!(lines[6], "| a/b | 0.50 | 0.85 | left out: no load of 64 connections |  |");
        assert_eq!(table.missed().count(), 3);
        assert_eq!(table.not_measured().count(), 2);
    }

    #[test]
    fn what_is_asked_is_said_in_words() {
        let asked = [Asked::AtLeast(0.5, 0.8), Asked::AtMost(600.0, 300.0), Asked::Nothing];
        assert_eq!(asked.map(|asked| asked.to_string()), ["floor 0.5, aim 0.8", "ceiling 600, aim 300", "reported"]);
    }
}
