//! What each way asks the database. One function each, on one connection; a round trip each line.

use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, Row as _};

const READ: &str = "SELECT on_hand, version FROM lab_stock WHERE sku = 'air'";
const READ_LOCKED: &str = "SELECT on_hand, version FROM lab_stock WHERE sku = 'air' FOR UPDATE";
const WRITE: &str = "UPDATE lab_stock SET on_hand = ? WHERE sku = 'air'";
const ORDER: &str = "INSERT INTO lab_orders (sku, quantity) VALUES ('air', 1)";
const TAKE: &str = "UPDATE lab_stock SET on_hand = on_hand - 1 WHERE sku = 'air' AND on_hand >= 1";
const TAKE_VERSION: &str = "UPDATE lab_stock SET on_hand = ?, version = version + 1 WHERE sku = 'air' AND version = ?";
const CALL: &str = "CALL lab_buy()";

/// What [`CALL`] calls. It answers by its last statement, so that a call is one round trip; the answer
/// is sent after the commit.
pub(super) const PROCEDURE: &str = "CREATE PROCEDURE lab_buy() BEGIN \
       DECLARE here BIGINT; \
       DECLARE sold INT DEFAULT 0; \
       DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; \
       START TRANSACTION; \
       SELECT on_hand INTO here FROM lab_stock WHERE sku = 'air' FOR UPDATE; \
       IF here >= 1 THEN \
         UPDATE lab_stock SET on_hand = here - 1 WHERE sku = 'air'; \
         INSERT INTO lab_orders (sku, quantity) VALUES ('air', 1); \
         SET sold = 1; \
       END IF; \
       COMMIT; \
       SELECT sold; \
     END";

/// How the database is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Read, subtract in the program, write: what goes wrong.
    Naive,
    /// `BEGIN`, `SELECT … FOR UPDATE`, `UPDATE`, `INSERT`, `COMMIT`, each a round trip: what JPA's
    /// pessimistic lock does.
    RowLock,
    /// The same in one call.
    Procedure,
    /// `UPDATE … WHERE on_hand >= 1`.
    Conditional,
    /// A version column: read, then write if nobody else has; else again.
    Optimistic,
    /// A read-modify-write that a lock elsewhere protects.
    UnderALock,
}

impl Way {
    /// All that need nothing but the database.
    pub const ALL: [Self; 5] = [Self::Naive, Self::RowLock, Self::Procedure, Self::Conditional, Self::Optimistic];

    /// Its name, behind the server's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::RowLock => "for-update",
            Self::Procedure => "procedure",
            Self::Conditional => "conditional-update",
            Self::Optimistic => "optimistic",
            Self::UnderALock => "under-a-lock",
        }
    }

    /// What it does, in one sentence.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Naive => "read, subtract, write, without a lock or a transaction",
            Self::RowLock => "BEGIN, SELECT … FOR UPDATE, UPDATE, INSERT, COMMIT: five round trips",
            Self::Procedure => "a stored procedure that locks the row: one round trip",
            Self::Conditional => "BEGIN, INSERT, UPDATE … WHERE on_hand >= 1, COMMIT: the hot row is locked last",
            Self::Optimistic => {
                "a version column: read, BEGIN, UPDATE … WHERE version = ?, INSERT, COMMIT; again after each lost race"
            }
            Self::UnderALock => "a lock elsewhere around read, BEGIN, UPDATE, INSERT, COMMIT",
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    Sold,
    SoldOut,
    /// Somebody else was faster: again.
    Lost,
}

/// Tries once to buy a unit.
pub(super) async fn buy(way: Way, connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    match way {
        Way::Naive => naive(connection).await,
        Way::RowLock => row_lock(connection).await,
        Way::Procedure => procedure(connection).await,
        Way::Conditional => conditional(connection).await,
        Way::Optimistic => optimistic(connection).await,
        Way::UnderALock => under_a_lock(connection).await,
    }
}

/// Units on hand and their version.
async fn read(connection: &mut MySqlConnection, statement: &'static str) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn naive(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    let (on_hand, _) = read(connection, READ).await?;
    if on_hand < 1 {
        return Ok(Tried::SoldOut);
    }
    sqlx::query(WRITE).bind(on_hand - 1).execute(&mut *connection).await?;
    sqlx::query(ORDER).execute(connection).await?;
    Ok(Tried::Sold)
}

/// The write and the order are one transaction. The read is before it: a database that looks for
/// conflicts by itself (MariaDB from 11.6) must not hide that the lock has failed.
async fn under_a_lock(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    let (on_hand, _) = read(connection, READ).await?;
    if on_hand < 1 {
        return Ok(Tried::SoldOut);
    }
    let mut transaction = connection.begin().await?;
    sqlx::query(WRITE).bind(on_hand - 1).execute(&mut *transaction).await?;
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Tried::Sold)
}

async fn row_lock(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let (on_hand, _) = read(&mut transaction, READ_LOCKED).await?;
    if on_hand < 1 {
        transaction.rollback().await?;
        return Ok(Tried::SoldOut);
    }
    sqlx::query(WRITE).bind(on_hand - 1).execute(&mut *transaction).await?;
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Tried::Sold)
}

async fn procedure(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    // All of the answer: an error may come after the row.
    let rows = sqlx::query(CALL).fetch_all(connection).await?;
    let sold: i64 = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    Ok(if sold == 1 { Tried::Sold } else { Tried::SoldOut })
}

/// The order first: the row that everybody wants is locked for the commit only.
async fn conditional(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    let taken = sqlx::query(TAKE).execute(&mut *transaction).await?;
    if taken.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(Tried::SoldOut);
    }
    transaction.commit().await?;
    Ok(Tried::Sold)
}

async fn optimistic(connection: &mut MySqlConnection) -> Result<Tried, sqlx::Error> {
    let (on_hand, version) = read(connection, READ).await?;
    if on_hand < 1 {
        return Ok(Tried::SoldOut);
    }
    let mut transaction = connection.begin().await?;
    let taken = sqlx::query(TAKE_VERSION).bind(on_hand - 1).bind(version).execute(&mut *transaction).await?;
    if taken.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(Tried::Lost);
    }
    sqlx::query(ORDER).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Tried::Sold)
}
