//! Which step's call a participant makes next: the same reading, the same order, the same limits as in
//! `actors/src/participant.rs`, without its tasks. Both the histories and the hundred thousand sagas go
//! through it. What it knows can be read again.

use son7shop_engine::{DueStep, Lane, Lsn, OrderId, Participant, Partition, StepRef, Time};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Key = (OrderId, StepRef);

/// How much at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Steps that are read from the owner.
    pub(crate) read: usize,
    /// Calls under way in each lane.
    pub(crate) calls: usize,
    /// Calls that are started in one turn: without end, unless a mistake is planted.
    pub(crate) turn: usize,
}

const LANES: [Lane; 3] = [Lane::Begin, Lane::Capture, Lane::Other];

impl Limits {
    pub(crate) const REAL: Self = Self { read: 1024, calls: 256, turn: usize::MAX };
}

/// A step that waits for its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) due: DueStep,
    /// Whether its call may have been made before this participant was started.
    pub(crate) resumed: bool,
}

/// The steps of one participant of one home.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) part: Participant,
    limits: Limits,
    /// The last event whose step was read.
    seen: Lsn,
    /// Steps up to here were open when it was started.
    started_at: Lsn,
    waiting: BTreeMap<Key, Waiting>,
    /// The same, by when they are due in each lane.
    due: [BTreeSet<(Time, Key)>; LANES.len()],
    /// Steps whose calls are under way, and in which lane.
    busy: BTreeMap<Key, Lane>,
    /// How many of them are in each lane.
    taken: [usize; LANES.len()],
    /// The partition's time when it was read last: it does not go back with the machine's.
    latest: Time,
}

impl Queue {
    pub(crate) fn new(part: Participant, limits: Limits, started_at: Lsn) -> Self {
        Self {
            part,
            limits,
            seen: Lsn(0),
            started_at,
            waiting: BTreeMap::new(),
            due: Default::default(),
            busy: BTreeMap::new(),
            taken: Default::default(),
            latest: Time(0),
        }
    }

    /// Reads the steps that changed since; `partition` has nothing that is not on disk.
    pub(crate) fn read_on(&mut self, partition: &Partition) {
        self.latest = self.latest.max(partition.time());
        loop {
            let steps = partition.due_after(self.seen, self.limits.read);
            let all = steps.len() < self.limits.read;
            for due in steps {
                self.seen = due.lsn;
                self.take(due);
            }
            if all {
                return;
            }
        }
    }

    fn take(&mut self, due: DueStep) {
        let key = (due.order, due.step);
        self.drop_waiting(key);
        if due.part != self.part || due.due_at == Time::NEVER {
            return;
        }
        let resumed = due.lsn <= self.started_at;
        self.waiting.insert(key, Waiting { due, resumed });
        self.due[due.lane as usize].insert((due.due_at, key));
    }

    fn drop_waiting(&mut self, key: Key) {
        if let Some(Waiting { due, .. }) = self.waiting.remove(&key) {
            self.due[due.lane as usize].remove(&(due.due_at, key));
        }
    }

    /// When the next call is due for which nothing of the same step is under way.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let first = self.due.iter().filter_map(|due| due.iter().find(|(_, key)| !self.busy.contains_key(key)));
        first.map(|(due, _)| *due).min()
    }

    /// The calls that are due, as far as there is room: they are under way from here on.
    pub(crate) fn pick(&mut self, now: Time) -> Vec<Waiting> {
        let (now, mut keys) = (now.max(self.latest), Vec::new());
        for lane in LANES {
            let room = self.limits.calls.saturating_sub(self.taken[lane as usize]);
            keys.extend(self.ready(lane, now, room));
        }
        keys.truncate(self.limits.turn);
        let mut picked = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(waiting) = self.waiting.get(&key).copied() else { continue };
            self.drop_waiting(key);
            self.busy.insert(key, waiting.due.lane);
            self.taken[waiting.due.lane as usize] += 1;
            picked.push(waiting);
        }
        picked
    }

    fn ready(&self, lane: Lane, now: Time, room: usize) -> Vec<Key> {
        let due = self.due[lane as usize].iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
        due.filter(|key| !self.busy.contains_key(key)).take(room).collect()
    }

    /// The participant panicked over a step: once more at `due_at`, unless the step has changed since.
    pub(crate) fn panicked(&mut self, due: DueStep, due_at: Time) {
        let key = (due.order, due.step);
        self.ended(key);
        if self.waiting.contains_key(&key) {
            return;
        }
        let due = DueStep { due_at, ..due };
        self.waiting.insert(key, Waiting { due, resumed: true });
        self.due[due.lane as usize].insert((due_at, key));
    }

    /// A step's call is over, and home has heard of it.
    pub(crate) fn ended(&mut self, key: Key) {
        if let Some(lane) = self.busy.remove(&key) {
            self.taken[lane as usize] -= 1;
        }
    }

    /// Whether a call of the step is under way.
    pub(crate) fn works_on(&self, key: Key) -> bool {
        self.busy.contains_key(&key)
    }
}
