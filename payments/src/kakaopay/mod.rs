//! The Kakao Pay client, for the current API.
//!
//! Two layers: [`wire`] knows the bytes and does no I/O, the client moves them. Kakao Pay has no idempotency
//! key: nothing here may make a call again by itself.

mod answer;
mod breaker;
mod client;
pub mod codes;
mod returns;
mod settings;
pub mod wire;

pub use client::KakaoPay;
pub use settings::{Key, LIVE_BASE, PLATFORM_SECONDS, Profile, Settings, SettingsError, TEST_CID};
