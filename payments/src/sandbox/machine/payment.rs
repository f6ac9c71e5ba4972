//! One payment: what it was prepared with, and what became of it, with the time of each change, so
//! that it can be told how it stood at any time. It must never decide whether it may change.

use super::amount::{Amount, vat_of};
use super::ids::{Aid, PageHash, PgToken, Tid};
use super::request::Ready;
use super::words::{Means, Status};
use son7shop_engine::Time;
use son7shop_engine::Won;

/// How long a payment and its page live, unless captured.
pub const LIFE_MS: i64 = 15 * 60 * 1_000;

/// Money that was taken.
#[derive(Debug, Clone)]
pub(super) struct Capture {
    pub(super) aid: Aid,
    pub(super) at: Time,
    pub(super) amount: Amount,
    pub(super) means: Means,
    pub(super) payload: Option<String>,
    /// The card's number of this capture; for a card only.
    pub(super) approved_id: Option<String>,
}

/// Money that was given back.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    pub(super) aid: Aid,
    pub(super) at: Time,
    pub(super) amount: Amount,
    pub(super) payload: Option<String>,
}

/// A capture whose outcome the bank has not told yet.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    /// `None`: it will turn out to have failed.
    pub(super) capture: Option<Capture>,
}

#[derive(Clone)]
pub(super) struct Payment {
    pub(super) tid: Tid,
    pub(super) page: PageHash,
    pub(super) asked: Ready,
    pub(super) created: Time,
    /// Every status and since when; never empty.
    moved: Vec<(Time, Status)>,
    pub(super) means: Option<Means>,
    pub(super) token: Option<PgToken>,
    pub(super) capture: Option<Capture>,
    pub(super) refunds: Vec<Refund>,
    pub(super) settling: Option<Settling>,
    /// The call that is under way.
    pub(super) held_by: Option<u64>,
}

impl Payment {
    pub(super) fn new(tid: Tid, page: PageHash, asked: Ready, created: Time) -> Self {
        Self {
            tid,
            page,
            asked,
            created,
            moved: vec![(created, Status::Ready)],
            means: None,
            token: None,
            capture: None,
            refunds: Vec::new(),
            settling: None,
            held_by: None,
        }
    }

    pub(super) fn status(&self) -> Status {
        self.moved.last().map_or(Status::Ready, |(_, status)| *status)
    }

    pub(super) fn to(&mut self, status: Status, now: Time) {
        self.moved.push((now, status));
    }

    pub(super) fn expires(&self) -> Time {
        self.created.plus_millis(LIFE_MS)
    }

    /// Whether its time is over; a captured one has all the time in the world.
    pub(super) fn is_expired(&self, now: Time) -> bool {
        self.capture.is_none() && now >= self.expires()
    }

    /// What `ready` asked for, in its parts.
    pub(super) fn amount(&self) -> Amount {
        let asked = &self.asked;
        Amount {
            total: asked.total,
            tax_free: asked.tax_free,
            vat: asked.vat.unwrap_or_else(|| vat_of(asked.total, asked.tax_free)),
            green_deposit: asked.green_deposit,
            ..Amount::default()
        }
    }

    /// What can still be given back.
    pub(super) fn left(&self) -> Amount {
        self.seen_at(Time::NEVER).left
    }

    /// How it stood at `time`; before it was prepared it stood as it was prepared.
    pub(super) fn seen_at(&self, time: Time) -> Seen<'_> {
        let status =
            self.moved.iter().rev().find(|(since, _)| *since <= time).map_or(Status::Ready, |(_, status)| *status);
        let capture = self.capture.as_ref().filter(|capture| capture.at <= time);
        let refunds: Vec<&Refund> = self.refunds.iter().filter(|refund| refund.at <= time).collect();
        let refunded = refunds.iter().fold(Amount::default(), |sum, refund| sum.plus(refund.amount));
        let left = capture.map_or(Amount::default(), |capture| capture.amount.minus(refunded));
        Seen { status, capture, refunds, refunded, left }
    }
}

/// A payment as it stood at some time.
pub(super) struct Seen<'a> {
    pub(super) status: Status,
    pub(super) capture: Option<&'a Capture>,
    pub(super) refunds: Vec<&'a Refund>,
    pub(super) refunded: Amount,
    pub(super) left: Amount,
}

/// What a refund of `amount` won, `tax_free` of them untaxed, gives back in its parts. Tax that is
/// not named is an eleventh, but never more than what is left of it, and all of that with the last won.
pub(super) fn refund_parts(left: Amount, amount: Won, tax_free: Won, vat: Option<Won>) -> Amount {
    let is_rest = amount == left.total;
    let vat = vat.unwrap_or_else(|| if is_rest { left.vat } else { vat_of(amount, tax_free).min(left.vat) });
    let green_deposit = if is_rest { left.green_deposit } else { Won(0) };
    Amount { total: amount, tax_free, vat, green_deposit, ..Amount::default() }
}
