//! A journal at its disk limit: who is still answered, and how.

#![allow(clippy::unwrap_used, reason = "a test may end here")]

use son7shop_actors::{Done, NewProduct, Settings, Shop, ShopError};
use son7shop_engine::{CustomerId, LineRequest, OrderView, PartitionId, Refusal, RequestKey, Requester, Sku, Won};
use son7shop_persistence::journal::faults::MemoryStorage;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SEGMENT: u64 = 128 << 10;
const FULL: ShopError = ShopError::JournalFull { partition: PartitionId(0) };

/// A shop of one partition and four segments, which is all the limit allows, and of a database that is away.
async fn open(storage: &MemoryStorage) -> Shop {
    let settings = Settings {
        data_dir: PathBuf::from("/shop"),
        database_url: "mysql://shop:none@127.0.0.1:1/shop".to_owned(),
        partitions: Some(1),
        segment_bytes: SEGMENT,
        journal_limit_bytes: 4 * SEGMENT,
        ..Settings::default()
    };
    Shop::open(settings, Arc::new(storage.clone())).await.unwrap()
}

async fn product(shop: &Shop, sku: &Sku, on_hand: u64) {
    let product = NewProduct { sku: sku.clone(), name: "Air".into(), price: Won(1000), on_hand, key: None };
    shop.create_product(product).await.unwrap();
}

/// One unit of each of `skus`, under key `n`.
async fn buy(shop: &Shop, skus: &[Sku], n: u64) -> Result<Done<OrderView>, ShopError> {
    let lines = skus.iter().map(|sku| LineRequest { sku: sku.clone(), quantity: 1 }).collect();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    let kim = CustomerId::parse("kim").unwrap();
    shop.place_order(kim, RequestKey { key, request: [u8::try_from(skus.len()).unwrap(); 16] }, lines).await
}

/// Orders, until the journal takes no more.
async fn fill(shop: &Shop, skus: &[Sku]) -> Vec<OrderView> {
    let mut placed = Vec::new();
    loop {
        match buy(shop, skus, placed.len() as u64).await {
            Ok(done) => placed.push(done.value),
            Err(error) => {
                assert_eq!(error, FULL);
                return placed;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_new_order_is_told_that_the_journal_is_full() {
    let storage = MemoryStorage::new();
    let shop = open(&storage).await;
    let (air, rare) = (Sku::parse("air").unwrap(), Sku::parse("rare").unwrap());
    product(&shop, &air, 1_000_000).await;
    product(&shop, &rare, 0).await;
    let placed = fill(&shop, std::slice::from_ref(&air)).await;

    let again = buy(&shop, std::slice::from_ref(&air), 0).await.unwrap();
    assert_eq!((again.repeated, &again.value), (true, &placed[0]), "a repeat gets its order");
    let reused = buy(&shop, &[air.clone(), rare.clone()], 0).await.unwrap_err();
    assert_eq!(reused, ShopError::Refused(Refusal::KeyReused));
    let refused = buy(&shop, std::slice::from_ref(&rare), u64::MAX).await.unwrap_err();
    assert_eq!(refused, ShopError::Refused(Refusal::SoldOut { sku: rare, requested: 1, available: 0 }));
    assert_eq!(buy(&shop, &[air], u64::MAX).await.unwrap_err(), FULL);
    shop.close(Duration::ZERO).await;
}

/// The event that ends a hold repeats its lines: room for them is kept, too.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_orders_of_many_long_lines_can_still_end() {
    let storage = MemoryStorage::new();
    let shop = open(&storage).await;
    let skus: Vec<Sku> = (0..50).map(|n| Sku::parse(&format!("{n:064}")).unwrap()).collect();
    for sku in &skus {
        product(&shop, sku, 1_000_000).await;
    }
    let placed = fill(&shop, &skus).await;
    assert!(placed.len() > 20, "only {} fitted", placed.len());
    for (n, order) in placed.iter().enumerate() {
        let ended = match n % 2 {
            0 => shop.cancel_order(order.id, Requester::Admin).await,
            _ => shop.confirm_order(order.id).await,
        };
        assert!(ended.is_ok(), "order {n} of {}: {ended:?}", placed.len());
    }
    assert_eq!(shop.product(skus[0].clone()).await.unwrap().stock.held, 0);
    let fifth = storage.contents(Path::new("/shop/p0000/0000000005.segment"));
    assert!(fifth.is_none(), "what was reserved did not suffice");
    shop.close(Duration::ZERO).await;
}
