//! HTTP by hand: a client that takes what comes, and a shop that writes down who arrived.

use serde_json::Value;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// How long what must come is awaited; never reached where nothing is broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// Fails where `future` takes for ever.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes for ever")
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("{} leads nowhere", self.status))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// Sends a request head and body on a connection of its own.
pub(crate) async fn send(method: &str, url: &str, headers: &[(&str, String)], body: &[u8]) -> TcpStream {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if headers.iter().all(|(name, _)| *name != "host") {
        write!(head, "host: {authority}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Whoever has heard enough may close before all is said.
    let _ = stream.write_all(body).await;
    stream
}

/// Reads what comes until the connection closes; `None` where nothing came.
pub(crate) async fn read(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    while let Ok(count) = stream.read(&mut piece).await {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
    Some(Answer { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() })
}

/// Asks; `None` where the connection was closed without an answer.
pub(crate) async fn ask(method: &str, url: &str, headers: &[(&str, String)], body: &[u8]) -> Option<Answer> {
    bounded(async { read(send(method, url, headers, body).await).await }).await
}

/// A shop's callback addresses.
pub(crate) struct Shop {
    pub(crate) url: String,
    seen: Arc<Seen>,
}

struct Seen {
    paths: Mutex<Vec<String>>,
    /// Of each who was answered, whether they still waited for it.
    waited: Mutex<Vec<bool>>,
    arrived: Notify,
    /// How many may be answered.
    answers: Semaphore,
}

impl Shop {
    /// Opens a shop that answers everybody with a redirect that nobody is to follow.
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen {
            paths: Mutex::default(),
            waited: Mutex::default(),
            arrived: Notify::new(),
            answers: Semaphore::new(1_000),
        });
        let serving = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { url, seen }
    }

    /// Nobody is answered until [`Shop::answer`].
    pub(crate) fn hold(&self) {
        self.seen.answers.forget_permits(1_000);
    }

    /// Answers everybody again.
    pub(crate) fn answer(&self) {
        self.seen.answers.add_permits(1_000);
    }

    /// Who has arrived so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen.paths.lock().unwrap().clone()
    }

    /// Whether those who were answered still waited for it, once that are `count`.
    pub(crate) async fn waited(&self, count: usize) -> Vec<bool> {
        self.once(|| Some(self.seen.waited.lock().unwrap().clone()).filter(|waited| waited.len() >= count)).await
    }

    /// Who has arrived, once that are `count`.
    pub(crate) async fn arrived(&self, count: usize) -> Vec<String> {
        self.once(|| Some(self.paths()).filter(|paths| paths.len() >= count)).await
    }

    async fn once<T>(&self, is: impl Fn() -> Option<T>) -> T {
        bounded(async {
            loop {
                let arrived = self.seen.arrived.notified();
                if let Some(is) = is() {
                    return is;
                }
                arrived.await;
            }
        })
        .await
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    seen.paths.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
    seen.arrived.notify_waiters();
    if let Ok(answer) = seen.answers.acquire().await {
        answer.forget();
        // Whoever has gone has closed the connection: there is an end to be read.
        let waits = stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        seen.waited.lock().unwrap().push(waits);
        seen.arrived.notify_waiters();
        let _ = stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /followed\r\ncontent-length: 0\r\n\r\n").await;
    }
}
