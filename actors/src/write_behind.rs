//! Write-behind: carries a partition's events to the database, in order, in batches, each
//! batch one transaction that also moves the partition's position.
//!
//! It reads committed frames from the journal's files, which are in the page cache while
//! it keeps up: one way in, however far behind it is. It gives way to selling and catches
//! up afterwards. It must never hold anybody up, and never skip an event: where the
//! database and the journal do not fit each other it stops and says so.

use crate::database::{Database, OwnedBatch};
use crate::error::with_sources;
use crate::gate::Gate;
use metrics::{Counter, Gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::Record;
use son7shop_persistence::journal::{Committed, JournalError, PartitionFolder, Position, Reader};
use son7shop_persistence::store::StoreError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events in one transaction, at most (whole frames: the last may go over it).
const BATCH_EVENTS_MAX: usize = 4096;
/// How long news may gather before they are carried.
const GATHER: Duration = Duration::from_millis(5);
/// How long it sleeps without news before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// Events a second from which on selling is busy and write-behind gives way.
const BUSY_EVENTS_PER_SECOND: f64 = 5_000.0;
/// While selling is busy: the pause after a batch, in the time that the batch took.
const GIVE_WAY: u32 = 4;
const GIVE_WAY_MAX: Duration = Duration::from_millis(500);
/// The pauses between tries while the database is away.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why write-behind cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteBehindError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the database does not take the journal's events")]
    Store(#[from] StoreError),
    #[error("the database stands at {database:?}, which is not a place in this journal (at {journal:?})")]
    NotOurs { database: Position, journal: Position },
    #[error("a reader's thread ended by a panic")]
    ReaderLost,
}

/// Carry what is there.
#[derive(Debug)]
pub(crate) struct Turn;

/// What one write-behind works on.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) gate: Arc<Gate>,
    pub(crate) folder: PartitionFolder,
    pub(crate) database: Arc<Database>,
}

/// How far it is; a restart finds out again.
pub(crate) struct State {
    args: Args,
    reader: Option<Reader>,
    before: Option<Position>,
    retry: Duration,
    lag: Gauge,
    carried: Counter,
}

/// Carries one partition's events to the database.
pub(crate) struct WriteBehind;

impl Actor for WriteBehind {
    type Msg = Turn;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Turn>, args: Args) -> Result<State, ActorProcessingErr> {
        me.cast(Turn)?;
        let partition = args.gate.id().to_string();
        Ok(State {
            args,
            reader: None,
            before: None,
            retry: RETRY_MIN,
            lag: metrics::gauge!("son7_write_behind_lag_events", "partition" => partition.clone()),
            carried: metrics::counter!("son7_write_behind_events_total", "partition" => partition),
        })
    }

    async fn handle(&self, me: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        match state.turn().await {
            Ok(()) => state.retry = RETRY_MIN,
            Err(WriteBehindError::Store(error)) if error.is_retryable() => state.away(&error).await,
            Err(error) => return Err(error.into()),
        }
        me.cast(Turn)?;
        Ok(())
    }
}

impl State {
    async fn turn(&mut self) -> Result<(), WriteBehindError> {
        if self.reader.is_none() {
            self.find_place().await?;
        }
        let gate = Arc::clone(&self.args.gate);
        let raised = gate.news.raised();
        let committed = gate.committed();
        let (frames_end, records) = self.read(committed).await?;
        let Some(after) = frames_end else {
            self.report(committed);
            if tokio::time::timeout(LOOK, gate.news.wait(raised)).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
            return Ok(());
        };
        let began = Instant::now();
        let carried = records.len() as u64;
        let batch = OwnedBatch { partition: self.args.gate.id(), before: self.before, after, records };
        let applied = self.args.database.apply(batch).await;
        if applied.is_err() {
            // The reader is ahead of the database: the next turn finds its place anew.
            self.reader = None;
        }
        self.before = Some(applied?);
        self.carried.increment(carried);
        self.args.gate.set_stored(after.lsn);
        self.report(self.args.gate.committed());
        self.give_way(committed, began.elapsed()).await;
        Ok(())
    }

    /// Where the database stands, and a reader from there.
    async fn find_place(&mut self) -> Result<(), WriteBehindError> {
        let gate = &self.args.gate;
        let committed = gate.committed();
        let partition = gate.id();
        let position = self.args.database.read(move |store| async move { store.position(partition).await }).await?;
        if let Some(database) = position
            && (database.journal != committed.position.journal || database.lsn > committed.position.lsn)
        {
            return Err(WriteBehindError::NotOurs { database, journal: committed.position });
        }
        let lsn = position.map(|position| position.lsn).unwrap_or_default();
        let folder = self.args.folder.clone();
        let reader = tokio::task::spawn_blocking(move || Reader::open(&folder, lsn, committed))
            .await
            .map_err(|_| WriteBehindError::ReaderLost)??;
        if let (Some(database), Some(journal)) = (position, reader.position())
            && database != journal
        {
            return Err(WriteBehindError::NotOurs { database, journal });
        }
        gate.set_stored(lsn);
        self.before = position;
        self.reader = Some(reader);
        Ok(())
    }

    /// The next events, and the position after them; `None` where there are none.
    async fn read(&mut self, committed: Committed) -> Result<(Option<Position>, Vec<Record>), WriteBehindError> {
        let Some(mut reader) = self.reader.take() else { return Ok((None, Vec::new())) };
        let read = tokio::task::spawn_blocking(move || {
            let mut after = None;
            let mut records = Vec::new();
            while records.len() < BATCH_EVENTS_MAX
                && let Some(frame) = reader.next(committed)?
            {
                after = Some(frame.position_after);
                records.extend(frame.records);
            }
            Ok::<_, JournalError>((reader, after, records))
        });
        let (reader, after, records) = read.await.map_err(|_| WriteBehindError::ReaderLost)??;
        self.reader = Some(reader);
        Ok((after, records))
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn report(&self, committed: Committed) {
        self.lag.set((committed.position.lsn.0.saturating_sub(self.args.gate.stored().0)) as f64);
    }

    /// Leaves the machine to selling while that is busy.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    async fn give_way(&self, before: Committed, took: Duration) {
        let grown = self.args.gate.committed().position.lsn.0 - before.position.lsn.0;
        if grown as f64 > BUSY_EVENTS_PER_SECOND * took.as_secs_f64() {
            tokio::time::sleep((took * GIVE_WAY).min(GIVE_WAY_MAX)).await;
        }
    }

    async fn away(&mut self, error: &StoreError) {
        self.report(self.args.gate.committed());
        self.reader = None;
        if self.retry == RETRY_MIN {
            tracing::warn!(
                partition = self.args.gate.id().0,
                error = with_sources(error),
                "the database is away; selling goes on"
            );
        }
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }
}
