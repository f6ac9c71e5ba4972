//! A wire between the store and its server that loses COMMIT: on its way to the server, or
//! the answer on its way back; or that holds it up.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const NOTHING: u8 = 0;
const COMMIT: u8 = 1;
const ANSWER: u8 = 2;
const HOLD: u8 = 3;

/// First bytes of packets.
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

/// The wire.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lose: AtomicU8,
    /// A COMMIT is held up.
    held: Notify,
    /// Another writer's first position is on its way to the server.
    first_position: Notify,
}

impl Proxy {
    /// A wire to the server on `to`.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let carried = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, carried.clone()));
            }
        });
        Self { port, shared }
    }

    /// The next COMMIT does not reach the server: the connection breaks before it.
    pub fn lose_next_commit(&self) {
        self.shared.lose.store(COMMIT, Ordering::SeqCst);
    }

    /// The next COMMIT reaches the server and is done; the connection breaks before the answer.
    pub fn lose_next_answer(&self) {
        self.shared.lose.store(ANSWER, Ordering::SeqCst);
    }

    /// The next COMMIT is held up until somebody else has sent the server the partition's first
    /// position; then it is done, and its answer is lost.
    pub fn hold_next_commit(&self) {
        self.shared.lose.store(HOLD, Ordering::SeqCst);
    }

    /// Until a COMMIT is held up.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// Whether what was to be lost was.
    pub fn lost(&self) -> bool {
        self.shared.lose.load(Ordering::SeqCst) == NOTHING
    }
}

async fn carry(client: TcpStream, to: u16, shared: Arc<Shared>) -> Option<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).await.ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel::<()>();
    let quiet = Arc::new(AtomicU8::new(0));
    let mute = quiet.clone();
    let back = tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            if mute.load(Ordering::SeqCst) == 1 {
                let _ = answers.send(());
            } else if to_client.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    });
    // A packet: three bytes of length, one of sequence, the payload.
    let mut header = [0; 4];
    let mut first_position = false;
    while from_client.read_exact(&mut header).await.is_ok() {
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut payload = vec![0; length];
        from_client.read_exact(&mut payload).await.ok()?;
        let what = if payload == b"\x03COMMIT" { shared.lose.swap(NOTHING, Ordering::SeqCst) } else { NOTHING };
        match what {
            COMMIT => break,
            HOLD => {
                let mut sent = pin!(shared.first_position.notified());
                sent.as_mut().enable();
                shared.held.notify_one();
                sent.await;
            }
            _ => {}
        }
        let answer_is_lost = matches!(what, ANSWER | HOLD);
        quiet.store(u8::from(answer_is_lost), Ordering::SeqCst);
        to_server.write_all(&[&header[..], &payload].concat()).await.ok()?;
        if answer_is_lost {
            answered.recv().await;
            break;
        }
        match payload.first() {
            Some(&PREPARE) => first_position = payload[1..].starts_with(b"INSERT INTO positions"),
            Some(&EXECUTE) if first_position => shared.first_position.notify_waiters(),
            _ => {}
        }
    }
    back.abort();
    Some(())
}
