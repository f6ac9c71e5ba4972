//! The Kakao Pay client, for the current API.
//!
//! Two layers: [`wire`] knows the bytes and does no I/O, the client moves them. Kakao Pay has no idempotency
//! key: nothing here may make a call again by itself.

mod answer;
pub mod codes;
pub mod wire;
