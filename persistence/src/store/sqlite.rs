//! SQLite: the database that needs no server, and the default.
//!
//! * **WAL**, so that readers and the writer do not wait for each other.
//! * **One writer**, and each batch begins with `BEGIN IMMEDIATE`: SQLite has one writer at
//!   a time anyway, and a transaction that asks for the lock late can only fail. Readers
//!   have connections of their own, opened read-only.
//! * **`synchronous = FULL`**. With NORMAL the last batches could be gone after a power
//!   failure. Position and rows would go together, so the file would still be right; but by
//!   then the journal may have dropped the segments, and the owners may have forgotten the
//!   orders, that the database had said it has. FULL costs one sync for a batch of
//!   thousands of rows.

use super::database::within;
use super::lent::Lent;
use super::link::{Dialect, Link};
use super::migrations;
use super::statements::{Sizes, Statements};
use super::values::{Cells, Values, from_text, to_text};
use super::{StoreError, error};
use son7shop_engine::Time;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, ConnectOptions, Connection, Row, Sqlite, SqlitePool};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

/// How long a statement waits for another process's lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of the pool.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);
/// Readers at a time: pages of orders and one audit.
const READERS_MAX: u32 = 4;
/// Every statement in every size, with room to spare.
const STATEMENTS_MAX: usize = 256;
/// Opening and migrating a file.
const OPEN_SECONDS: u64 = 60;

/// SQLite takes 32,766 values in a statement; the widest row has 17.
const ROWS: Sizes = &[512, 128, 32, 8, 1];

static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| {
    Statements::new(
        ROWS,
        " ON CONFLICT (sku, number) DO UPDATE SET opens_at = excluded.opens_at, closes_at = excluded.closes_at, \
         price = excluded.price, per_customer_limit = excluded.per_customer_limit, changed_at = excluded.changed_at, \
         deleted_at = excluded.deleted_at",
    )
});

/// A SQLite file.
#[derive(Debug)]
pub(super) struct SqliteDialect {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteDialect {
    /// Opens the file at `url`, makes it where it is missing, and brings its tables up.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(StoreError::Url("a database in memory would be empty after every start".to_owned()));
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|error| StoreError::Url(error.to_string()))?;
        Self::open_with(options).await
    }

    /// The same for a path, whatever characters it has.
    pub(super) async fn open_file(path: &std::path::Path) -> Result<Self, StoreError> {
        Self::open_with(SqliteConnectOptions::new().filename(path)).await
    }

    async fn open_with(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_WAIT)
            .statement_cache_capacity(STATEMENTS_MAX)
            // Checkpoints rewrite pages of the file: the fewer, the more rows share a page.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-16384")
            .disable_statement_logging();
        within(OPEN_SECONDS, async {
            let mut connection = options.connect().await.map_err(error::sqlite)?;
            migrations::run_sqlite(&mut connection).await?;
            connection.close().await.map_err(error::sqlite)
        })
        .await?;
        let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_WAIT).test_before_acquire(false);
        Ok(Self {
            writer: pool().max_connections(1).connect_lazy_with(options.clone()),
            readers: pool().max_connections(READERS_MAX).connect_lazy_with(options.read_only(true)),
        })
    }
}

impl Dialect for SqliteDialect {
    type Link = SqliteLink;

    const BEGIN_WRITE: &'static str = "BEGIN IMMEDIATE";
    // Deferred: the first read takes the view that all later ones see.
    const BEGIN_READ: &'static str = "BEGIN";

    async fn writer(&self) -> Result<SqliteLink, StoreError> {
        self.writer.acquire().await.map(|connection| SqliteLink(Lent::new(connection))).map_err(error::sqlite)
    }

    async fn reader(&self) -> Result<SqliteLink, StoreError> {
        self.readers.acquire().await.map(|connection| SqliteLink(Lent::new(connection))).map_err(error::sqlite)
    }

    async fn close(&self) {
        self.readers.close().await;
        // The last to close folds the WAL into the file.
        self.writer.close().await;
    }
}

/// One connection to the file.
#[derive(Debug)]
pub(super) struct SqliteLink(Lent<Sqlite>);

impl Link for SqliteLink {
    type Values = SqliteValues;
    type Row = SqliteRow;

    fn statements() -> &'static Statements {
        &STATEMENTS
    }

    async fn run_plain(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let connection = self.0.get().map_err(error::sqlite)?;
        sqlx::raw_sql(sql).execute(connection).await.map(|_| ()).map_err(error::sqlite)
    }

    async fn run(&mut self, sql: &'static str, values: SqliteValues) -> Result<u64, StoreError> {
        let values = values.0.map_err(|said| error::sqlite(sqlx::Error::Encode(said)))?;
        let connection = self.0.get().map_err(error::sqlite)?;
        let done = sqlx::query_with(sql, values).execute(connection).await.map_err(error::sqlite)?;
        Ok(done.rows_affected())
    }

    async fn read(&mut self, sql: &'static str, values: SqliteValues) -> Result<Vec<SqliteRow>, StoreError> {
        let values = values.0.map_err(|said| error::sqlite(sqlx::Error::Encode(said)))?;
        let connection = self.0.get().map_err(error::sqlite)?;
        sqlx::query_with(sql, values).fetch_all(connection).await.map_err(error::sqlite)
    }

    fn give_back(self) {
        self.0.give_back();
    }
}

/// Values for SQLite; an encoding error is kept for the statement.
#[derive(Debug)]
pub(super) struct SqliteValues(Result<SqliteArguments, sqlx::error::BoxDynError>);

impl SqliteValues {
    fn add<'q, T: sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite>>(&mut self, value: T) {
        if let Ok(arguments) = &mut self.0
            && let Err(error) = arguments.add(value)
        {
            self.0 = Err(error);
        }
    }
}

impl Values for SqliteValues {
    fn with_capacity(count: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(count, 0);
        Self(Ok(arguments))
    }

    fn int(&mut self, value: i64) {
        self.add(value);
    }

    fn maybe_int(&mut self, value: Option<i64>) {
        self.add(value);
    }

    fn text(&mut self, value: &str) {
        self.add(value);
    }

    fn maybe_text(&mut self, value: Option<&str>) {
        self.add(value);
    }

    fn time(&mut self, value: Time) {
        self.add(to_text(value).as_str());
    }

    fn maybe_time(&mut self, value: Option<Time>) {
        match value {
            Some(value) => self.time(value),
            None => self.add(None::<&str>),
        }
    }
}

impl Cells for SqliteRow {
    fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.try_get(column).map_err(error::sqlite)
    }

    fn maybe_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.try_get(column).map_err(error::sqlite)
    }

    fn maybe_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        self.try_get(column).map_err(error::sqlite)
    }

    fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.try_get(column).map_err(error::sqlite)
    }

    fn maybe_time(&self, column: usize) -> Result<Option<Time>, StoreError> {
        let text: Option<&str> = self.try_get(column).map_err(error::sqlite)?;
        text.map(|text| {
            from_text(text)
                .ok_or_else(|| StoreError::BadRow { table: "a table", what: format!("'{text}' in a column of times") })
        })
        .transpose()
    }
}
