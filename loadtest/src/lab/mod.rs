//! The contention lab: many threads, one product, every way people sell it.
//!
//! - [`backend`]: what a way of selling has to be able to do, and what it promises.
//! - [`backends`]: the ways, each as a careful user of the technique would write it.
//! - [`load`]: what a backend gets, and what came of it; `costs` reads what that cost.
//! - [`harness`]: the threads, the same for all of them.
//! - [`verdict`]: what was sold against what the backend's stock lost.
//! - [`roster`]: which of them can be had here.
//! - [`plan`], [`run`]: every backend in turn at every load, round after round.
//! - [`summary`]: the rounds put together.
//! - [`report`]: the page with the graphs.
//! - [`compare`]: two reports side by side.
//!
//! Must never compare a backend with itself under other conditions: every one gets the
//! same threads, the same windows and an order to write for each unit.

pub mod backend;
pub mod backends;
pub mod compare;
mod costs;
pub mod harness;
pub mod load;
pub mod plan;
pub mod report;
pub mod roster;
pub mod run;
pub mod summary;
pub mod verdict;
