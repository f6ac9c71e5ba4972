//! The contention lab: many threads, one product, every way people sell it.
//!
//! - [`backend`]: what a way of selling has to be able to do, and what it promises.
//! - [`backends`]: the ways, each as a careful user of the technique would write it.
//! - [`harness`]: the threads, the same for all of them.
//! - [`report`]: the page with the graphs.
//! - [`run`]: every backend in turn, round after round.
//! - [`summary`]: the rounds put together.
//! - [`verdict`]: what was sold against what the backend's stock lost.
//!
//! Must never compare a backend with itself under other conditions: every one gets the
//! same threads, the same windows and an order to write for each unit.

pub mod backend;
pub mod backends;
pub mod harness;
pub mod report;
pub mod run;
pub mod summary;
pub mod verdict;
