//! Attempts and refunds as their order's home keeps them, and as they are shown.

use crate::Lsn;
use crate::event::Lines;
use crate::ids::{RequestKey, Sku};
use crate::money::Won;
use crate::payment::{Captured, GatewayRef, Nonce, Pages, PaymentMethod, Proof, Why};
use crate::step::{OpenStep, StepRef};
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Attempts that an order may have.
pub const MAX_ATTEMPTS: usize = 50;
/// Refunds that an order may have.
pub const MAX_REFUNDS: usize = 100;
/// Proofs that are kept of one attempt: a forged one must not keep the right one out.
pub(crate) const MAX_PROOFS: usize = 4;
/// Hints that an attempt follows up: whoever forges more of them waits for the attempt's end.
pub(crate) const MAX_HINTS: u32 = 16;
/// Entries of an order's timeline that its home keeps, the newest; the database keeps all.
const MAX_ENTRIES: usize = 256;

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AttemptStatus {
    /// The gateway is asked to begin it.
    Preparing,
    /// It waits for the shopper.
    Ready,
    /// The shopper authorised it; the gateway is asked to take the money.
    Approving,
    /// The money was taken, and the order confirmed with it.
    Captured,
    /// The money was taken and the order has no use for it: it goes back.
    CapturedLate,
    /// Nothing was taken.
    Ended(Why),
}

impl AttemptStatus {
    /// The status as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Approving => "approving",
            Self::Captured => "captured",
            Self::CapturedLate => "captured_late",
            Self::Ended(why) => why.as_str(),
        }
    }

    /// Reads [`AttemptStatus::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Preparing, Self::Ready, Self::Approving, Self::Captured, Self::CapturedLate];
        let ended = Why::ALL.into_iter().map(Self::Ended);
        all.into_iter().chain(ended).find(|status| status.as_str() == text)
    }

    /// Whether money may yet be taken for the order.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Preparing | Self::Ready | Self::Approving)
    }
}

/// One try at paying an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub method: PaymentMethod,
    pub key: RequestKey,
    pub nonce: Nonce,
    pub amount: Won,
    pub started_at: Time,
    pub status: AttemptStatus,
    pub reference: Option<GatewayRef>,
    pub pages: Option<Box<Pages>>,
    /// When the gateway forgets it; [`Time::NEVER`] before it was begun.
    pub expires_at: Time,
    /// What shoppers brought back; the first is the one to capture with.
    pub proofs: Vec<Proof>,
    /// Whether a proof ever came: money may have been taken.
    pub authorised: bool,
    pub hints: u32,
    pub captured: Option<Box<Captured>>,
    /// What was given back of it.
    pub refunded: Won,
    pub step: Option<OpenStep>,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefundStatus {
    /// The gateway is asked to give the money back.
    UnderWay,
    /// The money went back.
    Done,
    /// An operator found that it did not and will not.
    Refused,
}

impl RefundStatus {
    /// The status as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Reads [`RefundStatus::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::UnderWay, Self::Done, Self::Refused].into_iter().find(|status| status.as_str() == text)
    }
}

/// Money that is to go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refund {
    /// The attempt that took it.
    pub attempt: u32,
    /// The key it was asked for under; `None`: money that came late.
    pub key: Option<RequestKey>,
    /// How much, and what could be given back before it.
    pub sized: Option<(Won, Won)>,
    pub lines: Lines,
    pub restock: bool,
    pub reason: CompactString,
    pub requested_at: Time,
    pub status: RefundStatus,
    pub receipt: CompactString,
    pub step: Option<OpenStep>,
}

/// Units of a confirmed order that were refunded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Returned {
    pub sku: Sku,
    /// Units whose money went back or is on its way.
    pub refunded: u32,
    /// Units of them that are for sale again.
    pub restocked: u32,
}

/// An entry of an order's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its event.
    pub lsn: Lsn,
    /// When.
    pub at: Time,
    /// What happened.
    pub what: Happened,
    /// Which attempt or refund it happened to.
    pub step: Option<StepRef>,
    /// What was answered, by the gateway or the operator.
    pub answer: CompactString,
    /// When the next call is due.
    pub next_at: Option<Time>,
}

macro_rules! happened {
    ($($(#[$doc:meta])* $name:ident $text:literal)+) => {
        /// What an entry of a timeline tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Happened { $($(#[$doc])* $name,)+ }

        impl Happened {
            /// The word as it stands in the API and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

happened! {
    /// The order holds its units.
    OrderPlaced "order_placed"
    /// The order was paid.
    OrderConfirmed "order_confirmed"
    /// The order was ended on request.
    OrderCancelled "order_cancelled"
    /// The order's deadline came.
    OrderExpired "order_expired"
    /// An attempt was started.
    PaymentStarted "payment_started"
    /// The gateway has begun it.
    PaymentReady "payment_ready"
    /// The shopper authorised it.
    PaymentAuthorised "payment_authorised"
    /// The shopper came back without paying, or somebody says so.
    PaymentHinted "payment_hinted"
    /// The proof was not the gateway's.
    ProofRejected "proof_rejected"
    /// The money was taken.
    PaymentCaptured "payment_captured"
    /// The money was taken, and goes back.
    PaymentCapturedLate "payment_captured_late"
    /// Nothing was taken.
    PaymentEnded "payment_ended"
    /// A look at an attempt's standing found nothing to do.
    PaymentLooked "payment_looked"
    /// A call did not lead on.
    StepTried "step_tried"
    /// Money is to go back.
    RefundRequested "refund_requested"
    /// The gateway said how much there is to give back.
    RefundSized "refund_sized"
    /// The money went back.
    RefundDone "refund_done"
    /// An operator acted; what follows from it is the next entry.
    OperatorActed "operator_acted"
    /// A step is tried again at once.
    StepRetried "step_retried"
    /// The money did not go back and will not.
    RefundRefused "refund_refused"
}

impl Entry {
    /// Leaves out what is for those who run the shop only: who they are, and what the gateway says of the shop's calls.
    pub(crate) fn for_customers(&mut self) {
        match self.what {
            what if what.is_internal() => self.answer.clear(),
            Happened::PaymentEnded => {
                let why = self.answer.find(": ").unwrap_or(self.answer.len());
                self.answer.truncate(why);
            }
            _ => {}
        }
    }
}

impl Happened {
    /// Whether what was answered is for those who run the shop only.
    pub(crate) const fn is_internal(self) -> bool {
        matches!(self, Self::OperatorActed | Self::StepTried | Self::PaymentLooked | Self::ProofRejected)
    }
}

/// What is known of an order's paying, at home.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    /// By number, from 1.
    pub attempts: Vec<Attempt>,
    /// By number, from 1.
    pub refunds: Vec<Refund>,
    pub returned: Vec<Returned>,
    /// The newest, oldest first.
    pub entries: VecDeque<Entry>,
    /// How many were before them.
    pub left_out: u32,
}

impl Payment {
    pub(crate) fn attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts.get((number as usize).checked_sub(1)?)
    }

    pub(crate) fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        self.attempts.get_mut((number as usize).checked_sub(1)?)
    }

    pub(crate) fn refund(&self, number: u32) -> Option<&Refund> {
        self.refunds.get((number as usize).checked_sub(1)?)
    }

    pub(crate) fn refund_mut(&mut self, number: u32) -> Option<&mut Refund> {
        self.refunds.get_mut((number as usize).checked_sub(1)?)
    }

    pub(crate) fn step(&self, step: StepRef) -> Option<&OpenStep> {
        match step {
            StepRef::Attempt(number) => self.attempt(number)?.step.as_ref(),
            StepRef::Refund(number) => self.refund(number)?.step.as_ref(),
        }
    }

    /// Where a step is kept; `None` for an attempt or a refund that there is not.
    pub(crate) fn step_mut(&mut self, step: StepRef) -> Option<&mut Option<OpenStep>> {
        match step {
            StepRef::Attempt(number) => self.attempt_mut(number).map(|attempt| &mut attempt.step),
            StepRef::Refund(number) => self.refund_mut(number).map(|refund| &mut refund.step),
        }
    }

    /// Every open step.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (StepRef, &OpenStep)> {
        let attempts = (1..).map(StepRef::Attempt).zip(self.attempts.iter().map(|attempt| &attempt.step));
        let refunds = (1..).map(StepRef::Refund).zip(self.refunds.iter().map(|refund| &refund.step));
        attempts.chain(refunds).filter_map(|(step, open)| Some((step, open.as_ref()?)))
    }

    pub(crate) fn returned(&self, sku: &Sku) -> (u32, u32) {
        let found = self.returned.iter().find(|returned| returned.sku == *sku);
        found.map_or((0, 0), |returned| (returned.refunded, returned.restocked))
    }

    /// The attempt that confirmed the order.
    pub(crate) fn captured(&self) -> Option<(u32, &Attempt)> {
        (1..).zip(&self.attempts).find(|(_, attempt)| attempt.status == AttemptStatus::Captured)
    }

    /// What may be asked back of `attempt`, whatever is under way.
    pub(crate) fn left(attempt: &Attempt) -> Won {
        let captured = attempt.captured.as_ref().map_or(Won(0), |captured| captured.amount);
        Won(captured.0.saturating_sub(attempt.refunded.0))
    }

    pub(crate) fn tell(&mut self, entry: Entry) {
        if self.entries.len() >= MAX_ENTRIES && self.entries.pop_front().is_some() {
            self.left_out = self.left_out.saturating_add(1);
        }
        self.entries.push_back(entry);
    }
}

/// An attempt as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// Its number, from 1.
    pub number: u32,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Where it stands.
    pub status: AttemptStatus,
    /// What it takes.
    pub amount: Won,
    /// When it was started.
    pub started_at: Time,
    /// When the gateway forgets it, once it was begun.
    pub expires_at: Option<Time>,
    /// Where the shopper pays, while it waits for them.
    pub pages: Option<Box<Pages>>,
    /// The gateway's name of it, once it was begun.
    pub reference: Option<GatewayRef>,
    /// What was taken.
    pub captured: Option<Box<Captured>>,
    /// What was given back of it.
    pub refunded: Won,
}

/// A refund as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundView {
    /// Its number, from 1.
    pub number: u32,
    /// The attempt that took the money.
    pub attempt: u32,
    /// How much; `None` until the gateway was asked how much there is.
    pub amount: Option<Won>,
    /// The units that it is about.
    pub lines: Lines,
    /// Whether they are for sale again once it is done.
    pub restock: bool,
    /// Why.
    pub reason: CompactString,
    /// Whether somebody asked for it; otherwise it is of money that came late.
    pub asked: bool,
    /// When it was asked for.
    pub requested_at: Time,
    /// Where it stands.
    pub status: RefundStatus,
    /// The gateway's name of it, once it is done.
    pub receipt: CompactString,
}

/// An order's paying as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentView {
    /// By number.
    pub attempts: Vec<AttemptView>,
    /// By number.
    pub refunds: Vec<RefundView>,
}

impl Attempt {
    /// What nobody needs once it has ended.
    pub(crate) fn forget_secrets(&mut self) {
        self.pages = None;
        self.proofs.clear();
    }

    pub(crate) fn view(&self, number: u32) -> AttemptView {
        AttemptView {
            number,
            method: self.method,
            status: self.status,
            amount: self.amount,
            started_at: self.started_at,
            expires_at: (self.expires_at != Time::NEVER).then_some(self.expires_at),
            pages: self.pages.clone().filter(|_| self.status == AttemptStatus::Ready),
            reference: self.reference.clone(),
            captured: self.captured.clone(),
            refunded: self.refunded,
        }
    }
}

impl Refund {
    pub(crate) fn view(&self, number: u32) -> RefundView {
        RefundView {
            number,
            attempt: self.attempt,
            amount: self.sized.map(|(amount, _)| amount),
            lines: self.lines.clone(),
            restock: self.restock,
            reason: self.reason.clone(),
            asked: self.key.is_some(),
            requested_at: self.requested_at,
            status: self.status,
            receipt: self.receipt.clone(),
        }
    }
}

impl Payment {
    pub(crate) fn view(&self) -> PaymentView {
        PaymentView {
            attempts: (1..).zip(&self.attempts).map(|(number, attempt)| attempt.view(number)).collect(),
            refunds: (1..).zip(&self.refunds).map(|(number, refund)| refund.view(number)).collect(),
        }
    }
}
