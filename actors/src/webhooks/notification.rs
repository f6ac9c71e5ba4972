//! The notification participant of one partition: reads its journal for every endpoint, and
//! puts what is to be told into the endpoint's queue.
//!
//! Each endpoint has places of its own, so one whose queue is full holds up nobody else. The
//! participant looks by itself, many times a second where there are endpoints: the owner is
//! never made to wake it. Without endpoints it reads nothing, and keeps no cursor if it never
//! had one.
//!
//! Its cursor holds back the journal's segments for the endpoint that is furthest behind, for
//! seven days at most (`hold_millis`), and not at all once the disk limit is near: selling comes first. What
//! an endpoint loses by that is said in the log, in its delivery log and in a metric. It must
//! never skip an event in silence.

use super::hooks::{Hook, Hooks};
use super::message::{Message, message_of};
use super::queue::Lane;
use crate::calls;
use crate::clock;
use crate::database::Database;
use crate::gate::Gate;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use son7shop_engine::{Lsn, OrderView, Record, Time};
use son7shop_persistence::journal::{Committed, Cursor, JournalError, PartitionFolder, Reader};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often it looks for news where there are endpoints: the most that a message is late by it.
const LOOK: Duration = Duration::from_millis(50);
/// How often it looks where there are none.
const LOOK_ALONE: Duration = Duration::from_secs(1);
/// How often the cursor is stored while no new segment begins.
const STORE: Duration = Duration::from_secs(10);
/// Segments behind the one that is written from which on an endpoint is in the way of a
/// journal that is at half of its disk limit.
const SEGMENTS_BEHIND: usize = 2;

/// Look.
#[derive(Debug)]
pub(crate) struct Turn;

/// What one participant works on.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) gate: Arc<Gate>,
    pub(crate) folder: PartitionFolder,
    pub(crate) database: Arc<Database>,
    pub(crate) hooks: Arc<Hooks>,
    /// The journal's disk limit, in bytes.
    pub(crate) limit_bytes: u64,
}

/// Where it stands; a restart finds out again.
pub(crate) struct State {
    args: Args,
    cursor: Cursor,
    stored: Option<Lsn>,
    /// The segment that was written when the cursor was stored.
    stored_in: u64,
    stored_at: Instant,
    changed: watch::Receiver<()>,
    /// By lane.
    readings: HashMap<u64, Reading>,
    /// Where the newest segments began, as far as it was seen.
    segments: VecDeque<(u64, Lsn)>,
}

/// A lane's reader, and the rest of the frame that it read last.
struct Reading {
    /// Lent to another thread while it reads.
    reader: Option<Reader>,
    frame: VecDeque<(Lsn, Record)>,
    /// The end of that frame.
    end: Lsn,
}

/// The notification participant of one partition.
pub(crate) struct NotificationParticipant;

impl Actor for NotificationParticipant {
    type Msg = Turn;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Turn>, args: Args) -> Result<State, ActorProcessingErr> {
        let cursor = Cursor::new(&args.folder, "notification")?;
        let stored = cursor.load()?;
        me.cast(Turn)?;
        let changed = args.hooks.changed.subscribe();
        Ok(State {
            args,
            cursor,
            stored,
            stored_in: 0,
            stored_at: Instant::now(),
            changed,
            readings: HashMap::new(),
            segments: VecDeque::new(),
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
        self.changed.mark_unchanged();
        let committed = self.args.gate.committed();
        self.see(committed);
        let lanes = self.lanes();
        self.readings.retain(|number, _| lanes.iter().any(|(_, lane)| lane.number == *number));
        let (mut moved, alone) = (false, lanes.is_empty());
        for (hook, lane) in lanes {
            moved |= self.carry(&hook, lane, committed).await?;
        }
        self.keep_place(committed).await?;
        if !moved {
            let look = if alone { LOOK_ALONE } else { LOOK };
            // Its sender lives as long as the participant's arguments.
            let _ = tokio::time::timeout(look, self.changed.changed()).await;
        }
        Ok(())
    }

    fn lanes(&self) -> Vec<(Arc<Hook>, Lane)> {
        let partition = self.args.gate.id().0;
        let all = self.args.hooks.all();
        all.iter().flat_map(|hook| hook.lanes(partition).into_iter().map(|lane| (Arc::clone(hook), lane))).collect()
    }

    fn see(&mut self, committed: Committed) {
        if self.segments.back().is_none_or(|(segment, _)| *segment < committed.segment) {
            self.segments.push_back((committed.segment, committed.position.lsn));
            if self.segments.len() > SEGMENTS_BEHIND {
                self.segments.pop_front();
            }
        }
    }

    /// Reads a lane on by one frame, as far as there is room; says whether it moved.
    async fn carry(&mut self, hook: &Arc<Hook>, lane: Lane, committed: Committed) -> Result<bool, ActorProcessingErr> {
        if let Some(why) = self.overdue(&lane) {
            self.readings.remove(&lane.number);
            let until = lane.replay.map_or(committed.position.lsn.0, |replay| replay.until);
            hook.skipped(lane.partition, until.saturating_sub(lane.position), why);
            match lane.replay {
                Some(_) => end(hook, &lane),
                None => place(hook, &lane, committed.position.lsn, committed.position.lsn),
            }
            return Ok(true);
        }
        let mut reading = match self.readings.remove(&lane.number) {
            Some(reading) => reading,
            None => self.open(hook, &lane, committed).await?,
        };
        if reading.frame.is_empty() && !self.read(&mut reading, committed).await? {
            if lane.replay.is_some_and(|replay| reading.end.0 >= replay.until) {
                end(hook, &lane);
            } else {
                self.readings.insert(lane.number, reading);
            }
            return Ok(false);
        }
        let moved = self.take(hook, &lane, &mut reading).await;
        self.readings.insert(lane.number, reading);
        Ok(moved)
    }

    /// Why a lane must not hold the journal any longer, if it must not.
    fn overdue(&self, lane: &Lane) -> Option<&'static str> {
        if self.is_in_the_way(lane) {
            return Some("the journal came near its disk limit");
        }
        // What follows the journal is judged event by event, by their age.
        let ended = lane.replay?.began.saturating_add(self.args.hooks.hold_millis) < clock::now().0;
        ended.then_some("the replay waited in the journal for too long")
    }

    /// Whether a journal that is at half of its disk limit is held back by this lane.
    fn is_in_the_way(&self, lane: &Lane) -> bool {
        let near = self.args.folder.disk_bytes() > self.args.limit_bytes / 2;
        let long = self.segments.len() >= SEGMENTS_BEHIND;
        near && long && self.segments.front().is_some_and(|(_, began)| lane.position < began.0)
    }

    async fn open(&self, hook: &Hook, lane: &Lane, committed: Committed) -> Result<Reading, ActorProcessingErr> {
        let (folder, after) = (self.args.folder.clone(), Lsn(lane.position));
        let (reader, oldest) = tokio::task::spawn_blocking(move || open(&folder, after, committed)).await??;
        // A replay since a time begins wherever the journal does.
        let since = lane.replay.is_some_and(|replay| replay.since.is_some());
        if let Some(oldest) = oldest.filter(|_| !since) {
            let events = oldest.0 - after.0;
            hook.skipped(lane.partition, events, "the journal does not reach back to them any more");
        }
        Ok(Reading { end: reader.lsn(), reader: Some(reader), frame: VecDeque::new() })
    }

    /// Reads the next frame; says whether there was one.
    async fn read(&self, reading: &mut Reading, committed: Committed) -> Result<bool, ActorProcessingErr> {
        if reading.end >= committed.position.lsn {
            return Ok(false);
        }
        let Some(mut reader) = reading.reader.take() else { return Ok(false) };
        let (reader, frame) = tokio::task::spawn_blocking(move || {
            let frame = reader.next(committed)?;
            Ok::<_, JournalError>((reader, frame))
        })
        .await??;
        reading.reader = Some(reader);
        let Some(frame) = frame else { return Ok(false) };
        reading.end = frame.position_after.lsn;
        reading.frame = (frame.first_lsn.0..).map(Lsn).zip(frame.records).collect();
        Ok(true)
    }

    /// Puts what is told of the frame into the queue, until it is full; says whether the lane moved.
    async fn take(&self, hook: &Hook, lane: &Lane, reading: &mut Reading) -> bool {
        let now = clock::now();
        let (mut taken, mut expired) = (lane.taken, 0);
        while let Some((lsn, record)) = reading.frame.front() {
            let lsn = *lsn;
            if lsn.0 > taken {
                if lane.replay.is_some_and(|replay| lsn.0 > replay.until) {
                    end(hook, lane);
                    return true;
                }
                if let Some(message) = self.wanted(hook, lane, lsn, record) {
                    if lane.replay.is_none() && record.at.plus_millis(self.args.hooks.hold_millis) < now {
                        expired += 1;
                    } else if !self.queue(hook, message, now).await {
                        break;
                    }
                }
                taken = lsn.0;
            }
            reading.frame.pop_front();
        }
        if expired > 0 {
            hook.skipped(lane.partition, expired, "they waited in the journal for too long");
        }
        let through = if reading.frame.is_empty() { reading.end } else { Lsn(lane.position) };
        let moved = taken > lane.taken || through.0 > lane.position;
        if moved {
            place(hook, lane, through, Lsn(taken));
            self.args.hooks.due.notify_one();
        }
        moved
    }

    fn wanted(&self, hook: &Hook, lane: &Lane, lsn: Lsn, record: &Record) -> Option<Message> {
        if lane.replay.and_then(|replay| replay.since).is_some_and(|since| record.at.0 < since) {
            return None;
        }
        message_of(record, lsn, self.args.gate.id()).filter(|message| hook.kept().endpoint.wants(message.kind))
    }

    /// Puts a message into the queue; says whether that could be done now.
    async fn queue(&self, hook: &Hook, message: Message, now: Time) -> bool {
        if hook.kept().queue.is_full() {
            return false;
        }
        let order = match message.order() {
            None => None,
            Some(_) => match self.order(&message).await {
                Ok(order) => order,
                Err(error) => {
                    tracing::debug!(message = message.id, error, "its order cannot be looked up now");
                    return false;
                }
            },
        };
        let body = message.body(order.as_ref());
        let mut kept = hook.kept();
        kept.queue.push(message.id, message.kind, body, now);
        kept.changed = true;
        true
    }

    /// The order that a message is about: from its owner, or from the database once it is forgotten.
    async fn order(&self, message: &Message) -> Result<Option<OrderView>, String> {
        let Some(id) = message.order() else { return Ok(None) };
        let owned = calls::read(&self.args.gate, move |owner| owner.order(id)).await;
        if let Some(order) = owned.map_err(|error| error.to_string())? {
            return Ok(Some(order));
        }
        let stored = self.args.database.read(move |store| async move { store.order(id).await }).await;
        stored.map_err(|error| error.to_string())
    }

    /// Keeps the cursor where the endpoint is that is furthest behind. Its exact place counts
    /// for nothing (the queues have theirs): it is stored when it could free a segment, or
    /// must hold one.
    async fn keep_place(&mut self, committed: Committed) -> Result<(), ActorProcessingErr> {
        let behind = self.lanes().iter().map(|(_, lane)| Lsn(lane.position)).min();
        let place = behind.unwrap_or(committed.position.lsn);
        let soon = committed.segment != self.stored_in || (behind.is_some() && self.stored_at.elapsed() >= STORE);
        let due = match self.stored {
            None => behind.is_some(),
            Some(stored) => place < stored || (place > stored && soon),
        };
        if due {
            let cursor = self.cursor.clone();
            tokio::task::spawn_blocking(move || cursor.store(place)).await??;
            self.stored = Some(place);
            (self.stored_in, self.stored_at) = (committed.segment, Instant::now());
        }
        Ok(())
    }
}

/// A reader after `after`, or as near behind it as a frame ends; and, where the journal does
/// not reach back so far, where it begins.
fn open(folder: &PartitionFolder, after: Lsn, committed: Committed) -> Result<(Reader, Option<Lsn>), JournalError> {
    let (from, oldest) = match Reader::open(folder, after, committed) {
        Err(JournalError::InsideFrame { first, .. }) => (Lsn(first.0 - 1), None),
        Err(JournalError::BelowOldest { oldest, .. }) => (Lsn(oldest.0 - 1), Some(Lsn(oldest.0 - 1))),
        reader => return Ok((reader?, None)),
    };
    Ok((Reader::open(folder, from, committed)?, oldest))
}

/// The lane is so far, if it is still there.
fn place(hook: &Hook, lane: &Lane, position: Lsn, taken: Lsn) {
    let mut kept = hook.kept();
    if let Some(lane) = kept.queue.lane(lane.number) {
        (lane.position, lane.taken) = (position.0, taken.0);
        kept.changed = true;
    }
}

/// A replay is over.
fn end(hook: &Hook, lane: &Lane) {
    let mut kept = hook.kept();
    kept.queue.lanes.retain(|known| known.number != lane.number);
    kept.changed = true;
    tracing::info!(webhook = hook.id, partition = lane.partition, "a replay has ended");
}
