//! The upkeep of one partition's folder and memory: segments made ahead of their need,
//! snapshots, the removal of what nobody needs, and the forgetting of what ended long ago.
//!
//! It works beside the owner and never holds it up: what it does to memory, it asks the
//! owner for; what it does to files, it does on threads that may block.

use crate::calls;
use crate::clock;
use crate::gate::Gate;
use crate::keeper::Kept;
use metrics::Gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::{Answer, Command, Lsn, Outcome, Time};
use son7shop_persistence::journal::{JournalError, removal, snapshot};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often it looks.
const ROUND: Duration = Duration::from_millis(500);
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
    segment: Option<u64>,
    round: u32,
    on_disk: Gauge,
    lag: Gauge,
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
        Ok(State { kept, asks_others, segment: None, round: 0, on_disk, lag })
    }

    async fn handle(&self, me: ActorRef<Round>, _: Round, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.look().await?;
        drop(me.send_after(ROUND, || Round));
        Ok(())
    }
}

impl State {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    async fn look(&mut self) -> Result<(), ActorProcessingErr> {
        let committed = self.kept.gate.committed();
        self.on_disk.set(committed.position.lsn.0 as f64);
        // Write-behind says so, too, but not while it waits for a database that is away.
        self.lag.set(committed.position.lsn.0.saturating_sub(self.kept.gate.stored().0) as f64);
        if self.segment != Some(committed.segment) {
            let (kept, keep) = (Arc::clone(&self.kept), self.followed());
            tokio::task::spawn_blocking(move || tidy(&kept, keep)).await??;
            self.segment = Some(committed.segment);
        }
        self.round += 1;
        if self.round.is_multiple_of(FORGET_ROUNDS) {
            self.forget().await;
        }
        Ok(())
    }

    /// Everybody who follows the journal has every event up to here.
    fn followed(&self) -> Lsn {
        followed(&self.kept.gate, self.asks_others)
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

/// The next segment first (the owner may need it soon), then the rest.
fn tidy(kept: &Kept, keep: Lsn) -> Result<(), JournalError> {
    let preparer = kept.preparer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(preparer) = preparer {
        preparer.prepare_next()?;
    }
    let committed = kept.gate.committed();
    if let Some(made) = snapshot::make(&kept.folder, committed, kept.seed)? {
        let partition = kept.gate.id();
        tracing::info!(
            partition = partition.0,
            lsn = made.lsn.0,
            events = made.events,
            bytes = made.bytes,
            "snapshot made"
        );
        if let Some(violation) = made.violation {
            metrics::counter!("son7_invariant_violations_total", "partition" => partition.to_string()).increment(1);
            tracing::error!(partition = partition.0, %violation, "the replayed journal breaks an invariant");
        }
    }
    removal::remove_below(&kept.folder, committed, keep)?;
    Ok(())
}
