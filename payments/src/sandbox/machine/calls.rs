//! What each call of the API does, and when: the checks, the change, the answer, with the faults
//! that meet it on the right side of the change. It must never change anything after it has said
//! how a call ends.

use super::assumed::{self, APPROVE_CHECKS, CANCEL_CHECKS, Check, ORDER_CHECKS, READY_CHECKS};
use super::checks::Looked;
use super::faults::{Action, Outcome, Place, Used, When};
use super::ledger::Booked;
use super::payment::{Capture, Payment, Refund, Settling, refund_parts};
use super::request::{self, Approve, Asked, Cancel, Ready};
use super::words::{Endpoint, Means, Status};
use super::{Committed, End, Entry, Machine, Refusal, Reply, answers};
use serde_json::{Map, Value, json};
use son7shop_engine::Time;

/// The name of a call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the caller is to do next for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait, then [`Machine::resume`], whatever becomes of the connection meanwhile.
    Wait {
        /// Milliseconds.
        ms: i64,
        /// The call.
        ticket: Ticket,
    },
    /// Answer, and that is all.
    Answer(Reply),
    /// Close the connection without an answer, and that is all.
    Hangup,
}

/// How a call went that nobody had to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The answer; `None`: the connection was closed.
    pub reply: Option<Reply>,
    /// How long it took in all, in milliseconds. Over the caller's patience it is no answer either.
    pub ms: i64,
}

/// A call that waits.
#[derive(Debug, Clone)]
pub(super) struct Open {
    call: Call,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Phase {
    /// It has done nothing yet.
    Before,
    /// It did what it did, and ends so.
    After(End),
}

#[derive(Debug, Clone)]
struct Call {
    /// Its number, in the journal and as a ticket.
    seq: u64,
    endpoint: Endpoint,
    key: Option<i32>,
    asked: Result<Asked, Refusal>,
    /// The payment that it names, if there is one.
    payment: Option<usize>,
    /// The rules that mean it.
    met: Vec<u64>,
}

/// What a call did.
struct Done {
    reply: Reply,
    committed: Committed,
}

impl Done {
    fn nothing(refusal: &Refusal) -> Self {
        Self { reply: refusal.reply(), committed: Committed::Nothing }
    }
}

impl Machine {
    /// A call, with all waiting played at once: it comes at `now` and does what it does when its
    /// waiting before is over. For simulations; whoever has a clock uses [`Machine::begin`].
    pub fn call(&mut self, now: Time, endpoint: Endpoint, auth: Option<&str>, body: &[u8]) -> Delivery {
        let mut waited = 0;
        let mut step = self.begin(now, endpoint, auth, body);
        loop {
            match step {
                Step::Wait { ms, ticket } => {
                    waited += ms;
                    step = self.resume(now.plus_millis(waited), ticket);
                }
                Step::Answer(reply) => return Delivery { reply: Some(reply), ms: waited },
                Step::Hangup => return Delivery { reply: None, ms: waited },
            }
        }
    }

    /// A call comes: `auth` is its `Authorization` header, `body` what it says. An approve or
    /// cancel that would pass all checks holds its payment from here to its end: others meet -785.
    pub fn begin(&mut self, now: Time, endpoint: Endpoint, auth: Option<&str>, body: &[u8]) -> Step {
        self.settle(now);
        let fields = request::object(body);
        let text = |name| fields.as_ref().and_then(|fields| fields.get(name)?.as_str());
        let tid = text("tid").filter(|_| endpoint != Endpoint::Ready);
        let payment = tid.and_then(|tid| self.find(tid));
        let order = payment.map(|at| self.payments[at].asked.order.as_str()).or(text("partner_order_id"));
        let met = self.faults.meet(Place::from(endpoint), tid, order);
        let key = self.key_fails(auth);
        let seq = self.journal.add(Entry {
            seq: 0,
            at: now,
            endpoint,
            key_is_right: key.is_none(),
            tid: tid.map(str::to_owned),
            order: order.map(str::to_owned),
            body: body.to_owned(),
            unknown: fields.as_ref().map(|fields| request::unknown(endpoint, fields)).unwrap_or_default(),
            faults: Vec::new(),
            committed: Committed::Nothing,
            committed_at: None,
            end: End::UnderWay,
            ended_at: None,
        });
        let asked = request::read(endpoint, fields.as_ref());
        let call = Call { seq, endpoint, key, asked, payment, met };
        self.hold(now, &call);
        let ms = self.waits(&call, |action| if let Action::DelayBefore { ms } = action { Some(*ms) } else { None });
        self.wait_or(now, ms, call, Phase::Before)
    }

    /// Goes on with a call whose waiting is over. A ticket is good for one time; after that it
    /// closes a connection that nobody has.
    pub fn resume(&mut self, now: Time, ticket: Ticket) -> Step {
        self.settle(now);
        let Some(Open { call, phase }) = self.open.remove(&ticket.0) else { return Step::Hangup };
        self.go_on(now, call, phase)
    }

    /// How many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    fn wait_or(&mut self, now: Time, ms: i64, call: Call, phase: Phase) -> Step {
        if ms == 0 {
            return self.go_on(now, call, phase);
        }
        let ticket = Ticket(call.seq);
        self.open.insert(call.seq, Open { call, phase });
        Step::Wait { ms, ticket }
    }

    fn go_on(&mut self, now: Time, call: Call, phase: Phase) -> Step {
        match phase {
            Phase::Before => self.run(now, call),
            Phase::After(end) => self.end(now, &call, end),
        }
    }

    /// What the call does, between its waiting before and its waiting after.
    fn run(&mut self, now: Time, call: Call) -> Step {
        if let Some(action) = self.take(&call, |action| sends(action, When::Before)) {
            let end = noise(&action).map_or(End::Dropped, End::Answered);
            return self.end(now, &call, end);
        }
        let done = self.execute(now, &call);
        self.journal.change(call.seq, |entry| {
            entry.committed = done.committed;
            entry.committed_at = Some(now);
        });
        let reply = if done.reply.status == 200 { self.reshaped(&call, done.reply) } else { done.reply };
        let end = match self.take(&call, |action| sends(action, When::After)) {
            None => End::Answered(reply),
            Some(Action::BadJson) => End::Answered(Reply::new(200, b"<html><body>OK</body></html>".to_vec())),
            Some(Action::Truncated) => End::Answered(reply.truncated()),
            Some(action) => noise(&action).map_or(End::Dropped, End::Answered),
        };
        let ms =
            self.waits(&call, |action| if let Action::DelayAfterCommit { ms } = action { Some(*ms) } else { None });
        self.wait_or(now, ms, call, Phase::After(end))
    }

    fn end(&mut self, now: Time, call: &Call, end: End) -> Step {
        if let Some(payment) = call.payment.map(|at| &mut self.payments[at])
            && payment.held_by == Some(call.seq)
        {
            payment.held_by = None;
        }
        let step = match &end {
            End::Answered(reply) => Step::Answer(reply.clone()),
            End::Dropped | End::UnderWay => Step::Hangup,
        };
        self.journal.change(call.seq, |entry| {
            entry.end = end;
            entry.ended_at = Some(now);
        });
        step
    }

    /// Uses the first fault that is wanted.
    fn take(&mut self, call: &Call, wanted: impl Fn(&Action) -> bool) -> Option<Action> {
        let used = self.faults.take(&call.met, wanted)?;
        let action = used.action.clone();
        self.note(call, [used]);
        Some(action)
    }

    fn waits(&mut self, call: &Call, ms: impl Fn(&Action) -> Option<u32>) -> i64 {
        let used = self.faults.take_all(&call.met, |action| ms(action).is_some());
        let sum = used.iter().filter_map(|used| ms(&used.action)).map(i64::from).sum();
        self.note(call, used);
        sum
    }

    fn note(&mut self, call: &Call, used: impl IntoIterator<Item = Used>) {
        self.journal.change(call.seq, |entry| entry.faults.extend(used));
    }

    fn key_fails(&self, auth: Option<&str>) -> Option<i32> {
        let Some((scheme, key)) = auth.and_then(|auth| auth.trim().split_once(' ')) else {
            return Some(if auth.is_none() { -400 } else { -401 });
        };
        let is_right = assumed::is_scheme(scheme) && key.trim() == self.settings.secret_key;
        if is_right { None } else { Some(-401) }
    }

    fn refused(&self, now: Time, call: &Call, checks: &[Check]) -> Option<Refusal> {
        let looked = Looked {
            now,
            call: call.seq,
            key: call.key,
            cid: &self.settings.cid,
            asked: &call.asked,
            payment: call.payment.map(|at| &self.payments[at]),
        };
        looked.refused(checks)
    }

    /// A call that changes its payment holds it, if it may go on.
    fn hold(&mut self, now: Time, call: &Call) {
        if !call.endpoint.holds() || self.refused(now, call, checks(call.endpoint)).is_some() {
            return;
        }
        if let Some(at) = call.payment {
            self.payments[at].held_by = Some(call.seq);
        }
    }

    fn execute(&mut self, now: Time, call: &Call) -> Done {
        if let Some(refusal) = self.refused(now, call, checks(call.endpoint)) {
            return Done::nothing(&refusal);
        }
        // It may have come while another one held the payment, and waited that one out.
        self.hold(now, call);
        match (&call.asked, call.payment) {
            (Ok(Asked::Ready(asked)), _) => self.ready(now, call, asked),
            (Ok(Asked::Approve(asked)), Some(at)) => self.approve(now, call, at, asked),
            (Ok(Asked::Order(_)), Some(at)) => self.order(now, call, at),
            (Ok(Asked::Cancel(asked)), Some(at)) => self.cancel(now, call, at, asked),
            // The checks refuse what cannot be read and what names no payment.
            (Ok(_), None) => Done::nothing(&Refusal::code(-721)),
            (Err(refusal), _) => Done::nothing(refusal),
        }
    }

    fn ready(&mut self, now: Time, call: &Call, asked: &Ready) -> Done {
        let mut tid = self.names.tid();
        while self.by_tid.contains_key(&tid) {
            tid = self.names.tid();
        }
        let payment = Payment::new(tid, self.names.page(), asked.clone(), now);
        let reply = Reply::ok(&answers::ready(&payment, &self.settings.pages_url));
        self.journal.change(call.seq, |entry| entry.tid = Some(payment.tid.as_str().to_owned()));
        let at = self.payments.len();
        self.by_tid.insert(payment.tid.clone(), at);
        self.by_page.insert(payment.page.clone(), at);
        self.payments.push(payment);
        Done { reply, committed: Committed::Prepared }
    }

    fn approve(&mut self, now: Time, call: &Call, at: usize, asked: &Approve) -> Done {
        let verdict = self.take(call, |action| {
            matches!(action, Action::Decline { .. } | Action::UserLocked | Action::BankUnknown { .. })
        });
        match verdict {
            Some(Action::UserLocked) => Done::nothing(&Refusal::of_the_bank(-780, "USER_LOCKED")),
            Some(Action::Decline { code, soft }) => {
                let reply = Refusal::of_the_bank(-780, &code).reply();
                if soft {
                    return Done { reply, committed: Committed::Nothing };
                }
                self.payments[at].to(Status::FailPayment, now);
                Done { reply, committed: Committed::Failed }
            }
            Some(Action::BankUnknown { then, after }) => {
                let due = now.plus_millis(i64::from(after));
                let capture = (then == Outcome::Paid).then(|| self.new_capture(due, at, asked));
                self.payments[at].settling = Some(Settling { capture });
                self.settling.insert((due, at));
                let reply = Refusal::of_the_bank(-780, "BANK_FIRM_UNKNOWN").reply();
                Done { reply, committed: Committed::Unsettled }
            }
            _ => {
                let capture = self.new_capture(now, at, asked);
                let committed = Committed::Captured { aid: capture.aid.clone(), amount: capture.amount.total };
                let reply = Reply::ok(&answers::approve(&self.payments[at], &capture));
                self.capture(at, capture);
                Done { reply, committed }
            }
        }
    }

    fn new_capture(&mut self, when: Time, at: usize, asked: &Approve) -> Capture {
        let payment = &self.payments[at];
        // Whoever authorised has chosen.
        let means = payment.means.unwrap_or(Means::Card);
        Capture {
            aid: self.names.aid(),
            at: when,
            amount: payment.amount(),
            means,
            payload: asked.payload.clone(),
            approved_id: (means == Means::Card).then(|| self.names.digits(8)),
        }
    }

    pub(super) fn capture(&mut self, at: usize, capture: Capture) {
        let booked = Booked { aid: capture.aid.clone(), amount: capture.amount.total, at: capture.at };
        self.booked.entry(at).or_default().captures.push(booked);
        let payment = &mut self.payments[at];
        payment.to(Status::SuccessPayment, capture.at);
        payment.capture = Some(capture);
    }

    fn order(&mut self, now: Time, call: &Call, at: usize) -> Done {
        let stale = self.take(call, |action| matches!(action, Action::StaleOrder { .. }));
        // All that has happened, also where a simulation let a slow call happen ahead of the clock.
        let then =
            if let Some(Action::StaleOrder { ms }) = stale { now.plus_millis(-i64::from(ms)) } else { Time::NEVER };
        let payment = &self.payments[at];
        let seen = payment.seen_at(then);
        Done { reply: Reply::ok(&answers::order(payment, &seen)), committed: Committed::Nothing }
    }

    fn cancel(&mut self, now: Time, call: &Call, at: usize, asked: &Cancel) -> Done {
        let verdict = self.take(call, |action| matches!(action, Action::RefundRefused { .. } | Action::RefundDup));
        match verdict {
            Some(Action::RefundRefused { code }) => return Done::nothing(&Refusal::of_the_bank(-781, &code)),
            Some(_) => return Done::nothing(&Refusal::code(-785)),
            None => {}
        }
        let left = self.payments[at].left();
        let amount = refund_parts(left, asked.amount, asked.tax_free, asked.vat);
        let refund = Refund { aid: self.names.aid(), at: now, amount, payload: asked.payload.clone() };
        let booked = Booked { aid: refund.aid.clone(), amount: amount.total, at: now };
        self.booked.entry(at).or_default().refunds.push(booked);
        let payment = &mut self.payments[at];
        let is_rest = amount.total == left.total;
        payment.to(if is_rest { Status::CancelPayment } else { Status::PartCancelPayment }, now);
        payment.refunds.push(refund.clone());
        let reply = Reply::ok(&answers::cancel(payment, &payment.seen_at(Time::NEVER), &refund));
        Done { reply, committed: Committed::Refunded { aid: refund.aid, amount: amount.total } }
    }

    /// A good answer, with what faults change in it.
    fn reshaped(&mut self, call: &Call, reply: Reply) -> Reply {
        let Some(Value::Object(mut body)) = reply.json() else { return reply };
        let mut used = self.faults.take_all(&call.met, |action| matches!(action, Action::AmountOverride { .. }));
        used.extend(
            self.faults
                .take_all(&call.met, |action| matches!(action, Action::UnknownStatus { .. } | Action::ExtraField)),
        );
        // Last: a field that is missing is missing, whatever else is done to it.
        used.extend(self.faults.take_all(&call.met, |action| matches!(action, Action::MissingField { .. })));
        if used.is_empty() {
            return reply;
        }
        for used in &used {
            reshape(&mut body, &used.action);
        }
        self.note(call, used);
        Reply::ok(&Value::Object(body))
    }
}

fn checks(endpoint: Endpoint) -> &'static [Check] {
    match endpoint {
        Endpoint::Ready => &READY_CHECKS,
        Endpoint::Approve => &APPROVE_CHECKS,
        Endpoint::Order => &ORDER_CHECKS,
        Endpoint::Cancel => &CANCEL_CHECKS,
    }
}

/// Whether a fault decides, on this side of the change, what is sent.
fn sends(action: &Action, side: When) -> bool {
    match action {
        Action::DropBeforeCommit => side == When::Before,
        Action::DropAfterCommit | Action::BadJson | Action::Truncated => side == When::After,
        Action::Http429 { when } | Action::Http500 { when } | Action::Http503 { when } => side == *when,
        _ => false,
    }
}

/// What is answered instead; `None`: nothing.
fn noise(action: &Action) -> Option<Reply> {
    let code = match action {
        Action::Http429 { .. } => -429,
        Action::Http500 { .. } => -500,
        Action::Http503 { .. } => -503,
        _ => return None,
    };
    Some(Refusal::code(code).reply())
}

fn reshape(body: &mut Map<String, Value>, action: &Action) {
    match action {
        Action::AmountOverride { total } => {
            if let Some(amount) = body.get_mut("amount") {
                amount["total"] = json!(total);
            }
        }
        Action::UnknownStatus { status } => drop(body.insert("status".to_owned(), json!(status))),
        Action::ExtraField => drop(body.insert("sandbox_extra".to_owned(), json!({ "nobody": ["knows", "this"] }))),
        Action::MissingField { field } => drop(body.remove(field)),
        _ => {}
    }
}
