//! An order that its home has forgotten, as the database tells it: enough to give money back.
//!
//! What the database does not keep and nobody will ask for again, such as idempotency keys, is drawn anew. What
//! stands here is in the journal for ever: it must never follow what a partition keeps of a payment.

use crate::attempt::{Attempt, AttemptStatus, AttemptView, Payment, Refund, RefundStatus, RefundView, Returned};
use crate::event::Lines;
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey};
use crate::money::Won;
use crate::order::{OrderStatus, OrderView, PricedLines};
use crate::payment::{Captured, GatewayRef, Nonce, PaymentMethod};
use crate::routing::partition_of;
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A paid order, whose saga is over, on its way back to its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledOrder {
    pub(crate) id: OrderId,
    pub(crate) customer: CustomerId,
    /// What stands in for the keys and nonces that nobody knows any more.
    drawn: Nonce,
    /// Home's lines.
    pub(crate) lines: PricedLines,
    /// Those of other partitions.
    pub(crate) elsewhere: PricedLines,
    /// Those partitions.
    pub(crate) parts: Vec<PartitionId>,
    pub(crate) total: Won,
    pub(crate) placed_at: Time,
    pub(crate) deadline: Time,
    pub(crate) ended_at: Time,
    attempts: Vec<RecalledAttempt>,
    refunds: Vec<RecalledRefund>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecalledAttempt {
    method: PaymentMethod,
    amount: Won,
    started_at: Time,
    status: AttemptStatus,
    reference: Option<GatewayRef>,
    expires_at: Option<Time>,
    captured: Option<Box<Captured>>,
    refunded: Won,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecalledRefund {
    attempt: u32,
    amount: Option<Won>,
    lines: Lines,
    restock: bool,
    reason: CompactString,
    asked: bool,
    requested_at: Time,
    status: RefundStatus,
    receipt: CompactString,
}

impl RecalledOrder {
    /// The order that `view` shows, of a shop of so many `partitions`; `None` unless money of it could be given
    /// back and nothing is under way. `drawn`: at random, so that nobody can name what stands in for its keys.
    #[must_use]
    pub fn of(view: &OrderView, partitions: u16, drawn: Nonce) -> Option<Self> {
        let PaymentParts { attempts, refunds } = PaymentParts::of(view)?;
        let (lines, elsewhere): (PricedLines, PricedLines) =
            view.lines.iter().cloned().partition(|line| partition_of(&line.sku, partitions) == view.id.home());
        let mut parts: Vec<PartitionId> = elsewhere.iter().map(|line| partition_of(&line.sku, partitions)).collect();
        parts.sort_unstable();
        parts.dedup();
        Some(Self {
            id: view.id,
            customer: view.customer.clone(),
            drawn,
            lines,
            elsewhere,
            parts,
            total: view.total,
            placed_at: view.placed_at,
            deadline: view.deadline,
            ended_at: view.ended_at?,
            attempts,
            refunds,
        })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrderId {
        self.id
    }

    /// How many lines, attempts and refunds it has: what it costs in a journal.
    #[must_use]
    pub fn weight(&self) -> usize {
        let refunded: usize = self.refunds.iter().map(|refund| 1 + refund.lines.len()).sum();
        self.lines.len() + self.elsewhere.len() + self.attempts.len() + refunded
    }

    /// The key that stands in for the order's own.
    pub(crate) fn key(&self) -> RequestKey {
        self.drawn_key(0)
    }

    fn drawn_key(&self, n: usize) -> RequestKey {
        let key = u128::from_be_bytes(self.drawn.0) ^ n as u128;
        RequestKey { key: key.to_be_bytes(), request: self.drawn.0 }
    }

    /// Its paying, as its home keeps it.
    pub(crate) fn payment(&self) -> Payment {
        let mut keys = (1..).map(|n| self.drawn_key(n));
        let mut key = || keys.next().unwrap_or_else(|| self.key());
        let attempts = self.attempts.iter().map(|attempt| attempt.kept(key())).collect();
        let refunds: Vec<Refund> = self.refunds.iter().map(|refund| refund.kept(key())).collect();
        let returned = returned(&refunds);
        // What happened before is in the database's timeline: something did.
        Payment { attempts, refunds, returned, entries: VecDeque::new(), left_out: 1 }
    }
}

struct PaymentParts {
    attempts: Vec<RecalledAttempt>,
    refunds: Vec<RecalledRefund>,
}

impl PaymentParts {
    fn of(view: &OrderView) -> Option<Self> {
        let shown = view.payment.as_deref()?;
        let over = shown.attempts.iter().all(|attempt| !attempt.status.is_live())
            && shown.refunds.iter().all(|refund| refund.status != RefundStatus::UnderWay);
        let paid = shown.attempts.iter().any(|attempt| attempt.status == AttemptStatus::Captured);
        let parts = || Self {
            attempts: shown.attempts.iter().map(RecalledAttempt::of).collect(),
            refunds: shown.refunds.iter().map(RecalledRefund::of).collect(),
        };
        (view.status == OrderStatus::Confirmed && over && paid).then(parts)
    }
}

impl RecalledAttempt {
    fn of(view: &AttemptView) -> Self {
        Self {
            method: view.method,
            amount: view.amount,
            started_at: view.started_at,
            status: view.status,
            reference: view.reference.clone(),
            expires_at: view.expires_at,
            captured: view.captured.clone(),
            refunded: view.refunded,
        }
    }

    fn kept(&self, key: RequestKey) -> Attempt {
        Attempt {
            method: self.method,
            key,
            nonce: Nonce(key.key),
            amount: self.amount,
            started_at: self.started_at,
            status: self.status,
            reference: self.reference.clone(),
            pages: None,
            expires_at: self.expires_at.unwrap_or(Time::NEVER),
            proofs: Vec::new(),
            authorised: false,
            hints: 0,
            captured: self.captured.clone(),
            refunded: self.refunded,
            step: None,
        }
    }
}

impl RecalledRefund {
    fn of(view: &RefundView) -> Self {
        Self {
            attempt: view.attempt,
            amount: view.amount,
            lines: view.lines.clone(),
            restock: view.restock,
            reason: view.reason.clone(),
            asked: view.asked,
            requested_at: view.requested_at,
            status: view.status,
            receipt: view.receipt.clone(),
        }
    }

    fn kept(&self, key: RequestKey) -> Refund {
        Refund {
            attempt: self.attempt,
            key: self.asked.then_some(key),
            // It has ended: what could be given back before it is nobody's question any more.
            sized: self.amount.map(|amount| (amount, amount)),
            lines: self.lines.clone(),
            restock: self.restock,
            reason: self.reason.clone(),
            requested_at: self.requested_at,
            status: self.status,
            receipt: self.receipt.clone(),
            step: None,
        }
    }
}

/// The units that refunds gave back.
fn returned(refunds: &[Refund]) -> Vec<Returned> {
    let mut all: Vec<Returned> = Vec::new();
    for refund in refunds.iter().filter(|refund| refund.status == RefundStatus::Done) {
        for line in &refund.lines {
            let restocked = if refund.restock { line.quantity } else { 0 };
            match all.iter_mut().find(|returned| returned.sku == line.sku) {
                Some(returned) => {
                    returned.refunded = returned.refunded.saturating_add(line.quantity);
                    returned.restocked = returned.restocked.saturating_add(restocked);
                }
                None => all.push(Returned { sku: line.sku.clone(), refunded: line.quantity, restocked }),
            }
        }
    }
    all
}
