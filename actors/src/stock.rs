//! The stock participant of a home: reads its journal, asks the other partitions for what
//! each event asks of them, and tells home what they answered.
//!
//! It decides nothing ([`basket`] has the rules) and remembers nothing but its cursor: a
//! restart goes on there, and everything it sends may come twice. It must never advance
//! its cursor over an event whose asks have not been answered: what a partition that stays
//! closed was to be told holds the cursor, and nothing else.

use crate::ShopError;
use crate::calls::{self, Gates};
use crate::gate::Gate;
use futures_util::FutureExt;
use futures_util::future::join_all;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::{Command, Event, Lsn, OrderId, Outcome, PartitionId, Record, Refusal, basket};
use son7shop_persistence::journal::{Cursor, JournalError, PartitionFolder, Reader};
use std::collections::{BTreeSet, VecDeque};
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
    /// The rest of the frame read last: what there was no room yet to ask.
    frame: VecDeque<Record>,
    /// The last event whose asks were started.
    started: Lsn,
    under_way: BTreeSet<Lsn>,
    /// The first event that a partition will not hear of before the program is started again.
    stuck: Option<Lsn>,
    /// Ends of frames that were started: a reader can start again only there.
    ends: BTreeSet<Lsn>,
    /// Each says whether all that its event asks was answered.
    asking: JoinSet<(Lsn, bool)>,
}

/// The stock participant of one home.
pub(crate) struct StockParticipant;

impl Actor for StockParticipant {
    type Msg = Turn;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Turn>, args: Args) -> Result<State, ActorProcessingErr> {
        let state = State::at_cursor(args)?;
        me.cast(Turn)?;
        Ok(state)
    }

    async fn handle(&self, me: ActorRef<Turn>, _: Turn, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.turn().await?;
        me.cast(Turn)?;
        Ok(())
    }
}

impl State {
    fn at_cursor(args: Args) -> Result<Self, JournalError> {
        let cursor = Cursor::new(&args.folder, "stock")?;
        let started = cursor.load()?.unwrap_or_default();
        args.home.set_settled(started);
        Ok(Self {
            args,
            cursor,
            stored: Instant::now(),
            reader: None,
            frame: VecDeque::new(),
            started,
            under_way: BTreeSet::new(),
            stuck: None,
            ends: BTreeSet::new(),
            asking: JoinSet::new(),
        })
    }

    async fn turn(&mut self) -> Result<(), ActorProcessingErr> {
        let home = Arc::clone(&self.args.home);
        let raised = home.asks.raised();
        let committed = home.committed();
        while let Some(done) = self.asking.try_join_next() {
            self.done(done?);
        }
        self.read_on(committed.position.lsn).await?;
        self.settle()?;
        let news = home.asks.wait(raised);
        tokio::select! {
            _ = tokio::time::timeout(LOOK, news) => {}
            Some(done) = self.asking.join_next() => self.done(done?),
        }
        Ok(())
    }

    /// Reads what is committed and starts what it asks, as far as there is room.
    async fn read_on(&mut self, up_to: Lsn) -> Result<(), ActorProcessingErr> {
        while self.start() && self.started < up_to {
            let committed = self.args.home.committed();
            let (folder, reader, after) = (self.args.folder.clone(), self.reader.take(), self.started);
            let (reader, frame) = tokio::task::spawn_blocking(move || {
                let mut reader = match reader {
                    Some(reader) => reader,
                    None => Reader::open(&folder, after, committed)?,
                };
                let frame = reader.next(committed)?;
                Ok::<_, JournalError>((reader, frame))
            })
            .await??;
            self.reader = Some(reader);
            let Some(frame) = frame else { return Ok(()) };
            self.frame = frame.records.into();
        }
        Ok(())
    }

    /// Starts what the rest of the frame asks; whether there was room for all of it.
    fn start(&mut self) -> bool {
        while self.asking.len() < ASKS_MAX {
            let Some(Record { event, .. }) = self.frame.pop_front() else { return true };
            self.started = self.started.next();
            let asks = basket::asks(&event);
            if !asks.is_empty() {
                self.under_way.insert(self.started);
                self.asking.spawn(ask(self.args.clone(), self.started, event, asks));
            }
            // The cursor cannot come to an end behind what is stuck.
            if self.frame.is_empty() && self.stuck.is_none() {
                self.ends.insert(self.started);
            }
        }
        false
    }

    fn done(&mut self, (lsn, answered): (Lsn, bool)) {
        self.under_way.remove(&lsn);
        if answered {
            return;
        }
        if self.stuck.is_none() {
            let home = self.args.home.id().0;
            tracing::warn!(home, lsn = lsn.0, "a partition stays closed: what baskets ask of it waits for a restart");
        }
        self.stuck = Some(self.stuck.map_or(lsn, |first| first.min(lsn)));
    }

    /// Everything below the oldest event under way is settled, to the end of a frame: a
    /// cursor inside a frame could not be read on from.
    fn settle(&mut self) -> Result<(), JournalError> {
        let unanswered = self.under_way.first().copied().into_iter().chain(self.stuck);
        let oldest = unanswered.min().unwrap_or(self.started.next());
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

/// Sees one event through; says whether everybody answered.
async fn ask(args: Args, lsn: Lsn, event: Event, asks: Vec<(PartitionId, Command)>) -> (Lsn, bool) {
    if let Event::OrderOpened { id, .. } = event {
        return (lsn, open(&args, id, asks).await);
    }
    // Side by side: one that does not answer keeps nobody else's units.
    let told = asks.iter().map(|(partition, command)| until_answered(&args.gates, *partition, command));
    (lsn, join_all(told).await.iter().all(Option::is_some))
}

/// Asks every partition for its part, and tells home; says whether home answered.
async fn open(args: &Args, order: OrderId, asks: Vec<(PartitionId, Command)>) -> bool {
    // Read after a crash, the event may be long over: a part must not be held for a dead order.
    match until_read(&args.home, order).await {
        Some(opening) if opening => {}
        over => return over.is_some(),
    }
    let parts = asks.into_iter().map(|(partition, command)| async move {
        let answered = tokio::time::timeout(PART_WAIT, until_answered(&args.gates, partition, &command)).await;
        let unanswered = Outcome::Refused(Refusal::PartUnanswered { partition });
        (partition, answered.ok().flatten().unwrap_or(unanswered))
    });
    let answers = join_all(parts).await;
    let refusal = match until_answered_by(&args.home, &basket::tell(order, answers)).await {
        Some(Outcome::Refused(refusal @ Refusal::TotalTooLarge)) => refusal,
        Some(_) => return true,
        // Home's journal has room for the end of the order, though not to place it.
        None => Refusal::PartUnanswered { partition: args.home.id() },
    };
    until_answered_by(&args.home, &Command::RefuseParts { order, refusal }).await.is_some()
}

/// Whether `order` is still opening; `None`: home stays closed.
async fn until_read(home: &Gate, order: OrderId) -> Option<bool> {
    let mut pause = RETRY_MIN;
    loop {
        if let Ok(opening) = calls::read(home, move |owner| owner.is_opening(order)).await {
            return Some(opening);
        }
        if stays_closed(home) {
            return None;
        }
        wait(&mut pause).await;
    }
}

async fn until_answered(gates: &Gates, partition: PartitionId, command: &Command) -> Option<Outcome> {
    match calls::gate(gates, partition) {
        Some(gate) => until_answered_by(gate, command).await,
        None => Some(Outcome::Refused(Refusal::PartUnanswered { partition })),
    }
}

/// Sends `command` until its owner answers; sent twice, it changes nothing the second time.
/// `None`: nobody will, since the partition stays closed, or its journal has no room.
async fn until_answered_by(gate: &Gate, command: &Command) -> Option<Outcome> {
    let mut pause = RETRY_MIN;
    loop {
        match calls::decide(gate, command.clone()).await {
            Ok(outcome) if basket::answers(&outcome) => return Some(outcome),
            Ok(outcome) => tracing::debug!(partition = gate.id().0, ?outcome, "asking again"),
            Err(ShopError::Refused(refusal)) => return Some(Outcome::Refused(refusal)),
            Err(ShopError::JournalFull { .. }) => return None,
            Err(error) => tracing::debug!(partition = gate.id().0, %error, "asking again"),
        }
        if stays_closed(gate) {
            return None;
        }
        wait(&mut pause).await;
    }
}

/// Whether nobody is let in until the program is started again.
fn stays_closed(gate: &Gate) -> bool {
    gate.until_closed().now_or_never().is_some()
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(RETRY_MAX);
}

#[cfg(test)]
#[path = "stock_tests.rs"]
mod tests;
