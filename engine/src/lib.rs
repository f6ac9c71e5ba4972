//! What is decided: stock, sales, orders and the rules between them.
//!
//! A [`Partition`] is a value. [`Partition::decide`] looks at it and a command and
//! says what would happen; [`Partition::evolve`] applies what happened. Live traffic,
//! recovery and simulation all go through these two (the *decider* of functional
//! event sourcing).
//!
//! This crate must never do I/O, read a clock, draw a random number, start a task or
//! know another crate of ours. Time, ids and hash seeds come in as arguments, so the
//! same commands give the same events, byte for byte.

mod arena;
mod attempt;
pub mod basket;
mod command;
mod event;
mod ids;
mod index;
pub mod invariants;
mod map;
mod money;
mod order;
mod partition;
pub mod payment;
mod product;
mod recall;
mod refusal;
mod routing;
pub mod saga;
mod step;
mod time;

pub use attempt::{
    AttemptStatus, AttemptView, Entry, Happened, MAX_ATTEMPTS, MAX_REFUNDS, PaymentView, RefundStatus, RefundView,
};
pub use command::{Act, Command, LineRequest, PartHold, PartRequest, PlaceOrder, RefundRequest, Report, Requester};
pub use event::{Ended, Event, Lines, Record, Role};
pub use ids::{CustomerId, IdError, OrderId, PartitionId, RequestKey, Sku};
pub use money::{CURRENCY, Won};
pub use order::{OrderStatus, OrderView, PartStatus, PricedLine, PricedLines};
pub use partition::{Answer, Decision, ImageBeforePayments, Outcome, Partition, PartitionImage, SagaFigures, Timeline};
pub use product::{MAX_NAME_BYTES, MAX_QUANTITY, MAX_UNITS, ProductView, SaleTerms, Stock};
pub use recall::RecalledOrder;
pub use refusal::Refusal;
pub use routing::{Basket, partition_of};
pub use step::{Call, DueStep, Lane, Participant, RefundWork, Step, StepClass, StepRef, StepState, Work};
pub use time::Time;

/// The position of an event in its partition's journal; the first event has LSN 1,
/// and 0 means "nothing yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
