//! Commands: what somebody asks of an owner. Imperative.

use crate::Lsn;
use crate::event::Lines;
use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey, Sku};
use crate::money::Won;
use crate::order::PricedLine;
use crate::payment::{Begun, Captured, GivenBack, Nonce, PaymentMethod, Proof, Why};
use crate::product::SaleTerms;
use crate::recall::RecalledOrder;
use crate::refusal::Refusal;
use crate::step::{Call, StepRef};
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Units of one product that a customer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRequest {
    /// The product.
    pub sku: Sku,
    /// Units; at least 1.
    pub quantity: u32,
}

/// The lines of an order that another partition owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRequest {
    /// Who owns them.
    pub partition: PartitionId,
    /// The lines, one for each product.
    pub lines: Vec<LineRequest>,
}

/// A request for an order, at its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceOrder {
    /// The new order's id; its home is the partition that decides.
    pub id: OrderId,
    /// Whose it is.
    pub customer: CustomerId,
    /// The idempotency key.
    pub key: RequestKey,
    /// The lines that home owns, one for each product; at least one.
    pub lines: Lines,
    /// The lines of other partitions; none for most orders.
    pub parts: Vec<PartRequest>,
    /// How long the units are set aside, in milliseconds; the deadline is
    /// `now + hold_millis`. Of a basket it must be shorter than the caller lets the ends of
    /// parts be remembered ([`Command::Forget`]): see [`PartHold::deadline`].
    pub hold_millis: i64,
}

/// A request of an order's home to another partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHold {
    /// The order; its home asks.
    pub order: OrderId,
    /// Whose it is; the per-customer limit counts here.
    pub customer: CustomerId,
    /// The lines that the asked partition owns, one for each product.
    pub lines: Vec<LineRequest>,
    /// The order's deadline: home refuses the basket then, so a request that comes later
    /// holds nothing. One that comes earlier finds the part's end remembered, if it has ended:
    /// the caller sees to it, by forgetting nothing that ended less than a hold's time ago.
    pub deadline: Time,
}

/// On whose behalf a command about an order comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// A customer: other customers' orders do not exist for them.
    Customer(CustomerId),
    /// Whoever runs the shop.
    Admin,
}

impl Requester {
    /// Whether an order of `owner` exists for this requester.
    #[must_use]
    pub fn may_see(&self, owner: &CustomerId) -> bool {
        match self {
            Self::Customer(customer) => customer == owner,
            Self::Admin => true,
        }
    }
}

/// What came of a step's call, by the rules of [`crate::saga`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The gateway has begun the attempt.
    Ready(Box<Begun>),
    /// The money was taken.
    Captured(Box<Captured>),
    /// Nothing was taken.
    NotPaid {
        /// Why.
        why: Why,
        /// What the gateway said.
        answer: CompactString,
    },
    /// A look found nothing to do.
    Looked {
        /// What the gateway said.
        answer: CompactString,
    },
    /// The first proof is not the gateway's.
    WrongProof {
        /// What the gateway said.
        answer: CompactString,
    },
    /// The attempt's time at the gateway is over.
    Lapsed,
    /// What there is to give back.
    Sized {
        /// How much.
        amount: Won,
        /// What could be given back before it.
        before: Won,
    },
    /// The money went back.
    GaveBack(GivenBack),
    /// Nothing is certain: another call, after a while; `None`: an operator must look.
    Tried {
        /// What was answered.
        answer: CompactString,
        /// The next call, and in how many milliseconds it is due.
        next: Option<(Call, i64)>,
    },
}

/// A request to give money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// The idempotency key.
    pub key: RequestKey,
    /// How much; `None`: what the lines cost, or all that is left where there are none.
    pub amount: Option<Won>,
    /// The units that it is about, one line for each product.
    pub lines: Lines,
    /// Whether the units are for sale again once it is done.
    pub restock: bool,
    /// Why.
    pub reason: CompactString,
}

/// What an operator does about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Try it again at once.
    Retry,
    /// Give it up: the order ends unpaid, and what is taken all the same goes back.
    Compensate,
    /// Say what the gateway did: the money was taken.
    ResolvePaid(Box<Captured>),
    /// Say what the gateway did: nothing was taken.
    ResolveNotPaid,
    /// Say what the gateway did: the money went back.
    ResolveRefunded(GivenBack),
    /// Say what the gateway did: the money did not go back and will not.
    ResolveNotRefunded,
}

/// What somebody asks of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start selling a product.
    CreateProduct {
        /// Its name in every call; new to the partition.
        sku: Sku,
        /// Its name for people.
        name: CompactString,
        /// The unit price.
        price: Won,
        /// Units in the shop at the start.
        on_hand: u64,
        /// The idempotency key, where one was sent.
        key: Option<RequestKey>,
    },
    /// Add units to a product or take some out.
    AdjustStock {
        /// The product.
        sku: Sku,
        /// Units to add; negative takes out. Not zero.
        delta: i64,
        /// Why, for the books.
        reason: CompactString,
        /// The idempotency key.
        key: RequestKey,
    },
    /// Put a product on sale, or change the sale it has; counts are kept.
    SetSale {
        /// The product.
        sku: Sku,
        /// What the sale is.
        terms: SaleTerms,
    },
    /// End a product's sale and forget its counts.
    DeleteSale {
        /// The product.
        sku: Sku,
    },
    /// Set units aside for a customer.
    PlaceOrder(PlaceOrder),
    /// Tell home that every other partition holds its part.
    AcceptParts {
        /// The order; still opening.
        order: OrderId,
        /// The held lines with their prices, by partition.
        parts: Vec<(PartitionId, Vec<PricedLine>)>,
    },
    /// Tell home that a partition refused its part.
    RefuseParts {
        /// The order; still opening.
        order: OrderId,
        /// Why.
        refusal: Refusal,
    },
    /// Set units aside for another partition's order.
    HoldPart(PartHold),
    /// Give a part's units back: home's order ended unpaid.
    ReleasePart {
        /// The order.
        order: OrderId,
    },
    /// Sell a part's units: home's order was confirmed.
    ConfirmPart {
        /// The order.
        order: OrderId,
    },
    /// End a held order and give its units back.
    CancelOrder {
        /// The order.
        order: OrderId,
        /// On whose behalf.
        by: Requester,
    },
    /// Sell a held order's units: it was paid by other means.
    ConfirmOrder {
        /// The order.
        order: OrderId,
    },
    /// Begin to pay an order.
    StartPayment {
        /// The order.
        order: OrderId,
        /// On whose behalf.
        by: Requester,
        /// How.
        method: PaymentMethod,
        /// The idempotency key.
        key: RequestKey,
        /// What the return addresses will carry; drawn by the caller.
        nonce: Nonce,
    },
    /// Somebody came to an attempt's return address.
    ReportReturn {
        /// The order.
        order: OrderId,
        /// The attempt.
        attempt: u32,
        /// What the address carried.
        nonce: Nonce,
        /// The proof that they brought; `None`: they came without paying.
        proof: Option<Proof>,
    },
    /// Tell home what came of a step's call.
    Report {
        /// The order.
        order: OrderId,
        /// Which step.
        step: StepRef,
        /// The step as its participant saw it: a report of an older one changes nothing.
        seen: Lsn,
        /// What came of it.
        report: Report,
    },
    /// Give money back.
    RequestRefund {
        /// The order.
        order: OrderId,
        /// What, why and under which key.
        refund: Box<RefundRequest>,
    },
    /// Act on a step, as an operator.
    Operate {
        /// The order.
        order: OrderId,
        /// Which step.
        step: StepRef,
        /// What to do.
        act: Act,
        /// Who.
        by: CustomerId,
        /// Why.
        reason: CompactString,
    },
    /// Put units of a part back for sale: home's order was refunded.
    RestockPart {
        /// The order.
        order: OrderId,
        /// The refund.
        refund: u32,
        /// The units; those of other partitions are passed over.
        lines: Lines,
    },
    /// Know an order again that was forgotten.
    RecallOrder(Box<RecalledOrder>),
    /// End the holds whose deadline has come.
    Tick,
    /// Forget what ended at or before `ended_by`, at or below `stored`.
    Forget {
        /// The database, and everybody else who follows the journal, has every event up to here.
        stored: Lsn,
        /// Only what ended by then.
        ended_by: Time,
    },
}
