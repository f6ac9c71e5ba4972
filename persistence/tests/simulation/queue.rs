//! Which step's call a participant makes next: the same reading, the same order, the same limits as in
//! `actors/src/participant.rs`, without its tasks. Both the histories and the hundred thousand sagas go
//! through it. What it knows can be read again.

use son7shop_engine::{DueStep, Lsn, OrderId, Participant, Partition, StepRef, Time};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Key = (OrderId, StepRef);

/// How much at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Steps that are read from the owner.
    pub(crate) read: usize,
    /// Calls under way to begin payments.
    pub(crate) begins: usize,
    /// All other calls under way.
    pub(crate) others: usize,
    /// Calls that are started in one turn: without end, unless a mistake is planted.
    pub(crate) turn: usize,
}

impl Limits {
    pub(crate) const REAL: Self = Self { read: 1024, begins: 256, others: 256, turn: usize::MAX };
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
    begins: BTreeSet<(Time, Key)>,
    others: BTreeSet<(Time, Key)>,
    /// Steps whose calls are under way, and whether each begins a payment.
    busy: BTreeMap<Key, bool>,
    beginning: usize,
}

impl Queue {
    pub(crate) fn new(part: Participant, limits: Limits, started_at: Lsn) -> Self {
        Self {
            part,
            limits,
            seen: Lsn(0),
            started_at,
            waiting: BTreeMap::new(),
            begins: BTreeSet::new(),
            others: BTreeSet::new(),
            busy: BTreeMap::new(),
            beginning: 0,
        }
    }

    /// Reads the steps that changed since; `partition` has nothing that is not on disk.
    pub(crate) fn read_on(&mut self, partition: &Partition) {
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
        if due.begins { &mut self.begins } else { &mut self.others }.insert((due.due_at, key));
    }

    fn drop_waiting(&mut self, key: Key) {
        if let Some(Waiting { due, .. }) = self.waiting.remove(&key) {
            self.begins.remove(&(due.due_at, key));
            self.others.remove(&(due.due_at, key));
        }
    }

    /// When the next call is due for which nothing of the same step is under way.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let first = |queue: &BTreeSet<(Time, Key)>| {
            queue.iter().find(|(_, key)| !self.busy.contains_key(key)).map(|(at, _)| *at)
        };
        first(&self.begins).into_iter().chain(first(&self.others)).min()
    }

    /// The calls that are due, as far as there is room: they are under way from here on.
    pub(crate) fn pick(&mut self, now: Time) -> Vec<Waiting> {
        let room = self.limits.begins.saturating_sub(self.beginning);
        let mut keys = self.due(&self.begins, now, room);
        let room = self.limits.others.saturating_sub(self.busy.len() - self.beginning);
        keys.extend(self.due(&self.others, now, room));
        keys.truncate(self.limits.turn);
        let mut picked = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(waiting) = self.waiting.get(&key).copied() else { continue };
            self.drop_waiting(key);
            self.busy.insert(key, waiting.due.begins);
            self.beginning += usize::from(waiting.due.begins);
            picked.push(waiting);
        }
        picked
    }

    fn due(&self, queue: &BTreeSet<(Time, Key)>, now: Time, room: usize) -> Vec<Key> {
        let due = queue.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
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
        if due.begins { &mut self.begins } else { &mut self.others }.insert((due_at, key));
    }

    /// A step's call is over, and home has heard of it.
    pub(crate) fn ended(&mut self, key: Key) {
        if let Some(begins) = self.busy.remove(&key) {
            self.beginning -= usize::from(begins);
        }
    }

    /// Whether a call of the step is under way.
    pub(crate) fn works_on(&self, key: Key) -> bool {
        self.busy.contains_key(&key)
    }
}
