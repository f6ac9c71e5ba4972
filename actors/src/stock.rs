//! The stock participant of a home: reads its journal, asks the other partitions for what
//! each event asks of them, and tells home what they answered.
//!
//! It decides nothing ([`basket`] has the rules) and remembers nothing but its cursor: a
//! restart goes on there, and everything it sends may come twice. It must never advance
//! its cursor over an event whose asks have not been answered.

use crate::ShopError;
use crate::calls::{self, Gates};
use crate::gate::Gate;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::{Command, Event, Lsn, OrderId, Outcome, PartitionId, Refusal, basket};
use son7shop_persistence::journal::{Cursor, JournalError, PartitionFolder, Reader};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Events whose asks are under way at once: bounds what can be in the other owners' mailboxes.
const ASKS_MAX: usize = 1024;
/// How long it sleeps without being woken before it looks by itself, and how often its
/// cursor is written.
const LOOK: Duration = Duration::from_secs(1);
/// How long a basket waits for another partition before home refuses it.
const PART_WAIT: Duration = Duration::from_secs(3);
/// The pauses between tries while an owner cannot be reached.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Read on.
#[derive(Debug)]
pub(crate) struct Turn;

/// What one stock participant works on.
#[derive(Clone)]
pub(crate) struct Args {
    /// Home's gate.
    pub(crate) home: Arc<Gate>,
    pub(crate) gates: Gates,
    pub(crate) folder: PartitionFolder,
}

/// How far it is.
pub(crate) struct State {
    args: Args,
    cursor: Cursor,
    stored: Instant,
    reader: Option<Reader>,
    /// The last event read.
    read: Lsn,
    under_way: BTreeSet<Lsn>,
    /// Ends of frames that were read: a reader can start again only there.
    ends: BTreeSet<Lsn>,
    asking: JoinSet<Lsn>,
}

/// The stock participant of one home.
pub(crate) struct StockParticipant;

impl Actor for StockParticipant {
    type Msg = Turn;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Turn>, args: Args) -> Result<State, ActorProcessingErr> {
        let cursor = Cursor::new(&args.folder, "stock")?;
        let read = cursor.load()?.unwrap_or_default();
        args.home.set_settled(read);
        me.cast(Turn)?;
        Ok(State {
            args,
            cursor,
            stored: Instant::now(),
            reader: None,
            read,
            under_way: BTreeSet::new(),
            ends: BTreeSet::new(),
            asking: JoinSet::new(),
        })
    }

    async fn handle(&self, me: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.turn().await?;
        me.cast(Turn)?;
        Ok(())
    }
}

impl State {
    async fn turn(&mut self) -> Result<(), ActorProcessingErr> {
        let home = Arc::clone(&self.args.home);
        let raised = home.asks.raised();
        let committed = home.committed();
        self.read_on(committed.position.lsn).await?;
        while let Some(done) = self.asking.try_join_next() {
            self.under_way.remove(&done?);
        }
        self.settle()?;
        let news = home.asks.wait(raised);
        tokio::select! {
            _ = tokio::time::timeout(LOOK, news) => {}
            Some(done) = self.asking.join_next() => { self.under_way.remove(&done?); }
        }
        Ok(())
    }

    /// Reads what is committed and starts what it asks.
    async fn read_on(&mut self, up_to: Lsn) -> Result<(), ActorProcessingErr> {
        while self.read < up_to && self.under_way.len() < ASKS_MAX {
            let committed = self.args.home.committed();
            let (folder, reader, read) = (self.args.folder.clone(), self.reader.take(), self.read);
            let (reader, frame) = tokio::task::spawn_blocking(move || {
                let mut reader = match reader {
                    Some(reader) => reader,
                    None => Reader::open(&folder, read, committed)?,
                };
                let frame = reader.next(committed)?;
                Ok::<_, JournalError>((reader, frame))
            })
            .await??;
            self.reader = Some(reader);
            let Some(frame) = frame else { return Ok(()) };
            let mut lsn = frame.first_lsn;
            for record in frame.records {
                let asks = basket::asks(&record.event);
                if !asks.is_empty() {
                    self.under_way.insert(lsn);
                    self.asking.spawn(ask(self.args.clone(), lsn, record.event, asks));
                }
                self.read = lsn;
                lsn = lsn.next();
            }
            self.ends.insert(self.read);
        }
        Ok(())
    }

    /// Everything below the oldest event under way is settled, to the end of a frame: a
    /// cursor inside a frame could not be read on from.
    fn settle(&mut self) -> Result<(), JournalError> {
        let oldest = self.under_way.first().copied().unwrap_or(self.read.next());
        let Some(&settled) = self.ends.range(..oldest).next_back() else { return Ok(()) };
        if settled > self.args.home.settled() && self.stored.elapsed() >= LOOK {
            self.cursor.store(settled)?;
            self.ends = self.ends.split_off(&settled);
            self.stored = Instant::now();
            self.args.home.set_settled(settled);
        }
        Ok(())
    }
}

/// Sees one event through.
async fn ask(args: Args, lsn: Lsn, event: Event, asks: Vec<(PartitionId, Command)>) -> Lsn {
    match event {
        Event::OrderOpened { id, .. } => open(&args, id, asks).await,
        _ => {
            for (partition, command) in asks {
                until_answered(&args.gates, partition, &command).await;
            }
        }
    }
    lsn
}

/// Asks every partition for its part, and tells home.
async fn open(args: &Args, order: OrderId, asks: Vec<(PartitionId, Command)>) {
    // Read after a crash, the event may be long over: a part must not be held for a dead order.
    if !until_read(&args.home, order).await {
        return;
    }
    let parts = asks.into_iter().map(|(partition, command)| async move {
        let answered = tokio::time::timeout(PART_WAIT, until_answered(&args.gates, partition, &command)).await;
        (partition, answered.unwrap_or(Outcome::Refused(Refusal::PartUnanswered { partition })))
    });
    let answers = futures_util::future::join_all(parts).await;
    let told = until_answered_by(&args.home, &basket::tell(order, answers)).await;
    if let Outcome::Refused(refusal @ Refusal::TotalTooLarge) = told {
        until_answered_by(&args.home, &Command::RefuseParts { order, refusal }).await;
    }
}

async fn until_read(home: &Gate, order: OrderId) -> bool {
    let mut pause = RETRY_MIN;
    loop {
        if let Ok(opening) = calls::read(home, move |owner| owner.is_opening(order)).await {
            return opening;
        }
        wait(&mut pause).await;
    }
}

async fn until_answered(gates: &Gates, partition: PartitionId, command: &Command) -> Outcome {
    match calls::gate(gates, partition) {
        Some(gate) => until_answered_by(gate, command).await,
        None => Outcome::Refused(Refusal::PartUnanswered { partition }),
    }
}

/// Sends `command` until its owner answers; sent twice, it changes nothing the second time.
async fn until_answered_by(gate: &Gate, command: &Command) -> Outcome {
    let mut pause = RETRY_MIN;
    loop {
        match calls::decide(gate, command.clone()).await {
            Ok(outcome) => return outcome,
            Err(ShopError::Refused(refusal)) => return Outcome::Refused(refusal),
            Err(error) => tracing::debug!(partition = gate.id().0, %error, "asking again"),
        }
        wait(&mut pause).await;
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(RETRY_MAX);
}
