//! The open steps of sagas and what is shown of an order's paying: reads, for participants,
//! operators and timelines.

use super::Partition;
use crate::Lsn;
use crate::attempt::{Entry, Happened, PaymentView};
use crate::command::Requester;
use crate::ids::OrderId;
use crate::order::{Line, Order, OrderStatus, PricedLines};
use crate::step::{self, DueStep, OpenStep, RefundWork, Step, StepRef, StepState, Work};
use crate::time::Time;
use compact_str::CompactString;
use std::ops::Bound::{Excluded, Unbounded};

/// An order's timeline as its home keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Oldest first; the first tells that the order was placed.
    pub entries: Vec<Entry>,
    /// The open steps.
    pub steps: Vec<Step>,
    /// How many entries are left out behind the first; the database has all of them.
    pub left_out: u32,
}

impl Timeline {
    /// The entries with their numbers, from 1, which count those that are left out.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let left_out = self.left_out;
        (1..).zip(&self.entries).map(move |(number, entry)| (if number == 1 { 1 } else { number + left_out }, entry))
    }
}

/// How the sagas of a partition are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SagaFigures {
    /// Open steps.
    pub open: usize,
    /// Those of them that do not wait for a shopper.
    pub at_work: usize,
    /// Those of them that wait for an operator.
    pub parked: usize,
    /// When the oldest was opened that does not wait for a shopper.
    pub oldest: Option<Time>,
}

impl Partition {
    /// Up to `limit` open steps that were opened or changed after `seen`, the oldest first.
    pub fn steps_after(&self, seen: Lsn, limit: usize) -> Vec<Step> {
        self.changed_after(seen, limit).filter_map(|&(_, id, step)| self.step_view(id, step)).collect()
    }

    /// The same, as short as can be.
    pub fn due_after(&self, seen: Lsn, limit: usize) -> Vec<DueStep> {
        let due = self.changed_after(seen, limit).filter_map(|&(lsn, order, step)| {
            let open = self.payments.get(&order)?.step(step)?;
            let due_at = if open.parked { Time::NEVER } else { open.due_at };
            let (part, lane) = (step::participant(step, open.call), open.call.lane());
            Some(DueStep { due_at, lsn, order, step, part, lane })
        });
        due.collect()
    }

    /// An event opens or changes one step at most: who goes on behind its LSN misses none.
    fn changed_after(&self, seen: Lsn, limit: usize) -> impl Iterator<Item = &(Lsn, OrderId, StepRef)> {
        let after = (seen, OrderId::from_bytes([u8::MAX; 16]), StepRef::Refund(u32::MAX));
        self.steps.range((Excluded(after), Unbounded)).take(limit)
    }

    /// How many steps are open.
    #[must_use]
    pub fn open_steps(&self) -> usize {
        self.steps.len()
    }

    /// How sagas are doing.
    #[must_use]
    pub fn saga_figures(&self) -> SagaFigures {
        let oldest = self.at_work.first().map(|(since, ..)| *since);
        SagaFigures { open: self.steps.len(), at_work: self.at_work.len(), parked: self.parked, oldest }
    }

    /// The step, if it is open.
    #[must_use]
    pub fn step_view(&self, id: OrderId, step: StepRef) -> Option<Step> {
        let order = self.find_order(id)?;
        let payment = self.payments.get(&id)?;
        let open = payment.step(step)?;
        let (number, refund) = match step {
            StepRef::Attempt(number) => (number, None),
            StepRef::Refund(number) => {
                let refund = payment.refund(number)?;
                let (sized, late, reason) = (refund.sized, refund.key.is_none(), refund.reason.clone());
                (refund.attempt, Some(RefundWork { sized, late, reason }))
            }
        };
        let attempt = payment.attempt(number)?;
        let amount = attempt.captured.as_ref().map_or(attempt.amount, |captured| captured.amount);
        let lines = self.view_lines(order);
        let item = lines.first().map_or(CompactString::default(), |line| {
            self.find(&line.sku)
                .map_or_else(|| CompactString::from(line.sku.as_str()), |at| self.products[at as usize].name.clone())
        });
        Some(Step {
            order: id,
            customer: order.customer.clone(),
            step,
            lsn: open.lsn,
            call: open.call,
            since: open.since,
            due_at: open.due_at,
            tries: open.tries,
            state: open.state(),
            answer: open.answer.clone(),
            work: Work {
                attempt: number,
                method: attempt.method,
                amount,
                nonce: attempt.nonce,
                item,
                deadline: order.deadline,
                receipt: attempt
                    .captured
                    .as_ref()
                    .map_or(CompactString::default(), |captured| captured.receipt.clone()),
                units: lines.iter().map(|line| u64::from(line.quantity)).sum(),
                reference: attempt.reference.clone(),
                expires_at: attempt.expires_at,
                proof: attempt.proofs.first().cloned(),
                ended: !attempt.status.is_live(),
                refund,
            },
        })
    }

    /// The open steps in one of `states` that were opened or changed after `after`, the oldest first: up to `limit` of
    /// them, found among `scan` at most; and the place to go on behind, if more may be found there.
    pub fn steps_in(&self, states: &[StepState], after: Lsn, limit: usize, scan: usize) -> (Vec<Step>, Option<Lsn>) {
        let (mut found, mut last) = (Vec::new(), None);
        for (scanned, &(lsn, id, step)) in self.changed_after(after, usize::MAX).enumerate() {
            if scanned >= scan || found.len() >= limit {
                return (found, last);
            }
            last = Some(lsn);
            let state = self.payments.get(&id).and_then(|payment| payment.step(step)).map(OpenStep::state);
            if state.is_some_and(|state| states.contains(&state)) {
                found.extend(self.step_view(id, step));
            }
        }
        (found, None)
    }

    /// Every open step that was opened or changed after `after`, the oldest first.
    pub fn open_step_views(&self, after: Lsn) -> impl Iterator<Item = Step> {
        self.changed_after(after, usize::MAX).filter_map(|&(_, id, step)| self.step_view(id, step))
    }

    /// What happened to the order so far, and what is due.
    #[must_use]
    pub fn timeline(&self, id: OrderId, by: &Requester) -> Option<Timeline> {
        let order = self.require_order(id, by).ok()?;
        let told = |lsn, at, what| Entry { lsn, at, what, step: None, answer: CompactString::default(), next_at: None };
        let mut placed = told(Lsn(0), order.placed_at, Happened::OrderPlaced);
        placed.next_at = Some(order.deadline);
        let mut entries = vec![placed];
        let Some(payment) = self.payments.get(&id) else {
            let what = match order.status {
                OrderStatus::Confirmed => Some(Happened::OrderConfirmed),
                OrderStatus::Cancelled => Some(Happened::OrderCancelled),
                OrderStatus::Expired => Some(Happened::OrderExpired),
                _ => None,
            };
            entries.extend(what.map(|what| told(order.lsn, order.ended_at, what)));
            return Some(Timeline { entries, steps: Vec::new(), left_out: 0 });
        };
        entries.extend(payment.entries.iter().cloned());
        let mut steps: Vec<Step> = payment.steps().filter_map(|(step, _)| self.step_view(id, step)).collect();
        if *by != Requester::Admin {
            // What the gateway said of the shop's calls, and who runs the shop, is not its customers' business.
            entries.iter_mut().for_each(Entry::for_customers);
            for step in &mut steps {
                step.answer.clear();
            }
        }
        Some(Timeline { entries, steps, left_out: payment.left_out })
    }

    pub(super) fn payment_view(&self, id: OrderId) -> Option<Box<PaymentView>> {
        if self.payments.is_empty() {
            return None;
        }
        self.payments.get(&id).map(|payment| Box::new(payment.view()))
    }

    /// What a confirmed order still has of each of home's lines.
    pub(super) fn sold_lines(&self, order: &Order) -> impl Iterator<Item = Line> {
        let payment = self.payments.get(&order.id);
        order.lines.iter().map(move |line| {
            let sku = &self.products[line.product as usize].sku;
            let restocked = payment.map_or(0, |payment| payment.returned(sku).1);
            Line { quantity: line.quantity.saturating_sub(restocked), ..*line }
        })
    }

    /// The order's line items as they were bought, those of other partitions too.
    pub(super) fn view_lines(&self, order: &Order) -> PricedLines {
        let mut lines: PricedLines = self.priced(&order.lines).collect();
        if !order.lines_elsewhere().is_empty() {
            lines.extend(order.lines_elsewhere().iter().cloned());
            lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        }
        lines
    }
}
