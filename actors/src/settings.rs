//! What a shop is opened with. Plain values: where they come from is the binary's business.

use crate::Payments;
use crate::webhooks::WebhookSettings;
use son7shop_persistence::journal::FolderOptions;
use std::path::PathBuf;

/// What a shop is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder: journal, snapshots, the embedded database.
    pub data_dir: PathBuf,
    /// `sqlite:PATH`, `mysql://…` or `mariadb://…`.
    pub database_url: String,
    /// Partitions of a new data folder; an existing folder keeps its own number, and
    /// another number is an error. `None`: half the cores, at least 1.
    pub partitions: Option<u16>,
    /// How long an unpaid order holds its units, in milliseconds.
    pub hold_millis: i64,
    /// Orders under way at once for each partition; one more is told [`crate::ShopError::Overloaded`].
    pub orders_max: u32,
    /// The journal's disk limit for each partition, in bytes.
    pub journal_limit_bytes: u64,
    /// A journal segment's size, in bytes.
    pub segment_bytes: u64,
    /// How orders are paid.
    pub payments: Payments,
    /// How other software is told of what happens.
    pub webhooks: WebhookSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            database_url: "sqlite:./data/son7shop.sqlite".to_owned(),
            partitions: None,
            hold_millis: 600_000,
            orders_max: 8192,
            journal_limit_bytes: 8 << 30,
            segment_bytes: 64 << 20,
            payments: Payments::default(),
            webhooks: WebhookSettings::default(),
        }
    }
}

impl Settings {
    /// What the data folder is opened with; `new_id`: the identity of a new one.
    pub(crate) fn folder_options(&self, new_id: [u8; 16]) -> FolderOptions {
        FolderOptions {
            partitions: self.partitions,
            new_id,
            segment_bytes: self.segment_bytes,
            limit_bytes: self.journal_limit_bytes,
        }
    }
}
