//! Events: what an owner decided. Past tense, facts, in the journal, never changed.
//!
//! A changed event is a new variant **at the end**: the journal's codec numbers the
//! variants in this order, and old journals are read for ever.

use crate::Lsn;
use crate::command::{LineRequest, PartRequest};
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey, Sku};
use crate::money::Won;
use crate::order::PricedLine;
use crate::payment::{Begun, Captured, GivenBack, Nonce, PaymentMethod, Proof, Why};
use crate::product::SaleTerms;
use crate::recall::RecalledOrder;
use crate::step::{Call, StepRef};
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An event with its time; its LSN is its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was decided; never before the record before it.
    pub at: Time,
    /// What was decided.
    pub event: Event,
}

/// What an owner decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A product is sold here from now on.
    ProductCreated {
        /// Its name in every call.
        sku: Sku,
        /// Its name for people.
        name: CompactString,
        /// The unit price.
        price: Won,
        /// Units in the shop.
        on_hand: u64,
        /// The idempotency key, where one was sent.
        key: Option<RequestKey>,
    },
    /// Units came in or were taken out.
    StockAdjusted {
        /// The product.
        sku: Sku,
        /// Units added; negative: taken out.
        delta: i64,
        /// Why.
        reason: CompactString,
        /// The idempotency key.
        key: RequestKey,
    },
    /// A product is on sale, or its sale's terms changed.
    SaleSet {
        /// The product.
        sku: Sku,
        /// What the sale is.
        terms: SaleTerms,
        /// The sale's number; the same as before where terms changed.
        number: u32,
    },
    /// A product's sale ended; its counts are forgotten.
    SaleDeleted {
        /// The product.
        sku: Sku,
    },
    /// An order holds its units; all of them are home's.
    OrderPlaced {
        /// The order.
        id: OrderId,
        /// Whose it is.
        customer: CustomerId,
        /// The idempotency key.
        key: RequestKey,
        /// What it holds, at which price.
        lines: SmallVec<[PricedLine; 1]>,
        /// The sum over the lines.
        total: Won,
        /// When the units go back if it is not paid.
        deadline: Time,
    },
    /// A basket over several partitions holds home's lines and asks for the others.
    OrderOpened {
        /// The order.
        id: OrderId,
        /// Whose it is.
        customer: CustomerId,
        /// The idempotency key.
        key: RequestKey,
        /// What it holds at home, at which price.
        lines: SmallVec<[PricedLine; 1]>,
        /// What it asks of other partitions.
        parts: Vec<PartRequest>,
        /// When the units go back if it is not paid.
        deadline: Time,
    },
    /// Every other partition holds its part: the opened order is placed.
    BasketPlaced {
        /// The order.
        id: OrderId,
        /// What the other partitions hold, at which price.
        parts: Vec<(PartitionId, Vec<PricedLine>)>,
        /// The sum over all lines.
        total: Won,
    },
    /// The opened order could not be placed: it leaves no order behind.
    OrderRefused(Ended),
    /// An order was paid: its units are sold.
    OrderConfirmed(Ended),
    /// An order was ended on request: its units went back.
    OrderCancelled {
        /// Which, and what went back.
        ended: Ended,
        /// Who asked for it.
        by: Role,
    },
    /// An order reached its deadline: its units went back.
    OrderExpired(Ended),
    /// Units are set aside for another partition's order.
    PartHeld {
        /// The order.
        order: OrderId,
        /// Whose it is.
        customer: CustomerId,
        /// What is held, at which price.
        lines: Vec<PricedLine>,
    },
    /// A part's units went back; without lines: they will never be held.
    PartReleased {
        /// The order.
        order: OrderId,
        /// What went back here.
        lines: Lines,
    },
    /// A part's units are sold.
    PartConfirmed {
        /// The order.
        order: OrderId,
        /// What was sold here.
        lines: Lines,
    },
    /// Orders, parts and keys that ended long ago, and that the database has, left memory.
    Forgotten {
        /// Everything that ended at or below this position.
        through: Lsn,
    },
    /// A customer began to pay; an attempt that waited for its shopper is superseded.
    PaymentStarted {
        /// The order.
        order: OrderId,
        /// The new attempt's number.
        attempt: u32,
        /// How it is paid.
        method: PaymentMethod,
        /// What it is to take: the order's total.
        amount: Won,
        /// The idempotency key.
        key: RequestKey,
        /// What its return addresses carry.
        nonce: Nonce,
    },
    /// The gateway has begun the attempt: it waits for its shopper.
    PaymentReady {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What the gateway answered.
        begun: Box<Begun>,
    },
    /// The shopper authorised the attempt. The hold is frozen until the gateway says what became of it.
    PaymentAuthorised {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What the shopper brought back.
        proof: Proof,
    },
    /// The shopper came back without paying, or somebody says so: the gateway is asked.
    PaymentHinted {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
    },
    /// The gateway does not know the proof that came first; the next one counts, if there is one.
    ProofRejected {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What the gateway said.
        answer: CompactString,
        /// Whether there is another one to try; otherwise the attempt waits for its shopper again.
        more: bool,
    },
    /// The money was taken, and with it the order is confirmed: its units are sold.
    PaymentCaptured {
        /// Which, and what is sold.
        ended: Ended,
        /// The attempt.
        attempt: u32,
        /// What was taken.
        captured: Box<Captured>,
    },
    /// Money was taken that the order has no use for: it goes back.
    PaymentCapturedLate {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What was taken.
        captured: Box<Captured>,
        /// The number of the refund that this opens.
        refund: u32,
        /// Whether the order holds its units again, until its deadline.
        held: bool,
    },
    /// Nothing was taken.
    PaymentEnded {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// Why.
        why: Why,
        /// What the gateway said.
        answer: CompactString,
        /// When to look once more, where money may yet be taken.
        look_at: Option<Time>,
    },
    /// A look at the attempt's standing found nothing to do.
    PaymentLooked {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What the gateway said.
        answer: CompactString,
    },
    /// A call did not lead on.
    StepTried {
        /// The order.
        order: OrderId,
        /// Which step.
        step: StepRef,
        /// What was answered.
        answer: CompactString,
        /// The next call, and when it is due; `None`: parked.
        next: Option<(Call, Time)>,
    },
    /// A parked or waiting step is tried again at once.
    StepRetried {
        /// The order.
        order: OrderId,
        /// Which step.
        step: StepRef,
        /// The call that is due now.
        call: Call,
    },
    /// Money is to go back.
    RefundRequested {
        /// The order.
        order: OrderId,
        /// The refund's number.
        refund: u32,
        /// The attempt that took the money.
        attempt: u32,
        /// How much.
        amount: Won,
        /// What could be given back before it.
        before: Won,
        /// The units that it is about.
        lines: Lines,
        /// Whether they are for sale again once it is done.
        restock: bool,
        /// Why.
        reason: CompactString,
        /// The idempotency key.
        key: RequestKey,
    },
    /// The gateway said how much there is to give back of money that came late.
    RefundSized {
        /// The order.
        order: OrderId,
        /// The refund.
        refund: u32,
        /// How much.
        amount: Won,
        /// What could be given back before it.
        before: Won,
    },
    /// The money went back; an order of which nothing is left is refunded.
    RefundDone {
        /// The order.
        order: OrderId,
        /// The refund.
        refund: u32,
        /// The attempt that had taken the money.
        attempt: u32,
        /// What went back.
        back: GivenBack,
        /// Whether nothing is left of what the order was paid with.
        all: bool,
        /// Units of home's that are for sale again.
        lines: Lines,
        /// Units of other partitions that are for sale again.
        elsewhere: Lines,
        /// Those partitions.
        parts: Vec<PartitionId>,
    },
    /// An operator found that the money did not go back and will not.
    RefundRefused {
        /// The order.
        order: OrderId,
        /// The refund.
        refund: u32,
    },
    /// An operator acted on a step.
    OperatorActed {
        /// The order.
        order: OrderId,
        /// Which step.
        step: StepRef,
        /// Who.
        by: CustomerId,
        /// Why.
        reason: CompactString,
        /// What follows from it.
        effect: Box<Event>,
    },
    /// Units of a part are for sale again.
    PartRestocked {
        /// The order.
        order: OrderId,
        /// The refund.
        refund: u32,
        /// What is for sale again here.
        lines: Lines,
    },
    /// An order that was forgotten is known again, so that money of it can be given back.
    OrderRecalled(Box<RecalledOrder>),
}

impl Event {
    /// The order that this shows anew: its row, its payments or its timeline.
    #[must_use]
    pub fn changes_order(&self) -> Option<OrderId> {
        match self {
            Self::OrderPlaced { id, .. } | Self::BasketPlaced { id, .. } => Some(*id),
            Self::OrderConfirmed(ended) | Self::OrderExpired(ended) | Self::OrderCancelled { ended, .. } => {
                Some(ended.id)
            }
            _ => self.pays(),
        }
    }

    /// The order whose saga of paying this is a part of.
    #[must_use]
    pub fn pays(&self) -> Option<OrderId> {
        match self {
            Self::PaymentStarted { order, .. }
            | Self::PaymentReady { order, .. }
            | Self::PaymentAuthorised { order, .. }
            | Self::PaymentHinted { order, .. }
            | Self::ProofRejected { order, .. }
            | Self::PaymentCapturedLate { order, .. }
            | Self::PaymentEnded { order, .. }
            | Self::PaymentLooked { order, .. }
            | Self::StepTried { order, .. }
            | Self::StepRetried { order, .. }
            | Self::RefundRequested { order, .. }
            | Self::RefundSized { order, .. }
            | Self::RefundDone { order, .. }
            | Self::RefundRefused { order, .. }
            | Self::OperatorActed { order, .. } => Some(*order),
            Self::PaymentCaptured { ended, .. } => Some(ended.id),
            _ => None,
        }
    }
}

/// Units by product; most orders have one line, so room for it is kept inline.
pub type Lines = SmallVec<[LineRequest; 1]>;

/// The end of an order's hold. It repeats the lines, so that whoever follows the journal
/// needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The order.
    pub id: OrderId,
    /// The lines that home owns; their units moved here.
    pub lines: Lines,
    /// The other partitions that hold a part, and must now end it.
    pub parts: Vec<PartitionId>,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The order's customer.
    Customer,
    /// Whoever runs the shop.
    Admin,
}
