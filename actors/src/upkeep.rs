//! The upkeep of one partition's folder and memory: segments made ahead of their need,
//! snapshots, the removal of what nobody needs, and the forgetting of what ended long ago.
//!
//! It works beside the owner and never holds it up: what it does to memory, it asks the
//! owner for; what it does to files, it does on threads that may block.

use crate::calls;
use crate::clock;
use crate::error::with_sources;
use crate::gate::Gate;
use crate::keeper::Kept;
use metrics::Gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::{Answer, Command, Lsn, Outcome, Time};
use son7shop_persistence::journal::snapshot::{self, SnapshotInfo};
use son7shop_persistence::journal::{Committed, PartitionFolder, removal};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often it looks.
const ROUND: Duration = Duration::from_millis(500);
/// Rounds between two tidyings while no segment fills (at the disk limit none does, and only
/// removal, once the database has caught up, makes room), and between two tries of what failed.
const TIDY_ROUNDS: u32 = 4;
/// Rounds after which a snapshot that failed is tried again; doubles each time, up to the
/// longest: each try replays segments, and on a full disk takes what is left of it meanwhile.
const SNAPSHOT_ROUNDS_MIN: u32 = 4;
const SNAPSHOT_ROUNDS_MAX: u32 = 600;
/// Rounds between two forgettings.
const FORGET_ROUNDS: u32 = 20;
/// How long an order is remembered after it ended.
pub(crate) const REMEMBER_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Look.
#[derive(Debug)]
pub(crate) struct Round;

/// What was done last.
pub(crate) struct State {
    kept: Arc<Kept>,
    /// Whether the home's stock participant reads this journal too.
    asks_others: bool,
    /// The segment that was written when the last tidying began.
    segment: Option<u64>,
    /// A tidying that may be under way; no second one begins beside it.
    tidying: Option<JoinHandle<Option<bool>>>,
    snapshots: Patience,
    /// Whether the next segment could not be made.
    preparing_failed: bool,
    round: u32,
    on_disk: Gauge,
    lag: Gauge,
}

/// From which round on a snapshot is tried, and for how long not after one that fails.
#[derive(Default)]
struct Patience {
    from: u32,
    pause: u32,
}

impl Patience {
    const fn due(&self, round: u32) -> bool {
        round >= self.from
    }

    /// What came of a try, if there was one.
    fn tried(&mut self, round: u32, made: Option<bool>) {
        match made {
            Some(true) => *self = Self::default(),
            Some(false) => {
                self.pause = (self.pause * 2).clamp(SNAPSHOT_ROUNDS_MIN, SNAPSHOT_ROUNDS_MAX);
                self.from = round + self.pause;
            }
            None => {}
        }
    }
}

/// Looks after one partition's folder and memory.
pub(crate) struct Upkeep;

impl Actor for Upkeep {
    type Msg = Round;
    type State = State;
    type Arguments = (Arc<Kept>, bool);

    async fn pre_start(
        &self,
        me: ActorRef<Round>,
        (kept, asks_others): (Arc<Kept>, bool),
    ) -> Result<State, ActorProcessingErr> {
        me.cast(Round)?;
        let partition = kept.gate.id().to_string();
        let on_disk = metrics::gauge!("son7_journal_committed_lsn", "partition" => partition.clone());
        let lag = metrics::gauge!("son7_write_behind_lag_events", "partition" => partition);
        Ok(State {
            kept,
            asks_others,
            segment: None,
            tidying: None,
            snapshots: Patience::default(),
            preparing_failed: false,
            round: 0,
            on_disk,
            lag,
        })
    }

    async fn handle(&self, me: ActorRef<Round>, _: Round, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.look().await;
        drop(me.send_after(ROUND, || Round));
        Ok(())
    }
}

impl State {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    async fn look(&mut self) {
        let committed = self.kept.gate.committed();
        self.on_disk.set(committed.position.lsn.0 as f64);
        // Write-behind says so, too, but not while it waits for a database that is away.
        self.lag.set(committed.position.lsn.0.saturating_sub(self.kept.gate.stored().0) as f64);
        // First: the owner may need the segment soon.
        self.prepare().await;
        self.tidy(committed).await;
        self.tell_sagas().await;
        self.round += 1;
        if self.round.is_multiple_of(FORGET_ROUNDS) {
            self.forget().await;
        }
    }

    /// Makes the next segment, if it is not there and has room.
    async fn prepare(&mut self) {
        if self.preparing_failed && !self.round.is_multiple_of(TIDY_ROUNDS) {
            return;
        }
        let preparer = self.kept.preparer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(preparer) = preparer else { return };
        let error = match tokio::task::spawn_blocking(move || preparer.prepare_next()).await {
            Ok(Ok(_)) => return self.preparing_failed = false,
            Ok(Err(error)) => with_sources(&error),
            Err(error) => error.to_string(),
        };
        tracing::error!(partition = self.kept.gate.id().0, error, "making a segment ahead failed; trying again");
        self.preparing_failed = true;
    }

    /// Begins a tidying where one is due. It may take as long as a replay of the segments, so
    /// the rounds go on beside it.
    async fn tidy(&mut self, committed: Committed) {
        if self.tidying.as_ref().is_some_and(|tidying| !tidying.is_finished()) {
            return;
        }
        if let Some(ended) = self.tidying.take() {
            let made = ended.await.unwrap_or_else(|error| {
                tracing::error!(partition = self.kept.gate.id().0, %error, "tidying failed; trying again");
                Some(false)
            });
            self.snapshots.tried(self.round, made);
        }
        if self.segment == Some(committed.segment) && !self.round.is_multiple_of(TIDY_ROUNDS) {
            return;
        }
        self.segment = Some(committed.segment);
        let (kept, keep) = (Arc::clone(&self.kept), self.followed());
        let seed = self.snapshots.due(self.round).then_some(kept.seed);
        self.tidying = Some(tokio::task::spawn_blocking(move || tidy(&kept.folder, committed, keep, seed)));
    }

    /// Everybody who follows the journal has every event up to here.
    fn followed(&self) -> Lsn {
        followed(&self.kept.gate, self.asks_others)
    }

    /// How the sagas are doing, for operators.
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    async fn tell_sagas(&self) {
        let Ok(figures) = calls::read(&self.kept.gate, crate::owner::Owner::saga_figures).await else { return };
        let partition = || self.kept.gate.id().to_string();
        let age = figures.oldest.map_or(0, |since| clock::now().0.saturating_sub(since.0));
        metrics::gauge!("son7_saga_steps_open", "partition" => partition()).set(figures.open as f64);
        metrics::gauge!("son7_saga_steps_at_work", "partition" => partition()).set(figures.at_work as f64);
        metrics::gauge!("son7_saga_steps_parked", "partition" => partition()).set(figures.parked as f64);
        metrics::gauge!("son7_saga_oldest_open_seconds", "partition" => partition()).set(age as f64 / 1e3);
    }

    /// Asks the owner to forget, a piece at a time, until nothing is old enough.
    async fn forget(&self) {
        let ended_by = Time(clock::now().0.saturating_sub(REMEMBER_MILLIS));
        let command = Command::Forget { stored: self.followed(), ended_by };
        while let Ok(Outcome::Accepted(Answer::Done)) = calls::decide(&self.kept.gate, command.clone()).await {}
    }
}

fn followed(gate: &Gate, asks_others: bool) -> Lsn {
    if asks_others { gate.stored().min(gate.settled()) } else { gate.stored() }
}

/// Snapshots, where there is a seed, and the removal of what nobody needs any more. A snapshot
/// that fails does not keep that from being done: on a full disk only removal makes room. Says
/// whether the snapshots were made.
fn tidy(folder: &PartitionFolder, committed: Committed, keep: Lsn, seed: Option<u64>) -> Option<bool> {
    let made = seed.map(|seed| make_snapshots(folder, committed, seed));
    if let Err(error) = removal::remove_below(folder, committed, keep) {
        tracing::error!(partition = folder.id().0, error = with_sources(&error), "removal failed; trying again");
    }
    made
}

/// Makes what snapshots there are to make of what is sealed.
fn make_snapshots(folder: &PartitionFolder, committed: Committed, seed: u64) -> bool {
    let partition = folder.id().0;
    loop {
        match snapshot::make(folder, committed, seed) {
            Ok(Some(made)) => tell(partition, &made),
            Ok(None) => return true,
            Err(error) => {
                tracing::error!(partition, error = with_sources(&error), "a snapshot failed; trying again later");
                return false;
            }
        }
    }
}

fn tell(partition: u16, made: &SnapshotInfo) {
    tracing::info!(partition, lsn = made.lsn.0, events = made.events, bytes = made.bytes, "snapshot made");
    if let Some(violation) = &made.violation {
        metrics::counter!("son7_invariant_violations_total", "partition" => partition.to_string()).increment(1);
        tracing::error!(partition, %violation, "the replayed journal breaks an invariant");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::{Event, Record, RequestKey, Sku, Won};
    use son7shop_persistence::journal::faults::{Call, MemoryStorage};
    use son7shop_persistence::journal::{DataFolder, FolderOptions, Journal, OpenHints};
    use std::path::Path;

    /// Appends to the journal until `segment` is written.
    fn write(journal: &mut Journal, segment: u64) -> Committed {
        let (at, sku) = (Time(2_000_000_000_000), Sku::parse("air").unwrap());
        while journal.committed().segment < segment {
            let event = if journal.lsn() == Lsn(0) {
                Event::ProductCreated { sku: sku.clone(), name: "Air".into(), price: Won(1), on_hand: 1, key: None }
            } else {
                let key = RequestKey { key: u128::from(journal.lsn().0).to_le_bytes(), request: [0; 16] };
                Event::StockAdjusted { sku: sku.clone(), delta: 1, reason: "count".into(), key }
            };
            journal.append(&Record { at, event });
            journal.commit().unwrap();
        }
        journal.committed()
    }

    #[test]
    fn a_snapshot_that_fails_does_not_keep_segments_from_being_removed() {
        let storage = MemoryStorage::new();
        let options = FolderOptions { segment_bytes: 4096, ..FolderOptions::new(Some(1), [7; 16]) };
        let data = DataFolder::open(Arc::new(storage.clone()), Path::new("/shop"), &options).unwrap();
        let folder = data.all().next().unwrap();
        let mut journal = Journal::open(&folder, OpenHints::default(), 3, &mut |_| {}).unwrap().journal;
        let first = || storage.contents(&folder.path().join("0000000001.segment"));
        assert_eq!(tidy(&folder, write(&mut journal, 4), Lsn(0), Some(3)), Some(true));
        assert!(first().is_some(), "nobody has it");
        let committed = write(&mut journal, 5);
        storage.fail(Call::Create, 1);
        assert_eq!(tidy(&folder, committed, committed.position.lsn, Some(3)), Some(false));
        assert!(first().is_none());
        assert_eq!(snapshot::sealed_since(&folder, committed).unwrap(), 1, "the snapshot had failed");
    }

    #[test]
    fn a_snapshot_that_keeps_failing_is_tried_less_and_less() {
        let (mut snapshots, mut tries) = (Patience::default(), Vec::new());
        for round in 0..40 {
            let made = snapshots.due(round).then_some(false);
            tries.extend(made.map(|_| round));
            snapshots.tried(round, made);
        }
        assert_eq!(tries, [0, 4, 12, 28]);
        snapshots.tried(60, Some(true));
        assert!(snapshots.due(61));
    }
}
