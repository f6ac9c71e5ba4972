//! Webhooks as a whole, in process: a shop, and a receiver that answers as a test wants.

use super::signing::{Signing, signatures};
use super::*;
use crate::{NewProduct, Settings, Shop};
use serde_json::{Value, json};
use son7shop_engine::{CustomerId, LineRequest, OrderView, RequestKey, Sku, Time, Won};
use son7shop_persistence::journal::DiskStorage;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_mins(1);

/// A request as a receiver sees it.
#[derive(Debug, Clone)]
struct Heard {
    head: String,
    body: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| value(line)).and_then(|line| line.split_once(": ")).unwrap().1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether the signatures are those of these secrets, newest first.
    fn is_signed_by(&self, secrets: &[&str]) -> bool {
        let secret = |text: &&str| Signing { secret: serde_json::from_value(json!(text)).unwrap(), until: None };
        let secrets: Vec<Signing> = secrets.iter().map(secret).collect();
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let wanted = signatures(&secrets, Time(0), self.header("webhook-id"), timestamp, &self.body);
        self.header("webhook-signature") == wanted
    }
}

/// What a receiver answers: a status line and headers; nothing: it hangs.
type Answering = Arc<Mutex<dyn FnMut(&Heard) -> Option<String> + Send>>;

/// Software that listens to a shop.
struct Receiver {
    url: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn answering(answer: impl FnMut(&Heard) -> Option<String> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    async fn at(address: &str, answer: impl FnMut(&Heard) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
        let (tell, heard) = mpsc::unbounded_channel();
        let answer: Answering = Arc::new(Mutex::new(answer));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, tell.clone(), Arc::clone(&answer)));
            }
        });
        Self { url, heard, serving }
    }

    async fn ok() -> Self {
        Self::answering(|_| Some("200 OK".to_owned())).await
    }

    async fn next(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("nothing was heard").unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, tell: mpsc::UnboundedSender<Heard>, answer: Answering) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let length =
            text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let end = head + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap());
        while bytes.len() < end {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let heard = Heard { head: text, body: String::from_utf8(bytes[head + 4..end].to_vec()).unwrap() };
        bytes.drain(..end);
        let said = (answer.lock().unwrap())(&heard);
        let _ = tell.send(heard);
        let Some(said) = said else { return std::future::pending().await };
        let said = format!("HTTP/1.1 {said}\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A shop with pauses of these milliseconds before each try.
async fn shop(folder: &Path, partitions: u16, pauses: &[u64]) -> Shop {
    let pauses: Vec<Duration> = pauses.iter().map(|&millis| Duration::from_millis(millis)).collect();
    let settings = Settings {
        data_dir: folder.to_owned(),
        database_url: format!("sqlite:{}", folder.join("shop.sqlite").display()),
        partitions: Some(partitions),
        segment_bytes: 1 << 20,
        webhooks: WebhookSettings { loopback: true, private: false, retries: RetrySchedule::new(&pauses) },
        ..Settings::default()
    };
    Shop::open(settings, Arc::new(DiskStorage)).await.unwrap()
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
    let outcomes: Vec<_> = log.iter().map(|line| (line.message.as_str(), line.outcome, line.status)).collect();
    let delivered = |id| (id, DeliveryOutcome::Delivered, Some(200));
    assert_eq!(outcomes, [delivered("msg_p0_2"), delivered("msg_p0_3")]);
    assert_eq!(shop.webhook(&made.webhook.id).unwrap().waiting, 0);
    close(shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_missed_comes_after_the_shop_was_closed_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Receiver::ok().await;
    let (url, address) = (gone.url.clone(), gone.url["http://".len()..].split('/').next().unwrap().to_owned());
    drop(gone);
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
