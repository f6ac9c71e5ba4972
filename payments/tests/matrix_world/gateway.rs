//! Calls to the gateway: on their way, at the gateway, answered. Kakao Pay's bytes are made and read by the
//! client's own layer, and answered by the sandbox's machine.

use super::{PATIENCE_MILLIS, World};
use compact_str::CompactString;
use son7shop_engine::payment::{Answered, Nonce};
use son7shop_engine::{Call, OrderId, Step, Time, Won};
use son7shop_payments::gateway::{BeginRequest, CaptureRequest, IdemKey, LookUpRequest, RefundRequest, ReturnUrls};
use son7shop_payments::kakaopay::wire::Wire;
use son7shop_payments::sandbox::machine::{self, Endpoint, Reply, SANDBOX_SECRET_KEY, Ticket};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
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
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    id: usize,
    step: Step,
    made: Call,
    asked: Asked,
    pub(crate) sent_at: Time,
    pub(crate) reply: Came,
}

impl Flight {
    /// When its caller gives up.
    pub(crate) fn patience(&self) -> Time {
        self.sent_at.plus_millis(PATIENCE_MILLIS)
    }

    pub(crate) fn is_approve(&self) -> bool {
        matches!(self.asked, Asked::Approve(_))
    }
}

/// A call on its way to the gateway, or waiting there.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    /// Its caller; `None` if nobody waits for it any more.
    pub(crate) flight: Option<usize>,
    pub(crate) at: Time,
    what: What,
}

impl Ahead {
    /// Whether it is an approve that has done nothing yet.
    pub(crate) fn is_approve(&self) -> bool {
        matches!(self.what, What::Sent(Endpoint::Approve, _))
    }
}

#[derive(Debug, Clone)]
enum What {
    Sent(Endpoint, Vec<u8>),
    Waits(Ticket),
}

impl World {
    pub(super) fn send(&mut self, step: Step, made: Call) {
        let asked = asked(&step, made, self.now);
        let (endpoint, body) = match &asked {
            Asked::Ready(request) => (Endpoint::Ready, self.wire.ready(request)),
            Asked::Approve(request) => (Endpoint::Approve, self.wire.approve(request)),
            Asked::Order(request) => (Endpoint::Order, self.wire.order(request)),
            Asked::Cancel(request) => (Endpoint::Cancel, self.wire.cancel(request)),
        };
        self.tell(format!("{endpoint:?} is sent for {:?}", step.step));
        match body {
            Ok(body) => {
                let id = self.beats;
                self.ahead.push(Ahead { flight: Some(id), at: self.now, what: What::Sent(endpoint, body) });
                self.flights.push(Flight { id, step, made, asked, sent_at: self.now, reply: Came::Nothing });
            }
            Err(unfit) => self.report(&step, made, Answered::Refused(unfit)),
        }
    }

    /// A call arrives at the gateway or goes on there; one that somebody waits for, or an `abandoned` one.
    pub(super) fn arrive_at_gateway(&mut self, abandoned: bool) -> bool {
        let due = |ahead: &Ahead| ahead.at <= self.now && ahead.flight.is_none() == abandoned;
        let Some(at) = self.ahead.iter().position(due) else { return false };
        let ahead = self.ahead.remove(at);
        let (now, auth) = (self.now, format!("SECRET_KEY {SANDBOX_SECRET_KEY}"));
        let told = match &ahead.what {
            What::Sent(endpoint, _) => format!("{endpoint:?} at the gateway"),
            What::Waits(_) => "a call goes on at the gateway".to_owned(),
        };
        let step = match ahead.what {
            What::Sent(endpoint, body) => self.machine.begin(now, endpoint, Some(&auth), &body),
            What::Waits(ticket) => self.machine.resume(now, ticket),
        };
        let reply = match step {
            machine::Step::Wait { ms, ticket } => {
                self.tell(format!("{told}: waits"));
                self.ahead.push(Ahead { flight: ahead.flight, at: now.plus_millis(ms), what: What::Waits(ticket) });
                return true;
            }
            machine::Step::Answer(reply) => Came::Answer(reply),
            machine::Step::Hangup => Came::End,
        };
        let code =
            if let Came::Answer(reply) = &reply { (reply.status, reply.error_code().unwrap_or(0)) } else { (0, 0) };
        self.tell(format!("{told}: {code:?}"));
        let breaches = self.machine.ledger(now).check();
        if !breaches.is_empty() {
            self.breaks(format!("the gateway's ledger: {breaches:?}"));
        }
        if let Some(flight) = self.flights.iter_mut().find(|flight| Some(flight.id) == ahead.flight) {
            flight.reply = reply;
        }
        true
    }

    /// An answer reaches its caller, or a caller gives up.
    pub(super) fn answer(&mut self) -> bool {
        let ended = |flight: &Flight| flight.reply != Came::Nothing || flight.patience() <= self.now;
        let Some(at) = self.flights.iter().position(ended) else { return false };
        let flight = self.flights.remove(at);
        self.ahead.iter_mut().filter(|ahead| ahead.flight == Some(flight.id)).for_each(|ahead| ahead.flight = None);
        let answered = match &flight.reply {
            Came::Nothing => unknown("no answer in time"),
            Came::End => unknown("no whole answer"),
            Came::Answer(reply) if reply.body.len() < reply.announced => unknown("no whole answer"),
            Came::Answer(reply) => read(&self.wire, &flight.asked, reply),
        };
        self.report(&flight.step, flight.made, answered);
        true
    }
}

fn unknown(why: &'static str) -> Answered {
    Answered::Unknown(CompactString::const_new(why))
}

fn read(wire: &Wire, asked: &Asked, reply: &Reply) -> Answered {
    let (status, body) = (reply.status, &reply.body[..]);
    let read = match asked {
        Asked::Ready(request) => wire.read_ready(request, status, body),
        Asked::Approve(request) => wire.read_approve(request, status, body),
        Asked::Order(request) => wire.read_order(request, status, body),
        Asked::Cancel(request) => wire.read_cancel(request, status, body),
    };
    read.answered
}

fn asked(step: &Step, made: Call, now: Time) -> Asked {
    let work = &step.work;
    let (order, customer, attempt, amount) = (step.order, step.customer.clone(), work.attempt, work.amount);
    let reference = || work.reference.clone().expect("an attempt that was begun");
    match made {
        Call::Begin => Asked::Ready(BeginRequest {
            order,
            attempt,
            customer,
            item_name: work.item.to_string(),
            quantity: u32::try_from(work.units).expect("few units"),
            amount,
            returns: returns(order, attempt, work.nonce),
            pay_by: now,
            now,
        }),
        Call::Capture => Asked::Approve(CaptureRequest {
            reference: reference(),
            order,
            attempt,
            customer,
            proof: work.proof.clone().expect("a proof to capture with"),
            amount,
            idem: IdemKey::capture(order, attempt),
            now,
        }),
        Call::LookUp { .. } | Call::Lapse => {
            Asked::Order(LookUpRequest { reference: reference(), order, attempt, customer, now })
        }
        Call::GiveBack => {
            let refund = work.refund.as_ref().expect("a refund");
            let (amount, remaining_before) = refund.sized.unwrap_or((Won(0), Won(0)));
            Asked::Cancel(RefundRequest {
                reference: reference(),
                receipt: String::new(),
                order,
                customer,
                refund: attempt,
                amount,
                remaining_before,
                reason: refund.reason.to_string(),
                idem: IdemKey::refund(order, attempt),
            })
        }
    }
}

fn returns(order: OrderId, attempt: u32, nonce: Nonce) -> ReturnUrls {
    let nonce = format!("{:032x}", u128::from_be_bytes(nonce.0));
    let back = |to: &str| format!("http://shop.invalid/{order}/{attempt}/{nonce}/{to}");
    ReturnUrls { approval: back("approval"), cancel: back("cancel"), fail: back("fail") }
}
