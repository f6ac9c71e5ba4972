//! Paying, over real sockets against the real binary and the sandbox inside it: what a shopper, a
//! customer and an operator do, and what of it must change nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../api/document.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod document;
#[path = "../api/said.rs"]
mod said;
#[path = "../api/world.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

mod hostile;
mod journeys;
mod limits;
mod streams;
mod till;
