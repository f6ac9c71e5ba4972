//! Baskets whose neighbours are closed, and participants that start again.

use super::*;
use crate::gate::GateState;
use crate::{NewProduct, Settings, Shop, clock};
use son7shop_engine::{
    CustomerId, Ended, LineRequest, Lines, OrderStatus, OrderView, PartHold, PartRequest, PlaceOrder, RequestKey,
    Requester, Sku, Time, Won, partition_of,
};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{DataFolder, FolderOptions, Journal, OpenHints, Recovered};
use std::future::Future;
use std::path::{Path, PathBuf};

/// Keeps a test that would hang from hanging.
const PATIENCE: Duration = Duration::from_mins(1);
const SEGMENT: u64 = 1 << 20;

async fn open_shop(storage: &MemoryStorage, folder: &Path, partitions: u16) -> Shop {
    let settings = Settings {
        data_dir: PathBuf::from("/shop"),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(partitions),
        segment_bytes: SEGMENT,
        ..Settings::default()
    };
    Shop::open(settings, Arc::new(storage.clone())).await.unwrap()
}

/// A sku of each partition; the first is the lowest.
fn skus(partitions: u16) -> Vec<Sku> {
    let of = |partition| {
        let mut names = (0..1000).map(|n| Sku::parse(&format!("{partition}-{n}")).unwrap());
        names.find(|sku| partition_of(sku, partitions) == PartitionId(partition)).unwrap()
    };
    (0..partitions).map(of).collect()
}

fn create(sku: &Sku) -> Command {
    Command::CreateProduct { sku: sku.clone(), name: "Air".into(), price: Won(1000), on_hand: 1_000_000, key: None }
}

fn lines(skus: &[&Sku]) -> Vec<LineRequest> {
    skus.iter().map(|sku| LineRequest { sku: (*sku).clone(), quantity: 1 }).collect()
}

fn key(n: u64) -> RequestKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    RequestKey { key, request: key }
}

fn kim() -> CustomerId {
    CustomerId::parse("kim").unwrap()
}

async fn buy(shop: &Shop, skus: &[&Sku], n: u64) -> Result<crate::Done<OrderView>, ShopError> {
    in_time(shop.place_order(kim(), key(n), lines(skus))).await
}

async fn held(shop: &Shop, sku: &Sku) -> u64 {
    shop.product(sku.clone()).await.unwrap().stock.held
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_stays_closed_does_not_stop_its_neighbours_baskets() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open_shop(&storage, folder.path(), 3).await;
    let skus = skus(3);
    let [home, closed, healthy] = &skus[..] else { panic!("three partitions") };
    for sku in &skus {
        let (sku, name) = (sku.clone(), "Air".into());
        shop.create_product(NewProduct { sku, name, price: Won(1000), on_hand: 1_000_000, key: None }).await.unwrap();
    }
    // More than may be under way at once.
    let count = ASKS_MAX as u64 + 100;
    let all = [home, closed, healthy];
    let placed = join_all((0..count).map(|n| buy(&shop, &all, n))).await;
    let placed: Vec<OrderView> = placed.into_iter().map(|done| done.unwrap().value).collect();
    shop.inner.gates[1].close(GateState::Closed("burnt"));
    for ended in join_all(placed.iter().map(|order| shop.cancel_order(order.id, Requester::Admin))).await {
        ended.unwrap();
    }

    assert_eq!(buy(&shop, &[home, healthy], count).await.unwrap().value.status, OrderStatus::Held);
    in_time(async {
        while held(&shop, healthy).await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let burnt = ShopError::PartitionClosed { partition: PartitionId(1), why: "burnt".to_owned() };
    assert_eq!(buy(&shop, &[home, closed], count + 1).await.unwrap_err(), burnt);
    assert_eq!(held(&shop, home).await, 1, "it was refused before it held anything");
    let again = buy(&shop, &all, 0).await.unwrap();
    assert_eq!((again.repeated, again.value.status), (true, OrderStatus::Cancelled));
    shop.close(Duration::from_secs(20)).await;
}

/// The asks of two events of one home overtake each other: units that come back wait for their sale.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_before_it_was_sold_is_asked_again() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let shop = open_shop(&storage, folder.path(), 2).await;
    let sku = skus(2).remove(1);
    let new = NewProduct { sku: sku.clone(), name: "Air".into(), price: Won(1000), on_hand: 5, key: None };
    shop.create_product(new).await.unwrap();
    let gate = Arc::clone(&shop.inner.gates[1]);
    let order = OrderId::new(clock::now(), 1, PartitionId(0));
    let deadline = clock::now().plus_millis(600_000);
    let held = PartHold { order, customer: kim(), lines: lines(&[&sku]), deadline };
    calls::decide(&gate, Command::HoldPart(held)).await.unwrap();
    let restock = Command::RestockPart { order, refund: 1, lines: Lines::from(lines(&[&sku])) };
    let early = calls::decide(&gate, restock.clone()).await.unwrap();
    assert_eq!(early, Outcome::Refused(Refusal::PartHeld));

    let mut back = Box::pin(until_answered_by(&gate, &restock));
    assert!(tokio::time::timeout(RETRY_MIN * 3, &mut back).await.is_err(), "it waits");
    calls::decide(&gate, Command::ConfirmPart { order }).await.unwrap();
    assert!(matches!(in_time(back).await, Some(Outcome::Accepted(_))));
    let stock = shop.product(sku).await.unwrap().stock;
    assert_eq!((stock.held, stock.sold, stock.available()), (0, 0, 5));
    shop.close(Duration::from_secs(20)).await;
}

fn open_data(storage: &MemoryStorage) -> DataFolder {
    let options = FolderOptions { segment_bytes: SEGMENT, ..FolderOptions::new(Some(2), [7; 16]) };
    DataFolder::open(Arc::new(storage.clone()), Path::new("/shop"), &options).unwrap()
}

/// Partition 0's participant, at its cursor.
fn participant(data: &DataFolder, gates: Vec<Arc<Gate>>) -> State {
    let folder = data.partition(PartitionId(0)).unwrap();
    State::at_cursor(Args { home: Arc::clone(&gates[0]), gates: gates.into(), folder }).unwrap()
}

#[tokio::test]
async fn a_frame_is_asked_for_no_faster_than_there_is_room() {
    let data = open_data(&MemoryStorage::new());
    let committed = |folder| Journal::open(&folder, OpenHints::default(), 1, &mut |_| {}).unwrap().journal.committed();
    let gates = data.all().map(|folder| Arc::new(Gate::new(folder.id(), 8, committed(folder)))).collect();
    let mut state = participant(&data, gates);
    let parts = vec![PartitionId(1)];
    let id = OrderId::new(Time(0), 1, PartitionId(0));
    let event = Event::OrderExpired(Ended { id, lines: Lines::new(), parts });
    state.frame = std::iter::repeat_n(Record { at: Time(0), event }, ASKS_MAX + 1).collect();
    assert!(!state.start());
    assert_eq!((state.asking.len(), state.frame.len(), state.ends.len()), (ASKS_MAX, 1, 0));
    state.asking.shutdown().await;
    assert!(state.start());
    assert_eq!((state.asking.len(), state.frame.len()), (1, 0));
    assert_eq!(state.ends, BTreeSet::from([state.started]), "all of the frame was started");
}

/// A cursor inside a frame could not be read on from.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_completes_a_basket_whose_frame_was_settled_in_part() {
    let (storage, folder) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let skus = skus(2);
    let orders: Vec<OrderId> = (1..=2).map(|n| OrderId::new(clock::now(), n, PartitionId(0))).collect();
    // Home has a frame with a product, and one with two baskets that are opening.
    let basket = |n: usize| {
        Command::PlaceOrder(PlaceOrder {
            id: orders[n],
            customer: kim(),
            key: key(n as u64),
            lines: lines(&[&skus[0]]).into(),
            parts: vec![PartRequest { partition: PartitionId(1), lines: lines(&[&skus[1]]) }],
            hold_millis: 600_000,
        })
    };
    let frames = [vec![vec![create(&skus[0])], vec![basket(0), basket(1)]], vec![vec![create(&skus[1])]]];
    let data = open_data(&storage);
    let mut gates = Vec::new();
    for (folder, frames) in data.all().zip(frames) {
        let Recovered { mut partition, mut journal, .. } =
            Journal::open(&folder, OpenHints::default(), 1, &mut |_| {}).unwrap();
        for commands in frames {
            for command in commands {
                partition.step(clock::now(), &command, |record| {
                    journal.append(record);
                });
            }
            journal.commit().unwrap();
        }
        gates.push(Arc::new(Gate::new(folder.id(), 8, journal.committed())));
    }
    // The first basket is done with, the second is not; then the cursor is stored.
    let mut state = participant(&data, gates);
    state.read_on(Lsn(3)).await.unwrap();
    assert_eq!(state.under_way, BTreeSet::from([Lsn(2), Lsn(3)]));
    state.done((Lsn(2), true));
    state.stored = state.stored.checked_sub(LOOK).unwrap();
    state.settle().unwrap();
    assert_eq!(state.cursor.load().unwrap(), Some(Lsn(1)), "the end of the frame before");
    drop((state, data));
    storage.kill();

    let shop = open_shop(&storage, folder.path(), 2).await;
    for order in orders {
        let placed = in_time(async {
            loop {
                match shop.order(order, Requester::Admin).await {
                    Ok(view) => break view,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        assert_eq!(Box::pin(placed).await.status, OrderStatus::Held);
    }
    assert_eq!(held(&shop, &skus[1]).await, 2);
    shop.close(Duration::from_secs(20)).await;
}
