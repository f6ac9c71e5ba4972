//! The rows and changes of paying: attempts, refunds, and their part of the timeline.
//!
//! What an attempt's shopper brought back, what its return addresses carry, its pages and its
//! key must never be in one of them. Texts of a gateway or an operator are cut to their
//! column: one that is too long must not stop everything that comes after it.

use super::rows::{Change, Row};
use super::values::Values;
use son7shop_engine::payment::{Captured, PaymentMethod, cut};
use son7shop_engine::{AttemptStatus, LineRequest, Lsn, OrderId, PartitionId, RefundStatus, StepRef, Time, Won};

/// A change to what an order has several of, by their numbers.
pub(super) trait Numbered: Change {
    /// Which of the order's.
    fn number(&self) -> u32;
}

fn give_text<V: Values>(text: Option<&str>, values: &mut V) {
    match text {
        Some(text) => values.text(&cut(text)),
        None => values.maybe_text(None),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewAttempt<'a> {
    pub order: OrderId,
    pub attempt: u32,
    pub partition: PartitionId,
    pub method: PaymentMethod,
    pub status: AttemptStatus,
    pub amount: Won,
    pub reference: Option<&'a str>,
    pub started_at: Time,
    pub expires_at: Option<Time>,
    pub captured: Option<&'a Captured>,
    pub refunded: i64,
    pub answer: Option<&'a str>,
    pub ended_at: Option<Time>,
    pub lsn: Lsn,
}

impl Row for NewAttempt<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        values.int(self.attempt.into());
        values.int(self.partition.0.into());
        values.text(self.method.as_str());
        values.text(self.status.as_str());
        values.int(self.amount.0);
        values.maybe_text(self.reference);
        values.time(self.started_at);
        values.maybe_time(self.expires_at);
        values.maybe_int(self.captured.map(|captured| captured.amount.0));
        values.maybe_time(self.captured.map(|captured| captured.at));
        give_text(self.captured.map(|captured| captured.receipt.as_str()), values);
        give_text(self.captured.map(|captured| captured.means.as_str()), values);
        values.int(self.refunded);
        give_text(self.answer, values);
        values.maybe_time(self.ended_at);
        values.lsn(self.lsn);
    }
}

/// Whatever attempt of an order's is still live in the table ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    pub order: OrderId,
    pub ended_at: Time,
    pub lsn: Lsn,
}

impl Change for Closed {
    const TABLE: &'static str = "payments";
    const COLUMNS: usize = 2;
    const CERTAIN: bool = false;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.time(self.ended_at),
            _ => values.lsn(self.lsn),
        }
    }
}

/// The gateway has begun an attempt of an earlier batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptBegun<'a> {
    pub order: OrderId,
    pub attempt: u32,
    pub reference: &'a str,
    pub expires_at: Option<Time>,
}

impl Change for AttemptBegun<'_> {
    const TABLE: &'static str = "payments";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(self.reference),
            _ => values.maybe_time(self.expires_at),
        }
    }
}

/// An attempt of an earlier batch stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptMoved<'a> {
    pub order: OrderId,
    pub attempt: u32,
    pub status: AttemptStatus,
    pub ended_at: Option<Time>,
    pub answer: Option<&'a str>,
    pub lsn: Lsn,
}

impl Change for AttemptMoved<'_> {
    const TABLE: &'static str = "payments";
    const COLUMNS: usize = 4;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(self.status.as_str()),
            1 => values.maybe_time(self.ended_at),
            2 => give_text(self.answer, values),
            _ => values.lsn(self.lsn),
        }
    }
}

/// An attempt of an earlier batch took money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptCaptured<'a> {
    pub order: OrderId,
    pub attempt: u32,
    pub captured: &'a Captured,
}

impl Change for AttemptCaptured<'_> {
    const TABLE: &'static str = "payments";
    const COLUMNS: usize = 4;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.int(self.captured.amount.0),
            1 => values.time(self.captured.at),
            2 => values.text(&cut(&self.captured.receipt)),
            _ => values.text(&cut(&self.captured.means)),
        }
    }
}

/// Money of an attempt of an earlier batch went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptRefunded {
    pub order: OrderId,
    pub attempt: u32,
    /// Won to add to what went back.
    pub amount: i64,
    pub lsn: Lsn,
}

impl Change for AttemptRefunded {
    const TABLE: &'static str = "payments";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.int(self.amount),
            _ => values.lsn(self.lsn),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewRefund<'a> {
    pub order: OrderId,
    pub refund: u32,
    pub partition: PartitionId,
    pub attempt: u32,
    pub amount: Option<Won>,
    pub status: RefundStatus,
    pub reason: &'a str,
    pub restock: bool,
    pub asked: bool,
    pub requested_at: Time,
    pub done_at: Option<Time>,
    pub receipt: Option<&'a str>,
    pub lsn: Lsn,
}

impl Row for NewRefund<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        values.int(self.refund.into());
        values.int(self.partition.0.into());
        values.int(self.attempt.into());
        values.maybe_int(self.amount.map(|amount| amount.0));
        values.text(self.status.as_str());
        values.text(&cut(self.reason));
        values.int(self.restock.into());
        values.int(self.asked.into());
        values.time(self.requested_at);
        values.maybe_time(self.done_at);
        give_text(self.receipt, values);
        values.lsn(self.lsn);
    }
}

/// It is known how much a refund of an earlier batch gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefundSized {
    pub order: OrderId,
    pub refund: u32,
    pub amount: Won,
    pub lsn: Lsn,
}

impl Change for RefundSized {
    const TABLE: &'static str = "refunds";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.int(self.amount.0),
            _ => values.lsn(self.lsn),
        }
    }
}

/// A refund of an earlier batch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefundEnded<'a> {
    pub order: OrderId,
    pub refund: u32,
    pub status: RefundStatus,
    pub done_at: Time,
    pub receipt: Option<&'a str>,
    pub lsn: Lsn,
}

impl Change for RefundEnded<'_> {
    const TABLE: &'static str = "refunds";
    const COLUMNS: usize = 4;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(self.status.as_str()),
            1 => values.time(self.done_at),
            2 => give_text(self.receipt, values),
            _ => values.lsn(self.lsn),
        }
    }
}

macro_rules! numbered {
    ($($change:ty: $number:ident),+) => {
        $(impl Numbered for $change {
            fn number(&self) -> u32 {
                self.$number
            }
        })+
    };
}

numbered!(
    AttemptBegun<'_>: attempt,
    AttemptMoved<'_>: attempt,
    AttemptCaptured<'_>: attempt,
    AttemptRefunded: attempt,
    RefundSized: refund,
    RefundEnded<'_>: refund
);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefundLine<'a> {
    pub order: OrderId,
    pub refund: u32,
    /// Where it stood in the request, from 1.
    pub place: i64,
    pub line: &'a LineRequest,
}

impl Row for RefundLine<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        values.int(self.refund.into());
        values.text(self.line.sku.as_str());
        values.int(self.place);
        values.int(self.line.quantity.into());
    }
}

/// A row of the timeline about paying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub order: OrderId,
    pub partition: PartitionId,
    pub lsn: Lsn,
    pub at: Time,
    pub event: &'static str,
    pub detail: Option<&'static str>,
    pub step: StepRef,
    pub actor: Option<&'a str>,
    pub answer: &'a str,
    pub next_at: Option<Time>,
}

impl Row for Told<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        let (attempt, refund) = match self.step {
            StepRef::Attempt(number) => (Some(number.into()), None),
            StepRef::Refund(number) => (None, Some(number.into())),
        };
        values.order(self.order);
        values.int(self.partition.0.into());
        values.lsn(self.lsn);
        values.time(self.at);
        values.text(self.event);
        values.maybe_text(self.detail);
        values.maybe_int(attempt);
        values.maybe_int(refund);
        values.maybe_text(self.actor);
        give_text(Some(self.answer).filter(|answer| !answer.is_empty()), values);
        values.maybe_time(self.next_at);
    }
}
