//! The database as the actors know it: perhaps not there yet.
//!
//! A shop may be opened while its database is away; selling does not need it. Nothing here
//! runs on an arbiter: reads run where the shop was opened, and write-behind's batches on
//! a thread that gets what time the machine has left.

use son7shop_engine::{PartitionId, Record};
use son7shop_persistence::journal::Position;
use son7shop_persistence::store::{self, Batch, Store, StoreError};
use std::sync::Arc;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// The database, connected at its first use.
pub(crate) struct Database {
    connection: Arc<Connection>,
    reads: Handle,
    writes: Option<Runtime>,
}

struct Connection {
    url: String,
    store: OnceCell<Arc<dyn Store>>,
}

/// One write: a [`Batch`] that owns its events.
#[derive(Debug)]
pub(crate) struct OwnedBatch {
    pub(crate) partition: PartitionId,
    pub(crate) before: Option<Position>,
    pub(crate) after: Position,
    pub(crate) records: Vec<Record>,
}

impl Connection {
    async fn store(&self) -> Result<&Arc<dyn Store>, StoreError> {
        self.store.get_or_try_init(|| store::connect(&self.url)).await
    }
}

impl Database {
    /// The database at `url`; reads run on the runtime that this is called on.
    pub(crate) fn at(url: String) -> std::io::Result<Self> {
        let mut writes = Builder::new_multi_thread();
        writes.worker_threads(1).thread_name("write-behind").on_thread_start(give_way).enable_all();
        let connection = Arc::new(Connection { url, store: OnceCell::new() });
        Ok(Self { connection, reads: Handle::current(), writes: Some(writes.build()?) })
    }

    /// Reads from the store, or says why it cannot be reached.
    pub(crate) async fn read<T, F>(
        &self,
        look: impl FnOnce(Arc<dyn Store>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let connection = Arc::clone(&self.connection);
        ended(self.reads.spawn(async move { look(Arc::clone(connection.store().await?)).await })).await
    }

    /// Writes a batch; a caller that goes away does not end it.
    pub(crate) async fn apply(&self, batch: OwnedBatch) -> Result<Position, StoreError> {
        let Some(writes) = &self.writes else { return Err(StoreError::Closed) };
        let connection = Arc::clone(&self.connection);
        let applied = writes.spawn(async move {
            let OwnedBatch { partition, before, after, ref records } = batch;
            connection.store().await?.apply(&Batch { partition, before, after, records }).await
        });
        ended(applied).await
    }

    /// Closes what was opened.
    pub(crate) async fn close(&self) {
        if let Some(store) = self.connection.store.get() {
            store.close().await;
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // May be dropped on a thread that must not wait.
        if let Some(writes) = self.writes.take() {
            writes.shutdown_background();
        }
    }
}

async fn ended<T>(call: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    match call.await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Its runtime ends.
            Err(_) => Err(StoreError::Closed),
        },
    }
}

/// Puts this thread, and those that it starts (SQLite's), behind everything that sells.
///
/// A lower priority would not do: on a machine with few cores it still takes its share in
/// slices of milliseconds, and a shopper's answer waits for each.
#[expect(unsafe_code, reason = "no safe crate has this call for a thread of normal priority")]
fn give_way() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one struct, which lives until it returns; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) } != 0 {
        tracing::warn!(error = %std::io::Error::last_os_error(), "write-behind competes with selling");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scheduling policy of the thread that asks (`man proc_pid_stat`, field 41).
    fn policy() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The second field is in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn writes_and_what_they_start_run_when_nobody_else_would() {
        let database = Database::at("sqlite:never-opened".to_owned()).unwrap();
        let writes = database.writes.as_ref().unwrap();
        let started = writes.spawn(async { (policy(), std::thread::spawn(policy).join().unwrap()) });
        assert_eq!(started.await.unwrap(), (libc::SCHED_IDLE, libc::SCHED_IDLE));
        let reads = database.reads.spawn(async { policy() });
        assert_eq!(reads.await.unwrap(), libc::SCHED_OTHER);
    }
}
