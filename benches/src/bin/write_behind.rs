//! Write-behind alone: orders a second into SQLite, MariaDB and MySQL by
//! `Store::apply`, against a plain multi-row insert of the same rows into the same tables,
//! in transactions of the same size. Rounds in turn (store, plain, store, plain), each into
//! a new database; medians with minimum and maximum.
//!
//! The plain insert knows nothing of stock, positions or events: its values lie ready as
//! texts and numbers.
//!
//! `write_behind [ROUNDS] [ORDERS] [WHAT]`: the rounds (5), the orders in each (40,000),
//! and which rows (those whose name has it; all). With `--json` for `WHAT` all rows, a JSON
//! line each, for the speed table.

use anyhow::{Context, Result, ensure};
use son7shop_benches::rows::in_process::WRITE_BEHIND_ASKED;
use son7shop_engine::{CustomerId, Event, Lsn, OrderId, PartitionId, PricedLine, Record, RequestKey, Sku, Time, Won};
use son7shop_loadtest::servers::{Kind, Server, ServerError};
use son7shop_persistence::store::{self, Batch};
use son7shop_persistence::{JournalId, Position};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Database, Encode, Executor, IntoArguments, QueryBuilder, Type};
use std::str::FromStr;
use std::time::Instant;

/// Events in a batch, on both sides: what write-behind sends when it has much to carry
/// (`BATCH_EVENTS_MAX` in `actors/src/write_behind.rs`).
const BATCH: usize = 4096;
/// Rows in one plain insert; 64 where the driver speaks TLS, which is the fastest there: a
/// longer statement waits for Nagle's algorithm, and a slow rival proves nothing.
const ROWS: usize = 1000;
const ROWS_TLS: usize = 64;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse()).context("ROUNDS is a number")?;
    let orders: usize = args.next().map_or(Ok(40_000), |text| text.parse()).context("ORDERS is a number")?;
    let wanted = args.next().unwrap_or_default();
    ensure!(rounds > 0 && orders >= BATCH, "nothing to measure: at least one round, at least {BATCH} orders");
    let json = wanted == "--json";
    if !json {
        println!("{:<34} {:>12} {:>12}  {:>24}", "orders a second, median", "store", "plain", "ratio (min to max)");
    }
    for kind in [None, Some(Kind::MariaDb), Some(Kind::MySql)] {
        let place = match Place::new(kind) {
            Ok(place) => place,
            Err(error) => {
                if json {
                    let name = kind.map_or("SQLite".to_owned(), |kind| kind.to_string());
                    let none: [f64; 0] = [];
                    let why = format!("{error:#}");
                    println!("{}", serde_json::json!({"row": name, "store": none, "plain": none, "not_run": why}));
                } else {
                    println!("NOT RUN: {error:#}");
                }
                continue;
            }
        };
        for products in [1, 10_000] {
            let name = format!("{}, {products} products", place.name());
            if json || name.contains(&wanted) {
                measure(&place, &name, rounds, orders, products, json).await?;
            }
        }
    }
    if !json {
        println!("{WRITE_BEHIND_ASKED}");
    }
    Ok(())
}

async fn measure(place: &Place, name: &str, rounds: usize, orders: usize, products: usize, json: bool) -> Result<()> {
    let work = Work::new(orders, products)?;
    let (mut stored, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let a = by_store(&place.url(&format!("s{products}_{round}")), &work).await?;
        let b = by_plain_insert(&place.url(&format!("p{products}_{round}")), &work, place.rows()).await?;
        stored.push(a);
        plain.push(b);
        ratios.push(a / b);
    }
    if json {
        println!("{}", serde_json::json!({"row": name, "store": stored, "plain": plain}));
        return Ok(());
    }
    let (low, high) = (min(&ratios), max(&ratios));
    println!(
        "{name:<34} {:>12.0} {:>12.0}  {:>8.2} ({low:.2} to {high:.2})",
        median(&mut stored),
        median(&mut plain),
        median(&mut ratios)
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Where databases are made.
enum Place {
    Sqlite(tempfile::TempDir),
    Server(Server),
}

impl Place {
    fn new(kind: Option<Kind>) -> Result<Self> {
        let Some(kind) = kind else { return Ok(Self::Sqlite(tempfile::tempdir()?)) };
        let log = if kind == Kind::MariaDb { "--innodb-log-file-size=512M" } else { "--innodb-redo-log-capacity=1G" };
        let started: Result<Server, ServerError> = Server::start(kind, &["--innodb-buffer-pool-size=1G", log]);
        Ok(Self::Server(started?))
    }

    fn name(&self) -> String {
        match self {
            Self::Sqlite(_) => "SQLite".to_owned(),
            Self::Server(server) => server.kind().to_string(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Server(server) if server.kind() == Kind::MySql => ROWS_TLS,
            _ => ROWS,
        }
    }

    fn url(&self, name: &str) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}/{name}.db", folder.path().display()),
            Self::Server(server) => server.url_of(name),
        }
    }
}

/// The events, and the rows that they become.
struct Work {
    products: Vec<Record>,
    orders: Vec<Record>,
    rows: Vec<PlainRow>,
}

/// An order as its rows have it: one in `orders`, one in `order_lines`, one in `timeline`.
struct PlainRow {
    id: String,
    customer: String,
    sku: String,
    total: i64,
    placed_at: Time,
    expires_at: Time,
    lsn: i64,
}

impl Work {
    #[expect(clippy::cast_possible_wrap, reason = "small counts")]
    fn new(orders: usize, products: usize) -> Result<Self> {
        let start = Time(1_800_000_000_000);
        let skus = (0..products).map(|n| Sku::parse(&format!("product-{n:06}"))).collect::<Result<Vec<_>, _>>()?;
        let create = |sku: &Sku| {
            let event = Event::ProductCreated {
                sku: sku.clone(),
                name: sku.as_str().into(),
                price: Won(12_000),
                on_hand: 1_000_000_000,
                key: None,
            };
            Record { at: start, event }
        };
        let mut work = Self { products: skus.iter().map(create).collect(), orders: Vec::new(), rows: Vec::new() };
        for n in 0..orders {
            // Sixty orders a millisecond; products and customers in an order that looks like chance.
            let at = start.plus_millis((n / 60) as i64);
            let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let customer = CustomerId::parse(&format!("customer-{:07}", mixed % 1_000_000))?;
            let sku = skus[(mixed >> 32) as usize % products].clone();
            let (id, deadline) = (OrderId::new(at, mixed, PartitionId(0)), at.plus_millis(600_000));
            let total = Won(12_000);
            work.rows.push(PlainRow {
                id: id.to_string(),
                customer: customer.to_string(),
                sku: sku.to_string(),
                total: total.0,
                placed_at: at,
                expires_at: deadline,
                lsn: (products + n + 1) as i64,
            });
            let lines = [PricedLine { sku, quantity: 1, unit_price: total, sale: 0 }].into_iter().collect();
            let key = RequestKey { key: [1; 16], request: [2; 16] };
            work.orders.push(Record { at, event: Event::OrderPlaced { id, customer, key, lines, total, deadline } });
        }
        Ok(work)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(work: &Work, began: Instant) -> f64 {
    work.orders.len() as f64 / began.elapsed().as_secs_f64()
}

fn position(lsn: usize) -> Position {
    Position { journal: JournalId([1; 16]), lsn: Lsn(lsn as u64), chain: [3; 32] }
}

/// Orders a second through the store.
async fn by_store(url: &str, work: &Work) -> Result<f64> {
    let store = store::connect(url).await?;
    let mut at = 0;
    let mut began = Instant::now();
    for (nth, records) in work.products.chunks(BATCH).chain(work.orders.chunks(BATCH)).enumerate() {
        if nth == work.products.len().div_ceil(BATCH) {
            began = Instant::now();
        }
        let before = (at > 0).then(|| position(at));
        at += records.len();
        store.apply(&Batch { partition: PartitionId(0), before, after: position(at), records }).await?;
    }
    let rate = rate(work, began);
    store.close().await;
    Ok(rate)
}

/// Orders a second by plain inserts into the same tables.
async fn by_plain_insert(url: &str, work: &Work, rows: usize) -> Result<f64> {
    // The store makes the tables.
    store::connect(url).await?.close().await;
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-16384")
            .disable_statement_logging();
        insert_all(options.connect().await?, work, rows, |time| {
            let time = datetime(time);
            let (year, month, day) = time.to_calendar_date();
            let (hour, minute, second, milli) = time.as_hms_milli();
            format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03}", u8::from(month))
        })
        .await
    } else {
        insert_all(
            MySqlConnectOptions::from_str(url)?.disable_statement_logging().connect().await?,
            work,
            rows,
            datetime,
        )
        .await
    }
}

fn datetime(time: Time) -> time::PrimitiveDateTime {
    let utc = time::OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(time.0);
    time::PrimitiveDateTime::new(utc.date(), utc.time())
}

async fn insert_all<C, T>(mut connection: C, work: &Work, at_once: usize, time: fn(Time) -> T) -> Result<f64>
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
    <C::Database as Database>::Arguments: IntoArguments<C::Database>,
    T: for<'q> Encode<'q, C::Database> + Type<C::Database> + Clone + Send + 'static,
    for<'q> &'q str: Encode<'q, C::Database> + Type<C::Database>,
    for<'q> i64: Encode<'q, C::Database> + Type<C::Database>,
{
    let times: Vec<(T, T)> = work.rows.iter().map(|row| (time(row.placed_at), time(row.expires_at))).collect();
    let rows: Vec<(&PlainRow, &(T, T))> = work.rows.iter().zip(&times).collect();
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        connection.execute("BEGIN").await?;
        for rows in batch.chunks(at_once) {
            let mut sql = QueryBuilder::<C::Database>::new(
                "INSERT INTO orders (id, partition_id, customer_id, status, total, placed_at, expires_at, lsn) ",
            );
            sql.push_values(rows, |mut row, (order, (placed_at, expires_at))| {
                row.push_bind(order.id.as_str()).push_bind(0_i64).push_bind(order.customer.as_str());
                row.push_bind("held").push_bind(order.total);
                row.push_bind(placed_at.clone()).push_bind(expires_at.clone()).push_bind(order.lsn);
            });
            connection.execute(sql.build()).await?;
            let mut sql = QueryBuilder::<C::Database>::new(
                "INSERT INTO order_lines (order_id, sku, quantity, unit_price, sale_number) ",
            );
            sql.push_values(rows, |mut row, (order, _)| {
                row.push_bind(order.id.as_str()).push_bind(order.sku.as_str()).push_bind(1_i64);
                row.push_bind(order.total).push_bind(0_i64);
            });
            connection.execute(sql.build()).await?;
            let mut sql =
                QueryBuilder::<C::Database>::new("INSERT INTO timeline (order_id, partition_id, lsn, at, event) ");
            sql.push_values(rows, |mut row, (order, (placed_at, _))| {
                row.push_bind(order.id.as_str()).push_bind(0_i64).push_bind(order.lsn);
                row.push_bind(placed_at.clone()).push_bind("placed");
            });
            connection.execute(sql.build()).await?;
        }
        connection.execute("COMMIT").await?;
    }
    let rate = rate(work, began);
    connection.close().await?;
    Ok(rate)
}
