//! The webhooks' files: `webhooks/` in the data folder, made when the first endpoint is.
//!
//! ```text
//! webhooks/
//!   endpoints.json    the endpoints with their secrets; mode 0600
//!   ID.queue          an endpoint's places and what waits for it; written at most once a second
//!   ID.log, ID.log.old  its deliveries, a line of JSON each; two files in turn
//! ```
//!
//! A file is replaced as a whole: written under another name, synced, renamed, and the folder
//! synced, so that a crash leaves the old one or the new one. The shop must never start without
//! a file that it cannot read: endpoints would be forgotten in silence.

use super::endpoint::Endpoint;
use super::queue::Queue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;
const ENDPOINTS: &str = "endpoints.json";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{doing} {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Its contents are no part of the error: they hold secrets.
    #[error(
        "{path} cannot be understood ({what}, line {line}): put it back from a backup, or move the webhooks folder away \
         and register the endpoints anew"
    )]
    Unreadable { path: PathBuf, what: &'static str, line: usize },
    #[error("{path} is in version {found} of its form; this program knows {VERSION}")]
    Version { path: PathBuf, found: u32 },
    #[error("{path} belongs to another journal: move the webhooks folder away, or put its own data folder back")]
    OtherJournal { path: PathBuf },
    #[error("{path} is missing, but endpoints.json names its endpoint: put it back from a backup")]
    Missing { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<T> {
    version: u32,
    /// The journal that the file belongs to.
    journal: [u8; 16],
    contents: T,
}

/// The folder with the webhooks' files. Everything here blocks.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
    journal: [u8; 16],
}

impl Files {
    pub(super) fn new(data: &Path, journal: [u8; 16]) -> Self {
        Self { folder: data.join("webhooks"), journal }
    }

    /// The endpoints with their queues; none where there is no file.
    pub(super) fn load(&self) -> Result<Vec<(Endpoint, Queue)>, StoreError> {
        let Some(endpoints) = self.read::<Vec<Endpoint>>(&self.folder.join(ENDPOINTS))? else { return Ok(Vec::new()) };
        let with_queue = |endpoint: Endpoint| {
            let path = self.queue_path(&endpoint.id);
            let queue = self.read(&path)?.ok_or(StoreError::Missing { path })?;
            Ok((endpoint, queue))
        };
        endpoints.into_iter().map(with_queue).collect()
    }

    pub(super) fn store_endpoints(&self, endpoints: &[Endpoint]) -> Result<(), StoreError> {
        self.replace(&self.folder.join(ENDPOINTS), &endpoints)
    }

    pub(super) fn store_queue(&self, id: &str, queue: &Queue) -> Result<(), StoreError> {
        self.replace(&self.queue_path(id), queue)
    }

    /// Removes what an endpoint that is gone has left.
    pub(super) fn remove(&self, id: &str) {
        for path in [self.queue_path(id), self.log_path(id), self.old_log_path(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a deleted webhook's file stays behind");
                }
                _ => {}
            }
        }
    }

    fn queue_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.queue"))
    }

    pub(super) fn log_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    pub(super) fn old_log_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.log.old"))
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { doing: "reading", path: path.to_owned(), source }),
        };
        let kept: Kept<T> = serde_json::from_slice(&bytes).map_err(|error| StoreError::Unreadable {
            path: path.to_owned(),
            what: if error.is_data() { "a value is wrong" } else { "no JSON" },
            line: error.line(),
        })?;
        if kept.version != VERSION {
            return Err(StoreError::Version { path: path.to_owned(), found: kept.version });
        }
        if kept.journal != self.journal {
            return Err(StoreError::OtherJournal { path: path.to_owned() });
        }
        Ok(Some(kept.contents))
    }

    fn replace<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), StoreError> {
        let doing = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { doing, path, source }
        };
        self.make_folder()?;
        let kept = Kept { version: VERSION, journal: self.journal, contents: value };
        let bytes = serde_json::to_vec(&kept).map_err(|error| doing("writing", path)(error.into()))?;
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        // Nobody but the shop's user may read it, from its first byte on.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary).map_err(doing("making", &temporary))?;
        file.write_all(&bytes).map_err(doing("writing", &temporary))?;
        file.sync_data().map_err(doing("syncing", &temporary))?;
        fs::rename(&temporary, path).map_err(doing("renaming", &temporary))?;
        sync_folder(&self.folder)
    }

    fn make_folder(&self) -> Result<(), StoreError> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().mode(0o700).create(&self.folder).map_err(|source| StoreError::Io {
            doing: "making",
            path: self.folder.clone(),
            source,
        })?;
        self.folder.parent().map_or(Ok(()), sync_folder)
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::Io { doing: "syncing", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::WebhookTerms;
    use super::*;
    use crate::error::with_sources;
    use son7shop_engine::Time;
    use std::os::unix::fs::PermissionsExt as _;

    fn endpoint() -> Endpoint {
        let url = "https://shop.example/secret-path".to_owned();
        let terms = WebhookTerms { url, events: Vec::new(), description: String::new(), disabled: false };
        Endpoint::new(terms, None, Time(0))
    }

    #[test]
    fn endpoints_read_back_and_only_the_shops_user_may_read_them() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::new(data.path(), [7; 16]);
        assert_eq!(files.load().unwrap(), []);
        let (endpoint, queue) = (endpoint(), Queue::default());
        files.store_queue(&endpoint.id, &queue).unwrap();
        files.store_endpoints(std::slice::from_ref(&endpoint)).unwrap();
        assert_eq!(files.load().unwrap(), [(endpoint.clone(), queue)]);
        for name in [ENDPOINTS.to_owned(), format!("{}.queue", endpoint.id)] {
            let mode = fs::metadata(data.path().join("webhooks").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused_by_name_without_its_contents() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::new(data.path(), [7; 16]);
        let endpoint = endpoint();
        files.store_queue(&endpoint.id, &Queue::default()).unwrap();
        files.store_endpoints(std::slice::from_ref(&endpoint)).unwrap();
        let refused = |files: &Files, name: &str, says: &str| {
            let said = with_sources(&files.load().unwrap_err());
            assert!(said.contains(name) && said.contains(says), "{said}");
            assert!(!said.contains("whsec_") && !said.contains("secret-path"), "{said}");
        };
        refused(&Files::new(data.path(), [8; 16]), ENDPOINTS, "another journal");
        let path = data.path().join("webhooks").join(ENDPOINTS);
        let whole = fs::read_to_string(&path).unwrap();
        for (text, says) in [
            (whole[..whole.len() / 2].to_owned(), "no JSON"),
            (whole.replace("whsec_", "sec_"), "a value is wrong"),
            (whole.replace("\"secrets\"", "\"secretz\""), "a value is wrong"),
            (whole.replace("\"version\":1", "\"version\":2"), "version 2"),
        ] {
            fs::write(&path, text).unwrap();
            refused(&files, ENDPOINTS, says);
        }
        fs::write(&path, whole).unwrap();
        fs::write(files.queue_path(&endpoint.id), "{").unwrap();
        refused(&files, ".queue", "no JSON");
        files.remove(&endpoint.id);
        refused(&files, ".queue", "missing");
    }
}
