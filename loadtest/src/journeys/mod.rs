//! Journeys: shoppers who look, order and change their minds, for seconds or for hours.
//!
//! - [`scenario`]: what is to happen, from TOML; [`thresholds`]: what it may come to.
//! - [`shoppers`]: the walk over weighted steps. [`ledger`]: what was told, over time.
//! - [`samples`]: the server's memory, lag and journal over time.
//! - [`run`]: prepares the shop, lets the shoppers loose, asks for the account. [`promises`]: whether it is right.
//! - [`sale`]: a flash sale that opens at a set second, with a crowd waiting.
//! - [`report`]: the page, JSON and CSV.
//!
//! Must never add successes and refusals together, and never give a figure that was not measured.

pub mod ledger;
pub mod promises;
pub mod report;
pub mod run;
pub mod sale;
pub mod samples;
pub mod scenario;
pub mod shoppers;
pub mod thresholds;
