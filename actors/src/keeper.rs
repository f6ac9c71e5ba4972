//! The keeper of a partition: sees to it that the partition has an owner, and never two.
//!
//! An owner that died is never resumed. Its last breath reaches the keeper only after all
//! that the owner had open is closed; then the keeper recovers the partition from
//! snapshot and journal, in the next epoch, and starts a new owner on the same arbiter.
//! After a failed sync the journal is cut at the last place known to be on disk, whatever
//! a read shows. While that happens the other partitions go on selling.
//!
//! A partition whose recovery keeps failing, or whose owners keep dying, is closed for good.

use crate::error::with_sources;
use crate::gate::{Gate, GateState};
use crate::keys::KeyIndex;
use crate::owner::{End, Owner, Parts};
use actix::{Actor as _, ArbiterHandle};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_persistence::journal::{Journal, JournalError, OpenHints, PartitionFolder, Preparer, Recovered};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinError;

/// Recoveries that may fail in a row before the partition stays closed.
const RECOVERIES_MAX: u32 = 5;
/// The pause before a second recovery; doubles each time.
const PAUSE: Duration = Duration::from_millis(200);
/// Owners that may die within [`DEATHS_WITHIN`] before the partition stays closed.
const DEATHS_MAX: usize = 5;
/// How long a death is remembered.
const DEATHS_WITHIN: Duration = Duration::from_mins(1);
/// While the shop ends, nobody follows an owner that dies.
const DRAINING: GateState = GateState::Closed("draining");

/// What a keeper is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The owner ended.
    Ended(End),
    /// Recover the partition; how many recoveries failed before.
    Recover(u32),
}

/// Where the partition's ownership is; outlives the keeper.
pub(crate) enum Life {
    /// Recovered, without an owner yet.
    Recovered(Box<Recovered>),
    /// Owned; tells when it ends.
    Owned(watch::Receiver<Option<End>>),
    /// Nobody's.
    Nobodys,
}

/// What a keeper looks after.
pub(crate) struct Kept {
    pub(crate) gate: Arc<Gate>,
    pub(crate) keys: Arc<KeyIndex>,
    pub(crate) folder: PartitionFolder,
    pub(crate) arbiter: ArbiterHandle,
    /// The hash seed of the process.
    pub(crate) seed: u64,
    pub(crate) life: Mutex<Life>,
    /// Makes the next segment ahead of its need.
    pub(crate) preparer: Mutex<Option<Preparer>>,
}

impl Kept {
    fn take_life(&self) -> Life {
        std::mem::replace(&mut *self.life.lock().unwrap_or_else(PoisonError::into_inner), Life::Nobodys)
    }

    fn set_life(&self, life: Life) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
    }

    /// Starts an owner; the keeper hears of its end.
    fn start_owner(&self, me: &ActorRef<Ask>, recovered: Recovered) {
        let Recovered { partition, journal, .. } = recovered;
        self.keys.recover(&partition);
        *self.preparer.lock().unwrap_or_else(PoisonError::into_inner) = Some(journal.preparer());
        let (ended, end) = watch::channel(None);
        self.set_life(Life::Owned(end.clone()));
        let parts = Parts { partition, journal, gate: Arc::clone(&self.gate), keys: Arc::clone(&self.keys), ended };
        // An arbiter that is gone drops the parts, and with them `ended`: an end like any other.
        self.arbiter.spawn_fn(move || drop(Owner::new(parts).start()));
        watch(me.clone(), end);
    }

    /// Recovers the partition. Blocks.
    fn recover(&self) -> Result<Recovered, JournalError> {
        let hints = OpenHints { cut_at: Some(self.gate.committed()), ..OpenHints::default() };
        Journal::open(&self.folder, hints, self.seed, &mut |_| {})
    }
}

fn watch(me: ActorRef<Ask>, mut end: watch::Receiver<Option<End>>) {
    tokio::spawn(async move {
        // An owner that was dropped before it lived says nothing.
        let end = end.wait_for(Option::is_some).await.map_or(End::Panicked, |end| end.clone().unwrap_or(End::Panicked));
        // Fails only when the keeper is gone too: the next one watches the same owner.
        let _ = me.cast(Ask::Ended(end));
    });
}

/// What a keeper remembers.
pub(crate) struct State {
    kept: Arc<Kept>,
    /// When owners died, within the last [`DEATHS_WITHIN`].
    deaths: Vec<Instant>,
}

/// Sees to it that its partition has an owner.
pub(crate) struct Keeper;

impl Actor for Keeper {
    type Msg = Ask;
    type State = State;
    type Arguments = Arc<Kept>;

    async fn pre_start(&self, me: ActorRef<Ask>, kept: Arc<Kept>) -> Result<State, ActorProcessingErr> {
        match kept.take_life() {
            Life::Recovered(recovered) => kept.start_owner(&me, *recovered),
            Life::Owned(end) => {
                kept.set_life(Life::Owned(end.clone()));
                watch(me, end);
            }
            Life::Nobodys => me.cast(Ask::Recover(0))?,
        }
        Ok(State { kept, deaths: Vec::new() })
    }

    async fn handle(&self, me: ActorRef<Ask>, ask: Ask, state: &mut State) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Ended(End::Stopped) => state.kept.gate.close(GateState::Closed("stopped")),
            Ask::Ended(end) => state.died(&me, &end),
            Ask::Recover(failed) => state.recover(&me, failed).await,
        }
        Ok(())
    }
}

impl State {
    /// Recovers the partition after a pause, or gives it up: what kills one owner after
    /// another, such as a command that is sent again and again, is not cured by the next, and
    /// each recovery makes a segment.
    fn died(&mut self, me: &ActorRef<Ask>, end: &End) {
        let gate = &self.kept.gate;
        let partition = gate.id().0;
        tracing::error!(partition, why = %end, "the owner died");
        metrics::counter!("son7_owner_deaths_total", "partition" => partition.to_string()).increment(1);
        if gate.ends() {
            return gate.close(DRAINING);
        }
        let now = Instant::now();
        self.deaths.retain(|&death| now.duration_since(death) < DEATHS_WITHIN);
        self.deaths.push(now);
        if self.deaths.len() >= DEATHS_MAX {
            tracing::error!(
                partition,
                deaths = DEATHS_MAX,
                within_s = DEATHS_WITHIN.as_secs(),
                "owner after owner died; the partition stays closed until the program is started again"
            );
            return gate.close(GateState::Closed("closed: its owners died one after the other; see the log"));
        }
        gate.close(GateState::Recovering);
        let pause = match self.deaths.len() {
            1 => Duration::ZERO,
            deaths => PAUSE.saturating_mul(1 << (deaths - 2)),
        };
        drop(me.send_after(pause, || Ask::Recover(0)));
    }

    async fn recover(&self, me: &ActorRef<Ask>, failed: u32) {
        let gate = &self.kept.gate;
        let partition = gate.id().0;
        if gate.ends() {
            return gate.close(DRAINING);
        }
        let keeping = Arc::clone(&self.kept);
        match recovered(tokio::task::spawn_blocking(move || keeping.recover()).await) {
            Ok(_) if gate.ends() => gate.close(DRAINING),
            Ok(recovered) => {
                tracing::info!(partition, epoch = recovered.journal.epoch(), "recovered");
                self.kept.start_owner(me, recovered);
            }
            Err(error) if failed + 1 >= RECOVERIES_MAX => {
                tracing::error!(partition, error, "the partition stays closed until the program is started again");
                gate.close(GateState::Closed("closed: its journal cannot be recovered; see the log"));
            }
            Err(error) => {
                tracing::error!(partition, error, "recovery failed; trying again");
                let pause = PAUSE.saturating_mul(1 << failed);
                drop(me.send_after(pause, move || Ask::Recover(failed + 1)));
            }
        }
    }
}

/// What came of a recovery; one that panicked failed like any other.
fn recovered<T>(ended: Result<Result<T, JournalError>, JoinError>) -> Result<T, String> {
    match ended {
        Ok(recovered) => recovered.map_err(|error| with_sources(&error)),
        Err(panicked) => Err(with_sources(&panicked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_recovery_that_panics_counts_as_one_that_failed() {
        let ended = tokio::task::spawn_blocking(|| -> Result<(), JournalError> { panic!("planted") }).await;
        let why = recovered(ended).unwrap_err();
        assert!(why.contains("planted"), "{why}");
    }
}
