//! An order that its home has forgotten, as the database tells it: enough to give money back.
//!
//! What the database does not keep and nobody will ask for again, such as idempotency keys, is drawn anew.

use crate::attempt::{Attempt, AttemptStatus, Payment, Refund, RefundStatus, Returned};
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey};
use crate::money::Won;
use crate::order::{OrderStatus, OrderView, PricedLines};
use crate::payment::Nonce;
use crate::routing::partition_of;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A paid order, whose saga is over, on its way back to its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledOrder {
    pub(crate) id: OrderId,
    pub(crate) customer: CustomerId,
    pub(crate) key: RequestKey,
    /// Home's lines.
    pub(crate) lines: PricedLines,
    /// Those of other partitions.
    pub(crate) elsewhere: PricedLines,
    /// Those partitions.
    pub(crate) parts: Vec<PartitionId>,
    pub(crate) total: Won,
    pub(crate) status: OrderStatus,
    pub(crate) placed_at: Time,
    pub(crate) deadline: Time,
    pub(crate) ended_at: Time,
    pub(crate) payment: Box<Payment>,
}

impl RecalledOrder {
    /// The order that `view` shows, of a shop of so many `partitions`; `None` unless money of it could be given
    /// back and nothing is under way. `drawn`: at random, so that nobody can name what stands in for its keys.
    #[must_use]
    pub fn of(view: &OrderView, partitions: u16, drawn: Nonce) -> Option<Self> {
        let shown = view.payment.as_deref()?;
        let paid = view.status == OrderStatus::Confirmed;
        let over = shown.attempts.iter().all(|attempt| !attempt.status.is_live())
            && shown.refunds.iter().all(|refund| refund.status != RefundStatus::UnderWay);
        if !paid || !over || !shown.attempts.iter().any(|attempt| attempt.status == AttemptStatus::Captured) {
            return None;
        }
        let key =
            |n: u32| RequestKey { key: (u128::from_be_bytes(drawn.0) ^ u128::from(n)).to_be_bytes(), request: drawn.0 };
        let mut keys = (0..).map(key);
        let mut next_key = || keys.next();
        let order_key = next_key()?;
        let mut attempts = Vec::with_capacity(shown.attempts.len());
        for attempt in &shown.attempts {
            let key = next_key()?;
            attempts.push(Attempt {
                method: attempt.method,
                key,
                nonce: Nonce(key.key),
                amount: attempt.amount,
                started_at: attempt.started_at,
                status: attempt.status,
                reference: attempt.reference.clone(),
                pages: None,
                expires_at: attempt.expires_at.unwrap_or(Time::NEVER),
                proofs: Vec::new(),
                authorised: false,
                hints: 0,
                captured: attempt.captured.clone(),
                refunded: attempt.refunded,
                step: None,
            });
        }
        let mut refunds = Vec::with_capacity(shown.refunds.len());
        for refund in &shown.refunds {
            let key = next_key()?;
            let before = refund.amount.unwrap_or(Won(0));
            refunds.push(Refund {
                attempt: refund.attempt,
                key: refund.asked.then_some(key),
                sized: refund.amount.map(|amount| (amount, before)),
                lines: refund.lines.clone(),
                restock: refund.restock,
                reason: refund.reason.clone(),
                requested_at: refund.requested_at,
                status: refund.status,
                receipt: refund.receipt.clone(),
                step: None,
            });
        }
        let returned = returned(&refunds);
        let (lines, elsewhere): (PricedLines, PricedLines) =
            view.lines.iter().cloned().partition(|line| partition_of(&line.sku, partitions) == view.id.home());
        let mut parts: Vec<PartitionId> = elsewhere.iter().map(|line| partition_of(&line.sku, partitions)).collect();
        parts.sort_unstable();
        parts.dedup();
        Some(Self {
            id: view.id,
            customer: view.customer.clone(),
            key: order_key,
            lines,
            elsewhere,
            parts,
            total: view.total,
            status: view.status,
            placed_at: view.placed_at,
            deadline: view.deadline,
            ended_at: view.ended_at?,
            // What happened before is in the database's timeline: something did.
            payment: Box::new(Payment { attempts, refunds, returned, entries: VecDeque::new(), left_out: 1 }),
        })
    }
}

impl RecalledOrder {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrderId {
        self.id
    }

    /// How many lines, attempts and refunds it has: what it costs in a journal.
    #[must_use]
    pub fn len(&self) -> usize {
        let Payment { attempts, refunds, .. } = &*self.payment;
        let refunded: usize = refunds.iter().map(|refund| 1 + refund.lines.len()).sum();
        self.lines.len() + self.elsewhere.len() + attempts.len() + refunded
    }

    /// Never: an order has lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
