//! What is looked at before a call does anything, one check after the other in the order of
//! [`super::assumed`]. It must never change anything.

use super::assumed::{AVAILABLE_DIFFERS, Check, PART_WITH_DEPOSIT, TAX_DIFFERS};
use super::payment::{Payment, refund_parts};
use super::reply::Refusal;
use super::request::{Asked, Cancel};
use super::words::Status;
use son7shop_engine::Time;
use son7shop_engine::Won;

/// What a call is looked at with.
pub(super) struct Looked<'a> {
    pub(super) now: Time,
    /// The call's own number: it does not stand in its own way.
    pub(super) call: u64,
    /// What is wrong with the key.
    pub(super) key: Option<i32>,
    pub(super) cid: &'a str,
    pub(super) asked: &'a Result<Asked, Refusal>,
    pub(super) payment: Option<&'a Payment>,
}

impl Looked<'_> {
    /// The first of `checks` that the call does not pass.
    pub(super) fn refused(&self, checks: &[Check]) -> Option<Refusal> {
        checks.iter().find_map(|check| self.fails(*check))
    }

    fn fails(&self, check: Check) -> Option<Refusal> {
        match check {
            Check::Key => self.key.map(Refusal::code),
            Check::Fields => self.asked.as_ref().err().cloned(),
            Check::Cid => when(self.asked_cid() != Some(self.cid), -731),
            Check::Tid => when(self.payment.is_none(), -721),
            Check::Ids => self.ids(),
            Check::Paid => when(self.payment?.capture.is_some(), -702),
            Check::InFlight => when(self.is_in_flight(self.payment?), -785),
            Check::Terminal => when(self.payment?.status().is_failed(), -783),
            Check::Expired => when(self.payment?.is_expired(self.now), -723),
            Check::Unauthenticated => when(self.payment?.status() != Status::AuthPassword, -701),
            Check::Token => self.token(),
            Check::Total => self.total(),
            Check::State => when(!is_refundable(self.payment?), -784),
            Check::Deposit => self.deposit(),
            Check::Remaining => when(self.cancel()?.amount > self.payment?.left().total, -710),
            Check::Available => self.available(),
            Check::Tax => self.tax(),
        }
    }

    fn asked_cid(&self) -> Option<&str> {
        Some(match self.asked.as_ref().ok()? {
            Asked::Ready(asked) => &asked.cid,
            Asked::Approve(asked) => &asked.cid,
            Asked::Order(asked) => &asked.cid,
            Asked::Cancel(asked) => &asked.cid,
        })
    }

    fn ids(&self) -> Option<Refusal> {
        let (Ok(Asked::Approve(asked)), prepared) = (self.asked, &self.payment?.asked) else { return None };
        let order = when(asked.order != prepared.order, -706);
        order.or_else(|| when(asked.user != prepared.user, -707))
    }

    fn is_in_flight(&self, payment: &Payment) -> bool {
        payment.settling.is_some() || payment.held_by.is_some_and(|call| call != self.call)
    }

    fn token(&self) -> Option<Refusal> {
        let (Ok(Asked::Approve(asked)), token) = (self.asked, self.payment?.token.as_ref()) else { return None };
        when(token.is_none_or(|token| token.as_str() != asked.pg_token), -708)
    }

    fn total(&self) -> Option<Refusal> {
        let Ok(Asked::Approve(asked)) = self.asked else { return None };
        when(asked.total? != self.payment?.asked.total, -725)
    }

    fn cancel(&self) -> Option<&Cancel> {
        if let Ok(Asked::Cancel(asked)) = self.asked { Some(asked) } else { None }
    }

    fn deposit(&self) -> Option<Refusal> {
        let payment = self.payment?;
        let is_part = self.cancel()?.amount != payment.amount().total;
        when(is_part && payment.asked.green_deposit > Won(0), PART_WITH_DEPOSIT)
    }

    fn available(&self) -> Option<Refusal> {
        when(self.cancel()?.available? != self.payment?.left().total, AVAILABLE_DIFFERS)
    }

    /// Runs after `Remaining`: the whole is not more than what is left.
    fn tax(&self) -> Option<Refusal> {
        let (asked, left) = (self.cancel()?, self.payment?.left());
        let parts = refund_parts(left, asked.amount, asked.tax_free, asked.vat);
        let after = left.minus(parts);
        let fits = asked.tax_free <= asked.amount
            && after.tax_free >= Won(0)
            && after.total >= after.tax_free
            && after.vat >= Won(0)
            && parts.vat.0 <= asked.amount.0 - asked.tax_free.0;
        when(!fits, TAX_DIFFERS)
    }
}

fn is_refundable(payment: &Payment) -> bool {
    matches!(payment.status(), Status::SuccessPayment | Status::PartCancelPayment)
}

fn when(fails: bool, code: i32) -> Option<Refusal> {
    fails.then(|| Refusal::code(code))
}
