//! x

pub mod no_sync;
