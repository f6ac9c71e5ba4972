//! A server that does on purpose what servers do by accident. It reads one request, keeps it, and answers with
//! bytes as they are; it knows nothing of Kakao Pay.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// These bytes, and the connection stays open.
    Say(Vec<u8>),
    /// These bytes, and the connection is closed.
    SayAndClose(Vec<u8>),
    /// These bytes again and again, until the other side has enough.
    SayForEver(Vec<u8>, Vec<u8>),
    /// Closed without a byte.
    Close,
    /// These bytes once the gate opens.
    Gate(Arc<Notify>, Vec<u8>),
}

/// A request: its head in lower case, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// The server; it ends with its runtime.
pub(crate) struct Toy {
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<Request>>>,
    came: Arc<Notify>,
}

impl Toy {
    /// Starts; `act` says what to do with the path's last part.
    pub(crate) async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/online/v1/payment", listener.local_addr().unwrap());
        let (requests, came, act) = (Arc::default(), Arc::new(Notify::new()), Arc::new(act));
        let toy = Self { base, requests: Arc::clone(&requests), came: Arc::clone(&came) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&requests), Arc::clone(&came), Arc::clone(&act)));
            }
        });
        toy
    }

    /// Always does the same.
    pub(crate) async fn always(act: Act) -> Self {
        Self::start(move |_| act.clone()).await
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn came(&self, count: usize) {
        while self.requests.lock().unwrap().len() < count {
            self.came.notified().await;
        }
    }
}

/// An answer with a body and its length.
pub(crate) fn http(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn serve(
    mut stream: TcpStream,
    requests: Arc<Mutex<Vec<Request>>>,
    came: Arc<Notify>,
    act: Arc<impl Fn(&str) -> Act>,
) {
    while let Some(request) = read(&mut stream).await {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
        requests.lock().unwrap().push(request);
        came.notify_one();
        // The other side may be gone already: that is its business.
        let _ = match act(path.rsplit('/').next().unwrap_or_default()) {
            Act::Say(bytes) => stream.write_all(&bytes).await,
            Act::SayAndClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Act::SayForEver(head, bytes) => {
                let _ = stream.write_all(&head).await;
                while stream.write_all(&bytes).await.is_ok() {}
                return;
            }
            Act::Close => return,
            Act::Gate(gate, bytes) => {
                gate.notified().await;
                stream.write_all(&bytes).await
            }
        };
    }
}

/// One request to its last byte, or none: the connection was closed, or speaks something else.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let body = &bytes[end + 4..];
        if body.len() == length.unwrap_or(0) {
            return Some(Request { head, body: body.to_vec() });
        }
    }
}
