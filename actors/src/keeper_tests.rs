//! Owners that die: what was acknowledged stays, who waited is told, others go on.

use crate::owner::Panic;
use crate::{NewProduct, Settings, Shop, ShopError};
use son7shop_engine::{CustomerId, LineRequest, PartitionId, RequestKey, Requester, Sku, Won, partition_of};
use son7shop_persistence::journal::faults::{Call, MemoryStorage};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u16 = 2;

/// A shop on storage that fails when told to.
async fn open(storage: &MemoryStorage, database: &Path) -> Shop {
    let settings = Settings {
        data_dir: PathBuf::from("/shop"),
        database_url: format!("sqlite:{}", database.display()),
        partitions: Some(PARTITIONS),
        segment_bytes: 1 << 20,
        ..Settings::default()
    };
    Shop::open(settings, Arc::new(storage.clone())).await.unwrap()
}

fn sku_of(partition: u16) -> Sku {
    let mut skus = (0..100).map(|n| Sku::parse(&format!("sku-{n}")).unwrap());
    skus.find(|sku| partition_of(sku, PARTITIONS) == PartitionId(partition)).unwrap()
}

async fn product(shop: &Shop, sku: &Sku) {
    let product = NewProduct { sku: sku.clone(), name: "Air".into(), price: Won(1000), on_hand: 100, key: None };
    shop.create_product(product).await.unwrap();
}

/// Buys one unit under key `n`.
async fn buy(shop: &Shop, sku: &Sku, n: u8) -> Result<crate::Done<son7shop_engine::OrderView>, ShopError> {
    let customer = CustomerId::parse("kim").unwrap();
    let key = RequestKey { key: [n; 16], request: [n; 16] };
    shop.place_order(customer, key, vec![LineRequest { sku: sku.clone(), quantity: 1 }]).await
}

/// Asks again, with the same key, until the partition serves.
async fn buy_in_the_end(shop: &Shop, sku: &Sku, n: u8) -> crate::Done<son7shop_engine::OrderView> {
    loop {
        match buy(shop, sku, n).await {
            Ok(done) => return done,
            Err(ShopError::OutcomeUnknown | ShopError::PartitionClosed { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// `harm` kills the owner of partition 0 while an order is on its way to it.
async fn check(harm: impl Fn(&Shop, &MemoryStorage)) {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    let (hurt, spared) = (sku_of(0), sku_of(1));
    product(&shop, &hurt).await;
    product(&shop, &spared).await;
    let before = buy(&shop, &hurt, 1).await.unwrap();
    // Another file's sync may take the failure that was meant for the owner's.
    let mut unknown = 2;
    loop {
        harm(&shop, &storage);
        match buy(&shop, &hurt, unknown).await {
            // The owner was dead before the order was sent: once more.
            Err(ShopError::PartitionClosed { .. }) => {
                buy_in_the_end(&shop, &hurt, unknown).await;
                unknown += 1;
            }
            Err(error) => break assert_eq!(error, ShopError::OutcomeUnknown),
            Ok(_) => unknown += 1,
        }
    }
    assert!(!buy(&shop, &spared, 100).await.unwrap().repeated, "the other partition goes on selling");

    let after = buy_in_the_end(&shop, &hurt, unknown).await;
    assert_ne!(after.value.id, before.value.id);
    assert_eq!(buy(&shop, &hurt, 1).await.unwrap().value, before.value, "what was acknowledged is there");
    assert_eq!(shop.order(after.value.id, Requester::Admin).await.unwrap(), after.value);
    assert_eq!(shop.product(hurt).await.unwrap().stock.held, u64::from(unknown));
    shop.close(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_panics_is_rebuilt() {
    check(|shop, _| shop.inner.gates[0].owner().unwrap().do_send(Panic)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_sync_fails_is_rebuilt() {
    check(|_, storage| storage.fail(Call::Sync, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_write_fails_is_rebuilt() {
    check(|_, storage| storage.fail(Call::Write, 1)).await;
}

const DEADLINE: Duration = Duration::from_secs(20);

async fn in_time<T>(end: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, end).await.unwrap()
}

/// Returns once partition 0 is closed for good, and why. `harm` is done to every owner it gets.
async fn until_closed(shop: &Shop, harm: impl Fn()) -> String {
    loop {
        match shop.inner.gates[0].owner() {
            Ok(_) => harm(),
            Err(ShopError::PartitionClosed { why, .. }) if why.starts_with("closed") => return why,
            Err(_) => {}
        }
        tokio::task::yield_now().await;
    }
}

fn kill(shop: &Shop) {
    if let Ok(owner) = shop.inner.gates[0].owner() {
        owner.do_send(Panic);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_owners_keep_dying_is_closed_and_the_others_go_on() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    product(&shop, &sku_of(1)).await;
    let why = in_time(until_closed(&shop, || kill(&shop))).await;
    assert!(why.contains("owners died"), "{why}");
    assert!(!shop.is_ready());
    assert!(!buy(&shop, &sku_of(1), 1).await.unwrap().repeated);
    shop.close(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_journal_cannot_be_recovered_is_for_the_log_alone() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    storage.plant(Path::new("/shop/p0000/0000000001.segment"), b"no");
    kill(&shop);
    let why = in_time(until_closed(&shop, || ())).await;
    assert_eq!(why, "closed: its journal cannot be recovered; see the log");
    let crate::Readiness::NotReady(shown) = shop.readiness() else { panic!("it is ready") };
    assert!(!shown.contains("/shop"), "{shown}");
    shop.close(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_dies_while_the_shop_drains_is_the_last() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    shop.drain();
    kill(&shop);
    in_time(shop.inner.gates[0].until_closed()).await;
    shop.close(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_sync_hangs_can_be_closed() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    product(&shop, &sku_of(0)).await;
    let hold = storage.hold(Call::Sync, ".segment");
    let buyer = shop.clone();
    tokio::spawn(async move { buy(&buyer, &sku_of(0), 1).await });
    let hangs = async {
        while hold.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time(hangs).await;
    in_time(shop.close(Duration::ZERO)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_free_once_its_shop_is_closed() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let database = folder.path().join("shop.sqlite");
    let shop = open(&storage, &database).await;
    // The second segment is being made, and goes on once the arbiters were told to stop.
    let hold = storage.hold(Call::Rename, ".segment.tmp");
    let segment = Path::new("/shop/p0000/0000000002.segment");
    let making = async {
        while hold.waiting() == 0 && storage.contents(segment).is_none() {
            tokio::task::yield_now().await;
        }
    };
    in_time(making).await;
    let arbiter = shop.arbiters()[0].clone();
    let released = std::thread::spawn(move || {
        while arbiter.spawn_fn(|| ()) {
            std::thread::yield_now();
        }
        drop(hold);
    });
    shop.close(DEADLINE).await;
    open(&storage, &database).await.close(DEADLINE).await;
    released.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_made_ahead_while_a_snapshot_takes_long() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open(&storage, &folder.path().join("shop.sqlite")).await;
    let sku = sku_of(0);
    product(&shop, &sku).await;
    let hold = storage.hold(Call::Create, ".snapshot.tmp");
    let is_there = |number: u64| storage.contents(Path::new(&format!("/shop/p0000/{number:010}.segment"))).is_some();
    let adjust = async |n: u64| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.to_le_bytes());
        let key = RequestKey { key, request: key };
        shop.adjust_stock(sku.clone(), 1, "x".repeat(200).into(), key).await.unwrap();
    };
    let all = async {
        let mut n = 0;
        while hold.waiting() == 0 || shop.inner.gates[0].committed().segment < 3 {
            adjust(n).await;
            n += 1;
        }
        while !is_there(shop.inner.gates[0].committed().segment + 1) {
            tokio::task::yield_now().await;
        }
    };
    in_time(all).await;
    drop(hold);
    shop.close(DEADLINE).await;
}
