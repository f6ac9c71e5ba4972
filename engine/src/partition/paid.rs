//! What happened to an order's paying: one small function for each event. Changes, and never refuses;
//! each returns whether its event fitted.

use super::evolve::{Units, move_units};
use super::told::told;
use super::{Gone, Partition};
use crate::attempt::{Attempt, AttemptStatus, Entry, Happened, Payment, Refund, RefundStatus, Returned};
use crate::event::{Ended, Event, Lines};
use crate::ids::{OrderId, RequestKey};
use crate::money::Won;
use crate::order::{Elsewhere, Line, Order, OrderStatus, PartStatus, PricedLine};
use crate::payment::{Begun, Captured, GivenBack, Nonce, PaymentMethod, Proof, Why};
use crate::recall::RecalledOrder;
use crate::saga;
use crate::step::{Call, OpenStep, StepRef};
use crate::time::Time;
use compact_str::CompactString;
use smallvec::SmallVec;
use std::cmp::Reverse;

impl Partition {
    /// Applies an event about paying. Never refuses.
    pub(super) fn evolve_payment(&mut self, event: &Event) -> bool {
        self.tell(event);
        let fits = self.apply_payment(event);
        let effect_was_told = matches!(event, Event::OperatorActed { .. });
        if let Some(id) = event.pays().filter(|_| !effect_was_told) {
            self.over(id);
        }
        fits
    }

    fn apply_payment(&mut self, event: &Event) -> bool {
        match event {
            Event::PaymentStarted { order, attempt, method, amount, key, nonce } => {
                self.payment_started(*order, *attempt, *method, *amount, *key, *nonce)
            }
            Event::PaymentReady { order, attempt, begun } => self.payment_ready(*order, *attempt, begun),
            Event::PaymentAuthorised { order, attempt, proof } => self.payment_authorised(*order, *attempt, proof),
            Event::PaymentHinted { order, attempt } => self.payment_hinted(*order, *attempt),
            Event::ProofRejected { order, attempt, .. } => self.proof_rejected(*order, *attempt),
            Event::PaymentCaptured { ended, attempt, captured } => self.payment_captured(ended, *attempt, captured),
            Event::PaymentCapturedLate { order, attempt, captured, refund, .. } => {
                self.payment_captured_late(*order, *attempt, captured, *refund)
            }
            Event::PaymentEnded { order, attempt, why, look_at, .. } => {
                self.payment_ended(*order, *attempt, *why, *look_at)
            }
            Event::PaymentLooked { order, attempt, .. } => self.payment_looked(*order, *attempt),
            Event::StepTried { order, step, answer, next } => self.step_tried(*order, *step, answer, *next),
            Event::StepRetried { order, step, call } => self.step_retried(*order, *step, *call),
            Event::RefundRequested { order, refund, attempt, amount, before, lines, restock, reason, key } => {
                let refunded = Refund {
                    attempt: *attempt,
                    key: Some(*key),
                    sized: Some((*amount, *before)),
                    lines: lines.clone(),
                    restock: *restock,
                    reason: reason.clone(),
                    requested_at: self.time,
                    status: RefundStatus::UnderWay,
                    receipt: CompactString::default(),
                    step: None,
                };
                self.refund_requested(*order, *refund, refunded)
            }
            Event::RefundSized { order, refund, amount, before } => {
                self.refund_sized(*order, *refund, *amount, *before)
            }
            Event::RefundDone { order, refund, back, lines, .. } => self.refund_done(*order, *refund, back, lines),
            Event::RefundRefused { order, refund } => self.refund_refused(*order, *refund),
            Event::PartRestocked { order, refund, lines } => self.part_restocked(*order, *refund, lines),
            Event::OperatorActed { effect, .. } => self.apply(effect),
            Event::OrderRecalled(recalled) => self.order_recalled(recalled),
            _ => false,
        }
    }

    fn payment_started(
        &mut self,
        id: OrderId,
        number: u32,
        method: PaymentMethod,
        amount: Won,
        key: RequestKey,
        nonce: Nonce,
    ) -> bool {
        let (now, lsn) = (self.time, self.lsn);
        let payable = |order: &&mut Order| matches!(order.status, OrderStatus::Held | OrderStatus::Paying);
        let Some(order) = self.order_mut(id).filter(payable) else { return false };
        order.status = OrderStatus::Paying;
        order.lsn = lsn;
        let before = number.saturating_sub(1);
        self.end_attempt(id, before, Why::Superseded, None);
        let payment = self.payments.entry(id).or_default();
        payment.attempts.push(Attempt {
            method,
            key,
            nonce,
            amount,
            started_at: now,
            status: AttemptStatus::Preparing,
            reference: None,
            pages: None,
            expires_at: Time::NEVER,
            proofs: Vec::new(),
            authorised: false,
            hints: 0,
            captured: None,
            refunded: Won(0),
            step: None,
        });
        let numbered = payment.attempts.len() == number as usize;
        self.set_step(id, StepRef::Attempt(number), Some((Call::Begin, now)));
        numbered
    }

    fn payment_ready(&mut self, id: OrderId, number: u32, begun: &Begun) -> bool {
        let Some(attempt) = self.touched(id, number) else { return false };
        let fits = attempt.status == AttemptStatus::Preparing;
        attempt.status = AttemptStatus::Ready;
        attempt.reference = Some(begun.reference.clone());
        attempt.pages = Some(Box::new(begun.pages.clone()));
        attempt.expires_at = begun.expires_at;
        self.set_step(id, StepRef::Attempt(number), Some((Call::Lapse, begun.expires_at)));
        fits
    }

    fn payment_authorised(&mut self, id: OrderId, number: u32, proof: &Proof) -> bool {
        let now = self.time;
        let Some(attempt) = self.touched(id, number) else { return false };
        let first = attempt.status == AttemptStatus::Ready;
        let fits = first || attempt.status == AttemptStatus::Approving;
        if !fits || attempt.proofs.contains(proof) {
            return false;
        }
        attempt.proofs.push(proof.clone());
        if !first {
            return true;
        }
        attempt.status = AttemptStatus::Approving;
        attempt.authorised = true;
        let froze = self.set_status(id, OrderStatus::Approving);
        self.drop_ended_deadlines();
        self.set_step(id, StepRef::Attempt(number), Some((Call::Capture, now)));
        froze
    }

    fn payment_hinted(&mut self, id: OrderId, number: u32) -> bool {
        let now = self.time;
        let Some(attempt) = self.touched(id, number) else { return false };
        attempt.hints += 1;
        let waits = attempt.step.as_ref().is_some_and(|open| open.call == Call::Lapse);
        let fits = attempt.status == AttemptStatus::Ready && waits;
        self.set_step(id, StepRef::Attempt(number), Some((Call::LOOK, now)));
        fits
    }

    fn payment_looked(&mut self, id: OrderId, number: u32) -> bool {
        let Some(attempt) = self.touched(id, number) else { return false };
        let looked = attempt.step.as_ref().is_some_and(|open| matches!(open.call, Call::LookUp { .. }));
        let waits = (attempt.status == AttemptStatus::Ready).then_some((Call::Lapse, attempt.expires_at));
        self.set_step(id, StepRef::Attempt(number), waits);
        looked
    }

    fn proof_rejected(&mut self, id: OrderId, number: u32) -> bool {
        let now = self.time;
        let Some(attempt) = self.touched(id, number) else { return false };
        let fits = attempt.status == AttemptStatus::Approving && !attempt.proofs.is_empty();
        if fits {
            attempt.proofs.remove(0);
        }
        if !attempt.proofs.is_empty() {
            self.set_step(id, StepRef::Attempt(number), Some((Call::Capture, now)));
            return fits;
        }
        attempt.status = AttemptStatus::Ready;
        let expires_at = attempt.expires_at;
        self.set_step(id, StepRef::Attempt(number), Some((Call::Lapse, expires_at)));
        fits && self.set_status(id, OrderStatus::Paying)
    }

    fn payment_captured(&mut self, ended: &Ended, number: u32, captured: &Captured) -> bool {
        let Some(attempt) = self.touched(ended.id, number) else { return false };
        attempt.status = AttemptStatus::Captured;
        attempt.forget_secrets();
        attempt.captured = Some(Box::new(captured.clone()));
        self.set_step(ended.id, StepRef::Attempt(number), None);
        self.end_order(ended, OrderStatus::Confirmed, Units::Sold)
    }

    fn payment_captured_late(&mut self, id: OrderId, number: u32, captured: &Captured, refund: u32) -> bool {
        let now = self.time;
        let Some(attempt) = self.touched(id, number) else { return false };
        let live = attempt.status.is_live();
        attempt.status = AttemptStatus::CapturedLate;
        attempt.forget_secrets();
        attempt.captured = Some(Box::new(captured.clone()));
        self.set_step(id, StepRef::Attempt(number), None);
        if live {
            self.hold_again(id);
        }
        let refunded = Refund {
            attempt: number,
            key: None,
            sized: None,
            lines: Lines::new(),
            restock: false,
            reason: CompactString::const_new("captured late"),
            requested_at: now,
            status: RefundStatus::UnderWay,
            receipt: CompactString::default(),
            step: None,
        };
        self.open_refund(id, refund, refunded, Call::LOOK)
    }

    fn payment_ended(&mut self, id: OrderId, number: u32, why: Why, look_at: Option<Time>) -> bool {
        let fits = self.end_attempt(id, number, why, look_at);
        if fits {
            self.hold_again(id);
        }
        fits
    }

    /// Ends a live attempt; false if it is none.
    fn end_attempt(&mut self, id: OrderId, number: u32, why: Why, look_at: Option<Time>) -> bool {
        let attempt = self.payments.get_mut(&id).and_then(|payment| payment.attempt_mut(number));
        let Some(attempt) = attempt.filter(|attempt| attempt.status.is_live()) else { return false };
        attempt.status = AttemptStatus::Ended(why);
        attempt.forget_secrets();
        self.set_step(id, StepRef::Attempt(number), look_at.map(|at| (Call::LOOK, at)));
        true
    }

    /// The order ended; if an attempt was live, what it might yet take is looked for later.
    pub(super) fn close_payment(&mut self, id: OrderId, status: OrderStatus) {
        let (lsn, at) = (self.lsn, self.time);
        let Some(payment) = self.payments.get_mut(&id) else { return };
        let what = match status {
            OrderStatus::Confirmed => Happened::OrderConfirmed,
            OrderStatus::Expired => Happened::OrderExpired,
            _ => Happened::OrderCancelled,
        };
        payment.tell(Entry { lsn, at, what, step: None, answer: CompactString::default(), next_at: None });
        let live = (1..).zip(&payment.attempts).find(|(_, attempt)| attempt.status.is_live());
        let Some((number, attempt)) = live else { return };
        let look_at = attempt.authorised.then(|| saga::late_look(self.time, attempt.expires_at));
        let why = if attempt.status == AttemptStatus::Approving { Why::GivenUp } else { Why::OrderEnded };
        self.end_attempt(id, number, why, look_at);
    }

    fn step_tried(&mut self, id: OrderId, step: StepRef, answer: &CompactString, next: Option<(Call, Time)>) -> bool {
        self.touch(id);
        let Some(open) = self.payments.get(&id).and_then(|payment| payment.step(step)).cloned() else { return false };
        let (call, due_at) = next.unwrap_or((open.call, open.due_at));
        let (answer, tries) = (answer.clone(), open.tries + 1);
        let tried = OpenStep { lsn: self.lsn, call, due_at, tries, parked: next.is_none(), answer, ..open };
        self.put_step(id, step, Some(tried));
        true
    }

    fn step_retried(&mut self, id: OrderId, step: StepRef, call: Call) -> bool {
        self.touch(id);
        let Some(open) = self.payments.get(&id).and_then(|payment| payment.step(step)).cloned() else { return false };
        let again = OpenStep { lsn: self.lsn, call, due_at: self.time, tries: 0, parked: false, ..open };
        self.put_step(id, step, Some(again));
        true
    }

    fn refund_requested(&mut self, id: OrderId, number: u32, refund: Refund) -> bool {
        let lines = refund.lines.clone();
        let fits = self.open_refund(id, number, refund, Call::GiveBack);
        let Some(payment) = self.payments.get_mut(&id) else { return false };
        for line in lines {
            match payment.returned.iter_mut().find(|returned| returned.sku == line.sku) {
                Some(returned) => returned.refunded = returned.refunded.saturating_add(line.quantity),
                None => payment.returned.push(Returned { sku: line.sku, refunded: line.quantity, restocked: 0 }),
            }
        }
        fits
    }

    fn open_refund(&mut self, id: OrderId, number: u32, refund: Refund, call: Call) -> bool {
        self.touch(id);
        let now = self.time;
        let Some(payment) = self.payments.get_mut(&id) else { return false };
        payment.refunds.push(refund);
        let numbered = payment.refunds.len() == number as usize;
        self.set_step(id, StepRef::Refund(number), Some((call, now)));
        numbered
    }

    fn refund_sized(&mut self, id: OrderId, number: u32, amount: Won, before: Won) -> bool {
        self.touch(id);
        let now = self.time;
        let Some(refund) = self.payments.get_mut(&id).and_then(|payment| payment.refund_mut(number)) else {
            return false;
        };
        let fits = refund.status == RefundStatus::UnderWay && refund.sized != Some((amount, before));
        refund.sized = Some((amount, before));
        self.set_step(id, StepRef::Refund(number), Some((Call::GiveBack, now)));
        fits
    }

    fn refund_done(&mut self, id: OrderId, number: u32, back: &GivenBack, restock: &Lines) -> bool {
        self.touch(id);
        let Some(payment) = self.payments.get_mut(&id) else { return false };
        let Some(refund) = payment.refund_mut(number).filter(|refund| refund.status != RefundStatus::Done) else {
            return false;
        };
        let given_up = refund.status == RefundStatus::Refused;
        refund.status = RefundStatus::Done;
        refund.receipt.clone_from(&back.receipt);
        refund.sized = Some((back.amount, refund.sized.map_or(back.amount, |(_, before)| before)));
        let (attempt, restocks, lines) = (refund.attempt, refund.restock, refund.lines.clone());
        let Some(attempt) = payment.attempt_mut(attempt) else { return false };
        attempt.refunded = Won(attempt.refunded.0.saturating_add(back.amount.0));
        let all = attempt.status == AttemptStatus::Captured && Payment::left(attempt) <= Won(0);
        for line in &lines {
            let Some(returned) = payment.returned.iter_mut().find(|returned| returned.sku == line.sku) else {
                continue;
            };
            if given_up {
                returned.refunded = returned.refunded.saturating_add(line.quantity);
            }
            if restocks {
                returned.restocked = returned.restocked.saturating_add(line.quantity);
            }
        }
        self.set_step(id, StepRef::Refund(number), None);
        let refunded = !all || self.set_status(id, OrderStatus::Refunded);
        self.restock(id, restock) && refunded
    }

    fn refund_refused(&mut self, id: OrderId, number: u32) -> bool {
        self.touch(id);
        let Some(payment) = self.payments.get_mut(&id) else { return false };
        let Some(refund) = payment.refund_mut(number).filter(|refund| refund.status == RefundStatus::UnderWay) else {
            return false;
        };
        refund.status = RefundStatus::Refused;
        let lines = refund.lines.clone();
        for line in &lines {
            if let Some(returned) = payment.returned.iter_mut().find(|returned| returned.sku == line.sku) {
                returned.refunded = returned.refunded.saturating_sub(line.quantity);
            }
        }
        self.set_step(id, StepRef::Refund(number), None);
        true
    }

    /// Its units were counted as sold all the time.
    fn order_recalled(&mut self, recalled: &RecalledOrder) -> bool {
        let home = recalled.lines.iter().map(|line| {
            let PricedLine { quantity, unit_price, sale, .. } = *line;
            Some(Line { product: self.find(&line.sku)?, quantity, unit_price, sale })
        });
        let Some(lines) = home.collect::<Option<SmallVec<[Line; 1]>>>() else { return false };
        let elsewhere = (!recalled.parts.is_empty())
            .then(|| Box::new(Elsewhere { asked: recalled.parts.clone(), lines: recalled.elsewhere.to_vec() }));
        let order = Order {
            id: recalled.id,
            customer: recalled.customer.clone(),
            key: recalled.key(),
            lines,
            elsewhere,
            total: recalled.total,
            status: OrderStatus::Confirmed,
            placed_at: recalled.placed_at,
            deadline: recalled.deadline,
            ended_at: recalled.ended_at,
            lsn: self.lsn,
        };
        if self.insert_order(order).is_none() {
            return false;
        }
        let no_other = self.payments.insert(recalled.id, Box::new(recalled.payment())).is_none();
        self.over(recalled.id);
        no_other
    }

    /// Units of a confirmed order of ours are for sale again.
    fn restock(&mut self, id: OrderId, lines: &Lines) -> bool {
        let Some(order) = self.find_order(id) else { return false };
        let (customer, bought) = (order.customer.clone(), order.lines.clone());
        let sold = lines.iter().map(|line| {
            let own = bought.iter().find(|own| self.products[own.product as usize].sku == line.sku)?;
            Some(Line { quantity: line.quantity, ..*own })
        });
        let Some(sold) = sold.collect::<Option<SmallVec<[Line; 1]>>>() else { return false };
        move_units(&mut self.products, &customer, &sold, Units::Restocked)
    }

    fn part_restocked(&mut self, id: OrderId, refund: u32, lines: &Lines) -> bool {
        if !self.restocked.insert((id, refund)) {
            return false;
        }
        self.ended.push_back((self.time, self.lsn, Gone::Restocked(id, refund)));
        let part = self.parts.get(&id).filter(|part| part.status == PartStatus::Confirmed);
        let customer = part.and_then(|part| part.customer.clone());
        let mut fits = true;
        for line in lines {
            let Some(product) = self.find(&line.sku) else {
                fits = false;
                continue;
            };
            // What is left in the part is what is still sold: the books add it up.
            let part = self.parts.get_mut(&id).filter(|part| part.status == PartStatus::Confirmed);
            let own = part.and_then(|part| part.lines.iter_mut().find(|own| own.product == product));
            let sale = own.map_or(0, |own| {
                own.quantity = own.quantity.saturating_sub(line.quantity);
                own.sale
            });
            let sold = [Line { product, quantity: line.quantity, unit_price: Won(0), sale }];
            fits &= match &customer {
                Some(customer) => move_units(&mut self.products, customer, &sold, Units::Restocked),
                None => take_back(&mut self.products[product as usize], line.quantity),
            };
        }
        fits
    }

    /// The order holds its units again, until its deadline, which may have come.
    fn hold_again(&mut self, id: OrderId) {
        if self.find_order(id).is_some_and(|order| order.status.holds_units()) {
            self.set_status(id, OrderStatus::Held);
        }
    }

    /// False, and nothing changed, where the order would take units or lose them by it.
    fn set_status(&mut self, id: OrderId, status: OrderStatus) -> bool {
        let lsn = self.lsn;
        let Some(at) = self.place_of(id) else { return false };
        let Some(order) = self.orders.get_mut(at) else { return false };
        if order.status == OrderStatus::Opening || order.status.holds_units() != status.holds_units() {
            return false;
        }
        let thawed = order.status == OrderStatus::Approving && status.has_deadline();
        order.status = status;
        order.lsn = lsn;
        if thawed {
            self.deadlines.push(Reverse((order.deadline, id, at)));
        }
        true
    }

    /// An event about `id` was applied.
    fn touch(&mut self, id: OrderId) {
        let lsn = self.lsn;
        if let Some(order) = self.order_mut(id) {
            order.lsn = lsn;
        }
    }

    fn touched(&mut self, id: OrderId, number: u32) -> Option<&mut Attempt> {
        self.touch(id);
        self.payments.get_mut(&id)?.attempt_mut(number)
    }

    fn set_step(&mut self, id: OrderId, step: StepRef, call: Option<(Call, Time)>) {
        let open = call.map(|(call, due_at)| OpenStep {
            lsn: self.lsn,
            since: self.time,
            call,
            due_at,
            tries: 0,
            parked: false,
            answer: CompactString::default(),
        });
        self.put_step(id, step, open);
    }

    fn put_step(&mut self, id: OrderId, step: StepRef, open: Option<OpenStep>) {
        let Some(kept) = self.payments.get_mut(&id).and_then(|payment| payment.step_mut(step)) else { return };
        let before = std::mem::replace(kept, open.clone());
        if let Some(before) = before {
            self.steps.remove(&(before.lsn, id, step));
            self.at_work.remove(&(before.since, id, step));
            self.parked -= usize::from(before.parked);
        }
        if let Some(open) = open {
            self.index_step(id, step, &open);
        }
    }

    pub(super) fn index_step(&mut self, id: OrderId, step: StepRef, open: &OpenStep) {
        self.steps.insert((open.lsn, id, step));
        if open.call != Call::Lapse {
            self.at_work.insert((open.since, id, step));
        }
        self.parked += usize::from(open.parked);
    }

    /// An order that ended, and whose saga has, may be forgotten some time later.
    pub(super) fn over(&mut self, id: OrderId) {
        let steps = self.payments.get(&id).is_some_and(|payment| payment.steps().next().is_some());
        let Some(order) = self.find_order(id) else { return };
        let entry = (self.time, self.lsn, Gone::Order(id));
        if !order.status.holds_units() && !steps && order.lsn == self.lsn && self.ended.back() != Some(&entry) {
            self.ended.push_back(entry);
        }
    }

    fn tell(&mut self, event: &Event) {
        let Some(id) = event.pays() else { return };
        let Some((what, step, answer, next_at)) = told(event) else { return };
        let entry = Entry { lsn: self.lsn, at: self.time, what, step, answer, next_at };
        if matches!(event, Event::PaymentStarted { .. }) || self.payments.contains_key(&id) {
            self.payments.entry(id).or_default().tell(entry);
        }
    }
}

fn take_back(product: &mut crate::product::Product, quantity: u32) -> bool {
    let sold = product.stock.sold.checked_sub(u64::from(quantity));
    product.stock.sold = sold.unwrap_or(product.stock.sold);
    sold.is_some()
}
