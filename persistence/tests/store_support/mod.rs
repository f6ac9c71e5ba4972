//! What the store's tests share: where databases come from, histories, and a look past
//! the store at the rows themselves.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part; a test may fail loudly"
)]

pub mod history;
pub mod paying;
pub mod proxy;

use son7shop_engine::{OrderView, PartitionId};
use son7shop_loadtest::servers::Server;
use son7shop_persistence::store::{AuditRow, ProductRow, Store};
use son7shop_persistence::{JournalId, Position};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

pub const JOURNAL: JournalId = JournalId([7; 16]);

/// Where a suite's databases are made.
pub enum Place {
    /// Files in a folder.
    Sqlite(tempfile::TempDir),
    /// Databases of a server.
    Server(Server),
}

impl Place {
    /// The address of a database that does not exist yet.
    pub fn new_url(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("shop_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}/{name}.db", folder.path().display()),
            Self::Server(server) => server.url_of(&name),
        }
    }
}

/// Seeds from `SON7_SEED`, else `count` drawn ones; print each before it is used.
pub fn seeds(count: usize) -> Vec<u64> {
    match std::env::var("SON7_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).map(|_| rand::random()).collect(),
    }
}

/// A position of the made-up journal: its chain is made of the LSN.
pub fn position(lsn: u64) -> Position {
    position_of(JOURNAL, lsn)
}

pub fn position_of(journal: JournalId, lsn: u64) -> Position {
    let mut chain = [0xab; 32];
    chain[..8].copy_from_slice(&lsn.to_be_bytes());
    Position { journal, lsn: son7shop_engine::Lsn(lsn), chain }
}

/// Everything that an audit shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub positions: Vec<(PartitionId, Position)>,
    pub products: Vec<ProductRow>,
    pub orders: Vec<OrderView>,
}

pub async fn contents(store: &dyn Store) -> Contents {
    let mut contents = Contents::default();
    let mut sink = |row| {
        match row {
            AuditRow::Position(partition, position) => contents.positions.push((partition, position)),
            AuditRow::Product(product) => contents.products.push(product),
            AuditRow::Order(order) => contents.orders.push(order),
        }
        ControlFlow::Continue(())
    };
    store.audit(&mut sink).await.unwrap();
    contents
}

/// Runs statements on the database itself, past the store.
pub async fn execute(url: &str, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// One number, read past the store.
pub async fn number(url: &str, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0)
    } else {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0)
    }
}

/// Every row of every table but the migrations' own, each cell in hexadecimal digits, sorted.
pub async fn dump(url: &str) -> Vec<String> {
    let sqlite = url.starts_with("sqlite:");
    let columns = if sqlite {
        "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
    } else {
        "SELECT CONVERT(table_name USING utf8mb4), CONVERT(column_name USING utf8mb4) FROM information_schema.columns \
         WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in texts(url, columns, 2).await {
        let [table, column] = column.try_into().unwrap();
        if table != "_sqlx_migrations" {
            tables.entry(table).or_default().push(column);
        }
    }
    assert!(tables.len() > 10, "{tables:?}");
    let mut rows = Vec::new();
    for (table, columns) in tables {
        let cells: Vec<String> = columns.iter().map(|name| format!("COALESCE(HEX({name}), '')")).collect();
        for row in texts(url, &format!("SELECT {} FROM {table}", cells.join(", ")), cells.len()).await {
            let cells: Vec<String> = columns.iter().zip(row).map(|(name, cell)| format!("{name}={cell}")).collect();
            rows.push(format!("{table} {}", cells.join(" ")));
        }
    }
    rows.sort_unstable();
    rows
}

async fn texts(url: &str, sql: &str, columns: usize) -> Vec<Vec<String>> {
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| (0..columns).map(|at| row.get(at)).collect()).collect()
    } else {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| (0..columns).map(|at| row.get(at)).collect()).collect()
    }
}
