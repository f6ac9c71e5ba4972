//! The world around the partitions: who acts next, what is lost, late, doubled or torn,
//! and what must be true whenever one looks.

use crate::bugs::Bug;
use crate::clients::{Clients, Ways};
use crate::counts::Counts;
use crate::gateway::Gateway;
use crate::node::{Answer, Ask, Node, Sender, Told};
use crate::oracle::{Broken, Checked, broken};
use crate::participant::Participant;
use crate::payers::{PARTS, Payer};
use crate::shoppers::Shoppers;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use son7shop_engine::{Command, Lsn, OrderId, OrderStatus, Outcome, PartStatus, PartitionId, Refusal, Time};
use son7shop_payments::sandbox::machine::Rule;
use son7shop_persistence::journal::faults::{Call, MemoryStorage};
use son7shop_persistence::journal::{
    DataFolder, FolderOptions, JournalError, MIN_SEGMENT_BYTES, PartitionFolder, removal, snapshot,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Things that happen in one history before it is brought to its end.
const STEPS: u32 = 3_500;
/// No message is later than this, in milliseconds: a process does not keep one for ever.
const LATE_MAX_MILLIS: i64 = 1_500;
/// Messages under way; more are not sent.
const NET_MAX: usize = 40;

/// A message under way.
#[derive(Debug, Clone)]
pub(crate) enum Letter {
    Ask { to: PartitionId, from: Sender, ask: Ask },
    Answer { to: Sender, answer: Answer },
}

/// How a history goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    ways: Ways,
    /// Things that happen before it is brought to its end.
    steps: u32,
    /// What ended so long ago may be forgotten; later than every message, every customer and every hold.
    forget_millis: i64,
    /// In one of how many steps time jumps, and how far at most.
    jumps: (u32, i64),
    /// Whether faults of the gateway and of the storage are drawn.
    pub(crate) wild: bool,
}

impl Pace {
    /// Holds of seconds, as long as messages are on their way.
    const HURRIED: Self = Self {
        ways: Ways { hold: (500, 6_500), ask_again: 3_000, orders: 42, paying: 28, refunds: 10 },
        steps: STEPS,
        forget_millis: 7_000,
        jumps: (700, 12_000),
        wild: true,
    };
    /// Holds of minutes, as the gateway's.
    const LEISURELY: Self = Self {
        ways: Ways { hold: (60_000, 1_200_000), ask_again: 120_000, orders: 25, paying: 42, refunds: 20 },
        steps: STEPS,
        forget_millis: 1_300_000,
        jumps: (60, 30_000),
        wild: true,
    };
    /// Few things, most of them about paying.
    const BRIEF: Self = Self {
        ways: Ways { hold: (120_000, 600_000), ask_again: 120_000, orders: 25, paying: 47, refunds: 26 },
        steps: 300,
        forget_millis: 1_300_000,
        jumps: (60, 30_000),
        wild: false,
    };
}

pub(crate) struct World {
    pub(crate) rng: SmallRng,
    pub(crate) clock: i64,
    /// The latest that the clock has shown.
    pub(crate) latest: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) participants: Vec<Option<Participant>>,
    pub(crate) clients: Clients,
    pub(crate) net: Vec<(i64, Letter)>,
    pub(crate) gateway: Gateway,
    /// The payment, deadline and refund participants of each home, home by home.
    pub(crate) payers: Vec<Option<Payer>>,
    /// How many works they had in all.
    pub(crate) works: u64,
    pub(crate) shoppers: Shoppers,
    /// Orders of which the gateway has told a wrong sum.
    pub(crate) lied_about: BTreeSet<OrderId>,
    pub(crate) bug: Option<Bug>,
    pub(crate) pace: Pace,
    /// For how many steps each partition stays closed.
    shut: Vec<u32>,
    /// Faults that were planted at the start.
    pub(crate) planted: usize,
    storage: MemoryStorage,
    data: Option<DataFolder>,
    segment_bytes: u64,
    pub(crate) calm: bool,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let partitions: u16 = [1, 2, 2, 3, 3, 4][rng.random_range(0..6)];
        let pace = if rng.random() { Pace::HURRIED } else { Pace::LEISURELY };
        Self::of(rng, partitions, pace, bug)
    }

    /// A short history in which the gateway does these things wrong, and no others.
    pub(crate) fn with_faults(seed: u64, rules: &[Rule]) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let partitions = [1, 1, 2][rng.random_range(0..3)];
        let mut world = Self::of(rng, partitions, Pace::BRIEF, None);
        world.planted = rules.len();
        for rule in rules {
            world.gateway.machine.add_fault(rule.clone()).expect("a fault of that place");
        }
        world
    }

    fn of(mut rng: SmallRng, partitions: u16, pace: Pace, bug: Option<Bug>) -> Self {
        let storage = MemoryStorage::new();
        storage.seed(rng.random());
        Self {
            clock: 1_700_000_000_000,
            latest: 1_700_000_000_000,
            nodes: (0..partitions).map(|id| Node::new(PartitionId(id), bug)).collect(),
            participants: (0..partitions).map(|_| None).collect(),
            clients: Clients::new(partitions, pace.ways),
            net: Vec::new(),
            gateway: Gateway::new(rng.random()),
            payers: (0..usize::from(partitions) * PARTS.len()).map(|_| None).collect(),
            works: 0,
            shoppers: Shoppers::default(),
            lied_about: BTreeSet::new(),
            bug,
            pace,
            planted: 0,
            shut: vec![0; usize::from(partitions)],
            storage,
            data: None,
            segment_bytes: rng.random_range(MIN_SEGMENT_BYTES..4 * MIN_SEGMENT_BYTES),
            calm: false,
            counts: Counts::default(),
            rng,
        }
    }

    /// One whole history, to its end.
    pub(crate) fn run(mut self) -> Result<Counts, Broken> {
        self.live().map_err(|broken| Broken { what: format!("{}{}", broken.what, self.story(&broken.what)), ..broken })
    }

    /// What is written of the orders that `what` names, for whoever looks into a failure.
    fn story(&self, what: &str) -> String {
        let mut story = Vec::new();
        for node in &self.nodes {
            for (lsn, record) in (1..).zip(&node.written) {
                let text = format!("{record:?}");
                if what.split(' ').any(|word| word.len() == 36 && text.contains(word)) {
                    story.push(format!("\n  partition {}, LSN {lsn}: {text}", node.id));
                }
            }
        }
        story.concat()
    }

    fn live(&mut self) -> Result<Counts, Broken> {
        for at in 0..self.nodes.len() {
            while !self.recover(at)? {}
        }
        let now = self.latest;
        for (intent, to, ask) in self.clients.open_shop(&mut self.rng, now) {
            self.net.push((now, Letter::Ask { to, from: Sender::Client(intent), ask }));
        }
        for _ in 0..self.pace.steps {
            self.step()?;
            self.check_baskets()?;
        }
        self.finish()?;
        Ok(self.counts)
    }

    fn pick(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    fn step(&mut self) -> Checked {
        self.advance();
        self.shut.iter_mut().for_each(|steps| *steps = steps.saturating_sub(1));
        let at = self.pick();
        match self.rng.random_range(0..1000) {
            0..80 => {
                let (intent, to, ask) = self.clients.send(&mut self.rng, self.latest);
                self.post(Letter::Ask { to, from: Sender::Client(intent), ask });
            }
            80..450 => return self.deliver(),
            450..550 => {
                self.flush(at);
                // Whoever waited to read what is on disk.
                self.pay(at);
                return self.participate(at);
            }
            550..600 => return self.participate(at),
            600..670 => self.pay(at),
            670..750 => return self.arrive(),
            750..820 => self.answer(),
            820..865 => self.shop(at),
            865..889 => self.visit(),
            889..894 => {
                self.operate(at)?;
            }
            894..896 if self.pace.wild => self.plant(),
            896..900 => return self.ask(at, Sender::Nobody, &Ask::Decide(Command::Tick)),
            900..930 => return self.maintain(at),
            930..932 if self.pace.wild => self.trouble(),
            932..934 => self.die(at),
            934 => {
                let power = self.rng.random();
                self.end_process(power);
            }
            _ => return self.recover_one(),
        }
        Ok(())
    }

    /// Time goes on, in steps, now and then in a jump, now and then backwards.
    fn advance(&mut self) {
        let (one_of, far) = self.pace.jumps;
        self.clock += match self.rng.random_range(0..1200) {
            _ if self.rng.random_ratio(1, one_of) => {
                let by = self.rng.random_range(200..far);
                // Mostly everything was quiet meanwhile: what is under way was sent just now.
                if self.rng.random_ratio(3, 4) {
                    self.net.iter_mut().for_each(|(sent, _)| *sent += by);
                    self.gateway.sent_later(by);
                }
                by
            }
            1..4 => -self.rng.random_range(1..500),
            _ => self.rng.random_range(0..6),
        };
        self.latest = self.latest.max(self.clock);
    }

    pub(crate) fn post(&mut self, letter: Letter) {
        if self.net.len() >= NET_MAX && !self.calm {
            return;
        }
        if !self.calm && self.rng.random_ratio(1, 12) {
            self.net.push((self.latest, letter.clone()));
        }
        self.net.push((self.latest, letter));
    }

    /// Any letter, not the oldest; some are lost.
    pub(crate) fn deliver(&mut self) -> Checked {
        if self.net.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..self.net.len());
        let (sent, letter) = self.net.swap_remove(at);
        let lost = !self.calm && self.rng.random_ratio(1, 25);
        if lost || self.latest - sent > LATE_MAX_MILLIS {
            return Ok(());
        }
        match letter {
            Letter::Ask { to, from, ask } => self.ask(usize::from(to.0), from, &ask),
            Letter::Answer { to: Sender::Client(intent), answer } => self.clients.hear(intent, &answer.told),
            Letter::Answer { to: Sender::Participant { home, event, ask }, answer } => {
                match &mut self.participants[usize::from(home.0)] {
                    Some(participant) => participant.hear(event, ask, &answer.told),
                    None => Ok(()),
                }
            }
            Letter::Answer { to: Sender::Payer { place, work }, answer } => {
                match (&mut self.payers[place], &answer.told) {
                    (Some(payer), Told::Decided(outcome)) => payer.hear(work, outcome),
                    _ => Ok(()),
                }
            }
            Letter::Answer { to: Sender::Forger, answer } => match &answer.told {
                Told::Decided(Outcome::Refused(Refusal::UnknownOrder { .. })) => Ok(()),
                told => Err(broken("forged returns", format!("somebody else's nonce led to {told:?}"))),
            },
            Letter::Answer { to: Sender::Nobody, .. } => Ok(()),
        }
    }

    pub(crate) fn ask(&mut self, at: usize, from: Sender, ask: &Ask) -> Checked {
        let answers = self.nodes[at].handle(Time(self.clock), from, ask)?;
        self.send_answers(at, answers);
        Ok(())
    }

    fn send_answers(&mut self, at: usize, answers: Vec<Answer>) {
        for answer in answers {
            self.nodes[at].told = self.nodes[at].told.max(answer.lsn);
            if answer.to != Sender::Nobody {
                self.post(Letter::Answer { to: answer.to, answer });
            }
        }
    }

    pub(crate) fn flush(&mut self, at: usize) {
        let lived = self.nodes[at].owner.is_some();
        let answers = self.nodes[at].flush();
        self.counts.failures += u64::from(lived && self.nodes[at].owner.is_none());
        self.send_answers(at, answers);
    }

    /// The stock participant of a home has a turn.
    pub(crate) fn participate(&mut self, at: usize) -> Checked {
        let Some(folder) = self.folder(at) else { return Ok(()) };
        if self.participants[at].is_none() {
            self.participants[at] = Participant::resume(PartitionId(u16::try_from(at).expect("few")), &folder)?;
        }
        if !self.calm && self.rng.random_ratio(1, 300) {
            self.participants[at] = None;
        }
        let Some(participant) = &mut self.participants[at] else { return Ok(()) };
        let frames = self.nodes[at].read(&folder, participant.read)?;
        participant.follow(frames.into_iter().map(|(records, position)| (records, position.lsn)).collect());
        if !self.calm && self.rng.random_ratio(1, 400) {
            participant.give_up_waiting(self.rng.random_range(0..4));
        }
        for (to, from, ask) in participant.asks() {
            if self.asks() {
                self.post(Letter::Ask { to, from, ask });
            }
        }
        Ok(())
    }

    /// Whether somebody who waits for an answer asks (again): seldom while much is under way.
    pub(crate) fn asks(&mut self) -> bool {
        let one_of = if self.net.len() < NET_MAX / 4 { 2 } else { 8 };
        self.calm || self.rng.random_ratio(1, one_of)
    }

    pub(crate) fn folder(&self, at: usize) -> Option<PartitionFolder> {
        self.data.as_ref()?.partition(self.nodes[at].id)
    }

    /// Whatever is done beside selling. Any of it may fail: it is tried again later.
    pub(crate) fn maintain(&mut self, at: usize) -> Checked {
        let Some(folder) = self.folder(at) else { return Ok(()) };
        let Some(owner) = &self.nodes[at].owner else { return Ok(()) };
        let committed = owner.journal.committed();
        match self.rng.random_range(0..6) {
            0 => self.nodes[at].store(&folder)?,
            1 => drop(owner.journal.preparer().prepare_next()),
            2 => {
                let made = snapshot::make(&folder, committed, 5);
                self.counts.snapshots += u64::from(made.is_ok_and(|made| made.is_some()));
            }
            3 => {
                if let Some(participant) = &mut self.participants[at]
                    && !participant.store_cursor(&folder)
                {
                    self.participants[at] = None;
                }
            }
            4 => {
                let keep = self.kept(at);
                if keep > Lsn(0)
                    && let Ok(removed) = removal::remove_below(&folder, committed, keep)
                {
                    self.counts.removed += removed.segments;
                }
            }
            _ => {
                let (stored, ended_by) = (self.kept(at), Time(self.latest - self.pace.forget_millis));
                let before = self.nodes[at].oracle.forgotten.len();
                self.ask(at, Sender::Nobody, &Ask::Decide(Command::Forget { stored, ended_by }))?;
                self.counts.forgotten += (self.nodes[at].oracle.forgotten.len() - before) as u64;
            }
        }
        Ok(())
    }

    /// What everybody who follows the journal has.
    fn kept(&self, at: usize) -> Lsn {
        let database = self.nodes[at].database.map_or(Lsn(0), |position| position.lsn);
        let settled = self.participants[at].as_ref().map_or(Lsn(0), |participant| participant.settled);
        database.min(settled)
    }

    /// Something will fail, some calls from now.
    fn trouble(&mut self) {
        let n = self.rng.random_range(1..25);
        match self.rng.random_range(0..6) {
            0 => self.storage.stop_at(n),
            1..4 => self.storage.fail(Call::Sync, n),
            4 => self.storage.fail(Call::Write, n),
            _ => self.storage.fail(Call::SyncDir, n.div_ceil(5)),
        }
    }

    /// One owner dies, of a panic or of nothing; what it had not committed is gone.
    fn die(&mut self, at: usize) {
        let Some(owner) = self.nodes[at].owner.take() else { return };
        // Some stay away for long: what others ask of them piles up.
        if self.rng.random_ratio(1, 6) {
            self.shut[at] = 400;
        }
        self.counts.deaths += 1;
        self.counts.lost_events += owner.journal.pending() as u64;
        if self.rng.random() {
            self.nodes[at].cut_at = Some(owner.journal.committed());
        }
    }

    /// The process dies, or the machine loses power: every owner, participant and letter.
    pub(crate) fn end_process(&mut self, power: bool) {
        for node in &mut self.nodes {
            if let Some(owner) = node.owner.take() {
                self.counts.lost_events += owner.journal.pending() as u64;
            }
            node.cut_at = None;
        }
        self.participants.iter_mut().for_each(|participant| *participant = None);
        (0..self.payers.len()).for_each(|place| self.forget_payer(place));
        self.net.clear();
        self.shut.iter_mut().for_each(|steps| *steps = 0);
        self.data = None;
        if power {
            self.counts.crashes += 1;
            self.storage.crash(self.rng.random());
            self.storage.seed(self.rng.random());
        } else {
            self.counts.kills += 1;
            self.storage.kill();
        }
    }

    fn recover_one(&mut self) -> Checked {
        let dead = (0..self.nodes.len()).filter(|&at| self.nodes[at].owner.is_none() && self.shut[at] == 0);
        let dead: Vec<usize> = dead.collect();
        if dead.is_empty() {
            return Ok(());
        }
        let at = dead[self.rng.random_range(0..dead.len())];
        if !self.recover(at)? && self.rng.random_ratio(1, 3) {
            // A storage that fails again and again: the operator starts the process anew.
            self.end_process(false);
        }
        Ok(())
    }

    /// Opens a partition's journal again; false: the storage failed.
    pub(crate) fn recover(&mut self, at: usize) -> Result<bool, Broken> {
        if self.data.is_none() {
            let partitions = Some(u16::try_from(self.nodes.len()).expect("few"));
            let options =
                FolderOptions { segment_bytes: self.segment_bytes, ..FolderOptions::new(partitions, [7; 16]) };
            match DataFolder::open(Arc::new(self.storage.clone()), Path::new("/shop"), &options) {
                Ok(data) => self.data = Some(data),
                Err(JournalError::Io { .. }) => return Ok(false),
                Err(error) => return Err(broken("recovery", error.to_string())),
            }
        }
        let Some(folder) = self.folder(at) else { return Err(broken("recovery", "a partition is missing")) };
        if !self.nodes[at].recover(&folder, self.rng.random())? {
            return Ok(false);
        }
        self.check_promises(at)?;
        Ok(true)
    }

    /// No lost answer: what a customer was told is still so.
    fn check_promises(&self, at: usize) -> Checked {
        let node = &self.nodes[at];
        for (order, told) in self.clients.promises.iter().filter(|(order, _)| order.home() == node.id) {
            let status = node.oracle.orders.get(order).map(|known| known.status);
            let kept = match (told, status) {
                (_, None) => node.oracle.forgotten.contains_key(order),
                (told, Some(_)) if told.holds_units() => true,
                (OrderStatus::Confirmed, Some(OrderStatus::Refunded)) => true,
                (told, Some(status)) => *told == status,
            };
            if !kept {
                return Err(broken("no lost answer", format!("order {order} was {told:?}, and is {status:?}")));
            }
        }
        Ok(())
    }

    /// All or nothing, over partitions: a basket that is placed has every part, and a part
    /// is sold only if its order is.
    pub(crate) fn check_baskets(&self) -> Checked {
        for home in &self.nodes {
            for (id, known) in home.oracle.orders.iter().filter(|(_, known)| !known.asked.is_empty()) {
                for &partition in &known.asked {
                    self.check_part(*id, known.status, partition)?;
                }
            }
        }
        Ok(())
    }

    fn check_part(&self, id: OrderId, order: OrderStatus, partition: PartitionId) -> Checked {
        let oracle = &self.nodes[usize::from(partition.0)].oracle;
        let part = oracle.parts.get(&id).map(|(status, _)| *status);
        let forgotten = oracle.forgotten_parts.contains(&id);
        let fits = match order {
            OrderStatus::Opening => matches!(part, None | Some(PartStatus::Held)),
            OrderStatus::Held | OrderStatus::Paying | OrderStatus::Approving => part == Some(PartStatus::Held),
            OrderStatus::Confirmed | OrderStatus::Refunded => {
                matches!(part, Some(PartStatus::Held | PartStatus::Confirmed)) || part.is_none() && forgotten
            }
            OrderStatus::Cancelled | OrderStatus::Expired => {
                matches!(part, Some(PartStatus::Held | PartStatus::Released)) || part.is_none() && forgotten
            }
        };
        if fits {
            return Ok(());
        }
        Err(broken("all or nothing", format!("order {id} is {order:?}, its part in {partition} is {part:?}")))
    }
}
