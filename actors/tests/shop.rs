//! The shop as a whole, in process: orders, keys, baskets, restarts and the database.

#![allow(clippy::unwrap_used, reason = "a test may end here")]

use son7shop_actors::{NewProduct, Settings, Shop, ShopError, verify};
use son7shop_engine::{
    CustomerId, LineRequest, OrderStatus, PartitionId, Refusal, RequestKey, Requester, Sku, Stock, Won, partition_of,
};
use son7shop_persistence::journal::DiskStorage;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn settings(folder: &Path, partitions: u16) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(partitions),
        segment_bytes: 1 << 20,
        ..Settings::default()
    }
}

async fn open(folder: &Path, partitions: u16) -> Shop {
    Shop::open(settings(folder, partitions), Arc::new(DiskStorage)).await.unwrap()
}

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).unwrap()
}

fn key(n: u8) -> RequestKey {
    RequestKey { key: [n; 16], request: [n; 16] }
}

fn numbered(n: u64) -> RequestKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    RequestKey { key, request: key }
}

fn line(sku: &Sku, quantity: u32) -> LineRequest {
    LineRequest { sku: sku.clone(), quantity }
}

async fn product(shop: &Shop, sku: &Sku, on_hand: u64) {
    let product = NewProduct { sku: sku.clone(), name: "Air".into(), price: Won(1000), on_hand, key: None };
    shop.create_product(product).await.unwrap();
}

/// Skus of `n` different partitions.
fn skus_of_different_partitions(partitions: u16, n: usize) -> Vec<Sku> {
    let mut found: Vec<Sku> = Vec::new();
    for candidate in (0..1000).map(|n| sku(&format!("sku-{n:03}"))) {
        let at = partition_of(&candidate, partitions);
        if found.iter().all(|known| partition_of(known, partitions) != at) {
            found.push(candidate);
        }
    }
    found.truncate(n);
    assert_eq!(found.len(), n);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_restart_and_reaches_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let air = sku("air");
    let shop = open(folder.path(), 1).await;
    product(&shop, &air, 3).await;
    let placed = shop.place_order(customer("kim"), key(1), vec![line(&air, 2)]).await.unwrap();
    assert_eq!((placed.repeated, placed.value.status, placed.value.total), (false, OrderStatus::Held, Won(2000)));
    let again = shop.place_order(customer("kim"), key(1), vec![line(&air, 2)]).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.value, placed.value);
    let refused = shop.place_order(customer("lee"), key(2), vec![line(&air, 2)]).await.unwrap_err();
    assert_eq!(refused, ShopError::Refused(Refusal::SoldOut { sku: air.clone(), requested: 2, available: 1 }));
    shop.close(DEADLINE).await;

    let shop = open(folder.path(), 1).await;
    let kim = Requester::Customer(customer("kim"));
    assert_eq!(shop.order(placed.value.id, kim.clone()).await.unwrap(), placed.value);
    let page = shop.orders(Some(customer("kim")), None, 10).await.unwrap();
    assert_eq!((page.orders, page.next), (vec![placed.value.clone()], None));
    let lee = Requester::Customer(customer("lee"));
    let hidden = Refusal::UnknownOrder { order: placed.value.id };
    assert_eq!(shop.cancel_order(placed.value.id, lee).await.unwrap_err(), ShopError::Refused(hidden));
    let cancelled = shop.cancel_order(placed.value.id, kim).await.unwrap();
    assert_eq!(cancelled.status, OrderStatus::Cancelled);
    assert_eq!(shop.product(air).await.unwrap().stock, Stock { supplied: 3, held: 0, sold: 0 });
    shop.close(DEADLINE).await;
    let verified = verify(&settings(folder.path(), 1), Arc::new(DiskStorage), false).await.unwrap();
    assert_eq!((verified.differences, verified.orders, verified.products), (vec![], 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_over_partitions_is_held_everywhere_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let shop = open(folder.path(), 3).await;
    let skus = skus_of_different_partitions(3, 3);
    for (sku, on_hand) in skus.iter().zip([5, 5, 1]) {
        product(&shop, sku, on_hand).await;
    }
    let basket: Vec<LineRequest> = skus.iter().map(|sku| line(sku, 1)).collect();
    let placed = shop.place_order(customer("kim"), key(1), basket.clone()).await.unwrap().value;
    assert_eq!((placed.status, placed.lines.len(), placed.total), (OrderStatus::Held, 3, Won(3000)));
    let refused = shop.place_order(customer("lee"), key(2), basket).await.unwrap_err();
    assert_eq!(refused, ShopError::Refused(Refusal::SoldOut { sku: skus[2].clone(), requested: 1, available: 0 }));
    shop.confirm_order(placed.id).await.unwrap();
    shop.close(DEADLINE).await;

    let shop = open(folder.path(), 3).await;
    let mut sold = Vec::new();
    for sku in &skus {
        // The participant may still be ending lee's parts: it reads on after the restart.
        loop {
            let stock = shop.product(sku.clone()).await.unwrap().stock;
            if stock.held == 0 {
                sold.push(stock.sold);
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(sold, [1, 1, 1]);
    shop.close(DEADLINE).await;
    let verified = verify(&settings(folder.path(), 3), Arc::new(DiskStorage), false).await.unwrap();
    assert_eq!(verified.differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_disk_limit_new_orders_are_refused_and_open_ones_can_end() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    let limited = Settings {
        database_url: format!("sqlite:{}", away.join("shop.sqlite").display()),
        segment_bytes: 64 << 10,
        journal_limit_bytes: 512 << 10,
        orders_max: 64,
        ..settings(folder.path(), 1)
    };
    let shop = Shop::open(limited, Arc::new(DiskStorage)).await.unwrap();
    let air = sku("air");
    product(&shop, &air, 1_000_000).await;
    let mut placed = Vec::new();
    let order = async |n: u64| shop.place_order(customer("kim"), numbered(4 * n), vec![line(&air, 1)]).await;
    let full = loop {
        let n = u64::try_from(placed.len()).unwrap();
        match order(n).await {
            Ok(done) => placed.push(done.value.id),
            Err(error) => break error,
        }
        // Long reasons fill the journal, and snapshots do not grow with them.
        for key in 4 * n + 1..4 * n + 4 {
            shop.adjust_stock(air.clone(), 1, "x".repeat(200).into(), numbered(key)).await.unwrap();
        }
    };
    assert_eq!(full, ShopError::JournalFull { partition: PartitionId(0) });
    let count = u64::try_from(placed.len()).unwrap();
    assert!(count > 100, "only {count} orders");
    assert_eq!(shop.product(air.clone()).await.unwrap().stock.held, count);
    for (n, order) in placed.into_iter().enumerate() {
        if n % 2 == 0 {
            shop.cancel_order(order, Requester::Admin).await.unwrap();
        } else {
            shop.confirm_order(order).await.unwrap();
        }
    }
    let stock = shop.product(air.clone()).await.unwrap().stock;
    assert_eq!((stock.held, stock.sold), (0, count / 2));

    // What ended needs no room any more. Then it is full again, until the database has its events.
    let mut next = count;
    while order(next).await.is_ok() {
        next += 1;
    }
    std::fs::create_dir(&away).unwrap();
    let resumed = async {
        while let Err(error) = order(next).await {
            assert_eq!(error, full);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, resumed).await.unwrap();
    shop.close(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_under_a_journal_without_its_start_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let small = Settings { segment_bytes: 64 << 10, ..settings(folder.path(), 1) };
    let shop = Shop::open(small.clone(), Arc::new(DiskStorage)).await.unwrap();
    let air = sku("air");
    product(&shop, &air, 1).await;
    let first = folder.path().join("p0000/0000000001.segment");
    let removed = async {
        for n in 0.. {
            shop.adjust_stock(air.clone(), 1, "x".repeat(200).into(), numbered(n)).await.unwrap();
            if !first.exists() {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, removed).await.unwrap();
    shop.close(DEADLINE).await;

    let other = Settings { database_url: format!("sqlite:{}", folder.path().join("new.sqlite").display()), ..small };
    let Err(error) = Shop::open(other, Arc::new(DiskStorage)).await else { panic!("it was opened") };
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("the database has nothing of this journal"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_credits_is_said_at_once_and_nothing_happened() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = Settings { orders_max: 1, ..settings(folder.path(), 1) };
    let shop = Shop::open(narrow, Arc::new(DiskStorage)).await.unwrap();
    let air = sku("air");
    product(&shop, &air, 100).await;
    let orders = (0..20).map(|n| shop.place_order(customer("kim"), key(n), vec![line(&air, 1)]));
    let answers = futures_util::future::join_all(orders).await;
    let placed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|error| *error == ShopError::Overloaded));
    assert!((1..20).contains(&placed), "{placed} of 20 placed with room for one at a time");
    let held = shop.product(air.clone()).await.unwrap().stock.held;
    assert_eq!(held, u64::try_from(placed).unwrap());
    // Its answers gave the credits back.
    shop.place_order(customer("kim"), key(100), vec![line(&air, 1)]).await.unwrap();
    shop.close(DEADLINE).await;
}
