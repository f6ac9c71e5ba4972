//! The database as the actors know it: perhaps not there yet.
//!
//! A shop may be opened while its database is away; selling does not need it.

use son7shop_persistence::store::{self, Store, StoreError};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The database, connected at its first use.
pub(crate) struct Database {
    url: String,
    store: OnceCell<Arc<dyn Store>>,
}

impl Database {
    pub(crate) fn at(url: String) -> Self {
        Self { url, store: OnceCell::new() }
    }

    /// The store, or why it cannot be reached.
    pub(crate) async fn store(&self) -> Result<&Arc<dyn Store>, StoreError> {
        self.store.get_or_try_init(|| store::connect(&self.url)).await
    }

    /// Closes what was opened.
    pub(crate) async fn close(&self) {
        if let Some(store) = self.store.get() {
            store.close().await;
        }
    }
}
