//! Webhooks as a whole, in process: a shop, and a receiver that answers as a test wants.

use super::receiver::{PATIENCE, Receiver, quiet_address, said, until_bound};
use super::*;
use crate::{NewProduct, Settings, Shop, ShopError};
use ractor::Actor as _;
use serde_json::json;
use son7shop_engine::{
    CustomerId, LineRequest, Lsn, OrderView, PartitionId, RequestKey, Requester, SaleTerms, Sku, Time, Won,
    partition_of,
};
use son7shop_persistence::journal::DiskStorage;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A shop with pauses of these milliseconds before each try.
async fn shop(folder: &Path, partitions: u16, pauses: &[u64]) -> Shop {
    open(settings(folder, partitions, pauses)).await
}

async fn open(settings: Settings) -> Shop {
    Shop::open(settings, Arc::new(DiskStorage)).await.unwrap()
}

fn settings(folder: &Path, partitions: u16, pauses: &[u64]) -> Settings {
    let pauses: Vec<Duration> = pauses.iter().map(|&millis| Duration::from_millis(millis)).collect();
    Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(partitions),
        segment_bytes: 1 << 20,
        webhooks: WebhookSettings {
            loopback: true,
            retries: RetrySchedule::new(&pauses),
            ..WebhookSettings::default()
        },
        ..Settings::default()
    }
}

fn terms(url: &str, events: &[&str]) -> WebhookTerms {
    let events = events.iter().map(|&event| event.to_owned()).collect();
    WebhookTerms { url: url.to_owned(), events, description: "the warehouse".to_owned(), disabled: false }
}

async fn register(shop: &Shop, url: &str, events: &[&str]) -> WithSecret {
    shop.create_webhook(terms(url, events), None).await.unwrap().value
}

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

async fn product(shop: &Shop, name: &str) {
    let product = NewProduct { sku: sku(name), name: "Air".into(), price: Won(1000), on_hand: 100_000, key: None };
    shop.create_product(product).await.unwrap();
}

async fn order(shop: &Shop, number: u64, skus: &[&str]) -> OrderView {
    let lines = skus.iter().map(|name| LineRequest { sku: sku(name), quantity: 2 }).collect();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    let key = RequestKey { key, request: key };
    shop.place_order(CustomerId::parse("kim").unwrap(), key, lines).await.unwrap().value
}

async fn close(shop: Shop) {
    shop.close(PATIENCE).await;
}

/// The log of an endpoint, oldest first, once it is as long as is wanted.
async fn log(shop: &Shop, id: &str, at_least: usize) -> Vec<Delivery> {
    let look = async {
        loop {
            let mut log = shop.webhook_deliveries(id, None, 10_000).await.unwrap();
            if log.len() >= at_least {
                log.reverse();
                return log;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the log stays short")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placed_order_is_told_once_and_signed() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), 1, &[0, 50]).await;
    product(&shop, "before").await;
    let mut receiver = Receiver::ok().await;
    let made = register(&shop, &receiver.url, &[]).await;
    product(&shop, "air").await;
    let created = receiver.next().await;
    let placed = order(&shop, 1, &["air"]).await;
    assert_eq!((created.kind().as_str(), created.header("webhook-id")), ("product.created", "msg_p0_2"));
    let told = receiver.next().await;
    assert!(told.head.starts_with("POST /hook?token=hidden HTTP/1.1"), "{}", told.head);
    assert_eq!(told.header("content-type"), "application/json");
    assert!(told.is_signed_by(&[&made.secret]));
    let body = told.json();
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("order.placed"), &json!(placed.id.to_string())));
    assert_eq!(body["data"]["lines"], json!([{ "sku": "air", "quantity": 2, "unit_price": 1000 }]));
    assert_eq!((&body["data"]["total"], &body["data"]["currency"]), (&json!(2000), &json!("KRW")));
    let log = log(&shop, &made.webhook.id, 2).await;
    let mut outcomes: Vec<_> = log.iter().map(|line| (line.message.as_str(), line.outcome, line.status)).collect();
    let delivered = |id| (id, DeliveryOutcome::Delivered, Some(200));
    outcomes.sort_by_key(|(message, ..)| *message);
    assert_eq!(outcomes, [delivered("msg_p0_2"), delivered("msg_p0_3")]);
    assert_eq!(shop.webhook(&made.webhook.id).unwrap().waiting, 0);
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_missed_comes_after_the_shop_was_closed_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let address = quiet_address(1).await;
    let url = format!("http://{address}/hook");
    // The second try is an hour away: only a start brings it forward.
    let pauses = [0, 3_600_000, 3_600_000];
    let shop_before = shop(folder.path(), 2, &pauses).await;
    let made = register(&shop_before, &url, &["order.placed"]).await;
    product(&shop_before, "air").await;
    let mut wanted = BTreeSet::new();
    for number in 0..20 {
        wanted.insert(order(&shop_before, number, &["air"]).await.id.to_string());
    }
    log(&shop_before, &made.webhook.id, 20).await;
    assert_eq!(shop_before.webhook(&made.webhook.id).unwrap().waiting, 20);
    close(shop_before).await;

    let mut receiver = Receiver::at(&address, |_| Some("204 No Content".to_owned())).await;
    let shop = shop(folder.path(), 2, &pauses).await;
    wanted.insert(order(&shop, 20, &["air"]).await.id.to_string());
    while !wanted.is_empty() {
        let told = receiver.next().await;
        assert!(told.is_signed_by(&[&made.secret]));
        wanted.remove(told.json()["data"]["id"].as_str().unwrap());
    }
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_up_neither_another_nor_selling() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), 1, &[0]).await;
    let deaf = Receiver::answering(|_| None).await;
    let mut well = Receiver::ok().await;
    let held = register(&shop, &deaf.url, &[]).await;
    register(&shop, &well.url, &["order.placed"]).await;
    product(&shop, "air").await;
    let mut wanted = BTreeSet::new();
    for number in 0..50 {
        wanted.insert(order(&shop, number, &["air"]).await.id.to_string());
    }
    while !wanted.is_empty() {
        wanted.remove(well.next().await.json()["data"]["id"].as_str().unwrap());
    }
    assert_eq!(shop.webhook(&held.webhook.id).unwrap().waiting, 51);
    let _ = &deaf;
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_by_the_schedule_and_then_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), 1, &[0, 1, 1, 1]).await;
    let elsewhere = Receiver::ok().await;
    let there = elsewhere.url.clone();
    let answers = Mutex::new(vec!["500 No", "302 Found", "404 No"]);
    let redirect = format!("302 Found\r\nlocation: {there}");
    let mut receiver = Receiver::answering(move |_| match answers.lock().unwrap().pop() {
        Some("302 Found") => Some(redirect.clone()),
        Some(answer) => said(answer),
        None => said("429 Too Many Requests"),
    })
    .await;
    let made = register(&shop, &receiver.url, &["product.created"]).await;
    product(&shop, "air").await;
    let log = log(&shop, &made.webhook.id, 4).await;
    let outcomes: Vec<_> = log.iter().map(|line| (line.attempt, line.outcome, line.status)).collect();
    let failed = |attempt, status| (attempt, DeliveryOutcome::Failed, Some(status));
    let last = (4, DeliveryOutcome::GivenUp, Some(429));
    assert_eq!(outcomes, [failed(1, 404), failed(2, 302), failed(3, 500), last]);
    assert!(log[..3].iter().all(|line| line.next_try.is_some()) && log[3].next_try.is_none());
    let first = receiver.next().await;
    for _ in 0..3 {
        let again = receiver.next().await;
        assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
        assert!(again.is_signed_by(&[&made.secret]));
    }
    assert_eq!(shop.webhook(&made.webhook.id).unwrap().waiting, 0);
    assert!(elsewhere.heard.is_empty(), "a redirect was followed");
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_is_told_as_a_whole_from_its_placing_to_its_end() {
    const PARTITIONS: u16 = 3;
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), PARTITIONS, &[0, 50]).await;
    let names: Vec<String> = (0..12).map(|n| format!("sku-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let homes: BTreeSet<_> = names.iter().map(|name| partition_of(&sku(name), PARTITIONS)).collect();
    assert!(homes.len() > 1, "the basket must lie in several partitions");
    for name in &names {
        product(&shop, name).await;
    }
    let mut receiver = Receiver::ok().await;
    let made = register(&shop, &receiver.url, &[]).await;
    let placed = order(&shop, 1, &names).await;
    let told = receiver.next().await.json();
    assert_eq!((&told["type"], &told["data"]["total"]), (&json!("order.placed"), &json!(24_000)));
    assert_eq!(told["data"]["lines"].as_array().unwrap().len(), names.len());
    shop.cancel_order(placed.id, Requester::Admin).await.unwrap();
    let ended = receiver.next().await.json();
    assert_eq!((&ended["type"], &ended["data"]["by"]), (&json!("order.cancelled"), &json!("admin")));
    assert_eq!((&ended["data"]["lines"], &ended["data"]["status"]), (&told["data"]["lines"], &json!("cancelled")));
    let other = order(&shop, 2, &names[..1]).await;
    receiver.next().await;
    shop.confirm_order(other.id).await.unwrap();
    assert_eq!(receiver.next().await.kind(), "order.confirmed");
    log(&shop, &made.webhook.id, 4).await;
    assert!(receiver.heard.is_empty(), "parts and openings are nobody's business");
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_again_what_the_journal_has_with_the_ids_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let shop_before = shop(folder.path(), 1, &[0, 50]).await;
    // All in the journal before there is anybody to be told.
    for n in 0..30 {
        product(&shop_before, &format!("sku-{n:02}")).await;
    }
    close(shop_before).await;
    let shop = shop(folder.path(), 1, &[0, 50]).await;
    let mut receiver = Receiver::ok().await;
    let made = register(&shop, &receiver.url, &[]).await;
    let id = &made.webhook.id;
    let mut ids = async |count: usize| {
        let mut ids = BTreeSet::new();
        while ids.len() < count {
            ids.insert(receiver.next().await.header("webhook-id").to_owned());
        }
        ids
    };
    let of = |lsns: std::ops::RangeInclusive<u64>| lsns.map(|lsn| format!("msg_p0_{lsn}")).collect::<BTreeSet<_>>();
    let part = [ReplayPart { partition: 0, until: Lsn(30) }];
    assert_eq!(shop.replay_webhook(id, None, ReplayFrom::After(Lsn(25))).unwrap(), part);
    assert_eq!(ids(5).await, of(26..=30));
    assert_eq!(shop.replay_webhook(id, Some(0), ReplayFrom::Since(Time(0))).unwrap(), part);
    assert_eq!(ids(30).await, of(1..=30));
    // A replay that ended leaves nothing behind; this one ends without a message.
    shop.replay_webhook(id, Some(0), ReplayFrom::Since(Time(i64::MAX))).unwrap();
    let hook = shop.inner.hooks.get(id).unwrap();
    let ended = async {
        while hook.lanes(0).len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    product(&shop, "new").await;
    assert_eq!(ids(1).await, of(31..=31));
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_secret_sign_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), 1, &[0, 50]).await;
    let mut receiver = Receiver::ok().await;
    let made = register(&shop, &receiver.url, &[]).await;
    let rotated = shop.rotate_webhook_secret(&made.webhook.id).await.unwrap();
    shop.test_webhook(&made.webhook.id).unwrap();
    let ping = receiver.next().await;
    assert_eq!(ping.kind(), "ping");
    assert!(ping.is_signed_by(&[&rotated.secret, &made.secret]));
    close(shop).await;
}

/// More than a queue has room for: the rest waits in the journal.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_in_the_queue_waits_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let pauses = [0, 3_600_000];
    let shop_before = shop(folder.path(), 1, &pauses).await;
    let address = quiet_address(2).await;
    let refusing = Receiver::at(&address, |_| said("503 Busy")).await;
    let made = register(&shop_before, &refusing.url, &["order.placed"]).await;
    product(&shop_before, "air").await;
    let mut wanted = BTreeSet::new();
    for number in 0..1200 {
        wanted.insert(order(&shop_before, number, &["air"]).await.id.to_string());
    }
    log(&shop_before, &made.webhook.id, queue::WAITING_MAX).await;
    assert_eq!(shop_before.webhook(&made.webhook.id).unwrap().waiting, queue::WAITING_MAX as u64);
    close(shop_before).await;
    drop(refusing);
    let mut receiver = until_bound(&address).await;
    let shop = shop(folder.path(), 1, &pauses).await;
    while !wanted.is_empty() {
        wanted.remove(receiver.next().await.json()["data"]["id"].as_str().unwrap());
    }
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_in_the_journal_is_skipped_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut hasty = settings(folder.path(), 1, &[0, 3_600_000]);
    hasty.webhooks.hold_millis = 0;
    let shop = open(hasty).await;
    let refusing = Receiver::answering(|_| said("503 Busy")).await;
    let made = register(&shop, &refusing.url, &["order.placed"]).await;
    product(&shop, "air").await;
    for number in 0..20 {
        order(&shop, number, &["air"]).await;
    }
    let look = async {
        loop {
            let log = shop.webhook_deliveries(&made.webhook.id, None, 1000).await.unwrap();
            let skipped = log.iter().filter(|line| line.outcome == DeliveryOutcome::Skipped);
            let count = |line: &Delivery| line.error.as_ref().unwrap().split(' ').next().unwrap().parse::<usize>();
            let skipped: usize = skipped.map(|line| count(line).unwrap()).sum();
            let tried = log.iter().filter(|line| line.outcome == DeliveryOutcome::Failed).count();
            if skipped > 0 && skipped + tried == 20 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("every order was tried or said to be skipped");
    shop.replay_webhook(&made.webhook.id, None, ReplayFrom::After(Lsn(1))).unwrap();
    let look = async {
        let replay = |line: &Delivery| line.error.as_ref().is_some_and(|error| error.contains("the replay waited"));
        while !shop.webhook_deliveries(&made.webhook.id, None, 1000).await.unwrap().iter().any(replay) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the replay ended, and that was said");
    assert_eq!(shop.inner.hooks.get(&made.webhook.id).unwrap().lanes(0).len(), 1);
    close(shop).await;
}

/// Selling comes before an endpoint that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_does_not_fill_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = settings(folder.path(), 1, &[0, 3_600_000]);
    (small.segment_bytes, small.journal_limit_bytes) = (64 << 10, 16 * (64 << 10));
    let shop = open(small).await;
    let refusing = Receiver::answering(|_| said("503 Busy")).await;
    let made = register(&shop, &refusing.url, &["sale.set"]).await;
    product(&shop, "air").await;
    product(&shop, "other").await;
    let terms = SaleTerms { opens_at: Time(0), closes_at: Time(1), price: Won(1), per_customer_limit: 1 };
    // More than queue and journal have room for, several times over; snapshots stay small.
    for number in 0..9000 {
        shop.set_sale(sku("air"), SaleTerms { price: Won(1 + number % 2), ..terms }).await.unwrap();
    }
    // More than the rest of a segment has room for.
    let placed = async {
        for number in 0..600_u32 {
            let key = RequestKey { key: u128::from(number).to_le_bytes(), request: [0; 16] };
            let line = || vec![LineRequest { sku: sku("other"), quantity: 1 }];
            while let Err(error) = shop.place_order(CustomerId::parse("kim").unwrap(), key, line()).await {
                assert_eq!(error, ShopError::JournalFull { partition: PartitionId(0) });
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, placed).await.expect("the journal stays full");
    let log = shop.webhook_deliveries(&made.webhook.id, None, 10_000).await.unwrap();
    let said = log.iter().find(|line| line.outcome == DeliveryOutcome::Skipped).unwrap().error.clone().unwrap();
    assert!(said.contains("disk limit"), "{said}");
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_endpoints_no_cursor_is_kept_and_with_one_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path(), 1, &[0, 50]).await;
    let cursor = folder.path().join("p0000/notification.cursor");
    product(&shop, "air").await;
    assert!(!cursor.exists() && !folder.path().join("webhooks").exists());
    let mut receiver = Receiver::ok().await;
    register(&shop, &receiver.url, &[]).await;
    product(&shop, "other").await;
    assert_eq!(receiver.next().await.header("webhook-id"), "msg_p0_2");
    // It may come behind the message.
    let kept = async {
        while !cursor.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.expect("no cursor");
    close(shop).await;
}

/// Whoever made the tries is gone; the next one makes them again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_the_deliverer_died_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = WebhookSettings { loopback: true, ..WebhookSettings::default() };
    let hooks = Arc::new(Hooks::open(folder.path(), [7; 16], settings).unwrap());
    let mut hung = false;
    let mut receiver =
        Receiver::answering(move |_| std::mem::replace(&mut hung, true).then(|| "200 OK".to_owned())).await;
    let endpoint = endpoint::Endpoint::new(terms(&receiver.url, &[]), None, Time(0));
    let mut queue = queue::Queue::from_places(&[0]);
    queue.push("msg_1".to_owned(), "ping", "{}".to_owned(), Time(0));
    hooks.add(endpoint, queue).await.unwrap();
    let (first, _) = Deliverer::spawn(None, Deliverer, Arc::clone(&hooks)).await.unwrap();
    assert_eq!(receiver.next().await.header("webhook-id"), "msg_1");
    first.kill_and_wait(None).await.unwrap();
    let (second, _) = Deliverer::spawn(None, Deliverer, Arc::clone(&hooks)).await.unwrap();
    assert_eq!(receiver.next().await.header("webhook-id"), "msg_1");
    let empty = async {
        while hooks.all()[0].kept().queue.len() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("it was delivered");
    second.stop_and_wait(None, None).await.unwrap();
    // The queue on disk is as it is in memory, once it was stored.
    hooks.store();
    let again = Hooks::open(folder.path(), [7; 16], WebhookSettings::default()).unwrap();
    assert_eq!(again.all()[0].kept().queue.len(), 0);
}
