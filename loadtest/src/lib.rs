//! x

pub mod servers;
