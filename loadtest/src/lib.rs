//! The contention lab: load against this engine and against what people use instead.
//!
//! - [`contention`]: the scenario in which far more buyers than units meet; its check of the promises.
//! - [`lab`]: many threads against this engine and everything else that sells; its table.
//! - [`journeys`]: shoppers who look, order and change their minds, for seconds or for hours.
//! - [`page`]: what every report's page is made of.
//! - [`drive`]: the load client, closed and open loop.
//! - [`prepared`]: the plainest workload for it.
//! - [`request`], [`answer`]: the little of HTTP/1.1 that it needs.
//! - [`client`]: a small blocking client for everything that is not load; [`metrics`] reads counters with it,
//!   [`api`] makes products and reads stock and orders.
//! - [`lean`]: a client for threads that buy.
//! - [`program`], [`shop`]: the servers under test as programs.
//! - [`process`]: what a process costs: processor time, context switches, memory.
//! - [`limits`]: open files.
//! - [`target`]: whether an address is on this machine.
//! - [`servers`]: MariaDB, MySQL and Redis, for tests and to compare with.
//!
//! Knows no other crate of the workspace, so that every one of them may use it in its tests.

pub mod answer;
pub mod api;
pub mod client;
pub mod contention;
pub mod drive;
pub mod journeys;
pub mod lab;
pub mod lean;
pub mod limits;
pub mod metrics;
pub mod page;
pub mod prepared;
pub mod process;
pub mod program;
pub mod request;
pub mod servers;
pub mod shop;
pub mod target;
mod watchdog;
