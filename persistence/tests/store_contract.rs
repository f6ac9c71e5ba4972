//! The contract that every dialect keeps: one table of cases, run on SQLite, MariaDB and
//! MySQL, each case in a database of its own.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod store_cases;
mod store_support;

use son7shop_loadtest::servers;
use store_support::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    store_cases::run(&Place::Sqlite(tempfile::tempdir().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_the_contract() {
    store_cases::run(&Place::Server(servers::mariadb().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_keeps_the_contract() {
    if let Some(server) = servers::mysql_or_say_so("mysql_keeps_the_contract").unwrap() {
        store_cases::run(&Place::Server(server)).await;
    }
}
