//! The open steps of sagas: what is to be done next for an order, since when, and how often it
//! was tried. A step is in the journal as everything else is, so that it survives a crash; whoever
//! plays the part ([`Participant`]) needs no memory of its own.

use crate::Lsn;
use crate::ids::{CustomerId, OrderId};
use crate::money::Won;
use crate::payment::{GatewayRef, Nonce, PaymentMethod, Proof};
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Which step of an order's saga; each attempt and each refund has one open step at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StepRef {
    /// Of the attempt with this number, from 1.
    Attempt(u32),
    /// Of the refund with this number, from 1.
    Refund(u32),
}

/// The call that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Ask the gateway to begin the payment.
    Begin,
    /// Wait for the shopper, and end the attempt when its time at the gateway is over.
    Lapse,
    /// Ask the gateway to take the money.
    Capture,
    /// Ask the gateway where the payment stands.
    LookUp {
        /// How often in a row it was told that nothing is certain yet.
        pending: u8,
        /// Whether the gateway had called the proof wrong before.
        wrong_proof: bool,
    },
    /// Ask the gateway to give money back.
    GiveBack,
}

impl Call {
    /// The first look at a payment's standing.
    pub const LOOK: Self = Self::LookUp { pending: 0, wrong_proof: false };

    pub(crate) const fn lane(self) -> Lane {
        match self {
            Self::Begin => Lane::Begin,
            Self::Capture => Lane::Capture,
            Self::Lapse | Self::LookUp { .. } | Self::GiveBack => Lane::Other,
        }
    }

    /// The call as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Lapse => "lapse",
            Self::Capture => "capture",
            Self::LookUp { .. } => "look_up",
            Self::GiveBack => "give_back",
        }
    }
}

/// Which calls wait for their turn together: none keeps those of another lane waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// To begin a payment: a shopper waits, and nothing is owed.
    Begin,
    /// To take money, which may take the gateway long.
    Capture,
    /// Everything else: questions, refunds, what time ended.
    Other,
}

/// Who plays a part in the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Participant {
    /// Begins and captures payments, and asks where they stand.
    Payment,
    /// Ends what nobody came back to.
    Deadline,
    /// Gives money back.
    Refund,
}

/// What may be done about a step that does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepClass {
    /// It can be undone: nothing is lost by giving up.
    Compensable,
    /// The point of no return: only the gateway's answer ends it.
    Pivot,
    /// It must be retried until it is done.
    Retriable,
}

impl StepClass {
    /// The class as it stands in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compensable => "compensable",
            Self::Pivot => "pivot",
            Self::Retriable => "retriable",
        }
    }
}

/// How a step is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepState {
    /// Its call is due or under way for the first time.
    Open,
    /// It waits for the shopper.
    Waiting,
    /// It failed, and will be tried again.
    Retrying,
    /// It failed past its retries and waits for an operator.
    Parked,
}

impl StepState {
    /// The state as it stands in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Parked => "parked",
        }
    }

    /// Reads [`StepState::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Waiting, Self::Retrying, Self::Parked].into_iter().find(|state| state.as_str() == text)
    }
}

/// A step as its partition keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenStep {
    /// The event that opened or last changed it.
    pub lsn: Lsn,
    pub since: Time,
    pub call: Call,
    pub due_at: Time,
    pub tries: u32,
    pub parked: bool,
    /// What was answered to the last try.
    pub answer: CompactString,
}

impl OpenStep {
    pub(crate) fn state(&self) -> StepState {
        match (self.parked, self.call, self.tries) {
            (true, ..) => StepState::Parked,
            (_, Call::Lapse, _) => StepState::Waiting,
            (.., 0) => StepState::Open,
            _ => StepState::Retrying,
        }
    }
}

/// An open step, with everything that a participant needs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The order.
    pub order: OrderId,
    /// Whose it is.
    pub customer: CustomerId,
    /// Which step of it.
    pub step: StepRef,
    /// The event that opened or last changed it; a later one makes this view of it stale.
    pub lsn: Lsn,
    /// The call that is due.
    pub call: Call,
    /// When it was opened.
    pub since: Time,
    /// When the call is due.
    pub due_at: Time,
    /// Tries that failed, since it was opened or an operator had it retried.
    pub tries: u32,
    /// How it is doing.
    pub state: StepState,
    /// What was answered to the last try; empty before.
    pub answer: CompactString,
    /// What it is about.
    pub work: Work,
}

/// An open step as short as can be: enough to know when whose call is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueStep {
    /// When the call is due; [`Time::NEVER`] while it is parked.
    pub due_at: Time,
    /// The event that opened or last changed it.
    pub lsn: Lsn,
    /// The order.
    pub order: OrderId,
    /// Which step of it.
    pub step: StepRef,
    /// Whose part it is.
    pub part: Participant,
    /// With whom its call waits.
    pub lane: Lane,
}

/// What a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The attempt that it is about; of a refund, the one that took the money.
    pub attempt: u32,
    /// How it is paid.
    pub method: PaymentMethod,
    /// What the attempt is to take, or has taken.
    pub amount: Won,
    /// What the return addresses carry.
    pub nonce: Nonce,
    /// What is bought: the first line's product, by name where this partition owns it.
    pub item: CompactString,
    /// Units over all lines.
    pub units: u64,
    /// The order's deadline.
    pub deadline: Time,
    /// The gateway's name of the capture, once there is one; empty before.
    pub receipt: CompactString,
    /// The gateway's name of the attempt, once it was begun.
    pub reference: Option<GatewayRef>,
    /// When the gateway forgets the attempt; [`Time::NEVER`] before it was begun.
    pub expires_at: Time,
    /// The proof to capture with, if the shopper brought one.
    pub proof: Option<Proof>,
    /// Whether the attempt has ended, and this is a late look for money that was taken all the same.
    pub ended: bool,
    /// Of a refund: what is to be given back.
    pub refund: Option<RefundWork>,
}

/// What a refund is to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundWork {
    /// How much, and what could be given back before it; `None` until the gateway was asked how
    /// much there is (money that came late goes back whole).
    pub sized: Option<(Won, Won)>,
    /// Whether it is of money that came late: whatever is left of it goes back.
    pub late: bool,
    /// Why, for the gateway.
    pub reason: CompactString,
}

pub(crate) const fn participant(step: StepRef, call: Call) -> Participant {
    match (step, call) {
        (StepRef::Refund(_), _) => Participant::Refund,
        (StepRef::Attempt(_), Call::Lapse) => Participant::Deadline,
        (StepRef::Attempt(_), _) => Participant::Payment,
    }
}

impl Step {
    /// Whose part it is.
    #[must_use]
    pub const fn participant(&self) -> Participant {
        participant(self.step, self.call)
    }

    /// What may be done if it does not succeed.
    #[must_use]
    pub const fn class(&self) -> StepClass {
        match (self.step, self.call) {
            (StepRef::Refund(_), _) => StepClass::Retriable,
            (StepRef::Attempt(_), Call::Begin | Call::Lapse) => StepClass::Compensable,
            (StepRef::Attempt(_), _) if self.work.ended => StepClass::Retriable,
            (StepRef::Attempt(_), _) if self.work.proof.is_some() => StepClass::Pivot,
            (StepRef::Attempt(_), _) => StepClass::Compensable,
        }
    }
}
