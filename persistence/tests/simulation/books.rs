//! What was paid for an order and what of it went back, added up from its events.

use crate::oracle::{Checked, Move, Oracle, broken};
use son7shop_engine::{Event, LineRequest, Lines, OrderId, OrderStatus, PaymentView, RefundStatus, Sku, Won};
use std::collections::BTreeMap;

/// A try at paying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    amount: Won,
    live: bool,
    authorised: bool,
    /// Whether a step is open.
    open: bool,
    taken: Option<Taken>,
    refunded: i64,
}

/// Money that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    amount: Won,
    /// Whether the order had no use for it.
    late: bool,
}

/// Money that is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refund {
    attempt: u32,
    /// How much; `None` until the gateway said how much there is.
    amount: Option<Won>,
    status: RefundStatus,
}

/// An order's money.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    attempts: Vec<Attempt>,
    refunds: Vec<Refund>,
    /// Units that are for sale again.
    restocked: BTreeMap<Sku, u32>,
    /// The attempt whose money confirmed the order.
    pub(crate) paid_by: Option<u32>,
}

impl Books {
    /// What the shop has of it.
    pub(crate) fn net(&self) -> i64 {
        self.attempts.iter().map(Attempt::left).sum()
    }

    /// Whether somebody still has something to do for it.
    pub(crate) fn is_open(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.open)
            || self.refunds.iter().any(|refund| refund.status == RefundStatus::UnderWay)
    }

    /// Nobody pays for an ended order; what an authorised attempt took all the same is looked for.
    pub(crate) fn order_ended(&mut self) {
        self.attempts.iter_mut().for_each(|attempt| attempt.end(attempt.authorised));
    }

    fn attempt(&mut self, id: OrderId, number: u32) -> Result<&mut Attempt, crate::oracle::Broken> {
        let at = (number as usize).wrapping_sub(1);
        self.attempts.get_mut(at).ok_or_else(|| broken("exactly once", format!("order {id} has no attempt {number}")))
    }

    fn refund(&mut self, id: OrderId, number: u32) -> Result<&mut Refund, crate::oracle::Broken> {
        let at = (number as usize).wrapping_sub(1);
        // One that an operator gave up may have been under way at the gateway, and is done all the same.
        let refund = self.refunds.get_mut(at).filter(|refund| refund.status != RefundStatus::Done);
        refund.ok_or_else(|| broken("exactly once", format!("refund {number} of order {id} was done twice")))
    }

    /// Whether what is shown says the same.
    pub(crate) fn agree(books: Option<&Self>, shown: Option<&PaymentView>) -> bool {
        let (Some(books), Some(shown)) = (books, shown) else { return books.is_none() && shown.is_none() };
        let attempts = shown.attempts.iter().map(|shown| {
            let captured = shown.captured.as_ref().map(|captured| captured.amount);
            (shown.amount, shown.status.is_live(), captured, shown.refunded.0)
        });
        let ours =
            books.attempts.iter().map(|of| (of.amount, of.live, of.taken.map(|taken| taken.amount), of.refunded));
        let refunds = shown.refunds.iter().map(|shown| (shown.attempt, shown.amount, shown.status));
        attempts.eq(ours) && refunds.eq(books.refunds.iter().map(|of| (of.attempt, of.amount, of.status)))
    }
}

impl Attempt {
    /// What the shop still has of it.
    fn left(&self) -> i64 {
        self.taken.map_or(0, |taken| taken.amount.0) - self.refunded
    }

    fn is_late(&self) -> bool {
        self.taken.is_some_and(|taken| taken.late)
    }

    fn end(&mut self, looks: bool) {
        if self.live {
            self.live = false;
            self.open = looks;
        }
    }
}

impl Oracle {
    /// Adds an event about paying up.
    pub(crate) fn paid(&mut self, event: &Event) -> Checked {
        if let Some(id) = event.pays() {
            let lsn = self.lsn;
            let order = self.orders.get_mut(&id);
            order.ok_or_else(|| broken("exactly once", format!("{id} is no order: {event:?}")))?.touched = lsn;
        }
        match event {
            Event::PaymentStarted { order, attempt, amount, .. } => self.started(*order, *attempt, *amount),
            Event::PaymentAuthorised { order, attempt, .. } => {
                let of = self.books.entry(*order).or_default().attempt(*order, *attempt)?;
                (of.authorised, of.open) = (true, true);
                self.turn(*order, &[OrderStatus::Paying, OrderStatus::Approving], OrderStatus::Approving)
            }
            Event::ProofRejected { order, more: false, .. } => {
                self.turn(*order, &[OrderStatus::Approving], OrderStatus::Paying)
            }
            Event::PaymentLooked { order, attempt, .. } => {
                let of = self.books.entry(*order).or_default().attempt(*order, *attempt)?;
                of.open = of.live;
                Ok(())
            }
            Event::PaymentEnded { order, attempt, look_at, .. } => {
                let of = self.books.entry(*order).or_default().attempt(*order, *attempt)?;
                of.end(look_at.is_some());
                self.turn(*order, &[OrderStatus::Paying, OrderStatus::Approving], OrderStatus::Held)
            }
            Event::PaymentCaptured { ended, attempt, captured } => {
                self.captured(ended.id, *attempt, captured.amount)?;
                self.end(ended.id, &ended.lines, Move::Sell)
            }
            Event::PaymentCapturedLate { order, attempt, captured, refund, held } => {
                self.captured_late(*order, *attempt, captured.amount, *refund, *held)
            }
            Event::RefundRequested { order, refund, attempt, amount, before, .. } => {
                self.refund_asked(*order, *refund, *attempt, *amount, *before)
            }
            Event::RefundSized { order, refund, amount, .. } => {
                self.books.entry(*order).or_default().refund(*order, *refund)?.amount = Some(*amount);
                Ok(())
            }
            Event::RefundDone { order, refund, back, all, lines, elsewhere, .. } => {
                self.went_back(*order, *refund, back.amount, *all)?;
                self.restocked(*order, lines, elsewhere)
            }
            Event::RefundRefused { order, refund } => {
                self.books.entry(*order).or_default().refund(*order, *refund)?.status = RefundStatus::Refused;
                Ok(())
            }
            Event::PartRestocked { lines, .. } => self.shift(lines, Move::Restock),
            Event::PaymentReady { .. }
            | Event::PaymentHinted { .. }
            | Event::ProofRejected { more: true, .. }
            | Event::StepTried { .. }
            | Event::StepRetried { .. } => Ok(()),
            event => Err(broken("known events", format!("nobody here knows {event:?}"))),
        }
    }

    fn started(&mut self, id: OrderId, number: u32, amount: Won) -> Checked {
        let books = self.books.entry(id).or_default();
        books.attempts.iter_mut().for_each(|attempt| attempt.end(false));
        let attempt = Attempt { amount, live: true, authorised: false, open: true, taken: None, refunded: 0 };
        books.attempts.push(attempt);
        let numbered = books.attempts.len() == number as usize;
        let total = self.orders.get(&id).map(|order| order.total);
        if !numbered || total != Some(amount) {
            return Err(broken("exactly once", format!("attempt {number} of order {id} is of {amount:?}")));
        }
        self.turn(id, &[OrderStatus::Held, OrderStatus::Paying], OrderStatus::Paying)
    }

    fn take(&mut self, id: OrderId, number: u32, amount: Won, late: bool) -> Checked {
        let attempt = self.books.entry(id).or_default().attempt(id, number)?;
        if attempt.taken.replace(Taken { amount, late }).is_some() {
            return Err(broken("exactly once", format!("attempt {number} of order {id} was captured twice")));
        }
        (attempt.live, attempt.open) = (false, false);
        Ok(())
    }

    /// One capture confirms at most, and only one of the right sum.
    fn captured(&mut self, id: OrderId, number: u32, amount: Won) -> Checked {
        self.take(id, number, amount, false)?;
        let holds = [OrderStatus::Held, OrderStatus::Paying, OrderStatus::Approving];
        let before = self.books.entry(id).or_default().paid_by.replace(number);
        if let Some(before) = before {
            return Err(broken("exactly once", format!("attempts {before} and {number} confirmed order {id}")));
        }
        let total = self.orders.get(&id).map(|order| order.total);
        if total != Some(amount) {
            return Err(broken("the right sum", format!("order {id} of {total:?} was confirmed by {amount:?}")));
        }
        self.turn(id, &holds, OrderStatus::Confirmed)
    }

    fn captured_late(&mut self, id: OrderId, number: u32, amount: Won, refund: u32, held: bool) -> Checked {
        self.take(id, number, amount, true)?;
        let books = self.books.entry(id).or_default();
        books.refunds.push(Refund { attempt: number, amount: None, status: RefundStatus::UnderWay });
        if books.refunds.len() != refund as usize {
            return Err(broken("exactly once", format!("money of order {id} that came late has no refund")));
        }
        if held { self.turn(id, &[OrderStatus::Paying, OrderStatus::Approving], OrderStatus::Held) } else { Ok(()) }
    }

    fn refund_asked(&mut self, id: OrderId, number: u32, attempt: u32, amount: Won, before: Won) -> Checked {
        let books = self.books.entry(id).or_default();
        let under_way = books.refunds.iter().any(|of| of.attempt == attempt && of.status == RefundStatus::UnderWay);
        books.refunds.push(Refund { attempt, amount: Some(amount), status: RefundStatus::UnderWay });
        let numbered = books.refunds.len() == number as usize;
        let of = books.attempt(id, attempt)?;
        let left = of.left();
        if under_way || !numbered || before.0 != left || amount > before || of.is_late() {
            let what = format!("refund {number} of order {id} is of {amount:?} of {before:?}, and {left} are left");
            return Err(broken("no more back than taken", what));
        }
        Ok(())
    }

    fn went_back(&mut self, id: OrderId, number: u32, amount: Won, all: bool) -> Checked {
        let books = self.books.entry(id).or_default();
        let refund = books.refund(id, number)?;
        let asked = refund.amount.replace(amount);
        refund.status = RefundStatus::Done;
        let attempt = refund.attempt;
        let of = books.attempt(id, attempt)?;
        of.refunded += amount.0;
        let left = of.left();
        // Of money that came late the gateway says how much there is.
        if !of.is_late() && (left < 0 || asked != Some(amount) || all != (left == 0)) {
            let what = format!("refund {number} of order {id} gave back {amount:?} of {asked:?}, and leaves {left}");
            return Err(broken("no more back than taken", what));
        }
        if all { self.turn(id, &[OrderStatus::Confirmed], OrderStatus::Refunded) } else { Ok(()) }
    }

    /// No more units come back than were bought.
    fn restocked(&mut self, id: OrderId, lines: &Lines, elsewhere: &Lines) -> Checked {
        let Some(order) = self.orders.get(&id) else { return Ok(()) };
        let books = self.books.entry(id).or_default();
        for LineRequest { sku, quantity } in lines.iter().chain(elsewhere) {
            let units = books.restocked.entry(sku.clone()).or_default();
            *units += quantity;
            let bought = order.lines.iter().filter(|(of, _)| of == sku).map(|(_, quantity)| *quantity).sum::<u32>();
            if *units > bought {
                return Err(broken("conservation", format!("{units} units of {sku} came back of order {id}")));
            }
        }
        self.shift(lines, Move::Restock)
    }
}
