//! What the program does, one file for each command.

pub(crate) mod journal;
pub(crate) mod paying;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod verify;

use son7shop_http::settings::{Settings, TOKEN_KEY};
use son7shop_http::token::{KeyError, SigningKey};
use son7shop_persistence::journal::{DiskStorage, Storage};
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// The operator's key, or the data folder's own.
fn signing_key(settings: &Settings, key: Option<&str>) -> Result<SigningKey, KeyError> {
    match key {
        Some(pem) => SigningKey::from_pem(pem, TOKEN_KEY),
        None => SigningKey::local(&settings.data_dir),
    }
}

/// The disk.
#[cfg(not(feature = "faults"))]
fn storage() -> Arc<dyn Storage> {
    Arc::new(DiskStorage)
}

/// The disk, or one that keeps what was not synced in this process's memory, so that
/// `kill -9` loses it: for the crash test, when it asks. `lie` is a disk that acknowledges
/// before it has synced: it shows that the crash test can fail.
#[cfg(feature = "faults")]
fn storage() -> Arc<dyn Storage> {
    use son7shop_persistence::journal::faults::HeldStorage;
    let Some(how) = std::env::var_os("SON7_TEST_HOLD_UNSYNCED") else { return Arc::new(DiskStorage) };
    tracing::warn!("unsynced bytes are held in memory: this is a test");
    if how == "lie" {
        return Arc::new(HeldStorage::lying());
    }
    Arc::new(HeldStorage::new(std::time::Duration::ZERO))
}

/// So many of something, for people.
fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Logs to standard error: for people on a terminal, as JSON elsewhere.
fn log_to_stderr(settings: &Settings) -> anyhow::Result<()> {
    // What the library says of a path may hold what a return address proves.
    let filter = EnvFilter::try_new(&settings.log)?.add_directive("warp=info".parse()?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().with_current_span(false).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "order")), ["0 orders", "1 order", "2 orders"]);
    }
}
