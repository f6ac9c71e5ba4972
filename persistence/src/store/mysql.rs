//! MySQL 8 and later, and MariaDB 10.6 and later: the words that both have in common.
//!
//! * `READ COMMITTED`: a batch changes rows by their keys only, so it needs no gap locks,
//!   and partitions do not wait for each other.
//! * Strict mode is asked for, whatever the server's default: a value that does not fit is
//!   an error, never cut.
//! * The driver asks for `FOUND_ROWS`, so a changed row counts whether or not it differs.

use super::database::within;
use super::lent::Lent;
use super::link::{Dialect, Link};
use super::migrations;
use super::statements::{Sizes, Statements};
use super::values::{Cells, Values, from_datetime, to_datetime};
use super::{StoreError, error};
use son7shop_engine::Time;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, MySql, MySqlPool, Row};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;
use time::PrimitiveDateTime;

/// How long a caller waits for a connection of the pool, opening one included.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);
/// Connections at a time: one for each partition's batch, the rest for reads.
const CONNECTIONS_MAX: u32 = 16;
/// Every statement in every size, with room to spare.
const STATEMENTS_MAX: usize = 256;
/// Connecting once, to migrate.
const CONNECT_SECONDS: u64 = 10;
/// Migrating, waiting for another process that migrates included.
const MIGRATE_SECONDS: u64 = 120;
/// The server's number for "there is no such database".
const UNKNOWN_DATABASE: u16 = 1049;

const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
     innodb_lock_wait_timeout = 20; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Small on purpose: 64 rows fit one record of TLS (16 KiB), and so one write. The driver
/// writes record by record and leaves Nagle's algorithm on, so the end of a longer statement
/// would wait 40 ms for the acknowledgement of its beginning (measured: 512 rows at a time
/// over TLS carried a quarter of the orders).
const ROWS: Sizes = &[64, 16, 4, 1];

static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| {
    // MySQL would rather have a row alias than VALUES(), but MariaDB has none.
    Statements::new(
        ROWS,
        " ON DUPLICATE KEY UPDATE opens_at = VALUES(opens_at), closes_at = VALUES(closes_at), price = VALUES(price), \
         per_customer_limit = VALUES(per_customer_limit), changed_at = VALUES(changed_at), deleted_at = VALUES(deleted_at)",
    )
});

/// A MySQL or MariaDB server's database.
#[derive(Debug)]
pub(super) struct MySqlDialect {
    pool: MySqlPool,
}

impl MySqlDialect {
    /// Opens the database at `url`, makes it where the user may, and brings its tables up.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = MySqlConnectOptions::from_str(url).map_err(|error| StoreError::Url(hide(&error)))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(StoreError::Url("it names no database: add one, as in mysql://USER@HOST:3306/shop".to_owned()));
        }
        let options = options.statement_cache_capacity(STATEMENTS_MAX).disable_statement_logging();
        let mut connection = within(CONNECT_SECONDS, connect(&options)).await?;
        within(MIGRATE_SECONDS, migrations::run_mysql(&mut connection)).await?;
        connection.close().await.map_err(error::mysql)?;
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_WAIT)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(|_| ()) })
            })
            .connect_lazy_with(options);
        Ok(Self { pool })
    }
}

/// Connects, and makes the database where it is missing.
async fn connect(options: &MySqlConnectOptions) -> Result<MySqlConnection, StoreError> {
    match options.connect().await {
        Err(sqlx::Error::Database(said)) if error::mysql_number(&*said) == Some(UNKNOWN_DATABASE) => {}
        outcome => return outcome.map_err(error::mysql),
    }
    let name = options.get_database().unwrap_or_default().replace('`', "``");
    let mut connection = options.clone().database("").connect().await.map_err(error::mysql)?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE IF NOT EXISTS `{name}` DEFAULT CHARACTER SET utf8mb4")))
        .execute(&mut connection)
        .await
        .map_err(error::mysql)?;
    connection.close().await.map_err(error::mysql)?;
    options.connect().await.map_err(error::mysql)
}

/// What is wrong with an address, without the address: it may hold a password.
fn hide(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

impl Dialect for MySqlDialect {
    type Link = MySqlLink;

    const BEGIN_WRITE: &'static str = "START TRANSACTION";
    const BEGIN_READ: &'static str =
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

    async fn writer(&self) -> Result<MySqlLink, StoreError> {
        self.pool.acquire().await.map(|connection| MySqlLink(Lent::new(connection))).map_err(error::mysql)
    }

    async fn reader(&self) -> Result<MySqlLink, StoreError> {
        self.writer().await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// One connection to the server.
#[derive(Debug)]
pub(super) struct MySqlLink(Lent<MySql>);

impl Link for MySqlLink {
    type Values = MySqlValues;
    type Row = MySqlRow;

    fn statements() -> &'static Statements {
        &STATEMENTS
    }

    async fn run_plain(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let connection = self.0.get().map_err(error::mysql)?;
        sqlx::raw_sql(sql).execute(connection).await.map(|_| ()).map_err(error::mysql)
    }

    async fn run(&mut self, sql: &'static str, values: MySqlValues) -> Result<u64, StoreError> {
        let values = values.0.map_err(|said| error::mysql(sqlx::Error::Encode(said)))?;
        let connection = self.0.get().map_err(error::mysql)?;
        let done = sqlx::query_with(sql, values).execute(connection).await.map_err(error::mysql)?;
        Ok(done.rows_affected())
    }

    async fn read(&mut self, sql: &'static str, values: MySqlValues) -> Result<Vec<MySqlRow>, StoreError> {
        let values = values.0.map_err(|said| error::mysql(sqlx::Error::Encode(said)))?;
        let connection = self.0.get().map_err(error::mysql)?;
        sqlx::query_with(sql, values).fetch_all(connection).await.map_err(error::mysql)
    }

    fn give_back(self) {
        self.0.give_back();
    }
}

/// Values for MySQL; an encoding error is kept for the statement.
#[derive(Debug)]
pub(super) struct MySqlValues(Result<MySqlArguments, sqlx::error::BoxDynError>);

impl MySqlValues {
    fn add<'q, T: sqlx::Encode<'q, MySql> + sqlx::Type<MySql>>(&mut self, value: T) {
        if let Ok(arguments) = &mut self.0
            && let Err(error) = arguments.add(value)
        {
            self.0 = Err(error);
        }
    }
}

impl Values for MySqlValues {
    fn with_capacity(count: usize) -> Self {
        let mut arguments = MySqlArguments::default();
        arguments.reserve(count, count * 16);
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
        self.add(to_datetime(value));
    }

    fn maybe_time(&mut self, value: Option<Time>) {
        self.add(value.map(to_datetime));
    }
}

impl Cells for MySqlRow {
    fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.try_get(column).map_err(error::mysql)
    }

    fn maybe_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.try_get(column).map_err(error::mysql)
    }

    fn maybe_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        self.try_get(column).map_err(error::mysql)
    }

    fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.try_get(column).map_err(error::mysql)
    }

    fn maybe_time(&self, column: usize) -> Result<Option<Time>, StoreError> {
        let datetime: Option<PrimitiveDateTime> = self.try_get(column).map_err(error::mysql)?;
        Ok(datetime.map(from_datetime))
    }
}
