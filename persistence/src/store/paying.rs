//! What a batch's events about paying mean for the tables: a part of [`super::plan`].
//!
//! Events about the same attempt or refund are folded, as everything in a plan is. One thing an
//! event does not say is which attempt was live when its order ended, or when the next attempt
//! took its place: where the batch does not know it either, a change for "whatever is live"
//! finds out, and it is made before all others of the batch.
//!
//! Nothing secret of an event (proofs, nonces, pages, keys) may be taken over.

use super::StoreError;
use super::pay_rows::{
    AttemptBegun, AttemptCaptured, AttemptMoved, AttemptRefunded, Closed, NewAttempt, NewRefund, RefundEnded,
    RefundLine, RefundSized, Told,
};
use super::plan::{Moved, Planner};
use son7shop_engine::payment::{Begun, Captured, GivenBack, PaymentMethod, Why};
use son7shop_engine::{
    AttemptStatus, Event, Happened, LineRequest, Lines, Lsn, OrderId, OrderStatus, PartitionId, RefundStatus, StepRef,
    Time, Won,
};
use std::collections::{BTreeMap, HashMap};

/// The reason of a refund that nobody asked for, as the engine has it.
const LATE: &str = "captured late";

/// The rows and changes about paying of one batch, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct PaymentPlan<'a> {
    /// Orders whose next attempt takes the place of one that the table knows.
    pub superseded: Vec<Closed>,
    /// Orders that ended, whose live attempt the table knows, if there is one.
    pub closed: Vec<Closed>,
    pub attempts: Vec<NewAttempt<'a>>,
    // Each by number, then order.
    pub begun: Vec<AttemptBegun<'a>>,
    pub moved: Vec<AttemptMoved<'a>>,
    pub captured: Vec<AttemptCaptured<'a>>,
    pub refunded: Vec<AttemptRefunded>,
    pub refunds: Vec<NewRefund<'a>>,
    pub sized: Vec<RefundSized>,
    pub ended: Vec<RefundEnded<'a>>,
    pub refund_lines: Vec<RefundLine<'a>>,
    pub told: Vec<Told<'a>>,
}

/// Where the batch left an attempt.
#[derive(Debug, Clone, Copy)]
struct Standing<'a> {
    status: AttemptStatus,
    since: Time,
    answer: Option<&'a str>,
}

impl Standing<'_> {
    fn ended_at(&self) -> Option<Time> {
        (!self.status.is_live()).then_some(self.since)
    }
}

/// What the batch did to an attempt.
#[derive(Debug, Default)]
struct AttemptNews<'a> {
    started: Option<(PaymentMethod, Won, Time)>,
    begun: Option<&'a Begun>,
    standing: Option<Standing<'a>>,
    captured: Option<&'a Captured>,
    /// Won that went back.
    refunded: i64,
    lsn: Lsn,
}

/// A refund as it is opened.
#[derive(Debug, Clone, Copy)]
struct Opened<'a> {
    attempt: u32,
    reason: &'a str,
    restock: bool,
    asked: bool,
    at: Time,
}

/// What the batch did to a refund.
#[derive(Debug, Default)]
struct RefundNews<'a> {
    opened: Option<Opened<'a>>,
    amount: Option<Won>,
    ended: Option<(RefundStatus, Time, Option<&'a str>)>,
    lsn: Lsn,
}

/// A [`PaymentPlan`] in the making.
#[derive(Debug, Default)]
pub(super) struct Paying<'a> {
    plan: PaymentPlan<'a>,
    attempts: BTreeMap<(u32, OrderId), AttemptNews<'a>>,
    /// The highest attempt of which the batch knows where it stands.
    newest: HashMap<OrderId, u32>,
    refunds: BTreeMap<(u32, OrderId), RefundNews<'a>>,
}

impl<'a> Paying<'a> {
    fn attempt(&mut self, order: OrderId, attempt: u32, lsn: Lsn) -> &mut AttemptNews<'a> {
        let news = self.attempts.entry((attempt, order)).or_default();
        news.lsn = lsn;
        news
    }

    fn refund(&mut self, order: OrderId, refund: u32, lsn: Lsn) -> &mut RefundNews<'a> {
        let news = self.refunds.entry((refund, order)).or_default();
        news.lsn = lsn;
        news
    }

    fn stands(&mut self, order: OrderId, attempt: u32, (at, lsn): (Time, Lsn), status: AttemptStatus) {
        self.attempt(order, attempt, lsn).standing = Some(Standing { status, since: at, answer: None });
        let newest = self.newest.entry(order).or_default();
        *newest = attempt.max(*newest);
    }

    fn standing(&self, order: OrderId, attempt: u32) -> Option<&Standing<'a>> {
        self.attempts.get(&(attempt, order))?.standing.as_ref()
    }

    fn start(&mut self, order: OrderId, attempt: u32, when: (Time, Lsn), method: PaymentMethod, amount: Won) {
        let before = attempt.saturating_sub(1);
        match self.standing(order, before) {
            Some(standing) if standing.status.is_live() => {
                self.stands(order, before, when, AttemptStatus::Ended(Why::Superseded));
            }
            None if before > 0 => self.plan.superseded.push(Closed { order, ended_at: when.0, lsn: when.1 }),
            _ => {}
        }
        self.stands(order, attempt, when, AttemptStatus::Preparing);
        self.attempt(order, attempt, when.1).started = Some((method, amount, when.0));
    }

    /// The order ended; `new`: it was placed in this batch, which so knows all of its attempts.
    pub(super) fn close(&mut self, order: OrderId, new: bool, when: (Time, Lsn)) {
        let newest = self.newest.get(&order).copied();
        let known = newest.and_then(|attempt| Some((attempt, self.attempts.get(&(attempt, order))?)));
        let started = known.is_some_and(|(_, news)| news.started.is_some());
        let live = known.and_then(|(attempt, news)| Some((attempt, news.standing.as_ref()?.status)));
        if let Some((attempt, status)) = live.filter(|(_, status)| status.is_live()) {
            let why = if status == AttemptStatus::Approving { Why::GivenUp } else { Why::OrderEnded };
            self.stands(order, attempt, when, AttemptStatus::Ended(why));
        } else if !new && !started {
            self.plan.closed.push(Closed { order, ended_at: when.0, lsn: when.1 });
        }
    }

    fn open_refund(&mut self, order: OrderId, refund: u32, lsn: Lsn, opened: Opened<'a>, amount: Option<Won>) {
        let news = self.refund(order, refund, lsn);
        (news.opened, news.amount) = (Some(opened), amount);
    }

    pub(super) fn finish(self, partition: PartitionId) -> PaymentPlan<'a> {
        let Self { mut plan, attempts, refunds, .. } = self;
        for ((attempt, order), news) in attempts {
            plan.attempt(partition, order, attempt, &news);
        }
        for ((refund, order), news) in refunds {
            plan.refund(partition, order, refund, &news);
        }
        plan
    }
}

impl<'a> PaymentPlan<'a> {
    fn attempt(&mut self, partition: PartitionId, order: OrderId, attempt: u32, news: &AttemptNews<'a>) {
        let lsn = news.lsn;
        let reference = news.begun.map(|begun| begun.reference.as_str());
        let expires_at = news.begun.map(|begun| begun.expires_at).filter(|at| *at != Time::NEVER);
        if let Some((method, amount, started_at)) = news.started {
            let standing = news.standing;
            self.attempts.push(NewAttempt {
                order,
                attempt,
                partition,
                method,
                status: standing.map_or(AttemptStatus::Preparing, |standing| standing.status),
                amount,
                reference,
                started_at,
                expires_at,
                captured: news.captured,
                refunded: news.refunded,
                answer: standing.and_then(|standing| standing.answer),
                ended_at: standing.and_then(|standing| standing.ended_at()),
                lsn,
            });
            return;
        }
        self.begun.extend(reference.map(|reference| AttemptBegun { order, attempt, reference, expires_at }));
        self.moved.extend(news.standing.map(|standing| {
            let (status, ended_at, answer) = (standing.status, standing.ended_at(), standing.answer);
            AttemptMoved { order, attempt, status, ended_at, answer, lsn }
        }));
        self.captured.extend(news.captured.map(|captured| AttemptCaptured { order, attempt, captured }));
        if news.refunded != 0 {
            self.refunded.push(AttemptRefunded { order, attempt, amount: news.refunded, lsn });
        }
    }

    fn refund(&mut self, partition: PartitionId, order: OrderId, refund: u32, news: &RefundNews<'a>) {
        let (amount, lsn) = (news.amount, news.lsn);
        if let Some(Opened { attempt, reason, restock, asked, at }) = news.opened {
            let (status, done_at, receipt) = match news.ended {
                Some((status, at, receipt)) => (status, Some(at), receipt),
                None => (RefundStatus::UnderWay, None, None),
            };
            let requested_at = at;
            self.refunds.push(NewRefund {
                order,
                refund,
                partition,
                attempt,
                amount,
                status,
                reason,
                restock,
                asked,
                requested_at,
                done_at,
                receipt,
                lsn,
            });
            return;
        }
        self.sized.extend(amount.map(|amount| RefundSized { order, refund, amount, lsn }));
        self.ended.extend(news.ended.map(|(status, done_at, receipt)| RefundEnded {
            order,
            refund,
            status,
            done_at,
            receipt,
            lsn,
        }));
    }
}

impl<'a> Planner<'a> {
    /// Takes an event about paying.
    pub(super) fn payment(&mut self, at: Time, lsn: Lsn, event: &'a Event) -> Result<(), StoreError> {
        let when = (at, lsn);
        match event {
            Event::PaymentStarted { order, attempt, method, amount, .. } => {
                self.paying.start(*order, *attempt, when, *method, *amount);
                self.move_order(*order, OrderStatus::Paying, lsn);
                self.tell(
                    *order,
                    when,
                    StepRef::Attempt(*attempt),
                    Happened::PaymentStarted,
                    method.as_str(),
                    "",
                    None,
                );
            }
            Event::PaymentReady { order, attempt, begun } => {
                self.paying.stands(*order, *attempt, when, AttemptStatus::Ready);
                self.paying.attempt(*order, *attempt, lsn).begun = Some(begun);
                self.touch_order(*order, lsn);
                let next_at = Some(begun.expires_at);
                self.tell(*order, when, StepRef::Attempt(*attempt), Happened::PaymentReady, "", "", next_at);
            }
            Event::PaymentAuthorised { order, attempt, .. } => {
                self.paying.stands(*order, *attempt, when, AttemptStatus::Approving);
                self.move_order(*order, OrderStatus::Approving, lsn);
                self.tell(*order, when, StepRef::Attempt(*attempt), Happened::PaymentAuthorised, "", "", None);
            }
            Event::PaymentHinted { order, attempt } => {
                self.touch_order(*order, lsn);
                self.tell(*order, when, StepRef::Attempt(*attempt), Happened::PaymentHinted, "", "", None);
            }
            Event::ProofRejected { order, attempt, answer, more } => {
                if *more {
                    self.touch_order(*order, lsn);
                } else {
                    self.paying.stands(*order, *attempt, when, AttemptStatus::Ready);
                    self.move_order(*order, OrderStatus::Paying, lsn);
                }
                self.tell(*order, when, StepRef::Attempt(*attempt), Happened::ProofRejected, "", answer, None);
            }
            Event::PaymentCaptured { ended, attempt, captured } => {
                self.sell(&ended.lines);
                self.captured(ended.id, *attempt, when, AttemptStatus::Captured, captured);
                self.end_order(ended.id, OrderStatus::Confirmed, at, lsn);
            }
            Event::PaymentCapturedLate { order, attempt, captured, refund, held } => {
                self.captured(*order, *attempt, when, AttemptStatus::CapturedLate, captured);
                let opened = Opened { attempt: *attempt, reason: LATE, restock: false, asked: false, at };
                self.paying.open_refund(*order, *refund, lsn, opened, None);
                if *held {
                    self.move_order(*order, OrderStatus::Held, lsn);
                } else {
                    self.touch_order(*order, lsn);
                }
            }
            Event::PaymentEnded { order, attempt, why, answer, look_at } => {
                self.paying.stands(*order, *attempt, when, AttemptStatus::Ended(*why));
                if let Some(standing) = &mut self.paying.attempt(*order, *attempt, lsn).standing {
                    standing.answer = Some(answer.as_str()).filter(|answer| !answer.is_empty());
                }
                self.move_order(*order, OrderStatus::Held, lsn);
                let (step, why) = (StepRef::Attempt(*attempt), why.as_str());
                self.tell(*order, when, step, Happened::PaymentEnded, why, answer, *look_at);
            }
            Event::PaymentLooked { order, attempt, answer } => {
                self.touch_order(*order, lsn);
                self.tell(*order, when, StepRef::Attempt(*attempt), Happened::PaymentLooked, "", answer, None);
            }
            Event::StepTried { order, step, answer, next } => {
                self.touch_order(*order, lsn);
                let (next, next_at) = next.map_or(("parked", None), |(call, at)| (call.as_str(), Some(at)));
                self.tell(*order, when, *step, Happened::StepTried, next, answer, next_at);
            }
            Event::StepRetried { order, step, call } => {
                self.touch_order(*order, lsn);
                self.tell_word(*order, when, *step, "step_retried", call.as_str(), "", None);
            }
            Event::OperatorActed { order, step, by, reason, effect } => {
                let before = (self.plan.timeline.len(), self.paying.plan.told.len());
                self.take(at, lsn, effect)?;
                // One event, one row: the operator's. What followed from it is its detail.
                let (mut follows, mut next_at) = (None, None);
                for row in self.plan.timeline.drain(before.0..) {
                    follows = Some(row.event);
                }
                for row in self.paying.plan.told.drain(before.1..) {
                    (follows, next_at) = (Some(row.event), row.next_at);
                }
                let (event, detail) = (Happened::OperatorActed.as_str(), follows.unwrap_or_default());
                self.tell_word(*order, when, *step, event, detail, reason, next_at);
                if let Some(row) = self.paying.plan.told.last_mut() {
                    row.actor = Some(by.as_str());
                }
            }
            refund => self.refund(when, refund),
        }
        Ok(())
    }

    fn refund(&mut self, when: (Time, Lsn), event: &'a Event) {
        let (at, lsn) = when;
        match event {
            Event::RefundRequested { order, refund, attempt, amount, lines, restock, reason, .. } => {
                let opened = Opened { attempt: *attempt, reason, restock: *restock, asked: true, at };
                self.paying.open_refund(*order, *refund, lsn, opened, Some(*amount));
                let rows =
                    (1..).zip(lines).map(|(place, line)| RefundLine { order: *order, refund: *refund, place, line });
                self.paying.plan.refund_lines.extend(rows);
                self.touch_order(*order, lsn);
                self.tell(*order, when, StepRef::Refund(*refund), Happened::RefundRequested, "", reason, None);
            }
            Event::RefundSized { order, refund, amount, .. } => {
                self.paying.refund(*order, *refund, lsn).amount = Some(*amount);
                self.touch_order(*order, lsn);
                self.tell(*order, when, StepRef::Refund(*refund), Happened::RefundSized, "", "", None);
            }
            Event::RefundDone { order, refund, attempt, back, all, lines, .. } => {
                self.refund_done((*order, *refund), *attempt, when, back, lines);
                if *all {
                    self.move_order(*order, OrderStatus::Refunded, lsn);
                } else {
                    self.touch_order(*order, lsn);
                }
            }
            Event::RefundRefused { order, refund } => {
                self.paying.refund(*order, *refund, lsn).ended = Some((RefundStatus::Refused, at, None));
                self.touch_order(*order, lsn);
                self.tell_word(*order, when, StepRef::Refund(*refund), "refund_refused", "", "", None);
            }
            Event::PartRestocked { order, refund, lines } => {
                self.restock(lines);
                self.tell_word(*order, when, StepRef::Refund(*refund), "part_restocked", "", "", None);
            }
            Event::OrderRecalled(recalled) => self.touch_order(recalled.id(), lsn),
            // Every other event was taken before.
            _ => {}
        }
    }

    fn captured(
        &mut self,
        order: OrderId,
        attempt: u32,
        when: (Time, Lsn),
        status: AttemptStatus,
        captured: &'a Captured,
    ) {
        self.paying.stands(order, attempt, when, status);
        self.paying.attempt(order, attempt, when.1).captured = Some(captured);
        let what = match status {
            AttemptStatus::Captured => Happened::PaymentCaptured,
            _ => Happened::PaymentCapturedLate,
        };
        self.tell(order, when, StepRef::Attempt(attempt), what, "", &captured.receipt, None);
    }

    fn refund_done(
        &mut self,
        (order, refund): (OrderId, u32),
        attempt: u32,
        when: (Time, Lsn),
        back: &'a GivenBack,
        lines: &'a Lines,
    ) {
        let (at, lsn) = when;
        let news = self.paying.refund(order, refund, lsn);
        news.amount = Some(back.amount);
        news.ended = Some((RefundStatus::Done, at, Some(&back.receipt)));
        let taken = &mut self.paying.attempt(order, attempt, lsn).refunded;
        *taken = taken.saturating_add(back.amount.0);
        self.restock(lines);
        self.tell(order, when, StepRef::Refund(refund), Happened::RefundDone, "", &back.receipt, None);
    }

    /// Sold units are for sale again.
    fn restock(&mut self, lines: &'a [LineRequest]) {
        for line in lines {
            self.units(&line.sku, Moved { sold: -i64::from(line.quantity), ..Moved::default() });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of a row")]
    fn tell(
        &mut self,
        order: OrderId,
        when: (Time, Lsn),
        step: StepRef,
        what: Happened,
        detail: &'static str,
        answer: &'a str,
        next_at: Option<Time>,
    ) {
        self.tell_word(order, when, step, what.as_str(), detail, answer, next_at);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of a row")]
    fn tell_word(
        &mut self,
        order: OrderId,
        (at, lsn): (Time, Lsn),
        step: StepRef,
        event: &'static str,
        detail: &'static str,
        answer: &'a str,
        next_at: Option<Time>,
    ) {
        let (partition, actor) = (self.partition, None);
        let detail = Some(detail).filter(|detail| !detail.is_empty());
        self.paying.plan.told.push(Told { order, partition, lsn, at, event, detail, step, actor, answer, next_at });
    }
}
