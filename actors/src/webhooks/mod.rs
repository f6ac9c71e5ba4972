//! Webhooks: what happens in the shop, told to its other software over HTTP, in the Standard
//! Webhooks form, signed, at least once.
//!
//! ```text
//! notification-N   follows partition N's journal, fills each endpoint's queue
//! webhooks         the deliverer: empties the queues, tries again by the published schedule
//! ```
//!
//! Between the two stands each endpoint's durable queue (`queue.rs`), bodies and all. The other
//! way would have been to hold an endpoint's place at its oldest message that was not delivered,
//! and to keep a set of what behind it was: then one message that its receiver refuses for three
//! days holds three days of the journal, and every start reads them again.
//!
//! A message comes at least once, in no promised order: a crash loses up to a second of what was
//! written down, and repeats it. A message's id is its place in the journal, so a receiver can
//! drop what it had. The deliverer and the participants run where the shop was opened, never
//! on an arbiter, and no owner waits for any of it.

mod attempt;
mod deliverer;
mod endpoint;
mod face;
mod hooks;
mod log;
mod message;
mod notification;
mod queue;
#[cfg(test)]
mod receiver;
mod signing;
mod store;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use deliverer::Deliverer;
pub use endpoint::{DisabledBy, Webhook, WebhookError, WebhookTerms};
pub use face::{ReplayFrom, ReplayPart, WithSecret};
pub(crate) use hooks::Hooks;
pub use hooks::WebhookSettings;
pub use log::{Delivery, DeliveryOutcome};
pub use message::MESSAGE_TYPES;
pub(crate) use notification::{Args as NotificationArgs, NotificationParticipant};
pub use queue::RetrySchedule;
