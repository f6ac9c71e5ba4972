//! The stock participant of one home: follows its committed journal by the engine's rules
//! ([`basket`]), asks the other partitions again and again until they answer, tells home,
//! and keeps nothing but a cursor. Whatever it sends may be late, doubled or lost.

use crate::node::{Ask, Sender, Told};
use crate::oracle::{Broken, broken};
use son7shop_engine::{Command, Event, Lsn, OrderId, Outcome, PartitionId, Record, Refusal, basket};
use son7shop_persistence::journal::{Cursor, JournalError, PartitionFolder};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do for one event.
#[derive(Debug)]
struct Work {
    /// A basket that is opening; `None` for an end that the parts must hear of.
    opened: Option<OrderId>,
    /// Whether home has said that the basket is still opening.
    checked: bool,
    asks: Vec<(PartitionId, Command, Option<Outcome>)>,
    tell: Option<Command>,
}

/// The place in `Sender::Participant` of a question to home itself.
const HOME_CHECK: usize = usize::MAX;
const HOME_TELL: usize = usize::MAX - 1;

/// The participant, as long as its process lives.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) home: PartitionId,
    /// The last event read.
    pub(crate) read: Lsn,
    work: BTreeMap<Lsn, Work>,
    /// Ends of frames that were read: the only places a follower can start again from.
    ends: BTreeSet<Lsn>,
    pub(crate) settled: Lsn,
}

impl Participant {
    /// Goes on at the cursor; `None`: the storage failed.
    pub(crate) fn resume(home: PartitionId, folder: &PartitionFolder) -> Result<Option<Self>, Broken> {
        let settled = match Cursor::new(folder, "stock").and_then(|cursor| cursor.load()) {
            Ok(lsn) => lsn.unwrap_or_default(),
            Err(JournalError::Io { .. }) => return Ok(None),
            Err(error) => return Err(broken("followers", error.to_string())),
        };
        Ok(Some(Self { home, read: settled, work: BTreeMap::new(), ends: BTreeSet::new(), settled }))
    }

    /// Takes in committed events of home.
    pub(crate) fn follow(&mut self, frames: Vec<(Vec<Record>, Lsn)>) {
        for (records, end) in frames {
            for record in records {
                self.read = self.read.next();
                let asks: Vec<_> = basket::asks(&record.event)
                    .into_iter()
                    .map(|(partition, command)| (partition, command, None))
                    .collect();
                if asks.is_empty() {
                    continue;
                }
                let opened = match &record.event {
                    Event::OrderOpened { id, .. } => Some(*id),
                    _ => None,
                };
                self.work.insert(self.read, Work { opened, checked: false, asks, tell: None });
            }
            self.ends.insert(end);
        }
    }

    /// Everything it is waiting for, asked (again).
    pub(crate) fn asks(&self) -> Vec<(PartitionId, Sender, Ask)> {
        let mut out = Vec::new();
        for (&event, work) in &self.work {
            let sender = |ask| Sender::Participant { home: self.home, event, ask };
            match (work.opened, work.checked, &work.tell) {
                (Some(order), false, _) => out.push((self.home, sender(HOME_CHECK), Ask::IsOpening(order))),
                (_, _, Some(tell)) => out.push((self.home, sender(HOME_TELL), Ask::Decide(tell.clone()))),
                _ => {
                    for (at, (partition, command, answered)) in work.asks.iter().enumerate() {
                        if answered.is_none() {
                            out.push((*partition, sender(at), Ask::Decide(command.clone())));
                        }
                    }
                }
            }
        }
        out
    }

    /// Takes in an answer, wherever it comes from: an earlier life, a doubled question.
    pub(crate) fn hear(&mut self, event: Lsn, ask: usize, told: &Told) -> Result<(), Broken> {
        let Some(work) = self.work.get_mut(&event) else { return Ok(()) };
        match (ask, told) {
            (HOME_CHECK, Told::Opening(true)) => work.checked = true,
            (HOME_CHECK, Told::Opening(false)) => {
                self.work.remove(&event);
            }
            (HOME_TELL, Told::Decided(outcome)) => self.told(event, outcome),
            (at, Told::Decided(outcome)) => self.answered(event, at, outcome)?,
            _ => {}
        }
        Ok(())
    }

    fn told(&mut self, event: Lsn, outcome: &Outcome) {
        let Some(work) = self.work.get_mut(&event) else { return };
        match (outcome, work.opened) {
            (Outcome::Refused(refusal @ Refusal::TotalTooLarge), Some(order)) => {
                work.tell = Some(Command::RefuseParts { order, refusal: refusal.clone() });
            }
            _ => {
                self.work.remove(&event);
            }
        }
    }

    fn answered(&mut self, event: Lsn, at: usize, outcome: &Outcome) -> Result<(), Broken> {
        let Some(work) = self.work.get_mut(&event) else { return Ok(()) };
        let Some((partition, command, answered)) = work.asks.get_mut(at) else { return Ok(()) };
        if let (
            Command::ConfirmPart { .. } | Command::ReleasePart { .. } | Command::RestockPart { .. },
            Outcome::Refused(Refusal::PartEnded),
        ) = (&*command, outcome)
        {
            let what = format!("partition {partition} ended the part of {command:?} otherwise");
            return Err(broken("all or nothing", what));
        }
        if basket::answers(outcome) {
            answered.get_or_insert_with(|| outcome.clone());
            self.conclude(event);
        }
        Ok(())
    }

    /// It has waited long enough for one partition's part: home refuses the basket.
    pub(crate) fn give_up_waiting(&mut self, pick: usize) {
        let opening = self.work.iter_mut().filter(|(_, work)| work.checked && work.tell.is_none());
        let Some((&event, work)) = opening.collect::<Vec<_>>().into_iter().nth(pick) else { return };
        for (partition, _, answered) in &mut work.asks {
            answered.get_or_insert(Outcome::Refused(Refusal::PartUnanswered { partition: *partition }));
        }
        self.conclude(event);
    }

    fn conclude(&mut self, event: Lsn) {
        let Some(work) = self.work.get_mut(&event) else { return };
        if work.tell.is_some() || work.asks.iter().any(|(_, _, answered)| answered.is_none()) {
            return;
        }
        let answers =
            work.asks.iter().filter_map(|(partition, _, answered)| Some((*partition, answered.clone()?))).collect();
        match work.opened {
            Some(order) => work.tell = Some(basket::tell(order, answers)),
            None => {
                self.work.remove(&event);
            }
        }
    }

    /// Whether everything it has read is done with.
    pub(crate) fn is_idle(&self) -> bool {
        self.work.is_empty()
    }

    /// Keeps its place: the last end of a frame below everything that is under way.
    pub(crate) fn store_cursor(&mut self, folder: &PartitionFolder) -> bool {
        let oldest = self.work.first_key_value().map_or(self.read.next(), |(lsn, _)| *lsn);
        let Some(&end) = self.ends.range(..oldest).next_back() else { return true };
        if Cursor::new(folder, "stock").and_then(|cursor| cursor.store(end)).is_err() {
            return false;
        }
        self.settled = end;
        self.ends = self.ends.split_off(&end);
        true
    }
}
