//! The API over real sockets against the real binary: what it promises, request by request,
//! each answer held against its own OpenAPI.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod bad_requests;
mod document;
mod drift;
mod payments;
mod promises;
mod said;
#[path = "../payments/till.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod till;
mod unavailable;
mod webhooks;
mod wire_errors;
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;
