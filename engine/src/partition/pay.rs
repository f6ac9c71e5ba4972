//! What a command about paying would do: attempts, refunds, their steps, and what operators do
//! about them.

use super::decide::accept;
use super::{Answer, Decision, Partition};
use crate::attempt::{Attempt, AttemptStatus, MAX_ATTEMPTS, MAX_HINTS, MAX_PROOFS, MAX_REFUNDS, Payment, RefundStatus};
use crate::command::{Act, RefundRequest, Report, Requester};
use crate::event::{Event, Lines, Role};
use crate::ids::{CustomerId, OrderId, RequestKey};
use crate::money::Won;
use crate::order::{Order, OrderStatus, PartStatus};
use crate::payment::{Captured, GivenBack, Nonce, PaymentMethod, Proof, Why};
use crate::recall::RecalledOrder;
use crate::refusal::Refusal;
use crate::saga;
use crate::step::{Call, StepRef};
use crate::time::Time;
use crate::{LineRequest, Lsn};
use compact_str::CompactString;

type Decided = Result<Decision, Refusal>;

/// What a command leads to, if anything: it may have happened before, or something else came first.
type Follows = Result<Option<Event>, Refusal>;

fn outcome(now: Time, event: Option<Event>) -> Decision {
    match event {
        Some(event) => accept(now, event, Answer::Done),
        None => Decision::Repeat(Answer::Done),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "attempts and refunds are bounded")]
const fn number(index: usize) -> u32 {
    index as u32 + 1
}

impl Partition {
    pub(super) fn start_payment(
        &self,
        now: Time,
        id: OrderId,
        by: &Requester,
        method: PaymentMethod,
        key: RequestKey,
        nonce: Nonce,
    ) -> Decided {
        let order = self.require_order(id, by)?;
        let attempts = self.payments.get(&id).map_or(&[][..], |payment| &payment.attempts);
        if let Some(at) = attempts.iter().position(|attempt| attempt.key.key == key.key) {
            if attempts[at].key.request != key.request {
                return Err(Refusal::KeyReused);
            }
            return Ok(Decision::Repeat(Answer::Number(number(at))));
        }
        if self.refund_key(id, &key).is_some() {
            return Err(Refusal::KeyReused);
        }
        if !matches!(order.status, OrderStatus::Held | OrderStatus::Paying) {
            return Err(Refusal::WrongState { status: order.status });
        }
        if order.total <= Won(0) {
            return Err(Refusal::NothingToPay);
        }
        let attempt = number(attempts.len());
        if attempts.len() >= MAX_ATTEMPTS {
            return Err(Refusal::TooManyAttempts { attempts: attempt - 1 });
        }
        let event = Event::PaymentStarted { order: id, attempt, method, amount: order.total, key, nonce };
        Ok(accept(now, event, Answer::Number(attempt)))
    }

    fn refund_key(&self, id: OrderId, key: &RequestKey) -> Option<(u32, RequestKey)> {
        let refunds = &self.payments.get(&id)?.refunds;
        let keys = (1..).zip(refunds).filter_map(|(number, refund)| Some((number, refund.key?)));
        keys.into_iter().find(|(_, known)| known.key == key.key)
    }

    /// A callback is a hint: it opens a call to the gateway, or nothing.
    pub(super) fn report_return(
        &self,
        now: Time,
        id: OrderId,
        number: u32,
        nonce: Nonce,
        proof: Option<&Proof>,
    ) -> Decided {
        let unknown = Refusal::UnknownOrder { order: id };
        let attempt = self.payments.get(&id).and_then(|payment| payment.attempt(number));
        let attempt = attempt.filter(|attempt| attempt.nonce == nonce).ok_or(unknown)?;
        let in_time = self.find_order(id).is_some_and(|order| now < order.deadline);
        let event = match (attempt.status, proof) {
            (AttemptStatus::Ready, Some(proof)) => {
                Some(Event::PaymentAuthorised { order: id, attempt: number, proof: proof.clone() })
            }
            // Whoever comes first may have forged it: the right one must not be lost. Nor may forged ones
            // hold the units for ever: what comes after the deadline is too late.
            (AttemptStatus::Approving, Some(proof))
                if in_time && attempt.proofs.len() < MAX_PROOFS && !attempt.proofs.contains(proof) =>
            {
                Some(Event::PaymentAuthorised { order: id, attempt: number, proof: proof.clone() })
            }
            (AttemptStatus::Ready, None) if attempt.hints < MAX_HINTS && waits(attempt.step.as_ref()) => {
                Some(Event::PaymentHinted { order: id, attempt: number })
            }
            _ => None,
        };
        Ok(outcome(now, event))
    }

    pub(super) fn report(&self, now: Time, id: OrderId, step: StepRef, seen: Lsn, report: &Report) -> Decided {
        let order = self.find_order(id).ok_or(Refusal::UnknownOrder { order: id })?;
        let payment = self.payments.get(&id).ok_or(Refusal::NoSuchStep)?;
        let open = payment.step(step).filter(|open| open.lsn == seen);
        let event = match (step, report, open) {
            // That money moved is a fact, whoever asked and when.
            (StepRef::Attempt(number), Report::Captured(captured), _) => {
                self.captured(order, payment, number, captured)?
            }
            (StepRef::Refund(number), Report::GaveBack(back), _) => self.gave_back(order, payment, number, back),
            (.., None) => None,
            (_, Report::Tried { answer, next }, Some(_)) => {
                let next = next.map(|(call, millis)| (call, now.plus_millis(millis)));
                Some(Event::StepTried { order: id, step, answer: answer.clone(), next })
            }
            (StepRef::Attempt(number), report, Some(open)) => {
                let attempt = payment.attempt(number).ok_or(Refusal::NoSuchStep)?;
                Some(reported(now, id, number, attempt, open.call, report)?)
            }
            (StepRef::Refund(refund), Report::Sized { amount, before }, Some(_)) => {
                Some(Event::RefundSized { order: id, refund, amount: *amount, before: *before })
            }
            (StepRef::Refund(_), ..) => return Err(Refusal::WrongStep),
        };
        Ok(outcome(now, event))
    }

    fn captured(&self, order: &Order, payment: &Payment, number: u32, captured: &Captured) -> Follows {
        let attempt = payment.attempt(number).ok_or(Refusal::NoSuchStep)?;
        if attempt.captured.is_some() {
            return Ok(None);
        }
        let captured = Box::new(captured.clone());
        let newest = number as usize == payment.attempts.len();
        if newest && order.status.holds_units() && captured.amount == attempt.amount {
            return Ok(Some(Event::PaymentCaptured { ended: self.end_of(order), attempt: number, captured }));
        }
        let refund = self::number(payment.refunds.len());
        let held = attempt.status.is_live() && order.status.holds_units();
        Ok(Some(Event::PaymentCapturedLate { order: order.id, attempt: number, captured, refund, held }))
    }

    /// The refund's end; `None` if it is done. One that an operator gave up as refused, while the gateway was
    /// at work on it, is done all the same: the money went back.
    fn gave_back(&self, order: &Order, payment: &Payment, number: u32, back: &GivenBack) -> Option<Event> {
        let refund = payment.refund(number).filter(|refund| refund.status != RefundStatus::Done)?;
        let (mut lines, mut elsewhere) = (Lines::new(), Lines::new());
        if refund.restock {
            for line in &refund.lines {
                let here = order.lines.iter().any(|own| self.products[own.product as usize].sku == line.sku);
                if here { &mut lines } else { &mut elsewhere }.push(line.clone());
            }
        }
        let parts = if elsewhere.is_empty() { Vec::new() } else { order.asked().to_vec() };
        let attempt = refund.attempt;
        let taken = payment.attempt(attempt)?;
        let all = taken.status == AttemptStatus::Captured && Payment::left(taken) <= back.amount;
        let (order, back) = (order.id, back.clone());
        Some(Event::RefundDone { order, refund: number, attempt, back, all, lines, elsewhere, parts })
    }

    pub(super) fn request_refund(&self, now: Time, id: OrderId, asked: &RefundRequest) -> Decided {
        let order = self.require_order(id, &Requester::Admin)?;
        let payment = self.payments.get(&id);
        if let Some((number, known)) = self.refund_key(id, &asked.key) {
            if known.request != asked.key.request {
                return Err(Refusal::KeyReused);
            }
            return Ok(Decision::Repeat(Answer::Number(number)));
        }
        if payment.is_some_and(|payment| payment.attempts.iter().any(|attempt| attempt.key.key == asked.key.key)) {
            return Err(Refusal::KeyReused);
        }
        if !matches!(order.status, OrderStatus::Confirmed | OrderStatus::Refunded) {
            return Err(Refusal::WrongState { status: order.status });
        }
        let (attempt, taken) = payment.and_then(|payment| payment.captured()).ok_or(Refusal::NothingToRefund)?;
        let payment = payment.ok_or(Refusal::NothingToRefund)?;
        let under_way =
            |refund: &crate::attempt::Refund| refund.attempt == attempt && refund.status == RefundStatus::UnderWay;
        if let Some(at) = payment.refunds.iter().position(under_way) {
            return Err(Refusal::RefundUnderWay { refund: number(at) });
        }
        let before = Payment::left(taken);
        if before <= Won(0) {
            return Err(Refusal::NothingToRefund);
        }
        let refund = number(payment.refunds.len());
        if payment.refunds.len() >= MAX_REFUNDS {
            return Err(Refusal::TooManyRefunds { refunds: refund - 1 });
        }
        let all = asked.amount.is_none() && asked.lines.is_empty();
        let lines = if all { self.units_left(order, payment) } else { asked.lines.clone() };
        let cost = self.cost_of(order, payment, &lines)?;
        let amount = asked.amount.unwrap_or(if all { before } else { cost });
        if amount <= Won(0) || amount > before {
            return Err(Refusal::RefundOutOfRange { left: before.0, asked: amount.0 });
        }
        let (restock, reason, key) = (asked.restock, asked.reason.clone(), asked.key);
        let event = Event::RefundRequested { order: id, refund, attempt, amount, before, lines, restock, reason, key };
        Ok(accept(now, event, Answer::Number(refund)))
    }

    /// An order that is known has nothing to be told.
    pub(super) fn recall_order(&self, now: Time, recalled: &RecalledOrder) -> Decided {
        let known = self.find_order(recalled.id).is_some();
        let foreign = recalled.id.home() != self.id || recalled.lines.iter().any(|line| self.find(&line.sku).is_none());
        if foreign {
            return Err(Refusal::UnknownOrder { order: recalled.id });
        }
        Ok(outcome(now, (!known).then(|| Event::OrderRecalled(Box::new(recalled.clone())))))
    }

    /// What of the order was not refunded yet.
    fn units_left(&self, order: &Order, payment: &Payment) -> Lines {
        let all = self.view_lines(order);
        let left = all.into_iter().map(|line| {
            let quantity = line.quantity.saturating_sub(payment.returned(&line.sku).0);
            LineRequest { sku: line.sku, quantity }
        });
        left.filter(|line| line.quantity > 0).collect()
    }

    /// What `lines` cost in the order, if it has as many units left.
    fn cost_of(&self, order: &Order, payment: &Payment, lines: &[LineRequest]) -> Result<Won, Refusal> {
        let bought = self.view_lines(order);
        let mut cost = Won(0);
        for (at, line) in lines.iter().enumerate() {
            let unknown = || Refusal::UnitsOutOfRange { sku: line.sku.clone(), left: 0, asked: line.quantity };
            let own = bought.iter().find(|own| own.sku == line.sku).ok_or_else(unknown)?;
            let twice = lines[..at].iter().any(|before| before.sku == line.sku);
            let left = if twice { 0 } else { own.quantity.saturating_sub(payment.returned(&line.sku).0) };
            if line.quantity == 0 || line.quantity > left {
                return Err(Refusal::UnitsOutOfRange { sku: line.sku.clone(), left, asked: line.quantity });
            }
            let more = own.unit_price.times(line.quantity).ok_or(Refusal::TotalTooLarge)?;
            cost = cost.plus(more).ok_or(Refusal::TotalTooLarge)?;
        }
        Ok(cost)
    }

    pub(super) fn restock_part(&self, now: Time, id: OrderId, refund: u32, lines: &Lines) -> Decided {
        if self.restocked.contains(&(id, refund)) {
            return Ok(outcome(now, None));
        }
        match self.parts.get(&id).map(|part| part.status) {
            Some(PartStatus::Held) => return Err(Refusal::PartHeld),
            Some(PartStatus::Released) => return Err(Refusal::PartEnded),
            // One that was forgotten was confirmed long ago.
            Some(PartStatus::Confirmed) | None => {}
        }
        let here = lines.iter().filter(|line| self.find(&line.sku).is_some()).cloned().collect();
        Ok(outcome(now, Some(Event::PartRestocked { order: id, refund, lines: here })))
    }

    pub(super) fn operate(
        &self,
        now: Time,
        id: OrderId,
        step: StepRef,
        act: &Act,
        by: &CustomerId,
        reason: &CompactString,
    ) -> Decided {
        let order = self.require_order(id, &Requester::Admin)?;
        let payment = self.payments.get(&id).ok_or(Refusal::NoSuchStep)?;
        let open = payment.step(step).ok_or(Refusal::NoSuchStep)?;
        let effect = self.effect_of(now, order, payment, step, open.call, act)?;
        let (by, reason) = (by.clone(), reason.clone());
        Ok(outcome(now, Some(Event::OperatorActed { order: id, step, by, reason, effect: Box::new(effect) })))
    }

    fn effect_of(
        &self,
        now: Time,
        order: &Order,
        payment: &Payment,
        step: StepRef,
        call: Call,
        act: &Act,
    ) -> Result<Event, Refusal> {
        let id = order.id;
        match (step, act) {
            (_, Act::Retry) if call != Call::Lapse => {
                Ok(Event::StepRetried { order: id, step, call: saga::retried(call) })
            }
            (StepRef::Attempt(number), Act::Compensate) => {
                let attempt = payment.attempt(number).ok_or(Refusal::NoSuchStep)?;
                // Of one that has ended the late look is all that finds what was taken: it goes on.
                if !attempt.status.is_live() || !order.status.holds_units() {
                    return Err(Refusal::WrongStep);
                }
                Ok(Event::OrderCancelled { ended: self.end_of(order), by: Role::Admin })
            }
            (StepRef::Attempt(number), Act::ResolvePaid(captured)) => {
                self.captured(order, payment, number, captured)?.ok_or(Refusal::WrongStep)
            }
            (StepRef::Attempt(number), Act::ResolveNotPaid) => {
                let attempt = payment.attempt(number).ok_or(Refusal::NoSuchStep)?;
                let answer = CompactString::default();
                if !attempt.status.is_live() {
                    // Said twice, it would end the look that the first time asked for.
                    let parked = attempt.step.as_ref().is_some_and(|open| open.parked);
                    let looked = Event::PaymentLooked { order: id, attempt: number, answer };
                    return if parked { Ok(looked) } else { Err(Refusal::WrongStep) };
                }
                let look_at = attempt.authorised.then(|| saga::late_look(now, attempt.expires_at));
                Ok(Event::PaymentEnded { order: id, attempt: number, why: Why::GivenUp, answer, look_at })
            }
            (StepRef::Refund(number), Act::ResolveRefunded(back)) => {
                self.gave_back(order, payment, number, back).ok_or(Refusal::NoSuchStep)
            }
            (StepRef::Refund(number), Act::ResolveNotRefunded) => {
                Ok(Event::RefundRefused { order: id, refund: number })
            }
            _ => Err(Refusal::WrongStep),
        }
    }
}

/// What a report on an attempt's step leads to.
fn reported(
    now: Time,
    id: OrderId,
    number: u32,
    attempt: &Attempt,
    call: Call,
    report: &Report,
) -> Result<Event, Refusal> {
    let (live, looks) = (attempt.status.is_live(), matches!(call, Call::LookUp { .. }));
    Ok(match report {
        Report::Ready(begun) if attempt.status == AttemptStatus::Preparing => {
            Event::PaymentReady { order: id, attempt: number, begun: begun.clone() }
        }
        Report::Looked { answer } if looks && (attempt.status == AttemptStatus::Ready || !live) => {
            Event::PaymentLooked { order: id, attempt: number, answer: answer.clone() }
        }
        Report::WrongProof { answer } if attempt.status == AttemptStatus::Approving => {
            let more = attempt.proofs.len() > 1;
            Event::ProofRejected { order: id, attempt: number, answer: answer.clone(), more }
        }
        Report::NotPaid { answer, .. } if !live && looks => {
            Event::PaymentLooked { order: id, attempt: number, answer: answer.clone() }
        }
        Report::NotPaid { why, answer } if live => {
            // Only time ended it: the gateway may yet take the money that it was asked for.
            let late = *why == Why::Lapsed && attempt.authorised;
            let look_at = late.then(|| saga::late_look(now, attempt.expires_at));
            Event::PaymentEnded { order: id, attempt: number, why: *why, answer: answer.clone(), look_at }
        }
        Report::Lapsed if call == Call::Lapse && live => {
            let (why, answer) = (Why::Lapsed, CompactString::default());
            Event::PaymentEnded { order: id, attempt: number, why, answer, look_at: None }
        }
        _ => return Err(Refusal::WrongStep),
    })
}

/// Whether the step is the wait for the shopper, and no look is under way.
fn waits(step: Option<&crate::step::OpenStep>) -> bool {
    step.is_some_and(|open| open.call == Call::Lapse)
}
