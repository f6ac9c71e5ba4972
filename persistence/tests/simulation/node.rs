//! One partition's owner over the real journal: decide, append, commit, answer. What is
//! known beside it: everything it ever wrote, and how much of that somebody was told.

use crate::bugs::{self, Bug};
use crate::oracle::{Broken, Checked, Oracle, broken};
use son7shop_engine::{Command, Lsn, OrderId, OrderView, Outcome, Partition, PartitionId, Record, Time, invariants};
use son7shop_persistence::journal::{
    Committed, Journal, JournalError, OpenHints, PartitionFolder, Position, Reader, Recovered,
};

/// Who hears an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The customer or admin of an intent.
    Client(usize),
    /// A stock participant's work on an event, for one of the things it asked.
    Participant { home: PartitionId, event: Lsn, ask: usize },
    /// A payment, deadline or refund participant, by its place, for one of its works.
    Payer { place: usize, work: u64 },
    /// Whoever came back with what no page of that attempt gave them.
    Forger,
    /// Nobody.
    Nobody,
}

/// What an owner is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Decide(Command),
    IsOpening(OrderId),
    Show(OrderId),
}

/// What an owner says.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Decided(Outcome),
    Opening(bool),
    Shown(Option<Box<OrderView>>),
}

/// An answer, ready to be heard.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) to: Sender,
    pub(crate) told: Told,
    /// The last event that it may tell of; 0 where it promises nothing.
    pub(crate) lsn: Lsn,
}

/// The owner while it lives.
pub(crate) struct Owner {
    pub(crate) partition: Partition,
    pub(crate) journal: Journal,
    waiting: Vec<Answer>,
}

/// A partition: its owner, when there is one, and what the world knows of it.
pub(crate) struct Node {
    pub(crate) id: PartitionId,
    pub(crate) owner: Option<Owner>,
    /// Where the journal must be cut: a write or sync failed in this process.
    pub(crate) cut_at: Option<Committed>,
    /// Everything that was decided and may have reached the disk.
    pub(crate) written: Vec<Record>,
    pub(crate) oracle: Oracle,
    /// The last event that somebody was told of.
    pub(crate) told: Lsn,
    /// The database's place, and what it has added up.
    pub(crate) database: Option<Position>,
    pub(crate) stored: Oracle,
    bug: Option<Bug>,
}

impl Node {
    pub(crate) fn new(id: PartitionId, bug: Option<Bug>) -> Self {
        Self {
            id,
            owner: None,
            cut_at: None,
            written: Vec::new(),
            oracle: Oracle::default(),
            told: Lsn(0),
            database: None,
            stored: Oracle::default(),
            bug,
        }
    }

    /// Takes a message; answers that may be heard at once come back.
    pub(crate) fn handle(&mut self, clock: Time, from: Sender, ask: &Ask) -> Result<Vec<Answer>, Broken> {
        let Some(owner) = &mut self.owner else { return Ok(Vec::new()) };
        let told = match ask {
            Ask::IsOpening(order) => Told::Opening(owner.partition.is_opening(*order)),
            Ask::Show(order) => Told::Shown(owner.partition.order(*order).map(Box::new)),
            Ask::Decide(command) => {
                let believed = match self.bug {
                    Some(Bug::ReleasesOnCallback) => bugs::believed(owner, command),
                    _ => None,
                };
                let command = believed.as_ref().unwrap_or(command);
                let first = self.written.len();
                let (journal, written) = (&mut owner.journal, &mut self.written);
                let outcome = owner.partition.step(clock, command, |record| {
                    journal.append(record);
                    written.push(record.clone());
                });
                for record in &self.written[first..] {
                    self.oracle.take_in(record)?;
                }
                if self.bug == Some(Bug::ReleaseTwice) {
                    bugs::release_again(owner, command, &outcome, &self.written);
                }
                Told::Decided(outcome)
            }
        };
        // "Sold out" and the like promise nothing.
        let promises = !matches!(&told, Told::Decided(Outcome::Refused(refusal)) if !refusal.tells_state());
        let lsn = if promises { owner.partition.lsn() } else { Lsn(0) };
        let answer = Answer { to: from, told, lsn };
        self.check()?;
        if !promises || self.bug == Some(Bug::AckBeforeSync) {
            return Ok(vec![answer]);
        }
        if let Some(owner) = &mut self.owner {
            owner.waiting.push(answer);
        }
        Ok(Vec::new())
    }

    /// The end of a batch: one commit, then every answer. A failure is the owner's end.
    pub(crate) fn flush(&mut self) -> Vec<Answer> {
        let Some(owner) = &mut self.owner else { return Vec::new() };
        if owner.journal.commit().is_ok() {
            return std::mem::take(&mut owner.waiting);
        }
        self.cut_at = Some(owner.journal.committed());
        self.owner = None;
        Vec::new()
    }

    /// The partition, where nothing in it is on its way to the disk.
    pub(crate) fn on_disk(&self) -> Option<&Partition> {
        self.owner.as_ref().filter(|owner| owner.journal.pending() == 0).map(|owner| &owner.partition)
    }

    /// What must hold after every step.
    pub(crate) fn check(&self) -> Checked {
        let Some(owner) = &self.owner else { return Ok(()) };
        invariants::check(&owner.partition).map_err(|violation| broken("invariant", violation.to_string()))?;
        self.oracle.agrees(&owner.partition)
    }

    /// Opens the journal and compares what is there with what was promised. `Ok(false)`:
    /// the storage failed; try again.
    pub(crate) fn recover(&mut self, folder: &PartitionFolder, seed: u64) -> Result<bool, Broken> {
        let hints = OpenHints { database: self.database, cut_at: self.cut_at };
        let Recovered { partition, journal, .. } = match Journal::open(folder, hints, seed, &mut |_| {}) {
            Ok(recovered) => recovered,
            Err(JournalError::Io { .. }) => return Ok(false),
            Err(error) => return Err(broken("recovery", error.to_string())),
        };
        self.compare(&partition, journal.committed())?;
        let mut owner = Owner { partition, journal, waiting: Vec::new() };
        if self.bug == Some(Bug::ForgetKeyAfterRestart) {
            bugs::forget_keys(&mut owner);
        }
        self.cut_at = None;
        // What recovery shows counts from now on: somebody may have seen it.
        self.told = owner.partition.lsn();
        self.owner = Some(owner);
        Ok(true)
    }

    fn compare(&mut self, partition: &Partition, committed: Committed) -> Checked {
        let lsn = partition.lsn();
        if lsn < self.told {
            let what = format!("partition {}: LSN {} was told, {lsn} is recovered", self.id, self.told);
            return Err(broken("no lost answer", what));
        }
        if let Some(cut) = self.cut_at.filter(|cut| cut.position.lsn != lsn) {
            return Err(broken("recovery", format!("cut at {}, not at {}", lsn, cut.position.lsn)));
        }
        let known = usize::try_from(lsn.0).unwrap_or(usize::MAX);
        if known > self.written.len() || committed.position.lsn != lsn {
            return Err(broken("nothing invented", format!("{lsn} recovered, {} written", self.written.len())));
        }
        self.written.truncate(known);
        let mut replayed = Partition::new(self.id, 77);
        self.written.iter().for_each(|record| replayed.evolve(record));
        if replayed.image() != partition.image() {
            return Err(broken("nothing invented", format!("partition {}: another state is recovered", self.id)));
        }
        self.oracle = Oracle::of(&self.written)?;
        Ok(())
    }

    /// The events committed after `after`, with the ends of their frames.
    pub(crate) fn read(&self, folder: &PartitionFolder, after: Lsn) -> Result<Vec<(Vec<Record>, Position)>, Broken> {
        let Some(owner) = &self.owner else { return Ok(Vec::new()) };
        let committed = owner.journal.committed();
        if committed.position.lsn <= after {
            return Ok(Vec::new());
        }
        let mut frames = Vec::new();
        let mut read = || {
            let mut reader = Reader::open(folder, after, committed)?;
            while let Some(frame) = reader.next(committed)? {
                frames.push((frame.records, frame.position_after));
            }
            Ok::<_, JournalError>(())
        };
        match read() {
            Ok(()) | Err(JournalError::Io { .. }) => Ok(frames),
            Err(error) => Err(broken("followers", error.to_string())),
        }
    }

    /// Write-behind: the database takes in what is committed.
    pub(crate) fn store(&mut self, folder: &PartitionFolder) -> Checked {
        let after = self.database.map_or(Lsn(0), |position| position.lsn);
        for (records, position) in self.read(folder, after)? {
            records.iter().try_for_each(|record| self.stored.take_in(record))?;
            self.database = Some(position);
        }
        Ok(())
    }
}
