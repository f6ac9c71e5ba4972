//! How much memory the product takes with a large catalogue and many open holds: made over HTTP, in the
//! real program, and read after the database has everything.

use crate::side::Sides;
use crate::spread::Spread;
use crate::table::{Asked, Measured, Row};
use anyhow::{Context, ensure};
use son7shop_loadtest::answer::Answer;
use son7shop_loadtest::drive::{self, Pace, Plan, Report, Then, Workload};
use son7shop_loadtest::metrics::Metrics;
use son7shop_loadtest::process::resident_bytes;
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;

/// Making a million products, or carrying them to the database, may take so long.
const PATIENCE: Duration = Duration::from_mins(10);

/// How many there are to be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Products.
    pub products: u64,
    /// Orders, each of one unit of its own product; they stay held.
    pub holds: u64,
}

/// Sends numbered requests, each once, until there are enough.
struct Numbered<F> {
    make: F,
    next: u64,
    end: u64,
    current: Vec<Option<Request>>,
    wrong: Option<String>,
}

impl<F: FnMut(u64) -> Request + Send> Workload for Numbered<F> {
    fn prepare(&mut self, connection: usize) -> bool {
        if self.next == self.end || self.wrong.is_some() {
            return false;
        }
        self.current[connection] = Some((self.make)(self.next));
        self.next += 1;
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.current[connection].as_ref().map_or(&[], Request::bytes)
    }

    fn answered(&mut self, _connection: usize, answer: Answer<'_>) -> Then {
        if answer.status == 503 {
            return Then::Again(Duration::from_secs(answer.retry_after.unwrap_or(1).into()));
        }
        if answer.status != 201 {
            self.wrong.get_or_insert_with(|| format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
        }
        Then::Next
    }
}

/// Makes the products and the holds, and reads the memory.
pub fn memory(sides: &Sides, size: Size, say: &mut dyn FnMut(&str)) -> anyhow::Result<Row> {
    let shop = sides.start_shop()?;
    let program = &shop.program;
    let host = program.address().to_string();
    let (empty, _) = resident_bytes(program.pid())?;
    say(&format!("memory: {} products", size.products));
    send(program, size.products, |n| {
        let body =
            format!("{{\"sku\":\"product-{n:07}\",\"name\":\"Air 90, size {n}\",\"price\":129000,\"on_hand\":1000}}");
        Request::to("POST", &host, "/v1/products")
            .bearer(&shop.admin_token)
            .numbered_key(&format!("product-{n}"))
            .json(&body)
    })?;
    let (with_products, _) = resident_bytes(program.pid())?;
    say(&format!("memory: {} holds", size.holds));
    send(program, size.holds, |n| {
        let body = format!("{{\"lines\":[{{\"sku\":\"product-{:07}\",\"quantity\":1}}]}}", n % size.products);
        let customer = usize::try_from(n).unwrap_or(0) % shop.customer_tokens.len();
        let token = &shop.customer_tokens[customer];
        Request::to("POST", &host, "/v1/orders").bearer(token).numbered_key(&format!("hold-{n}")).json(&body)
    })?;
    let carried = await_database(program)?;
    let (at_the_end, most) = resident_bytes(program.pid())?;
    say(&format!("memory: {:.0} MB", megabytes(at_the_end)));
    Ok(Row {
        figure: format!("memory with {} products, {} open holds", size.products, size.holds),
        asked: Asked::AtMost(600.0, 300.0),
        unit: "MB",
        measured: Measured::Rounds([megabytes(at_the_end)].into_iter().collect::<Spread>()),
        beside: format!(
            "resident, once the database had everything ({:.0} s later); the most ever {:.0} MB; empty {:.0} MB, with the products {:.0} MB",
            carried.as_secs_f64(),
            megabytes(most),
            megabytes(empty),
            megabytes(with_products)
        ),
    })
}

fn send(program: &Program, count: u64, make: impl FnMut(u64) -> Request + Send) -> anyhow::Result<()> {
    let plan = Plan {
        address: program.address(),
        connections: CONNECTIONS,
        threads: 1,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        window: None,
        patience: PATIENCE,
    };
    let workload = Numbered { make, next: 0, end: count, current: vec![None; CONNECTIONS], wrong: None };
    let (report, back): (Report, _) = drive::run(&plan, vec![workload], &mut ())?;
    if let Some(wrong) = back.into_iter().find_map(|workload| workload.wrong) {
        anyhow::bail!("an answer was not 201: {wrong}");
    }
    let made = report.answers.of(201);
    ensure!(made == count, "{made} of {count} were made; {} requests failed", report.failures + report.unanswered);
    Ok(())
}

/// Waits until write-behind has nothing left to carry; how long that took.
fn await_database(program: &Program) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let lag = Metrics::of(program.address())?.get("son7_write_behind_lag_events");
        if lag.context("the server does not say how far the database is behind")? <= 0.0 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "the database did not catch up within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
