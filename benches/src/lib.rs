//! The speed table's parts. The programs in `bin/` are put together from them.
//!
//! - [`spread`]: several rounds as median, minimum and maximum.
//! - [`table`]: the table's rows, as Markdown.
//! - [`side`]: the two sides of a comparison as running programs: the product, and the bare one.
//! - [`measure`]: one load on one side: throughput, latencies, and what an order cost.
//! - [`rows`]: the measurements, and the rows that come of them.
//! - [`disk`]: how long the disk takes to sync.
//! - [`history`]: a made-up history of one partition.
//! - [`in_process`]: what sells in its buyers' process: the engine, and a mutex around its decision.
//! - [`no_sync`]: a disk that does not sync, to see what syncing costs.

pub mod disk;
pub mod history;
pub mod in_process;
pub mod measure;
pub mod no_sync;
pub mod rows;
pub mod side;
pub mod spread;
pub mod table;
