//! The ways to sell, each as a careful user of the technique would write it.
//!
//! | file | ways |
//! |---|---|
//! | [`engine`] | this engine over HTTP: a connection for each thread, or a few that they share |
//! | [`engine_epoll`] | the same from one thread that watches all connections |
//! | [`in_process`] | this engine in process; one `Mutex` around the same decision |
//! | [`sql`] | a naive read-modify-write; `SELECT … FOR UPDATE`; a stored procedure; a conditional `UPDATE`; an optimistic version |
//! | [`redis`] | a lock as Redisson does it around a read-modify-write in the database; a Lua script with a stream of orders |
//! | [`http_lua`] | the same script behind an HTTP server |
//! | [`planted`] | a lock that is broken on purpose: the lab has to find it |
//!
//! `http` has the tills and the pool of those that are reached over HTTP, [`script`] what sells in Redis.

pub mod engine;
pub mod engine_epoll;
mod http;
pub mod http_lua;
pub mod in_process;
pub mod planted;
mod pool;
pub mod redis;
pub mod script;
pub mod sql;
