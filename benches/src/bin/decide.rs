//! Decisions through one `Partition` in process, no I/O: how many a second.
//!
//! Commands are made outside the measured time, in chunks, so that what is measured is
//! [`Partition::step`] alone: decide, hand the record over, evolve. Several rounds of every
//! row in turn; the median is shown with the minimum and maximum.
//! `decide [ROUNDS] [ORDERS] [ROW] [--json]`: the rounds (5), the orders in each (1,000,000), and
//! which rows (those whose name begins so; all). With `--json` every round, one line a row.

use anyhow::{Context, ensure};
use son7shop_benches::history::{self, HOLD_MILLIS, mixed, order_id, sku};
use son7shop_benches::rows::in_process::DECISIONS_ASKED;
use son7shop_engine::{
    Answer, Command, Lsn, Outcome, Partition, PartitionId, Requester, SaleTerms, Time, Won, invariants,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The shop's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders between two looks at the clock; their commands fit the second-level cache's neighbourhood.
const CHUNK: u64 = 4096;

/// What is asked of the partition in a row of the table.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Orders, each accepted; holds grow to the row's number, then a new partition begins.
    Place,
    /// The same, and each order is confirmed or cancelled at once, forgotten later: two decisions an order.
    PlaceAndEnd,
    /// Every order is for a product that is sold out.
    SoldOut,
    /// The same key and request again.
    Repeat,
    /// All holds reach their deadline in one tick; an expiry is a decision.
    Expire,
}

/// A row of the table.
struct Row {
    kind: Kind,
    /// Products, each inside a sale with a limit.
    products: u64,
    /// Products in an order.
    lines: u64,
    /// Orders in one partition's life.
    holds: u64,
    name: &'static str,
}

const fn row(kind: Kind, products: u64, lines: u64, holds: u64, name: &'static str) -> Row {
    Row { kind, products, lines, holds, name }
}

/// The first row is the one that has a floor: a flash sale up to 100,000 open holds.
const ROWS: [Row; 8] = [
    row(Kind::Place, 1, 1, 100_000, "place: 1 product on sale, 100,000 holds"),
    row(Kind::Place, 1000, 1, 100_000, "place: 1,000 on sale, 100,000 holds"),
    row(Kind::Place, 1000, 1, 1_000_000, "place: 1,000 on sale, 1,000,000 holds"),
    row(Kind::Place, 1000, 3, 100_000, "place three lines, 100,000 holds"),
    row(Kind::PlaceAndEnd, 1000, 1, 100_000, "place, then confirm or cancel, forget"),
    row(Kind::SoldOut, 1000, 1, 100_000, "refuse: sold out"),
    row(Kind::Repeat, 1000, 1, 100_000, "repeat: same key"),
    row(Kind::Expire, 1000, 1, 100_000, "expire 100,000 holds"),
];

fn main() -> anyhow::Result<()> {
    let json = std::env::args().any(|arg| arg == "--json");
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--json");
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse()).context("ROUNDS is a number")?;
    let orders: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse()).context("ORDERS is a number")?;
    let wanted = args.next().unwrap_or_default();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.starts_with(&wanted)).collect();
    ensure!(rounds > 0 && orders > 0 && !rows.is_empty(), "nothing to measure");
    let mut rates = vec![Vec::new(); rows.len()];
    for _ in 0..rounds {
        for (rates, row) in rates.iter_mut().zip(&rows) {
            rates.push(run(row, orders)?);
        }
    }
    if json {
        for (rounds, row) in rates.iter().zip(rows) {
            println!("{}", serde_json::json!({ "row": row.name, "rounds": rounds }));
        }
        return Ok(());
    }
    println!("{:<40} {:>9} {:>9} {:>9}", "million decisions a second", "median", "min", "max");
    for (at, (rates, row)) in rates.iter_mut().zip(rows).enumerate() {
        rates.sort_by(f64::total_cmp);
        let (low, median, high) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
        let note = if at == 0 && wanted.is_empty() { format!("  ({DECISIONS_ASKED})") } else { String::new() };
        println!("{:<40} {median:>9.2} {low:>9.2} {high:>9.2}{note}", row.name);
    }
    Ok(())
}

/// One round of one row, in millions of decisions a second.
fn run(row: &Row, orders: u64) -> anyhow::Result<f64> {
    let (mut spent, mut decisions) = (Duration::ZERO, 0);
    for first in (0..orders).step_by(usize::try_from(row.holds)?) {
        let holds = row.holds.min(orders - first);
        let mut shop = Shop::open(row, if row.kind == Kind::SoldOut { 0 } else { 1_000_000_000 })?;
        if matches!(row.kind, Kind::Repeat | Kind::Expire) {
            shop.each(holds, |outcome| matches!(outcome, Outcome::Accepted(Answer::Order(_))))?;
        }
        spent += match row.kind {
            Kind::Place => shop.each(holds, |outcome| matches!(outcome, Outcome::Accepted(Answer::Order(_))))?,
            Kind::PlaceAndEnd => shop.place_and_end_all(holds)?,
            Kind::SoldOut => shop.each(holds, |outcome| matches!(outcome, Outcome::Refused(_)))?,
            Kind::Repeat => shop.each(holds, |outcome| matches!(outcome, Outcome::Repeated(_)))?,
            Kind::Expire => shop.expire_all()?,
        };
        decisions += if row.kind == Kind::PlaceAndEnd { 2 * holds } else { holds };
        invariants::check(&shop.partition)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    Ok(decisions as f64 / spent.as_secs_f64() / 1e6)
}

struct Shop {
    partition: Partition,
    products: u64,
    lines: u64,
    now: Time,
    events: u64,
}

impl Shop {
    fn open(row: &Row, on_hand: u64) -> anyhow::Result<Self> {
        let partition = Partition::new(PartitionId(0), 7);
        let (products, lines) = (row.products, row.lines);
        let mut shop = Self { partition, products, lines, now: Time(1_000_000), events: 0 };
        let terms =
            SaleTerms { opens_at: Time(0), closes_at: Time::NEVER, price: Won(9_900), per_customer_limit: 1_000_000 };
        for n in 0..products {
            let create = Command::CreateProduct {
                sku: sku(n)?,
                name: format!("Air 90, size {n}").into(),
                price: Won(129_000),
                on_hand,
                key: None,
            };
            shop.step(&create);
            shop.step(&Command::SetSale { sku: sku(n)?, terms });
        }
        Ok(shop)
    }

    fn step(&mut self, command: &Command) -> Outcome {
        let events = &mut self.events;
        self.partition.step(self.now, command, |record| {
            *events += 1;
            black_box(record);
        })
    }

    /// Steps through `orders` orders; every outcome must be as `expected`.
    fn each(&mut self, orders: u64, expected: fn(&Outcome) -> bool) -> anyhow::Result<Duration> {
        let mut spent = Duration::ZERO;
        for first in (0..orders).step_by(usize::try_from(CHUNK)?) {
            let commands: Vec<Command> =
                (first..orders.min(first + CHUNK)).map(|n| self.place(n)).collect::<anyhow::Result<_>>()?;
            let start = Instant::now();
            for command in &commands {
                let outcome = self.step(command);
                ensure!(expected(&outcome), "an order had another outcome: {outcome:?}");
                black_box(outcome);
            }
            spent += start.elapsed();
        }
        Ok(spent)
    }

    fn place_and_end_all(&mut self, orders: u64) -> anyhow::Result<Duration> {
        let mut spent = Duration::ZERO;
        for first in (0..orders).step_by(usize::try_from(CHUNK)?) {
            let mut commands = Vec::new();
            for n in first..orders.min(first + CHUNK) {
                commands.push(self.place(n)?);
                commands.push(match n % 2 {
                    0 => Command::ConfirmOrder { order: order_id(n) },
                    _ => Command::CancelOrder { order: order_id(n), by: Requester::Admin },
                });
            }
            self.now = Time(self.now.0 + 1);
            let forget = Command::Forget { stored: Lsn(u64::MAX), ended_by: Time(self.now.0 - 10) };
            let start = Instant::now();
            for command in &commands {
                let outcome = self.step(command);
                ensure!(matches!(outcome, Outcome::Accepted(_)), "an order had another outcome: {outcome:?}");
                black_box(outcome);
            }
            self.step(&forget);
            self.step(&forget);
            spent += start.elapsed();
        }
        Ok(spent)
    }

    fn place(&self, n: u64) -> anyhow::Result<Command> {
        history::order(n, mixed(n) % (self.products - self.lines + 1), self.lines)
    }

    fn expire_all(&mut self) -> anyhow::Result<Duration> {
        let before = self.events;
        self.now = self.now.plus_millis(HOLD_MILLIS);
        let start = Instant::now();
        self.step(&Command::Tick);
        let spent = start.elapsed();
        ensure!(self.partition.open_holds() == 0 && self.events > before, "the tick ended no hold");
        Ok(spent)
    }
}
