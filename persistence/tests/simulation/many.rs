//! A hundred thousand open sagas at once, while the gateway hangs: no step is taken later than a second after
//! it was due, on the virtual clock.
//!
//! Steps and their times are the engine's, and which of them is taken next is decided by the participants'
//! picking rule ([`Queue`]); homes take one turn each [`TURN_MILLIS`], as if each turn waited for a sync of that
//! length. What can fail: steps that change while they wait and stay queued under their old time; a queue that is
//! not in the order of time; reading in batches that stops too early; calls that hang and keep out those that are
//! due (no more than [`Limits::REAL`] run at once in a lane: a home at which more captures hang than that is
//! late by design, and the test holds fewer); a lane that keeps out another; a step that is never read, which
//! the partition's own list tells.

use crate::queue::{Limits, Queue, Waiting};
use compact_str::CompactString;
use son7shop_engine::payment::{Answered, Begun, Captured, GatewayRef, Nonce, Pages, PaymentMethod, Proof};
use son7shop_engine::{
    Call, Command, CustomerId, LineRequest, Lsn, OrderId, Outcome, Participant, Partition, PartitionId, PlaceOrder,
    RefundRequest, RequestKey, Requester, Sku, Step, StepState, Time, Won, invariants, saga,
};
use std::collections::BTreeMap;

const HOMES: u16 = 4;
const TURN_MILLIS: i64 = 50;
const LATE_MILLIS: i64 = 1_000;
const MINUTE: i64 = 60_000;
/// Until then the gateway answers; afterwards it hangs.
const HANGS_AT: i64 = 14 * MINUTE;
const END: i64 = 32 * MINUTE;
const ANSWER_MILLIS: i64 = 100;
const PATIENCE_MILLIS: i64 = 15_000;
/// Orders of a home: the first of them all at once, the others one after the other.
const ORDERS: u64 = 25_250;
const AT_ONCE: u64 = 1_000;
/// Of a home's orders, those that are paid in time and refunded when the gateway hangs; and those whose shopper
/// comes back when it does, with a proof and without.
const REFUNDS: u64 = 150;
const CAPTURES: u64 = 120;
const HINTS: u64 = 60;

fn key(kind: u8, n: u64) -> RequestKey {
    RequestKey { key: (u128::from(n) << 8 | u128::from(kind)).to_be_bytes(), request: [0; 16] }
}

struct Flight {
    queue: usize,
    step: Box<Step>,
    made: Call,
    answers: bool,
}

/// A home with its participants.
struct Home {
    partition: Partition,
    queues: [Queue; 3],
    /// Calls under way, by when they end.
    flights: BTreeMap<(i64, u64), Flight>,
    calls: u64,
    taken: u64,
    /// By how much the latest step was late.
    late: i64,
}

impl Home {
    fn new(id: u16, limits: Limits) -> Self {
        let queue = |part| Queue::new(part, limits, Lsn(0));
        let mut home = Self {
            partition: Partition::new(PartitionId(id), 1),
            queues: [queue(Participant::Payment), queue(Participant::Deadline), queue(Participant::Refund)],
            flights: BTreeMap::new(),
            calls: 0,
            taken: 0,
            late: 0,
        };
        let (sku, name, on_hand) = (sku(), "Air".into(), 2 * ORDERS);
        home.decide(0, &Command::CreateProduct { sku, name, price: Won(100), on_hand, key: None });
        home
    }

    fn decide(&mut self, now: i64, command: &Command) -> Outcome {
        let outcome = self.partition.step(Time(now), command, |_| ());
        assert!(!matches!(outcome, Outcome::Refused(_)), "{command:?} was refused: {outcome:?}");
        outcome
    }

    fn order(&self, n: u64) -> OrderId {
        OrderId::new(Time(0), n, self.partition.id())
    }

    fn begin(&mut self, now: i64, n: u64) {
        let (id, customer) = (self.order(n), CustomerId::parse("kim").expect("a customer"));
        let lines = std::iter::once(LineRequest { sku: sku(), quantity: 1 }).collect();
        let place = PlaceOrder { id, customer, key: key(0, n), lines, parts: Vec::new(), hold_millis: END };
        self.decide(now, &Command::PlaceOrder(place));
        let (by, method, nonce) = (Requester::Admin, PaymentMethod::KakaoPay, Nonce([1; 16]));
        self.decide(now, &Command::StartPayment { order: id, by, method, key: key(1, n), nonce });
    }

    /// What shoppers and the shop do at `now`, each about one order of this home.
    fn happen(&mut self, now: i64) {
        let spread = i64::try_from(ORDERS - AT_ONCE).expect("few");
        let begun = |at: i64| if at < 0 { 0 } else { AT_ONCE + u64::try_from(at * spread / HANGS_AT).expect("few") };
        for n in begun(now - TURN_MILLIS)..begun(now).min(ORDERS) {
            self.begin(now, n);
        }
        // A minute before the gateway hangs shoppers pay, just before it does the shop gives back; and when it
        // does others come back.
        let each = |from: i64, count: u64| {
            let over = 30_000 / i64::try_from(count).expect("few");
            let at = (now - from).div_euclid(over);
            let new = now >= from && (now - from) % over < TURN_MILLIS;
            new.then(|| u64::try_from(at).expect("later")).filter(|n| *n < count)
        };
        if let Some(n) = each(HANGS_AT - MINUTE, REFUNDS) {
            self.come_back(now, n, Some("proof"));
        }
        if let Some(n) = each(HANGS_AT, REFUNDS) {
            let (lines, reason) = (std::iter::empty().collect(), "broken".into());
            let refund = Box::new(RefundRequest { key: key(2, n), amount: None, lines, restock: true, reason });
            self.decide(now, &Command::RequestRefund { order: self.order(n), refund });
        }
        if let Some(n) = each(HANGS_AT, CAPTURES) {
            self.come_back(now, REFUNDS + n, Some("proof"));
        }
        if let Some(n) = each(HANGS_AT, HINTS) {
            self.come_back(now, REFUNDS + CAPTURES + n, None);
        }
    }

    fn come_back(&mut self, now: i64, n: u64, proof: Option<&str>) {
        let proof = proof.and_then(|proof| Proof::parse(proof).ok());
        let order = self.order(n);
        self.decide(now, &Command::ReportReturn { order, attempt: 1, nonce: Nonce([1; 16]), proof });
    }

    fn turn(&mut self, now: i64) {
        self.decide(now, &Command::Tick);
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= now) {
            let Flight { queue, step, made, answers } = entry.remove();
            let answered = if answers { answer(&step, made) } else { Answered::Unknown("no answer in time".into()) };
            let report = saga::report(&step, made, answered, Time(now));
            self.decide(now, &Command::Report { order: step.order, step: step.step, seen: step.lsn, report });
            self.queues[queue].ended((step.order, step.step));
        }
        for queue in 0..self.queues.len() {
            self.queues[queue].read_on(&self.partition);
            for waiting in self.queues[queue].pick(Time(now)) {
                self.call(now, queue, waiting);
            }
        }
    }

    fn call(&mut self, now: i64, queue: usize, Waiting { due, .. }: Waiting) {
        let step = self.partition.step_view(due.order, due.step);
        let Some(step) = step.filter(|step| step.lsn == due.lsn && step.state != StepState::Parked) else {
            return self.queues[queue].ended((due.order, due.step));
        };
        self.late = self.late.max(now - since(&step));
        self.taken += 1;
        let (made, answers) = (step.call, step.call == Call::Lapse || now < HANGS_AT);
        let takes = if made == Call::Lapse {
            TURN_MILLIS
        } else if answers {
            ANSWER_MILLIS
        } else {
            PATIENCE_MILLIS
        };
        self.calls += 1;
        let flight = Flight { queue, step: Box::new(step), made, answers };
        self.flights.insert((now + takes, self.calls), flight);
    }

    /// The partition's own list of what is due: nothing in it may have been passed over, or still wait.
    fn look(&mut self, now: i64) {
        for due in self.partition.due_after(Lsn(0), usize::MAX).iter().filter(|due| due.due_at.0 < now) {
            let key = (due.order, due.step);
            if !self.queues.iter().any(|queue| queue.works_on(key)) {
                let step = self.partition.step_view(key.0, key.1);
                self.late = self.late.max(step.map_or(0, |step| now - since(&step)));
            }
        }
    }
}

/// Since when its call could be made: one that was opened after its time was over is due at once.
fn since(step: &Step) -> i64 {
    step.due_at.0.max(step.since.0)
}

fn sku() -> Sku {
    Sku::parse("air").expect("a sku")
}

fn answer(step: &Step, made: Call) -> Answered {
    match made {
        Call::Begin => {
            let page = || CompactString::const_new("http://page");
            let pages = Pages { desktop: page(), mobile: page(), app: page(), android: None, ios: None };
            let reference = GatewayRef::parse(&format!("T{}", step.order)).expect("a reference");
            Answered::Begun(Begun { reference, pages, expires_at: step.since.plus_millis(15 * MINUTE) })
        }
        Call::Capture => {
            let (receipt, means) = ("A1".into(), "CARD".into());
            Answered::Captured(Captured { amount: step.work.amount, receipt, means, at: Time(1) })
        }
        _ => Answered::Refused(CompactString::default()),
    }
}

/// By how much a step was late at most, how many were open at once, and how many were taken.
fn lateness(limits: Limits) -> (i64, usize, u64) {
    let mut homes: Vec<Home> = (0..HOMES).map(|id| Home::new(id, limits)).collect();
    let (mut open, mut now) = (0, 0);
    while now < END {
        for home in &mut homes {
            home.happen(now);
            home.turn(now);
            if now % MINUTE == 0 {
                home.look(now);
            }
        }
        open = open.max(homes.iter().map(|home| home.partition.open_steps()).sum());
        if homes.iter().any(|home| home.late > 10 * LATE_MILLIS) {
            break;
        }
        now += TURN_MILLIS;
    }
    for home in &homes {
        assert_eq!(invariants::check(&home.partition), Ok(()));
    }
    let late = homes.iter().map(|home| home.late).max().unwrap_or(0);
    (late, open, homes.iter().map(|home| home.taken).sum())
}

#[test]
fn of_a_hundred_thousand_open_sagas_none_is_late() {
    let (late, open, taken) = lateness(Limits::REAL);
    println!("{open} sagas open at once, {taken} steps taken, the latest {late} ms after it was due");
    assert!(open >= 100_000, "{open}");
    assert!(late <= LATE_MILLIS, "{late} ms");
}

#[test]
fn a_participant_that_is_slow_is_noticed() {
    let slow = [
        ("one call a turn", Limits { turn: 1, ..Limits::REAL }),
        ("few calls at once", Limits { calls: 16, ..Limits::REAL }),
    ];
    for (what, limits) in slow {
        let (late, ..) = lateness(limits);
        println!("{what}: {late} ms late");
        assert!(late > LATE_MILLIS, "{what}: {late} ms");
    }
}
