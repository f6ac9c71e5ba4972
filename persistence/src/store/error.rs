//! What can go wrong with a database, by what has to be done about it.

use crate::{JournalId, Position};
use son7shop_engine::{Lsn, PartitionId};

/// Why a store did not do what was asked. Nothing of the batch is in the database, except
/// after [`StoreError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server or the file cannot be reached, is full, or shut the connection.
    /// Waiting and asking again may help.
    #[error("the database cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The database did not answer in time. Waiting and asking again may help.
    #[error("the database did not answer within {seconds} seconds")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// Another transaction was in the way (a deadlock, or a lock that was not given up in
    /// time); this one was rolled back. Asking again helps.
    #[error("another transaction was in the way")]
    Contended(#[source] sqlx::Error),
    /// The batch may or may not be in the database: COMMIT went unanswered and the
    /// position could not be read since. Send the same batch again: it is applied only if
    /// it is not there.
    #[error("it is not known whether the batch reached the database")]
    OutcomeUnknown(#[source] Box<StoreError>),
    /// The store was closed.
    #[error("the store was closed")]
    Closed,

    /// The address is not one of a database.
    #[error("the database address is not usable: {0}")]
    Url(String),
    /// The database refuses the user, the password, or what the user may do.
    #[error("the database refused access")]
    Denied(#[source] sqlx::Error),
    /// The tables were made by a newer version of this program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: run the newer program, or use another database"
    )]
    SchemaNewer {
        /// The version found.
        found: i64,
        /// The newest version that this program has.
        known: i64,
    },
    /// The tables were made by another build with the same version number.
    #[error(
        "schema version {version} of the database is not the one that this program has: run the program that made it, or use another database"
    )]
    SchemaAltered {
        /// The version that differs.
        version: i64,
    },
    /// Bringing the tables up to this version failed.
    #[error("the database's tables could not be brought up to version {version}")]
    Migration {
        /// The version that failed.
        version: i64,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },

    /// The database follows another journal: it belongs to another data folder.
    #[error("the database follows journal {found}, not {expected}: it belongs to another data folder")]
    ForeignJournal {
        /// Whose events the batch has.
        expected: JournalId,
        /// Whose events the database has.
        found: JournalId,
    },
    /// The database does not stand where the batch starts, nor where it ends.
    #[error("the database stands at LSN {} in partition {partition}, the batch starts after {}", lsn(.found.as_deref()), lsn(.expected.as_deref()))]
    PositionConflict {
        /// The batch's partition.
        partition: PartitionId,
        /// Where the batch starts.
        expected: Option<Box<Position>>,
        /// Where the database stands.
        found: Option<Box<Position>>,
    },
    /// The batch's positions and events do not fit each other: a defect of the caller.
    #[error("the batch is not one: {0}")]
    BadBatch(&'static str),
    /// The database's rows are not what the events before this batch made them: somebody
    /// else changed them.
    #[error("the database's rows differ from the journal: {0}")]
    Diverged(String),
    /// A row holds a value that the shop never writes.
    #[error("a row of {table} holds what was never written: {what}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// The value, for people.
        what: String,
    },
    /// The file is damaged, or is no database.
    #[error("the database's file is damaged or is none")]
    Damaged(#[source] sqlx::Error),
    /// The database refused a statement for a reason that is none of the above.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut { .. } | Self::Contended(_) | Self::OutcomeUnknown(_))
    }
}

fn lsn(position: Option<&Position>) -> Lsn {
    position.map_or(Lsn(0), |position| position.lsn)
}

/// What an error of MySQL or MariaDB means for the caller.
pub(super) fn mysql(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(said) = &error else { return common(error) };
    match mysql_number(&**said).unwrap_or(0) {
        // Deadlock, lock wait, MariaDB's "record has changed since last read".
        1205 | 1213 | 1020 => StoreError::Contended(error),
        // Too many connections (1040, 1203, 1226), shutting down (1053), disk or table full
        // (1021, 1114), out of memory (1037, 1041), the network (1158-1161), connection or
        // statement killed (1317, 1927, 1969, 3024, 4031), read-only after a failover
        // (1290, 1792, 1836).
        1040
        | 1203
        | 1226
        | 1053
        | 1021
        | 1114
        | 1037
        | 1041
        | 1158..=1161
        | 1317
        | 1927
        | 1969
        | 3024
        | 4031
        | 1290
        | 1792
        | 1836 => StoreError::Unavailable(error),
        // Access (1044, 1045, 1142, 1143, 1227, 1698), host (1129, 1130).
        1044 | 1045 | 1142 | 1143 | 1227 | 1698 | 1129 | 1130 => StoreError::Denied(error),
        _ => refused(error),
    }
}

/// The server's number for an error.
pub(super) fn mysql_number(said: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

/// What an error of SQLite means for the caller.
pub(super) fn sqlite(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(said) = &error else { return common(error) };
    let code = said.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(1);
    // The low byte is the primary code.
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => StoreError::Contended(error),
        // NOMEM, READONLY, IOERR, FULL, CANTOPEN.
        7 | 8 | 10 | 13 | 14 => StoreError::Unavailable(error),
        // CORRUPT, NOTADB.
        11 | 26 => StoreError::Damaged(error),
        // PERM, AUTH.
        3 | 23 => StoreError::Denied(error),
        _ => refused(error),
    }
}

/// A statement that the tables themselves refuse: the rows are not as the journal left them.
fn refused(error: sqlx::Error) -> StoreError {
    use sqlx::error::ErrorKind;
    match &error {
        sqlx::Error::Database(said) if said.kind() != ErrorKind::Other => {
            StoreError::Diverged(said.message().to_owned())
        }
        _ => StoreError::Refused(error),
    }
}

fn common(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        sqlx::Error::Configuration(cause) => StoreError::Url(cause.to_string()),
        sqlx::Error::ColumnDecode { index, source } => {
            StoreError::BadRow { table: "a table", what: format!("column {index}: {source}") }
        }
        // A protocol error is a connection that broke in the middle of an answer.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error),
        other => StoreError::Refused(other),
    }
}
