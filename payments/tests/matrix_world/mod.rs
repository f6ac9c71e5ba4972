//! A shop, its participants, the gateway and a shopper in one thread without I/O, for the race matrix and the
//! crash matrix. Time is a number here; a [`World::beat`] does the one next thing, so that whoever drives can put
//! anything between any two. It must never decide what the engine or the sandbox decides.

#![allow(dead_code, reason = "each matrix uses what it needs")]

mod browser;
mod check;
mod gateway;
mod participants;

use participants::Participants;
use son7shop_engine::payment::{Nonce, PaymentMethod};
use son7shop_engine::{
    Act, Command, CustomerId, Event, LineRequest, Lsn, OrderId, OrderStatus, OrderView, Outcome, PartRequest,
    Partition, PartitionId, PlaceOrder, Record, RefundRequest, RequestKey, Requester, Sku, StepRef, Time, Won, basket,
    invariants,
};
use son7shop_payments::kakaopay::Key;
use son7shop_payments::kakaopay::wire::Wire;
use son7shop_payments::sandbox::machine::{Machine, MachineSettings, SANDBOX_CID, SANDBOX_SECRET_KEY, Visit};
use std::sync::Arc;

pub(crate) use gateway::{Ahead, Came, Flight};

/// When every history begins: 2023-11-14T22:13:20Z.
pub(crate) const START: Time = Time(1_700_000_000_000);
/// How long an order's units are set aside.
pub(crate) const HOLD_MILLIS: i64 = 600_000;
/// How long a participant waits for the gateway.
const PATIENCE_MILLIS: i64 = 15_000;
/// A history that needs more beats than this does not end.
const BEATS_MAX: usize = 3_000;

/// Mistakes that a participant could make: planted, to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An approve without an answer is sent again at once, and its refusal believed.
    RetriesApprove,
    /// Whoever comes to the address for quitting ends the attempt, without a question to the gateway.
    ReleasesOnCallback,
    /// A refund without an answer is sent again, with what is left now.
    RefundsTwice,
}

/// An owner and what it has written.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) partition: Partition,
    pub(crate) records: Vec<Record>,
}

/// Everything.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) home: Owner,
    /// Owns the second product; home asks it for parts.
    pub(crate) other: Owner,
    /// Up to where home's events were asked of the other owner.
    asked: usize,
    pub(crate) machine: Machine,
    participants: Participants,
    /// Calls whose caller waits.
    pub(crate) flights: Vec<Flight>,
    /// Calls on their way to the gateway, or waiting there.
    pub(crate) ahead: Vec<Ahead>,
    /// Browsers on their way to the shop.
    visits: Vec<(Time, Visit)>,
    /// What was done so far.
    pub(crate) beats: usize,
    pub(crate) script: Vec<String>,
    /// The first thing that must not be.
    pub(crate) broken: Option<String>,
    pub(crate) bug: Option<Bug>,
    wire: Arc<Wire>,
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("a sku")
}

pub(crate) fn customer() -> CustomerId {
    CustomerId::parse("kim@example").expect("a customer")
}

/// The nth order; each is of 10,000 won, and of 13,000 with a part elsewhere.
pub(crate) fn order(n: u64) -> OrderId {
    OrderId::new(START, n, PartitionId(0))
}

pub(crate) const FIRST: u64 = 1;

pub(crate) fn key(n: u8) -> RequestKey {
    RequestKey { key: [n; 16], request: [0; 16] }
}

fn nonce(n: u8) -> Nonce {
    Nonce([n; 16])
}

fn product(name: &str, price: i64) -> Command {
    Command::CreateProduct { sku: sku(name), name: name.into(), price: Won(price), on_hand: 10, key: None }
}

impl World {
    /// A shop in which the first order was placed; `basket`: with a part elsewhere.
    pub(crate) fn placed(basket: bool) -> Self {
        let owner = |id| Owner { partition: Partition::new(PartitionId(id), 1), records: Vec::new() };
        let settings = MachineSettings { seed: 7, journal_entries_max: 4, ..MachineSettings::default() };
        let mut world = Self {
            now: START,
            home: owner(0),
            other: owner(1),
            asked: 0,
            machine: Machine::new(settings),
            participants: Participants::default(),
            flights: Vec::new(),
            ahead: Vec::new(),
            visits: Vec::new(),
            beats: 0,
            script: Vec::new(),
            broken: None,
            bug: None,
            wire: Arc::new(Wire::new(SANDBOX_CID, true, Key::new(SANDBOX_SECRET_KEY))),
        };
        world.at_home(&product("air", 5_000));
        world.elsewhere(&product("bee", 3_000));
        world.place(FIRST, basket);
        world
    }

    /// Places an order; of a basket, until every part is held.
    pub(crate) fn place(&mut self, n: u64, basket: bool) {
        let line = |name: &str, quantity| LineRequest { sku: sku(name), quantity };
        let parts = basket.then(|| PartRequest { partition: PartitionId(1), lines: vec![line("bee", 1)] });
        self.at_home(&Command::PlaceOrder(PlaceOrder {
            id: order(n),
            customer: customer(),
            key: key(u8::try_from(n).expect("few orders")),
            lines: std::iter::once(line("air", 2)).collect(),
            parts: parts.into_iter().collect(),
            hold_millis: HOLD_MILLIS,
        }));
        while self.home.partition.is_opening(order(n)) && self.ask_elsewhere() {}
    }

    /// The shopper begins to pay.
    pub(crate) fn start_payment(&mut self, n: u64, attempt: u8) -> Outcome {
        let (by, method) = (Requester::Customer(customer()), PaymentMethod::KakaoPay);
        let number = u8::try_from(n).expect("few orders") * 16 + attempt;
        let (key, nonce) = (key(100 + number), nonce(number));
        self.at_home(&Command::StartPayment { order: order(n), by, method, key, nonce })
    }

    pub(crate) fn cancel(&mut self, by: Requester) -> Outcome {
        self.at_home(&Command::CancelOrder { order: order(FIRST), by })
    }

    /// Gives back `amount`, or all that is left.
    pub(crate) fn refund(&mut self, number: u8, amount: Option<i64>, restock: bool) -> Outcome {
        let refund = Box::new(RefundRequest {
            key: key(200 + number),
            amount: amount.map(Won),
            lines: std::iter::empty().collect(),
            restock,
            reason: "broken".into(),
        });
        self.at_home(&Command::RequestRefund { order: order(FIRST), refund })
    }

    /// An operator acts on the first open step of the first order that takes it.
    pub(crate) fn operate(&mut self, act: &Act) -> Outcome {
        let step = self.home.partition.open_step_views(Lsn(0)).find(|step| step.order == order(FIRST));
        let step = step.map_or(StepRef::Attempt(1), |step| step.step);
        let by = CustomerId::parse("operator").expect("an operator");
        let act = act.clone();
        self.at_home(&Command::Operate { order: order(FIRST), step, act, by, reason: "looked".into() })
    }

    pub(crate) fn view(&self, n: u64) -> Option<OrderView> {
        self.home.partition.order(order(n))
    }

    pub(crate) fn status(&self) -> Option<OrderStatus> {
        self.view(FIRST).map(|view| view.status)
    }

    pub(crate) fn at_home(&mut self, command: &Command) -> Outcome {
        let outcome = step(self.now, &mut self.home, command);
        self.checked("home", &outcome)
    }

    pub(crate) fn elsewhere(&mut self, command: &Command) -> Outcome {
        let outcome = step(self.now, &mut self.other, command);
        self.checked("the other owner", &outcome)
    }

    fn checked(&mut self, whom: &str, outcome: &Outcome) -> Outcome {
        if let Outcome::Refused(refusal) = outcome {
            self.tell(format!("  {whom} refuses: {refusal}"));
        }
        for owner in [&self.home, &self.other] {
            if let Err(violation) = invariants::check(&owner.partition) {
                self.broken.get_or_insert_with(|| violation.to_string());
            }
        }
        outcome.clone()
    }

    pub(crate) fn tell(&mut self, what: impl Into<String>) {
        let at = (self.now.0 - START.0) / 1_000;
        self.script.push(format!("{:>4} {at:>5}s  {}", self.beats, what.into()));
    }

    pub(crate) fn breaks(&mut self, what: impl Into<String>) {
        self.broken.get_or_insert(what.into());
    }

    /// Does the next thing; false if there is nothing left to do, now or later.
    pub(crate) fn beat(&mut self) -> bool {
        if self.broken.is_some() || self.beats > BEATS_MAX {
            return false;
        }
        self.beats += 1;
        if self.beats > BEATS_MAX {
            self.breaks("it does not end");
            return false;
        }
        self.work() || self.wait()
    }

    /// Whether there is something to do now.
    fn work(&mut self) -> bool {
        self.expire()
            || self.answer()
            || self.ask_elsewhere()
            || self.arrive_at_gateway(false)
            || self.call()
            || self.visit()
            || self.arrive_at_gateway(true)
    }

    /// Whether nothing is to be done before time passes.
    pub(crate) fn is_idle(&mut self) -> bool {
        let now = self.now;
        let past = |at: Option<Time>| at.is_some_and(|at| at <= now);
        let answered = self.flights.iter().any(|flight| flight.reply != Came::Nothing || flight.patience() <= now);
        let at_gateway = self.ahead.iter().any(|ahead| ahead.at <= now);
        let asks = self.home.records[self.asked..].iter().any(|record| !basket::asks(&record.event).is_empty());
        let due = past(self.home.partition.next_deadline()) || past(self.next_step()) || past(self.next_visit());
        !(answered || at_gateway || asks || due)
    }

    /// Lets time pass until something is to be done; false if nothing will be.
    fn wait(&mut self) -> bool {
        let (steps, visits) = (self.next_step(), self.next_visit());
        let calls = self.ahead.iter().map(|ahead| ahead.at);
        let patience = self.flights.iter().filter(|flight| flight.reply == Came::Nothing).map(Flight::patience);
        let deadline = self.home.partition.next_deadline();
        let next = steps.into_iter().chain(visits).chain(calls).chain(patience).chain(deadline).min();
        let Some(next) = next else { return false };
        if next <= self.now {
            self.breaks(format!("time stands still at {next:?}"));
            return false;
        }
        self.now = next;
        self.tell("time passes");
        true
    }

    /// The deadline participant.
    fn expire(&mut self) -> bool {
        if self.home.partition.next_deadline().is_none_or(|deadline| deadline > self.now) {
            return false;
        }
        self.tell("tick");
        self.at_home(&Command::Tick);
        true
    }

    /// The clock jumps to the first order's deadline; what is under way was begun just before.
    pub(crate) fn jump_to_deadline(&mut self) -> bool {
        let Some(deadline) = self.view(FIRST).map(|view| view.deadline).filter(|at| *at > self.now) else {
            return false;
        };
        let by = deadline.0 - self.now.0;
        for flight in &mut self.flights {
            flight.sent_at = flight.sent_at.plus_millis(by);
        }
        for ahead in self.ahead.iter_mut().filter(|ahead| ahead.at > self.now) {
            ahead.at = ahead.at.plus_millis(by);
        }
        for (at, _) in &mut self.visits {
            *at = at.plus_millis(by);
        }
        self.now = deadline;
        true
    }

    /// The process is ended and started again: what is left is what was written.
    pub(crate) fn restart(&mut self) {
        for owner in [&mut self.home, &mut self.other] {
            let mut again = Partition::new(owner.partition.id(), 2);
            owner.records.iter().for_each(|record| again.evolve(record));
            let same = again.image() == owner.partition.image();
            let restored = again.image().restore(3);
            if !same || restored.image() != again.image() {
                self.broken.get_or_insert_with(|| "a replay or a snapshot leads elsewhere".to_owned());
            }
            owner.partition = restored;
        }
        // At least once: whoever follows the journal begins anew.
        self.asked = 0;
        self.participants = Participants::restarted();
        self.flights.clear();
        self.ahead.iter_mut().for_each(|ahead| ahead.flight = None);
    }

    /// The events of home.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.home.records.iter().map(|record| match &record.event {
            Event::OperatorActed { effect, .. } => effect,
            event => event,
        })
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.home.partition.lsn()
    }
}

fn step(now: Time, owner: &mut Owner, command: &Command) -> Outcome {
    let records = &mut owner.records;
    owner.partition.step(now, command, |record| records.push(record.clone()))
}
