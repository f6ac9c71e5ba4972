//! The rows that come from what was measured over HTTP.

use super::http::{Collected, FEW, MANY};
use crate::measure::{Costs, Sample};
use crate::side::Side;
use crate::spread::Spread;
use crate::table::{Asked, Measured, Row};
use std::time::Duration;

impl Collected {
    /// Every row over HTTP, in the table's order.
    pub fn rows(&self) -> Vec<Row> {
        let durable = "durable `POST /v1/orders` ÷ bare warp JSON POST";
        let mut rows = vec![
            self.ratio_row(&format!("{durable}, {MANY} connections"), Side::Product, MANY, Asked::AtLeast(0.50, 0.85)),
            self.ratio_row("the same, 64 connections", Side::Product, FEW, Asked::AtLeast(0.40, 0.75)),
            self.ratio_row(
                &format!("the same with the database stopped, {MANY} connections"),
                Side::ProductWithoutDatabase,
                MANY,
                Asked::AtLeast(0.65, 0.95),
            ),
            self.ratio_row(
                "the same with the database stopped, 64 connections",
                Side::ProductWithoutDatabase,
                FEW,
                Asked::AtLeast(0.45, 0.80),
            ),
            self.steadiness_row(),
            self.open_row(),
        ];
        for connections in [FEW, MANY] {
            rows.push(self.cost_row("orders per sync", connections, |costs| costs.orders_per_sync));
            rows.push(self.cost_row("CPU µs per order", connections, |costs| Some(costs.cpu_micros)));
            rows.push(self.cost_row("context switches per order", connections, |costs| Some(costs.switches)));
        }
        rows
    }

    fn samples(&self, side: Side, connections: usize) -> &[Sample] {
        self.closed.get(&(side, connections)).map_or(&[], Vec::as_slice)
    }

    fn ratio_row(&self, figure: &str, side: Side, connections: usize, asked: Asked) -> Row {
        let (ours, bare) = (self.samples(side, connections), self.samples(Side::Bare, connections));
        let ratios: Spread = ours.iter().zip(bare).map(|(ours, bare)| ours.per_second / bare.per_second).collect();
        let missing = match (side, &self.no_database) {
            _ if bare.is_empty() => no_load(connections),
            (Side::ProductWithoutDatabase, Some(why)) => Measured::Not(why.clone()),
            (Side::ProductWithoutDatabase, None) => Measured::LeftOut("no load with the database stopped".to_owned()),
            _ => no_load(connections),
        };
        let measured = judged(ratios, ours.iter().chain(bare), missing);
        let beside = if ours.is_empty() {
            String::new()
        } else {
            let behind: Spread = ours.iter().filter_map(|sample| sample.costs.lag_events).collect();
            format!(
                "{} against {} a second; p99 {} against {} ms; {}, {} events behind at the end",
                throughput(ours),
                throughput(bare),
                p99(ours),
                p99(bare),
                carried(ours),
                behind.show(|lag| format!("{lag:.0}"))
            )
        };
        Row { figure: figure.to_owned(), asked, unit: "", measured, beside }
    }

    /// How well the throughput at the most connections holds against the side's best, against the bare program.
    fn steadiness_row(&self) -> Row {
        let loads = |side| self.closed.keys().filter(move |key| key.0 == side).map(|key| key.1);
        let most = loads(Side::Product).max().unwrap_or(0);
        let share = |side: Side, round: usize| -> Option<f64> {
            let rate = |connections| self.samples(side, connections).get(round).map(|sample| sample.per_second);
            let best = loads(side).filter_map(rate).max_by(f64::total_cmp)?;
            Some(rate(most)? / best)
        };
        let rounds = self.samples(Side::Product, most).len();
        let shares: Vec<_> =
            (0..rounds).filter_map(|round| share(Side::Product, round).zip(share(Side::Bare, round))).collect();
        let all = self.closed.iter().filter(|((side, _), _)| *side != Side::ProductWithoutDatabase);
        let missing = if loads(Side::Product).count() < 2 { "one load only" } else { "no rounds" };
        let ratios = if loads(Side::Product).count() < 2 {
            Spread::new()
        } else {
            shares.iter().map(|(ours, bare)| ours / bare).collect()
        };
        let by_load = |side| {
            let rate = |connections| format!("{connections}: {}", throughput(self.samples(side, connections)));
            loads(side).map(rate).collect::<Vec<_>>().join(", ")
        };
        Row {
            figure: format!(
                "(throughput at {most} connections ÷ own best over 1…{most}) ÷ the same of the bare program"
            ),
            asked: Asked::AtLeast(0.95, 1.0),
            unit: "",
            measured: judged(ratios, all.flat_map(|(_, samples)| samples), Measured::LeftOut(missing.to_owned())),
            beside: format!(
                "own share {}, bare share {}; a second by connections: {}; bare {}",
                shares.iter().map(|shares| shares.0).collect::<Spread>(),
                shares.iter().map(|shares| shares.1).collect::<Spread>(),
                by_load(Side::Product),
                by_load(Side::Bare)
            ),
        }
    }

    fn open_row(&self) -> Row {
        let ratios = self.open.iter().map(|round| {
            let reference = round.bare.p99 + 2 * round.sync_p99;
            round.product.p99.as_secs_f64() / reference.as_secs_f64()
        });
        let samples = self.open.iter().flat_map(|round| [&round.product, &round.bare]);
        let measured = judged(ratios.collect(), samples, no_load(MANY));
        let products: Vec<_> = self.open.iter().map(|round| round.product.clone()).collect();
        let bares: Vec<_> = self.open.iter().map(|round| round.bare.clone()).collect();
        let sums =
            |count: fn(&Sample) -> u64| (products.iter().map(count).sum::<u64>(), bares.iter().map(count).sum::<u64>());
        let late = sums(|sample| sample.open.map_or(0, |open| open.delayed));
        let unsent = sums(|sample| sample.open.map_or(0, |open| open.unsent + open.unanswered));
        let beside = format!(
            "{} requests a second; p99 {} ms, bare {} ms, `fdatasync` {} ms; p99 of the client's own lateness {} ms, bare {} ms; without a connection {}, bare {}; never sent or answered {}, bare {}",
            self.open.iter().map(|round| round.per_second).collect::<Spread>().show(|rate| format!("{rate:.0}")),
            p99(&products),
            p99(&bares),
            self.open.iter().map(|round| millis(round.sync_p99)).collect::<Spread>(),
            lateness(&products),
            lateness(&bares),
            late.0,
            late.1,
            unsent.0,
            unsent.1,
        );
        Row {
            figure:
                "p99 acknowledgement ÷ (p99 of the bare POST + 2 × p99 of `fdatasync`), open loop, 70 % of the closed loop's throughput"
                    .to_owned(),
            asked: Asked::AtMost(1.5, 1.0),
            unit: "",
            measured,
            beside: if self.open.is_empty() { String::new() } else { beside },
        }
    }

    fn cost_row(&self, what: &str, connections: usize, cost: fn(&Costs) -> Option<f64>) -> Row {
        let of = |side| -> Spread {
            self.samples(side, connections).iter().filter_map(|sample| cost(&sample.costs)).collect()
        };
        let spread = of(Side::Product);
        let measured = if spread.median().is_some() {
            Measured::Rounds(spread)
        } else if self.samples(Side::Product, connections).is_empty() {
            no_load(connections)
        } else {
            Measured::Not("the server does not count it".to_owned())
        };
        let client: Spread =
            self.samples(Side::Product, connections).iter().map(|sample| sample.costs.client_cpu_micros).collect();
        let beside = match what {
            "CPU µs per order" => {
                let ours = self.samples(Side::Product, connections);
                format!("bare {}; the load client {client}; {}", of(Side::Bare), carried(ours))
            }
            _ => format!("bare {}; database stopped {}", of(Side::Bare), of(Side::ProductWithoutDatabase)),
        };
        Row { figure: format!("{what}, {connections} connections"), asked: Asked::Nothing, unit: "", measured, beside }
    }
}

/// What the settings leave out; a load that fails ends the measurement.
fn no_load(connections: usize) -> Measured {
    Measured::LeftOut(format!("no load of {connections} connections"))
}

/// The rounds; void when an answer was not what it should be, and `missing` when there are none.
fn judged<'a>(ratios: Spread, samples: impl Iterator<Item = &'a Sample>, missing: Measured) -> Measured {
    let mut samples = samples;
    match samples.find_map(|sample| sample.wrong.as_ref()) {
        _ if ratios.median().is_none() => missing,
        Some(wrong) => Measured::Void(ratios, wrong.clone()),
        None => Measured::Rounds(ratios),
    }
}

fn throughput(samples: &[Sample]) -> String {
    samples.iter().map(|sample| sample.per_second).collect::<Spread>().show(|rate| format!("{rate:.0}"))
}

/// How much of the database's work is in the window: write-behind gives way to selling, so the rest
/// is left for later. In this load an order is one event.
fn carried(samples: &[Sample]) -> String {
    let carried: Spread = samples.iter().filter_map(|sample| sample.costs.carried_per_second).collect();
    let carried = carried.show(|rate| format!("{rate:.0}"));
    format!("write-behind carried {carried} of {} orders a second", throughput(samples))
}

fn p99(samples: &[Sample]) -> String {
    samples.iter().map(|sample| millis(sample.p99)).collect::<Spread>().to_string()
}

fn lateness(samples: &[Sample]) -> String {
    samples.iter().map(|sample| millis(sample.lateness_p99)).collect::<Spread>().to_string()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::http::OpenRound;

    fn sample(per_second: f64, p99_millis: u64) -> Sample {
        Sample {
            per_second,
            p99: Duration::from_millis(p99_millis),
            p50: Duration::from_millis(1),
            wrong: None,
            open: None,
            lateness_p99: Duration::ZERO,
            costs: Costs::default(),
        }
    }

    fn collected() -> Collected {
        let mut collected = Collected::default();
        for (side, connections, rates) in [
            (Side::Bare, FEW, [100.0, 120.0]),
            (Side::Product, FEW, [50.0, 90.0]),
            (Side::Bare, MANY, [80.0, 60.0]),
            (Side::Product, MANY, [40.0, 45.0]),
        ] {
            collected.closed.insert((side, connections), rates.map(|rate| sample(rate, 10)).to_vec());
        }
        let open = OpenRound {
            per_second: 28.0,
            product: sample(28.0, 12),
            bare: sample(28.0, 4),
            sync_p99: Duration::from_millis(2),
        };
        collected.open.push(open);
        collected
    }

    fn median(row: &Row) -> Option<f64> {
        match &row.measured {
            Measured::Rounds(spread) | Measured::Void(spread, _) => spread.median(),
            Measured::Not(_) | Measured::LeftOut(_) => None,
        }
    }

    #[test]
    fn rows_follow_from_the_samples() {
        let rows = collected().rows();
        let medians: Vec<_> = rows.iter().map(median).collect();
        // Of rounds 0.5 and 0.75; 0.5 and 0.75; no database; (0.8 ÷ 0.8) and (0.5 ÷ 0.5); 12 ÷ (4 + 2 × 2).
        assert_eq!(medians[..6], [Some(0.625), Some(0.625), None, None, Some(1.0), Some(1.5)]);
        assert_eq!(rows[2].measured, Measured::LeftOut("no load with the database stopped".to_owned()));
        assert_eq!(rows[6].measured, Measured::Not("the server does not count it".to_owned()));
    }

    #[test]
    fn what_was_asked_for_and_failed_is_not_left_out() {
        let many = |collected: &Collected| collected.rows()[2].measured.clone();
        let no_server = "no MariaDB here".to_owned();
        let mut collected = Collected { no_database: Some(no_server.clone()), ..collected() };
        assert_eq!(many(&collected), Measured::Not(no_server));
        collected.closed.retain(|(_, connections), _| *connections == FEW);
        assert_eq!(many(&collected), Measured::LeftOut("no load of 2000 connections".to_owned()));
    }

    /// The database's work that is left for later is not in these figures, and they say so.
    #[test]
    fn throughput_and_cpu_stand_beside_what_write_behind_carried() {
        let mut collected = collected();
        if let Some(samples) = collected.closed.get_mut(&(Side::Product, FEW)) {
            for (sample, carried) in samples.iter_mut().zip([9.0, 11.0]) {
                sample.costs.carried_per_second = Some(carried);
            }
        }
        let rows = collected.rows();
        let carried = "write-behind carried 10 (9–11) of 70 (50–90) orders a second";
        for figure in ["the same, 64 connections", "CPU µs per order, 64 connections"] {
            let row = rows.iter().find(|row| row.figure == figure);
            assert!(row.is_some_and(|row| row.beside.contains(carried)), "{figure}: {row:?}");
        }
        assert!(rows[0].beside.contains("write-behind carried – of"), "{}", rows[0].beside);
    }

    #[test]
    fn a_wrong_answer_voids_its_rows_only() {
        let mut collected = collected();
        if let Some(samples) = collected.closed.get_mut(&(Side::Product, FEW)) {
            samples[1].wrong = Some("1 request".to_owned());
        }
        let rows = collected.rows();
        let is_void: Vec<_> = rows.iter().map(|row| matches!(row.measured, Measured::Void(..))).collect();
        assert_eq!(is_void[..6], [false, true, false, false, true, false]);
    }
}
