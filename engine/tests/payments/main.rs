//! The rules of paying: what each command and each answer of a gateway leads to, wherever an order stands.

#![allow(clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod forgetting;
mod histories;
mod refunds;
mod sagas;
mod shop;
mod states;
