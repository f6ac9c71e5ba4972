//! How people reach it: warp routes, tokens, our own accept loop, and the binary `son7shop`.
//!
//! This crate parses, calls [`son7shop_actors::Shop`] and renders. It must never decide
//! what the shop decides, and never let anything that may block onto an arbiter.

pub mod api;
pub mod data_plane;
pub mod metrics;
pub mod settings;
pub mod token;
