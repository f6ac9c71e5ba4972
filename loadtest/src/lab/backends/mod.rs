//! The ways to sell, each as a careful user of the technique would write it.
//!
//! | file | ways |
//! |---|---|
//! | [`engine`] | this engine over HTTP |
//! | [`sql`] | a naive read-modify-write; `SELECT … FOR UPDATE`; a stored procedure; a conditional `UPDATE`; an optimistic version |
//! | [`redis`] | a lock as Redisson does it around a read-modify-write in the database; a Lua script with a stream of orders |
//! | [`planted`] | a lock that is broken on purpose: the lab has to find it |

pub mod engine;
pub mod planted;
mod pool;
pub mod redis;
pub mod sql;
