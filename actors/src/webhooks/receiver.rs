//! Software that listens to a shop, for tests: it answers as they want.

use super::signing::{Signing, signatures};
use serde_json::{Value, json};
use son7shop_engine::Time;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long anything may take that is awaited; never reached where nothing is broken.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// A request as a receiver sees it.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) head: String,
    pub(super) body: String,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| value(line)).and_then(|line| line.split_once(": ")).unwrap().1
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether the signatures are those of these secrets, newest first.
    pub(super) fn is_signed_by(&self, secrets: &[&str]) -> bool {
        let secret = |text: &&str| Signing { secret: serde_json::from_value(json!(text)).unwrap(), until: None };
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let by = |text| signatures(&[secret(text)], Time(0), self.header("webhook-id"), timestamp, &self.body);
        self.header("webhook-signature") == secrets.iter().map(by).collect::<Vec<_>>().join(" ")
    }
}

/// What a receiver answers: a status line and headers; nothing: it hangs.
type Answering = Arc<Mutex<dyn FnMut(&Heard) -> Option<String> + Send>>;

/// Software that listens to a shop.
pub(super) struct Receiver {
    pub(super) url: String,
    pub(super) heard: mpsc::UnboundedReceiver<Heard>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn answering(answer: impl FnMut(&Heard) -> Option<String> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub(super) async fn at(address: &str, answer: impl FnMut(&Heard) -> Option<String> + Send + 'static) -> Self {
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

    pub(super) async fn ok() -> Self {
        Self::answering(|_| Some("200 OK".to_owned())).await
    }

    pub(super) async fn next(&mut self) -> Heard {
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

/// An answer with this status line.
#[expect(clippy::unnecessary_wraps, reason = "as receivers answer")]
pub(super) fn said(status: &str) -> Option<String> {
    Some(status.to_owned())
}

/// A receiver where another was; its last socket may take a moment to go.
pub(super) async fn until_bound(address: &str) -> Receiver {
    while TcpListener::bind(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Receiver::at(address, |_| said("200 OK")).await
}

/// An address that nobody listens at, and that the kernel gives to nobody unasked;
/// each test asks with a number of its own.
pub(super) async fn quiet_address(test: u16) -> String {
    let from = 20_000 + 1000 * test;
    for port in (from..from + 1000).cycle().skip(std::process::id() as usize % 1000) {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
    unreachable!("an endless search ends by finding");
}
