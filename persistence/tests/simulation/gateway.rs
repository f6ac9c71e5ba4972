//! The gateway: another machine, which does not end when the shop does. Calls on their way to it, waiting
//! there and answered; Kakao Pay's bytes are made and read by the client's own layer, and answered by the
//! sandbox's machine. It must never decide what either of them decides.

use compact_str::CompactString;
use son7shop_engine::payment::{Answered, Nonce};
use son7shop_engine::{Call, OrderId, Step, StepRef, Time, Won};
use son7shop_payments::gateway::{BeginRequest, CaptureRequest, IdemKey, LookUpRequest, RefundRequest, ReturnUrls};
use son7shop_payments::kakaopay::Key;
use son7shop_payments::kakaopay::wire::Wire;
use son7shop_payments::sandbox::machine::{
    self, Endpoint, Machine, MachineSettings, Reply, SANDBOX_CID, SANDBOX_SECRET_KEY, Ticket,
};
use std::collections::BTreeMap;

/// How long a participant waits for an answer.
const PATIENCE_MILLIS: i64 = 15_000;

/// Who waits for an answer: a participant, by its place, and which work of its.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) payer: usize,
    pub(crate) work: u64,
}

/// What is asked.
#[derive(Debug, Clone)]
enum Asked {
    Ready(BeginRequest),
    Approve(CaptureRequest),
    Order(LookUpRequest),
    Cancel(RefundRequest),
}

/// What came of a call so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    Nothing,
    Answer(Reply),
    /// The connection was closed.
    End,
}

/// A call whose caller waits.
#[derive(Debug)]
struct Flight {
    caller: Caller,
    asked: Asked,
    sent_at: i64,
    reply: Came,
}

/// A call on its way to the gateway, or waiting there.
#[derive(Debug)]
struct Ahead {
    /// Its flight; `None`: nobody waits for it any more.
    flight: Option<u64>,
    at: i64,
    order: OrderId,
    what: What,
}

#[derive(Debug)]
enum What {
    Sent(Endpoint, Vec<u8>),
    Waits(Ticket),
}

/// Everything that is not the shop's.
pub(crate) struct Gateway {
    pub(crate) machine: Machine,
    wire: Wire,
    flights: BTreeMap<u64, Flight>,
    ahead: Vec<Ahead>,
    sent: u64,
}

impl Gateway {
    pub(crate) fn new(seed: u64) -> Self {
        let settings = MachineSettings { seed, journal_entries_max: 4, ..MachineSettings::default() };
        Self {
            machine: Machine::new(settings),
            wire: Wire::new(SANDBOX_CID, true, Key::new(SANDBOX_SECRET_KEY)),
            flights: BTreeMap::new(),
            ahead: Vec::new(),
            sent: 0,
        }
    }

    /// A call leaves the shop, whose clock says `now`; at once an answer, where it is none that can be sent.
    pub(crate) fn send(&mut self, caller: Caller, step: &Step, made: Call, now: Time, latest: i64) -> Option<Answered> {
        let asked = match asked(step, made, now) {
            Ok(asked) => asked,
            Err(why) => return Some(unknown(why)),
        };
        let (endpoint, body) = match &asked {
            Asked::Ready(request) => (Endpoint::Ready, self.wire.ready(request)),
            Asked::Approve(request) => (Endpoint::Approve, self.wire.approve(request)),
            Asked::Order(request) => (Endpoint::Order, self.wire.order(request)),
            Asked::Cancel(request) => (Endpoint::Cancel, self.wire.cancel(request)),
        };
        let body = match body {
            Ok(body) => body,
            Err(unfit) => return Some(Answered::Refused(unfit)),
        };
        self.sent += 1;
        let what = What::Sent(endpoint, body);
        self.ahead.push(Ahead { flight: Some(self.sent), at: latest, order: step.order, what });
        self.flights.insert(self.sent, Flight { caller, asked, sent_at: latest, reply: Came::Nothing });
        None
    }

    /// The callers that `gone` means end. What has arrived goes on; what is on its way may or may not arrive.
    pub(crate) fn forsake(&mut self, gone: impl Fn(Caller) -> bool, mut arrives: impl FnMut() -> bool) {
        self.flights.retain(|_, flight| !gone(flight.caller));
        let flights = &self.flights;
        self.ahead.retain_mut(|ahead| {
            let forsaken = ahead.flight.is_some_and(|flight| !flights.contains_key(&flight));
            if forsaken {
                ahead.flight = None;
            }
            !forsaken || matches!(ahead.what, What::Waits(_)) || arrives()
        });
    }

    /// One of the calls that are there by now, by `pick`, goes on; `lost`: it, or its answer, is lost.
    /// Says whether there was one.
    pub(crate) fn arrive(&mut self, latest: i64, pick: usize, lost: Option<Lost>) -> bool {
        let there: Vec<usize> = (0..self.ahead.len()).filter(|&at| self.ahead[at].at <= latest).collect();
        if there.is_empty() {
            return false;
        }
        let ahead = self.ahead.swap_remove(there[pick % there.len()]);
        let reply = match self.go_on(latest, ahead.what, lost) {
            Ok((at, ticket)) => {
                self.ahead.push(Ahead { at, what: What::Waits(ticket), ..ahead });
                return true;
            }
            Err(came) => came,
        };
        let flight = ahead.flight.and_then(|flight| self.flights.get_mut(&flight));
        if let Some(flight) = flight.filter(|_| lost != Some(Lost::Answer)) {
            flight.reply = reply;
        }
        true
    }

    fn go_on(&mut self, latest: i64, what: What, lost: Option<Lost>) -> Result<(i64, Ticket), Came> {
        let (now, auth) = (Time(latest), format!("SECRET_KEY {SANDBOX_SECRET_KEY}"));
        let step = match what {
            What::Sent(..) if lost == Some(Lost::Call) => return Err(Came::End),
            What::Sent(endpoint, body) => self.machine.begin(now, endpoint, Some(&auth), &body),
            What::Waits(ticket) => self.machine.resume(now, ticket),
        };
        match step {
            machine::Step::Wait { ms, ticket } => Ok((latest + ms, ticket)),
            machine::Step::Answer(reply) => Err(Came::Answer(reply)),
            machine::Step::Hangup => Err(Came::End),
        }
    }

    /// An answer that has come, or a caller's patience that is over.
    pub(crate) fn answer(&mut self, latest: i64, pick: usize) -> Option<(Caller, Answered)> {
        let over = |flight: &Flight| flight.reply != Came::Nothing || flight.sent_at + PATIENCE_MILLIS <= latest;
        let there: Vec<u64> = self.flights.iter().filter(|(_, flight)| over(flight)).map(|(at, _)| *at).collect();
        let at = *there.get(pick % there.len().max(1))?;
        let flight = self.flights.remove(&at)?;
        self.ahead.iter_mut().filter(|ahead| ahead.flight == Some(at)).for_each(|ahead| ahead.flight = None);
        let answered = match &flight.reply {
            Came::Nothing => unknown("no answer in time"),
            Came::End => unknown("no whole answer"),
            Came::Answer(reply) if reply.body.len() < reply.announced => unknown("no whole answer"),
            Came::Answer(reply) => self.read(&flight.asked, reply),
        };
        Some((flight.caller, answered))
    }

    fn read(&self, asked: &Asked, reply: &Reply) -> Answered {
        let (status, body) = (reply.status, &reply.body[..]);
        let read = match asked {
            Asked::Ready(request) => self.wire.read_ready(request, status, body),
            Asked::Approve(request) => self.wire.read_approve(request, status, body),
            Asked::Order(request) => self.wire.read_order(request, status, body),
            Asked::Cancel(request) => self.wire.read_cancel(request, status, body),
        };
        read.answered
    }

    /// The callers have waited less than it seems.
    pub(crate) fn sent_later(&mut self, by: i64) {
        self.flights.values_mut().for_each(|flight| flight.sent_at += by);
    }

    /// When something goes on here by itself, or a caller gives up.
    pub(crate) fn next(&self) -> Option<i64> {
        let ahead = self.ahead.iter().map(|ahead| ahead.at);
        ahead.chain(self.flights.values().map(|flight| flight.sent_at + PATIENCE_MILLIS)).min()
    }

    /// Whether a call about `order` is on its way or at the gateway.
    pub(crate) fn works_on(&self, order: OrderId) -> bool {
        self.ahead.iter().any(|ahead| ahead.order == order)
    }

    /// Whether there is nothing to go on with at `latest`.
    pub(crate) fn is_idle(&self, latest: i64) -> bool {
        let answered = self.flights.values().any(|flight| flight.reply != Came::Nothing);
        !answered && self.next().is_none_or(|at| at > latest)
    }
}

/// What the network loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    Call,
    Answer,
}

fn unknown(why: &'static str) -> Answered {
    Answered::Unknown(CompactString::const_new(why))
}

/// A step in the gateway's words, as `actors/src/payments.rs` puts it.
fn asked(step: &Step, made: Call, now: Time) -> Result<Asked, &'static str> {
    let work = &step.work;
    let (order, customer, attempt, amount) = (step.order, step.customer.clone(), work.attempt, work.amount);
    if made == Call::Begin {
        return Ok(Asked::Ready(BeginRequest {
            order,
            attempt,
            customer,
            item_name: work.item.to_string(),
            quantity: u32::try_from(work.units).unwrap_or(u32::MAX),
            amount,
            returns: returns(order, attempt, work.nonce),
            pay_by: work.deadline,
            now,
        }));
    }
    let reference = work.reference.clone().ok_or("the attempt has no name at the gateway")?;
    Ok(match (made, step.step, &work.proof, &work.refund) {
        (Call::Capture, _, Some(proof), _) => {
            let (proof, idem) = (proof.clone(), IdemKey::capture(order, attempt));
            Asked::Approve(CaptureRequest { reference, order, attempt, customer, proof, amount, idem, now })
        }
        (Call::GiveBack, StepRef::Refund(refund), _, Some(of)) => {
            let (amount, remaining_before): (Won, Won) = of.sized.ok_or("how much is not known yet")?;
            let (reason, idem) = (of.reason.to_string(), IdemKey::refund(order, refund));
            let receipt = work.receipt.to_string();
            Asked::Cancel(RefundRequest {
                reference,
                receipt,
                order,
                customer,
                refund,
                amount,
                remaining_before,
                reason,
                idem,
            })
        }
        _ => Asked::Order(LookUpRequest { reference, order, attempt, customer, now }),
    })
}

fn returns(order: OrderId, attempt: u32, nonce: Nonce) -> ReturnUrls {
    let nonce = format!("{:032x}", u128::from_be_bytes(nonce.0));
    let back = |to: &str| format!("http://shop.invalid/{order}/{attempt}/{nonce}/{to}");
    ReturnUrls { approval: back("approval"), cancel: back("cancel"), fail: back("fail") }
}
