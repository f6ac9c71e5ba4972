//! An endpoint's delivery log: what was tried, when, and what came of it. Two files in turn
//! hold the newest 5,000 to 10,000 tries.
//!
//! The log is for people: it is written behind the deliveries, never synced, and a line that a
//! crash has torn is left out. It must never hold a body or an address.

use super::store::Files;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Tries in one of the two files.
const FILE_MAX: u64 = 5000;

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The endpoint answered 2xx.
    Delivered,
    /// It did not; there will be another try.
    Failed,
    /// It did not, and this was the last try.
    GivenUp,
    /// It answered 410 and is disabled; there will be another try once it is enabled.
    Gone,
    /// Messages that were not tried at all: what they stood in was older than the journal is
    /// kept for webhooks.
    Skipped,
}

impl DeliveryOutcome {
    /// The outcome as it stands in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
        }
    }
}

/// A line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number in the log.
    pub number: u64,
    /// When the try began, in milliseconds since 1970.
    pub at: i64,
    /// The message's id.
    pub message: String,
    /// The message's type.
    pub event: String,
    /// Which try, from 1.
    pub attempt: u32,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// The status that was answered, if any was.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// When the next try is due, in milliseconds since 1970.
    pub next_try: Option<i64>,
}

/// The two files of an endpoint's log. Everything here blocks.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    old: PathBuf,
    next: u64,
    /// Lines in the newer file.
    lines: u64,
}

impl Log {
    /// The log as its files have it; files that cannot be read begin anew.
    pub(super) fn open(files: &Files, id: &str) -> Self {
        let mut log = Self { path: files.log_path(id), old: files.old_log_path(id), next: 1, lines: 0 };
        let (older, newer) = (read(&log.old), read(&log.path));
        log.next = newer.last().or(older.last()).map_or(1, |last| last.number + 1);
        log.lines = newer.len() as u64;
        log
    }

    /// Appends these, numbered in their order.
    pub(super) fn append(&mut self, deliveries: Vec<Delivery>) -> std::io::Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        if self.lines >= FILE_MAX {
            fs::rename(&self.path, &self.old)?;
            self.lines = 0;
        }
        let mut text = String::new();
        for mut delivery in deliveries {
            delivery.number = self.next;
            self.next += 1;
            self.lines += 1;
            // A line in front of each: what a crash has torn stands alone.
            text.push('\n');
            text.push_str(&serde_json::to_string(&delivery)?);
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())
    }

    /// Up to `limit` lines before number `before`, newest first.
    pub(super) fn page(&self, before: Option<u64>, limit: usize) -> Vec<Delivery> {
        let mut lines = read(&self.old);
        lines.extend(read(&self.path));
        let wanted = lines.into_iter().rev().filter(|line| before.is_none_or(|before| line.number < before));
        wanted.take(limit).collect()
    }
}

fn read(path: &PathBuf) -> Vec<Delivery> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "a webhook's delivery log cannot be read");
            }
            return Vec::new();
        }
    };
    bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(message: u64) -> Delivery {
        Delivery {
            number: 0,
            at: 0,
            message: message.to_string(),
            event: "ping".to_owned(),
            attempt: 1,
            outcome: DeliveryOutcome::Delivered,
            status: Some(200),
            error: None,
            millis: 1,
            next_try: None,
        }
    }

    #[test]
    fn the_newest_tries_are_kept_and_numbered_on() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("webhooks")).unwrap();
        let files = Files::new(data.path(), [7; 16]);
        let mut log = Log::open(&files, "wh");
        assert_eq!(log.page(None, 10), []);
        for batch in 0..26 {
            log.append((0..500).map(|n| delivery(batch * 500 + n)).collect()).unwrap();
        }
        // What a crash has torn is left out.
        OpenOptions::new().append(true).open(files.log_path("wh")).unwrap().write_all(b"\n{\"numb").unwrap();
        let mut log = Log::open(&files, "wh");
        log.append(vec![delivery(13_000)]).unwrap();
        let all = log.page(None, usize::MAX);
        let numbers: Vec<u64> = all.iter().map(|line| line.number).collect();
        assert_eq!(numbers, (5001..=13_001).rev().collect::<Vec<_>>());
        assert!(all.iter().all(|line| line.message == (line.number - 1).to_string()));
        let page = log.page(Some(13_000), 2);
        assert_eq!(page.iter().map(|line| line.number).collect::<Vec<_>>(), [12_999, 12_998]);
    }
}
