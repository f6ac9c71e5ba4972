//! The table's rows, by what it takes to measure them.

pub mod http;
pub mod http_rows;
pub mod in_process;
pub mod memory;
pub mod payments;
