//! How money moves: the gateway trait, the Kakao Pay client, and a sandbox that speaks Kakao
//! Pay's protocol.
//!
//! A gateway is asked and answers; what follows from an answer is decided in the engine
//! (`son7shop_engine::saga`). This crate must never keep an order's state, never take a lookup's
//! place by a guess, and never print a key, a proof or a payment page's address.

pub mod gateway;
pub mod kakaopay;
pub mod sandbox;
