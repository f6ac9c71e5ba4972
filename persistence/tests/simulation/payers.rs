//! The payment, deadline and refund participants of a home: each follows the open steps of what its home has
//! on disk, makes the call that is due, and tells home what the rules say, again and again until home has
//! answered. They keep nothing that they could not read again.

use crate::bugs::{self, Bug};
use crate::gateway::{Caller, Gateway};
use crate::node::{Ask, Sender};
use crate::oracle::{Checked, broken};
use crate::queue::{Key, Limits, Queue, Waiting};
use compact_str::CompactString;
use rand::Rng;
use rand::rngs::SmallRng;
use son7shop_engine::payment::{Answered, cut};
use son7shop_engine::{
    Call, Command, DueStep, Lsn, Outcome, Participant, Partition, PartitionId, Refusal, Report, Step, StepState, Time,
    saga,
};
use std::collections::BTreeMap;

pub(crate) const PARTS: [Participant; 3] = [Participant::Payment, Participant::Deadline, Participant::Refund];

/// Half the pause before a step is tried again over which it panicked; it doubles each time.
const PANIC_MILLIS: i64 = 100;
/// How often a step may make it panic before it is parked.
const PANICS_MAX: u32 = 3;

/// Where a call of a participant is.
#[derive(Debug)]
enum Stage {
    /// The step is read once more before its call is made.
    Picked(Waiting),
    /// The gateway is asked.
    Calling(Box<Step>, Call),
    /// Home is told, until it answers.
    Telling(Box<Command>),
}

/// One participant, as long as it lives.
#[derive(Debug)]
pub(crate) struct Payer {
    place: usize,
    home: PartitionId,
    queue: Queue,
    works: BTreeMap<u64, (Key, Stage)>,
    /// How often each step made it panic.
    panics: BTreeMap<Key, u32>,
    bug: Option<Bug>,
    /// Answers that left everything open.
    pub(crate) unknown: u64,
}

impl Payer {
    pub(crate) fn new(place: usize, started_at: Lsn, bug: Option<Bug>) -> Self {
        let home = PartitionId(u16::try_from(place / PARTS.len()).expect("few"));
        let queue = Queue::new(PARTS[place % PARTS.len()], Limits::REAL, started_at);
        Self { place, home, queue, works: BTreeMap::new(), panics: BTreeMap::new(), bug, unknown: 0 }
    }

    /// A turn, with home as it is on disk where that can be read now. `works` numbers the works of all.
    pub(crate) fn turn(
        &mut self,
        home: Option<&Partition>,
        gateway: &mut Gateway,
        (clock, latest): (i64, i64),
        works: &mut u64,
        rng: Option<&mut SmallRng>,
    ) {
        let Some(home) = home else { return };
        self.queue.read_on(home);
        for waiting in self.queue.pick(Time(clock)) {
            *works += 1;
            let key = (waiting.due.order, waiting.due.step);
            self.works.insert(*works, (key, Stage::Picked(waiting)));
        }
        // Not all at once: between a step's reading and its call other things happen.
        let mut rng = rng;
        let mut now = |picked: &Stage| {
            matches!(picked, Stage::Picked(_)) && rng.as_mut().is_none_or(|rng| rng.random_ratio(2, 3))
        };
        let picked: Vec<u64> = self.works.iter().filter(|(_, (_, stage))| now(stage)).map(|(work, _)| *work).collect();
        for work in picked {
            let panics = match (&mut rng, self.works.get(&work)) {
                // Over some steps it panics nearly always.
                (Some(rng), Some((key, _))) if key.0.as_bytes()[12] % 32 == 0 => rng.random_ratio(9, 10),
                (Some(rng), _) => rng.random_ratio(1, 100),
                _ => false,
            };
            // Before the call was made, or when it was under way.
            let (before, after) = (panics && clock % 2 == 0, panics && clock % 2 == 1);
            let Some((_, Stage::Picked(waiting))) = self.works.get(&work) else { continue };
            let due = waiting.due;
            if !before {
                self.call(work, home, gateway, (clock, latest));
            }
            if before || after && self.works.contains_key(&work) {
                self.panic(work, due, gateway, clock);
            }
        }
    }

    fn panic(&mut self, work: u64, due: DueStep, gateway: &mut Gateway, clock: i64) {
        self.works.remove(&work);
        let place = self.place;
        gateway.forsake(|caller| caller == Caller { payer: place, work }, || true);
        let panics = self.panics.entry((due.order, due.step)).or_default();
        *panics += 1;
        self.queue.panicked(due, Time(clock + (PANIC_MILLIS << (*panics).min(PANICS_MAX))));
    }

    fn call(&mut self, work: u64, home: &Partition, gateway: &mut Gateway, (clock, latest): (i64, i64)) {
        let Some((key, Stage::Picked(waiting))) = self.works.remove(&work) else { return };
        let step = home.step_view(key.0, key.1);
        let as_it_was = |step: &Step| step.lsn == waiting.due.lsn && step.state != StepState::Parked;
        let Some(step) = step.filter(as_it_was) else { return self.queue.ended(key) };
        let made = if waiting.resumed { saga::resumed(step.call) } else { step.call };
        let step = Box::new(step);
        if self.panics.get(&key).is_some_and(|panics| *panics >= PANICS_MAX) {
            let report = Report::Tried { answer: cut("it panicked too often"), next: None };
            return self.tell(work, &step, report);
        }
        let answered = match made {
            Call::Lapse => Some(Answered::Refused(CompactString::default())),
            made => gateway.send(Caller { payer: self.place, work }, &step, made, Time(clock), latest),
        };
        self.works.insert(work, (key, Stage::Calling(step, made)));
        if let Some(answered) = answered {
            self.answered(work, answered, clock);
        }
    }

    /// An answer has come.
    pub(crate) fn answered(&mut self, work: u64, answered: Answered, clock: i64) {
        let Some((_, Stage::Calling(step, made))) = self.works.remove(&work) else { return };
        self.unknown += u64::from(matches!(answered, Answered::Unknown(_)));
        let mistake = self.bug.and_then(|bug| bugs::mistaken(bug, &step, made, &answered));
        let report = mistake.unwrap_or_else(|| saga::report(&step, made, answered, Time(clock)));
        self.tell(work, &step, report);
    }

    fn tell(&mut self, work: u64, step: &Step, report: Report) {
        let command = Command::Report { order: step.order, step: step.step, seen: step.lsn, report };
        self.works.insert(work, ((step.order, step.step), Stage::Telling(Box::new(command))));
    }

    /// What home is told (again).
    pub(crate) fn tells(&self) -> Vec<(PartitionId, Sender, Ask)> {
        let tell = |(work, (_, stage)): (&u64, &(Key, Stage))| match stage {
            Stage::Telling(command) => {
                let from = Sender::Payer { place: self.place, work: *work };
                Some((self.home, from, Ask::Decide((**command).clone())))
            }
            _ => None,
        };
        self.works.iter().filter_map(tell).collect()
    }

    /// Home has answered.
    pub(crate) fn hear(&mut self, work: u64, outcome: &Outcome) -> Checked {
        let Some((key, _)) = self.works.remove(&work) else { return Ok(()) };
        self.queue.ended(key);
        self.panics.remove(&key);
        match outcome {
            // A step whose report does not fit stays as it is, and nobody comes to it again.
            Outcome::Refused(Refusal::WrongStep) => {
                Err(broken("every saga goes on", format!("home of {} does not take a report of {:?}", key.0, key.1)))
            }
            _ => Ok(()),
        }
    }

    /// Whether it does nothing but wait, for the gateway or for a time.
    pub(crate) fn is_idle(&self, clock: i64) -> bool {
        let waits = self.works.values().all(|(_, stage)| matches!(stage, Stage::Calling(..)));
        waits && self.queue.next_due().is_none_or(|due| due.0 > clock)
    }

    pub(crate) fn next_due(&self) -> Option<i64> {
        self.queue.next_due().map(|due| due.0)
    }
}
