//! Who does it: owners, keepers, supervisors, participants, write-behind.
//!
//! Two libraries, each for what it is good at. **actix** holds the hot path: one owner for
//! each partition, on an arbiter, where nothing awaits. **ractor** holds everything that
//! may fail, under supervision:
//!
//! ```text
//! supervisor                       restarts its children with backoff, gives up loudly
//! ├── keeper-N                     sees to it that partition N has an owner, never two
//! │     ╰┄ owner (actix)           decides; on the arbiter that also serves HTTP
//! ├── write-behind-N               carries N's committed events to the database
//! ├── upkeep-N                     segments, snapshots, removal, forgetting
//! ├── payment-N                    begins and captures payments, and asks where they stand
//! ├── deadline-N                   ends attempts that nobody came back to
//! ├── refund-N                     gives money back
//! ├── stock-N                      asks other partitions what N's events ask of them
//! │                                (only where there are several partitions)
//! ├── notification-N               puts what N's events tell other software into its queues
//! └── webhooks                     sends what waits in them
//! ```
//!
//! Nothing of ractor stands between an order and its answer. An owner waits for nothing
//! but its journal. This crate must never decide what the engine decides, and never show
//! anybody what is not on disk.

mod calls;
mod clock;
mod database;
mod differences;
mod error;
mod gate;
mod gateway_check;
mod keeper;
#[cfg(test)]
mod keeper_tests;
mod keys;
mod lists;
mod open;
mod owner;
mod participant;
mod pay;
mod payments;
mod plane;
mod recent;
mod room;
mod settings;
mod shop;
mod stock;
mod supervisor;
mod upkeep;
mod verify;
mod watched;
pub mod webhooks;
mod write_behind;

pub use error::{OpenError, ShopError};
pub use lists::OrdersPage;
pub use pay::StepsPage;
pub use payments::{Payments, ReturnHandle};
pub use settings::Settings;
pub use shop::{Done, NewProduct, Readiness, Shop};
pub use verify::{Verified, verify};
