//! The ledger: what money moved, booked when it moved and apart from the payments' own state, so
//! that the two can be compared.

use super::ids::{Aid, Tid};
use super::words::Status;
use serde::{Deserialize, Serialize};
use son7shop_engine::Time;
use son7shop_engine::Won;
use std::collections::BTreeMap;

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// The name of the capture or refund.
    pub aid: Aid,
    /// How much.
    pub amount: Won,
    /// When.
    pub at: Time,
}

/// A payment and the money that moved for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The payment.
    pub tid: Tid,
    /// The shop's `partner_order_id`.
    pub order: String,
    /// The shop's `partner_user_id`.
    pub user: String,
    /// Where it stands.
    pub status: Status,
    /// What it was prepared with.
    pub total: Won,
    /// When it was prepared.
    pub created: Time,
    /// Money that was taken: once at most.
    pub captures: Vec<Booked>,
    /// Money that was given back.
    pub refunds: Vec<Booked>,
}

impl Line {
    /// What was taken.
    #[must_use]
    pub fn captured(&self) -> Won {
        sum(&self.captures)
    }

    /// What was given back.
    #[must_use]
    pub fn refunded(&self) -> Won {
        sum(&self.refunds)
    }

    /// What the shop has of it.
    #[must_use]
    pub fn net(&self) -> Won {
        Won(self.captured().0 - self.refunded().0)
    }
}

/// Every payment and the money that moved for it, in the order in which they were prepared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The payments.
    pub payments: Vec<Line>,
}

/// What must never be in a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "breach", rename_all = "snake_case")]
pub enum Breach {
    /// More than one capture of a payment.
    #[error("{tid} was captured {captures} times")]
    CapturedTwice {
        /// The payment.
        tid: Tid,
        /// Captures.
        captures: usize,
    },
    /// A capture of another sum than the payment was prepared with.
    #[error("{tid} is of {total:?}, and {captured:?} were captured")]
    CapturedOther {
        /// The payment.
        tid: Tid,
        /// What it was prepared with.
        total: Won,
        /// What was taken.
        captured: Won,
    },
    /// More was given back than was taken.
    #[error("{tid}: {refunded:?} were given back of {captured:?}")]
    RefundedMore {
        /// The payment.
        tid: Tid,
        /// What was taken.
        captured: Won,
        /// What was given back.
        refunded: Won,
    },
    /// The status does not say what the money says.
    #[error("{tid} is {status}, with {captured:?} taken and {refunded:?} given back")]
    StatusDiffers {
        /// The payment.
        tid: Tid,
        /// Its status.
        status: Status,
        /// What was taken.
        captured: Won,
        /// What was given back.
        refunded: Won,
    },
    /// One name for two movements.
    #[error("{aid:?} was booked twice")]
    BookedTwice {
        /// The name.
        aid: Aid,
    },
}

impl Ledger {
    /// Every breach of what must always hold; none is good.
    #[must_use]
    pub fn check(&self) -> Vec<Breach> {
        let mut breaches: Vec<Breach> = self.payments.iter().flat_map(check_line).collect();
        let mut seen = std::collections::BTreeSet::new();
        let booked = self.payments.iter().flat_map(|line| line.captures.iter().chain(&line.refunds));
        let twice = booked.filter(|booked| !seen.insert(&booked.aid));
        breaches.extend(twice.map(|booked| Breach::BookedTwice { aid: booked.aid.clone() }));
        breaches
    }

    /// What the shop has of each of its orders, of all their payments together.
    #[must_use]
    pub fn net_by_order(&self) -> BTreeMap<&str, Won> {
        let mut nets = BTreeMap::new();
        for line in &self.payments {
            let net: &mut Won = nets.entry(line.order.as_str()).or_default();
            net.0 += line.net().0;
        }
        nets
    }

    /// The payments of an order.
    pub fn of_order<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a Line> {
        self.payments.iter().filter(move |line| line.order == order)
    }
}

fn check_line(line: &Line) -> Vec<Breach> {
    let (tid, captured, refunded) = (line.tid.clone(), line.captured(), line.refunded());
    let mut breaches = Vec::new();
    if line.captures.len() > 1 {
        breaches.push(Breach::CapturedTwice { tid: tid.clone(), captures: line.captures.len() });
    } else if !line.captures.is_empty() && captured != line.total {
        breaches.push(Breach::CapturedOther { tid: tid.clone(), total: line.total, captured });
    }
    if refunded > captured {
        breaches.push(Breach::RefundedMore { tid: tid.clone(), captured, refunded });
    }
    let says = match line.status {
        Status::SuccessPayment => captured > Won(0) && refunded == Won(0),
        Status::PartCancelPayment => refunded > Won(0) && refunded < captured,
        Status::CancelPayment => captured > Won(0) && refunded == captured,
        _ => line.captures.is_empty() && line.refunds.is_empty(),
    };
    if !says {
        breaches.push(Breach::StatusDiffers { tid, status: line.status, captured, refunded });
    }
    breaches
}

fn sum(booked: &[Booked]) -> Won {
    Won(booked.iter().map(|booked| booked.amount.0).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booked(aid: &str, amount: i64) -> Booked {
        Booked { aid: Aid::new(aid), amount: Won(amount), at: Time(0) }
    }

    fn line(status: Status, captures: &[i64], refunds: &[i64]) -> Line {
        let book = |name: &str, sums: &[i64]| {
            sums.iter().enumerate().map(|(at, sum)| booked(&format!("{name}{at}"), *sum)).collect::<Vec<_>>()
        };
        Line {
            tid: Tid::new("T1"),
            order: "o1".to_owned(),
            user: "u1".to_owned(),
            status,
            total: Won(1_000),
            created: Time(0),
            captures: book("C", captures),
            refunds: book("R", refunds),
        }
    }

    fn breaches(status: Status, captures: &[i64], refunds: &[i64]) -> Vec<&'static str> {
        let named = |breach: Breach| match breach {
            Breach::CapturedTwice { .. } => "captured twice",
            Breach::CapturedOther { .. } => "captured other",
            Breach::RefundedMore { .. } => "refunded more",
            Breach::StatusDiffers { .. } => "status differs",
            Breach::BookedTwice { .. } => "booked twice",
        };
        let ledger = Ledger { payments: vec![line(status, captures, refunds)] };
        ledger.check().into_iter().map(named).collect()
    }

    /// Status, captures, refunds, and what is wrong with them.
    type Row = (Status, &'static [i64], &'static [i64], &'static [&'static str]);

    #[test]
    fn every_breach_is_found_by_name() {
        let rows: [Row; 10] = [
            (Status::AuthPassword, &[], &[], &[]),
            (Status::SuccessPayment, &[1_000], &[], &[]),
            (Status::PartCancelPayment, &[1_000], &[400], &[]),
            (Status::CancelPayment, &[1_000], &[400, 600], &[]),
            (Status::SuccessPayment, &[1_000, 1_000], &[], &["captured twice"]),
            (Status::SuccessPayment, &[999], &[], &["captured other"]),
            (Status::CancelPayment, &[1_000], &[600, 600], &["refunded more", "status differs"]),
            (Status::QuitPayment, &[], &[1], &["refunded more", "status differs"]),
            (Status::AuthPassword, &[1_000], &[], &["status differs"]),
            (Status::SuccessPayment, &[1_000], &[1], &["status differs"]),
        ];
        for (status, captures, refunds, expected) in rows {
            assert_eq!(breaches(status, captures, refunds), expected, "{status} {captures:?} {refunds:?}");
        }
    }

    #[test]
    fn one_name_is_of_one_movement() {
        let mut ledger = Ledger::default();
        ledger.payments.push(line(Status::SuccessPayment, &[1_000], &[]));
        ledger.payments.push(line(Status::SuccessPayment, &[1_000], &[]));
        assert_eq!(ledger.check(), [Breach::BookedTwice { aid: Aid::new("C0") }]);
    }

    #[test]
    fn what_an_order_brought_is_the_sum_of_its_payments() {
        let mut ledger = Ledger::default();
        ledger.payments.push(line(Status::CancelPayment, &[1_000], &[1_000]));
        ledger.payments.push(line(Status::PartCancelPayment, &[1_000], &[300]));
        assert_eq!(ledger.net_by_order()["o1"], Won(700));
        assert_eq!(ledger.of_order("o1").count(), 2);
        assert_eq!(ledger.of_order("o2").count(), 0);
    }
}
