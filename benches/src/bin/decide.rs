//! Decisions through one `Partition` in process, no I/O: how many a second.
//!
//! Commands are made outside the measured time, in chunks, so that what is measured is
//! [`Partition::step`] alone: decide, hand the record over, evolve. Several rounds of every
//! row in turn; the median is shown with the minimum and maximum.
//! `decide [ROUNDS] [ORDERS] [--json]`: the rounds (5) and the orders in each (1,000,000);
//! with `--json` every round's figure, one line a row.

use anyhow::{Context, ensure};
use son7shop_engine::{
    Answer, Command, CustomerId, LineRequest, Lines, Lsn, OrderId, Outcome, Partition, PartitionId, PlaceOrder,
    RequestKey, Requester, SaleTerms, Sku, Time, Won, invariants,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Orders between two looks at the clock; their commands fit the second-level cache's neighbourhood.
const CHUNK: u64 = 4096;
const PRODUCTS: u64 = 1000;
const CUSTOMERS: u64 = 100_000;
const HOLD_MILLIS: i64 = 600_000;
const FLOOR: f64 = 2.0;
const AIM: f64 = 5.0;

/// What is asked of the partition in a row of the table.
#[derive(Clone, Copy, PartialEq)]
enum Row {
    /// Orders of one line for 1,000 products, each inside a sale with a limit; open holds grow.
    Place,
    /// The same, and each order is confirmed or cancelled at once, forgotten later: memory stays level.
    PlaceAndEnd,
    /// Orders of three lines.
    PlaceThree,
    /// Every order is for a product that is sold out.
    SoldOut,
    /// The same key and request again.
    Repeat,
    /// All holds reach their deadline in one tick; an expiry is a decision.
    Expire,
}

const ROWS: [(Row, &str); 6] = [
    (Row::Place, "place (sale, limit, key), holds grow"),
    (Row::PlaceAndEnd, "place, then confirm or cancel, forget"),
    (Row::PlaceThree, "place, three lines"),
    (Row::SoldOut, "refuse: sold out"),
    (Row::Repeat, "repeat: same key"),
    (Row::Expire, "expire"),
];

fn main() -> anyhow::Result<()> {
    let json = std::env::args().any(|arg| arg == "--json");
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--json");
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse()).context("ROUNDS is a number")?;
    let orders: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse()).context("ORDERS is a number")?;
    let mut rates = [const { Vec::new() }; ROWS.len()];
    for _ in 0..rounds {
        for (rates, (row, _)) in rates.iter_mut().zip(ROWS) {
            rates.push(run(row, orders)?);
        }
    }
    if json {
        for (rounds, (_, row)) in rates.iter().zip(ROWS) {
            println!("{}", serde_json::json!({ "row": row, "rounds": rounds }));
        }
        return Ok(());
    }
    println!("{:<40} {:>9} {:>9} {:>9}", "million decisions a second", "median", "min", "max");
    for (rates, (row, name)) in rates.iter_mut().zip(ROWS) {
        rates.sort_by(f64::total_cmp);
        let (low, median, high) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
        let note = match row {
            Row::Place => format!("  (floor {FLOOR}, aim {AIM})"),
            _ => String::new(),
        };
        println!("{name:<40} {median:>9.2} {low:>9.2} {high:>9.2}{note}");
    }
    Ok(())
}

/// One round of one row, in millions of decisions a second.
fn run(row: Row, orders: u64) -> anyhow::Result<f64> {
    let mut shop = Shop::open(if row == Row::SoldOut { 0 } else { 1_000_000_000 });
    if matches!(row, Row::Repeat | Row::Expire) {
        shop.place_all(orders, 1)?;
    }
    let (spent, decisions) = match row {
        Row::Place => (shop.place_all(orders, 1)?, orders),
        Row::PlaceThree => (shop.place_all(orders, 3)?, orders),
        Row::PlaceAndEnd => (shop.place_and_end_all(orders)?, orders * 2),
        Row::SoldOut => (shop.each(orders, 1, |outcome| matches!(outcome, Outcome::Refused(_)))?, orders),
        Row::Repeat => (shop.each(orders, 1, |outcome| matches!(outcome, Outcome::Repeated(_)))?, orders),
        Row::Expire => (shop.expire_all()?, orders),
    };
    invariants::check(&shop.partition)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    Ok(decisions as f64 / spent.as_secs_f64() / 1e6)
}

struct Shop {
    partition: Partition,
    now: Time,
    events: u64,
}

impl Shop {
    fn open(on_hand: u64) -> Self {
        let mut shop = Self { partition: Partition::new(PartitionId(0), 7), now: Time(1_000_000), events: 0 };
        let terms =
            SaleTerms { opens_at: Time(0), closes_at: Time::NEVER, price: Won(9_900), per_customer_limit: 1_000_000 };
        for n in 0..PRODUCTS {
            let create = Command::CreateProduct {
                sku: sku(n),
                name: format!("Air 90, size {n}").into(),
                price: Won(129_000),
                on_hand,
                key: None,
            };
            shop.step(&create);
            shop.step(&Command::SetSale { sku: sku(n), terms });
        }
        shop
    }

    fn step(&mut self, command: &Command) -> Outcome {
        let events = &mut self.events;
        self.partition.step(self.now, command, |record| {
            *events += 1;
            black_box(record);
        })
    }

    fn place_all(&mut self, orders: u64, lines: u64) -> anyhow::Result<Duration> {
        self.each(orders, lines, |outcome| matches!(outcome, Outcome::Accepted(Answer::Order(_))))
    }

    /// Steps through `orders` orders; every outcome must be as `expected`.
    fn each(&mut self, orders: u64, lines: u64, expected: fn(&Outcome) -> bool) -> anyhow::Result<Duration> {
        let mut spent = Duration::ZERO;
        for first in (0..orders).step_by(usize::try_from(CHUNK)?) {
            let commands: Vec<Command> = (first..orders.min(first + CHUNK)).map(|n| place(n, lines)).collect();
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
                commands.push(place(n, 1));
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

/// A number that looks drawn: the same for the same `n` (splitmix64).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn digest(n: u64) -> [u8; 16] {
    (u128::from(mixed(n)) << 64 | u128::from(mixed(!n))).to_be_bytes()
}

#[expect(clippy::expect_used, reason = "the texts are made here, of the right alphabet and length")]
fn sku(n: u64) -> Sku {
    Sku::parse(&format!("AIR-90-{n:04}")).expect("a sku")
}

#[expect(clippy::expect_used, reason = "the texts are made here, of the right alphabet and length")]
fn customer(n: u64) -> CustomerId {
    CustomerId::parse(&format!("customer-{n:06}")).expect("a customer")
}

fn order_id(n: u64) -> OrderId {
    OrderId::new(Time(1_700_000_000_000), mixed(n), PartitionId(0))
}

fn place(n: u64, lines: u64) -> Command {
    let first = mixed(n) % (PRODUCTS - lines);
    let lines: Lines = (first..first + lines).map(|n| LineRequest { sku: sku(n), quantity: 1 }).collect();
    Command::PlaceOrder(PlaceOrder {
        id: order_id(n),
        customer: customer(mixed(!n) % CUSTOMERS),
        key: RequestKey { key: digest(n), request: digest(n ^ 1 << 63) },
        lines,
        parts: Vec::new(),
        hold_millis: HOLD_MILLIS,
    })
}
