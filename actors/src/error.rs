//! What can go wrong between a caller and an owner. A business "no" is a [`Refusal`].

use son7shop_engine::payment::PaymentMethod;
use son7shop_engine::{PartitionId, Refusal};

/// Why a call has no answer of the kind it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShopError {
    /// The owner said no; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many orders are under way; nothing happened.
    #[error("too many orders are under way")]
    Overloaded,
    /// The owner died before it answered: ask again with the same key.
    #[error("the outcome is unknown; ask again with the same key")]
    OutcomeUnknown,
    /// An order has at least one line.
    #[error("an order has at least one line")]
    EmptyOrder,
    /// The partition is not open: recovering, or closed after a failure.
    #[error("partition {partition} is {why}")]
    PartitionClosed {
        /// Which.
        partition: PartitionId,
        /// `recovering`, `draining`, or what failed.
        why: String,
    },
    /// The journal is at its disk limit: orders that exist go on, new ones cannot be taken.
    #[error("the journal of partition {partition} is at its disk limit")]
    JournalFull {
        /// Which.
        partition: PartitionId,
    },
    /// The shop is not paid in this way.
    #[error("the shop takes no payments by {}", method.as_str())]
    NoGateway {
        /// How it was to be paid.
        method: PaymentMethod,
    },
    /// The gateway would not begin the payment, or could not be reached; nothing was taken.
    #[error("the gateway did not begin the payment; nothing was taken, and it can be tried again with another key")]
    PaymentNotBegun,
    /// The gateway has not answered yet.
    #[error("the gateway has not answered yet; ask again with the same key")]
    GatewaySilent,
    /// The database did not answer, or is too far behind to answer for.
    #[error("the database is unavailable: {0}")]
    DatabaseUnavailable(String),
}

/// Why a shop cannot be opened. Nothing is served on half a state.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something below said no; its own text says what, where and what to do.
    #[error("{context}")]
    Failed {
        /// What was being opened.
        context: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn new(context: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed { context: context.into(), source: Box::new(source) }
    }
}

/// An error with everything that it came from, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
