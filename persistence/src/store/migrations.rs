//! Bringing a database's tables up to this version, from files embedded in the program.
//!
//! A released migration never changes; a new one has the next number in both folders.
//! MySQL cannot undo half a migration, so each of its statements can be run again: one
//! that was cut short (the program was killed) is simply run again.

use super::{StoreError, error};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{MySqlConnection, SqliteConnection};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static MYSQL: Migrator = sqlx::migrate!("migrations/mysql");

/// Runs what is missing. On an error the caller drops the connection.
pub(super) async fn run_sqlite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    SQLITE.run_direct(None, connection, false).await.map_err(|failed| named(failed, &SQLITE, error::sqlite))
}

/// Runs what is missing. On an error the caller drops the connection: it may still hold
/// the migrations' lock.
pub(super) async fn run_mysql(connection: &mut MySqlConnection) -> Result<(), StoreError> {
    match MYSQL.run_direct(None, connection, false).await {
        Err(MigrateError::Dirty(version)) => {
            tracing::warn!(version, "a migration of the database was cut short; running it again");
            // This connection holds the migrations' lock: nobody is at work on that version.
            sqlx::query("DELETE FROM _sqlx_migrations WHERE version = ? AND success = FALSE")
                .bind(version)
                .execute(&mut *connection)
                .await
                .map_err(error::mysql)?;
            MYSQL.run_direct(None, connection, false).await
        }
        outcome => outcome,
    }
    .map_err(|failed| named(failed, &MYSQL, error::mysql))
}

fn named(failed: MigrateError, known: &Migrator, database: fn(sqlx::Error) -> StoreError) -> StoreError {
    let newest = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    match failed {
        MigrateError::VersionMissing(found) if found > newest => StoreError::SchemaNewer { found, known: newest },
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            StoreError::SchemaAltered { version }
        }
        MigrateError::ExecuteMigration(source, version) => match database(source) {
            StoreError::Refused(source) | StoreError::Denied(source) => StoreError::Migration { version, source },
            other => other,
        },
        MigrateError::Execute(source) => database(source),
        other => StoreError::Refused(sqlx::Error::Migrate(Box::new(other))),
    }
}
