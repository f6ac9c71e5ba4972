//! What goes wrong between the store and a server: answers that are lost, servers that are
//! killed, stopped, paused or away. A batch is in the database exactly once afterwards.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod store_support;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use son7shop_engine::{OrderId, PartitionId, Time};
use son7shop_loadtest::servers::{self, Server};
use son7shop_persistence::store::{self, Batch, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use store_support::history::{PARTITIONS, World};
use store_support::proxy::Proxy;
use store_support::{contents, position, seeds};

fn batches(journal: &[son7shop_engine::Record], partition: u16, size: usize) -> Vec<Batch<'_>> {
    let mut at = 0;
    journal
        .chunks(size)
        .map(|records| {
            let before = (at > 0).then(|| position(at));
            at += records.len() as u64;
            Batch { partition: PartitionId(partition), before, after: position(at), records }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_counts_once() {
    let server = servers::mariadb().unwrap();
    let proxy = Proxy::start(server.port()).await;
    let url = server.url().replace(&server.port().to_string(), &proxy.port.to_string());
    let store = store::connect(&url).await.unwrap();
    let mut world = World::new(31, 9);
    world.run(400);
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        for (turn, batch) in batches(journal, partition, 15).iter().enumerate() {
            match turn % 3 {
                0 => {
                    // It was committed, nobody said so: the store finds out by itself.
                    proxy.lose_next_answer();
                    assert_eq!(store.apply(batch).await.unwrap(), batch.after);
                }
                1 => {
                    // It never arrived: the caller is told to ask again.
                    proxy.lose_next_commit();
                    let said = store.apply(batch).await;
                    assert!(said.as_ref().is_err_and(StoreError::is_retryable), "{said:?}");
                    assert_eq!(store.position(batch.partition).await.unwrap(), batch.before);
                    assert_eq!(store.apply(batch).await.unwrap(), batch.after);
                }
                _ => assert_eq!(store.apply(batch).await.unwrap(), batch.after),
            }
            assert!(proxy.lost());
        }
    }
    world.check(&contents(&*store).await);
}

/// A COMMIT that hangs past the time limit: the caller gives up and finds no position, and the
/// batch that is sent again meets the first one's row. That row must be compared, not refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_batch_sent_again_while_its_commit_hangs_counts_once() {
    let server = servers::mariadb().unwrap();
    let proxy = Proxy::start(server.port()).await;
    let url = server.url().replace(&server.port().to_string(), &proxy.port.to_string());
    let mut world = World::new(32, 9);
    world.run(100);
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        // The wire knows the statement by its preparation: a store that has no connection yet.
        let store = store::connect(&url).await.unwrap();
        let batches = batches(journal, partition, 15);
        proxy.hold_next_commit();
        tokio::select! {
            said = store.apply(&batches[0]) => panic!("{said:?}"),
            () = proxy.held() => {}
        }
        assert_eq!(store.position(PartitionId(partition)).await.unwrap(), None);
        for batch in &batches {
            assert_eq!(store.apply(batch).await.unwrap(), batch.after);
        }
        assert!(proxy.lost());
        store.close().await;
    }
    world.check(&contents(&*store::connect(&url).await.unwrap()).await);
}

/// Sends every batch until it is there, while `harm` harms the server.
async fn survives(mut server: Server, seed: u64, rounds: u32, harm: fn(&mut Server)) {
    println!("SON7_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let store = store::connect(&server.url()).await.unwrap();
    let mut world = World::new(seed, 12);
    world.run(3000);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let harming = done.clone();
    let hands = tokio::task::spawn_blocking(move || {
        let mut harmed = 0;
        while harmed < rounds && !harming.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(rng.random_range(5..120)));
            harm(&mut server);
            server.start_again().unwrap();
            harmed += 1;
        }
        (server, harmed)
    });
    let mut retried = 0;
    let mut order = Vec::new();
    for (partition, journal) in (0..PARTITIONS).zip(&world.journals) {
        order.extend(batches(journal, partition, 20));
    }
    for batch in &order {
        loop {
            match store.apply(batch).await {
                Ok(at) => {
                    assert_eq!(at, batch.after);
                    break;
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{error:?}");
                    retried += 1;
                    assert!(retried < 10_000, "{error:?}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let (_server, harmed) = hands.await.unwrap();
    println!("harmed {harmed} times, {retried} batches sent again");
    assert!(harmed > 0);
    world.check(&contents(&*store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mariadb_has_every_batch_once() {
    for seed in seeds(1) {
        survives(servers::mariadb().unwrap(), seed, 8, |server| server.kill().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_mariadb_has_every_batch_once() {
    for seed in seeds(1) {
        survives(servers::mariadb().unwrap(), seed, 4, |server| server.stop().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mysql_has_every_batch_once() {
    for seed in seeds(1) {
        if let Some(server) = servers::mysql_or_say_so("a_killed_mysql_has_every_batch_once").unwrap() {
            survives(server, seed, 3, |server| server.kill().unwrap()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_or_hangs_is_retryable_and_bounded() {
    let mut server = servers::mariadb().unwrap();
    let store = store::connect(&server.url()).await.unwrap();
    let id = OrderId::new(Time(1), 1, PartitionId(0));
    server.pause().unwrap();
    let said = store.order(id).await;
    assert!(said.as_ref().is_err_and(StoreError::is_retryable), "{said:?}");
    server.resume().unwrap();
    assert_eq!(store.order(id).await.unwrap(), None);
    server.kill().unwrap();
    for said in [store.order(id).await.map(|_| ()), store::connect(&server.url()).await.map(|_| ())] {
        assert!(said.as_ref().is_err_and(StoreError::is_retryable), "{said:?}");
    }
    server.start_again().unwrap();
    assert_eq!(store.order(id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waiting_does_not_help_is_not_retryable() {
    let server = servers::mariadb().unwrap();
    let wrong = server.url().replace("son7shop:son7shop@", "son7shop:wrong@");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "this is no database, and it is long enough to be looked at").unwrap();
    let damaged = format!("sqlite:{}", file.path().display());
    for url in [&wrong, &damaged, "sqlite::memory:", "mysql://127.0.0.1:1/", "oracle:x", "mysql://", ""] {
        let said = store::connect(url).await;
        assert!(said.as_ref().is_err_and(|error| !error.is_retryable()), "{url}: {said:?}");
        let said = format!("{:?} {}", said, said.as_ref().unwrap_err());
        assert!(!said.contains("wrong@"), "{said}");
    }
    assert!(matches!(store::connect(&wrong).await, Err(StoreError::Denied(_))));
    assert!(matches!(store::connect(&damaged).await, Err(StoreError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_writer_of_the_file_is_waited_for_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with %20 and ? in it.db");
    let store: Arc<dyn Store> = store::connect_file(&path).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let mut world = World::new(1, 9);
    world.run(20);
    let all = batches(&world.journals[0], 0, 1000);
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let said = store.apply(&all[0]).await;
    assert!(matches!(said, Err(StoreError::Contended(_))), "{said:?}");
    // Readers do not wait.
    assert_eq!(store.position(PartitionId(0)).await.unwrap(), None);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(store.apply(&all[0]).await.unwrap(), all[0].after);
}
