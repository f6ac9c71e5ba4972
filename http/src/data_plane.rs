//! The accept loops: one on each arbiter, so that on the hot path nothing crosses a thread.
//!
//! warp's own server is for demonstrations (its maintainer says so): it sets no
//! `TCP_NODELAY`, has no header timeout, no connection cap, and a graceful stop without a
//! deadline. Ours has these. It must never do anything that blocks.

use actix::ArbiterHandle;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener as TokioListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::LocalSet;

/// Connections that the kernel keeps until they are accepted: a sale opens with a crowd.
const LISTEN_BACKLOG: i32 = 4096;
/// What one arbiter gives to connections.
const LIMITS: Limits =
    Limits { connections_max: 20_000, header_read: Duration::from_secs(10), unread: Duration::from_secs(30) };
/// What a connection's head may fill before anybody is known to have sent it: hyper's own
/// 400 KiB would be 8 GB for 20,000 connections. The longest legal head is a few KiB.
const HEAD_MAX: usize = 32 << 10;
/// The pause after a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections; more of them wait in the kernel until one ends.
    connections_max: usize,
    /// A client that sends no whole head in this time is cut off (slowloris). An idle
    /// connection is one that sends no head, so this ends it too.
    header_read: Duration,
    /// A client that takes nothing of its answers for this time is cut off: it would keep
    /// its place for ever otherwise.
    unread: Duration,
}

/// The listeners of a data plane, one for each arbiter, all on one address.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// Binds a first listener to `address`; port 0 is any free one.
    ///
    /// Fails where another program listens: shared ports would let a second shop of the
    /// same user take half of this one's connections, and neither would know.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        drop(bound(address, false)?);
        let first = listen(address)?;
        Ok(Self { address: first.local_addr()?, listeners: vec![first] })
    }

    /// Where they listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on a thread of its own, as long as there are no arbiters. Whoever connects
    /// and is not accepted in that time is accepted by an arbiter.
    pub fn serve_meanwhile<S, B>(&self, service: S) -> io::Result<Serving>
    where
        S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (stop, stopped) = watch::channel(false);
        let listeners = self.listeners.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("meanwhile".to_owned()).spawn(move || {
            let connections = LocalSet::new();
            for listener in listeners {
                connections.spawn_local(accept(listener, service.clone(), stopped.clone(), LIMITS));
            }
            drop(stopped);
            // Ends with the last connection.
            runtime.block_on(connections);
        })?;
        Ok(Serving { stops: vec![stop] })
    }

    /// Serves on every arbiter, each with a listener and a service of its own.
    pub fn serve<S, B>(mut self, arbiters: &[ArbiterHandle], service: impl Fn() -> S) -> io::Result<Serving>
    where
        S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        while self.listeners.len() < arbiters.len() {
            self.listeners.push(listen(self.address)?);
        }
        let stops = self.listeners.into_iter().zip(arbiters).map(|(listener, arbiter)| {
            let (stop, stopped) = watch::channel(false);
            let service = service();
            arbiter.spawn_fn(move || drop(tokio::task::spawn_local(accept(listener, service, stopped, LIMITS))));
            stop
        });
        Ok(Serving { stops: stops.collect() })
    }
}

/// Accept loops at work.
#[derive(Debug)]
pub struct Serving {
    /// One for each arbiter: every connection looks at it whenever it wakes, and looking
    /// takes a lock that arbiters must not share.
    stops: Vec<watch::Sender<bool>>,
}

impl Serving {
    /// Accepts nobody any more, lets requests under way be answered, and closes idle
    /// connections. Returns once all are closed, or at the deadline; says whether all were.
    pub async fn stop(self, deadline: Duration) -> bool {
        for stop in &self.stops {
            stop.send_replace(true);
        }
        let all_ended = async {
            // Every loop and every connection holds a receiver until it ends.
            for stop in &self.stops {
                stop.closed().await;
            }
        };
        tokio::time::timeout(deadline, all_ended).await.is_ok()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, true)?;
    socket.set_nonblocking(true)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Only over connections that are ending, never over another listener.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept<S, B>(listener: TcpListener, service: S, mut stopped: watch::Receiver<bool>, limits: Limits)
where
    S: HttpService<Incoming, ResBody = B> + Clone + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = match TokioListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "an arbiter cannot listen"),
    };
    let mut room = Room::new(limits.connections_max);
    let mut builder = http1::Builder::new();
    // One plain write for an answer: they are small, and a vectored one cost 2,000 connections 8 %.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_read).max_buf_size(HEAD_MAX).writev(false);
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener, &mut room) => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (builder, service, stopped) = (builder.clone(), service.clone(), stopped.clone());
        tokio::task::spawn_local(async move {
            match set_options(&stream, limits) {
                Ok(()) => connection(&builder, stream, service, stopped).await,
                Err(error) => tracing::debug!(%error, "a connection ended before it began"),
            }
            drop(place);
        });
    }
}

/// The next connection, once there is room for it.
async fn accept_one(listener: &TokioListener, room: &mut Room) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = room.place().await?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// An arbiter's places for connections.
struct Room {
    places: Arc<Semaphore>,
    places_max: usize,
    /// It was said that none is free.
    told: bool,
}

impl Room {
    fn new(places_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places_max)), places_max, told: false }
    }

    /// A place, once one is free.
    async fn place(&mut self) -> io::Result<OwnedSemaphorePermit> {
        if self.fills_up() {
            metrics::counter!("son7_connections_full_total").increment(1);
            tracing::warn!(
                connections = self.places_max,
                "an arbiter has no room: more connections wait in the kernel"
            );
        }
        // Fails only when the semaphore is closed, and nobody closes it.
        Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)
    }

    /// Whether the last place has gone: once, until a tenth of them is free again, for at the
    /// limit connections come and go.
    fn fills_up(&mut self) -> bool {
        let free = self.places.available_permits();
        let fills_up = free == 0 && !self.told;
        self.told = free == 0 || (self.told && free <= self.places_max / 10);
        fills_up
    }
}

fn set_options(stream: &TcpStream, limits: Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // The kernel's own patience with a peer that is there, but takes nothing, has no end.
    SockRef::from(stream).set_tcp_user_timeout(Some(limits.unread))
}

async fn connection<S, B>(builder: &http1::Builder, stream: TcpStream, service: S, mut stopped: watch::Receiver<bool>)
where
    S: HttpService<Incoming, ResBody = B> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away is no news.
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::service::service_fn;
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::future::Future;
    use std::net::Ipv4Addr;
    use std::rc::Rc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;

    const LONG: Duration = Duration::from_mins(10);
    /// How long what must come is awaited; never reached where nothing is broken.
    const PATIENCE: Duration = Duration::from_mins(1);
    /// An answer of which twenty are more than a kernel keeps for a connection.
    static MUCH: [u8; 1 << 20] = [b'x'; 1 << 20];
    const ROOM: Limits = Limits { connections_max: 8, header_read: LONG, unread: LONG };
    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// What the loop under test has seen, and what lets a request to `/wait` go on.
    #[derive(Default)]
    struct Seen {
        paths: RefCell<Vec<String>>,
        arrived: Notify,
        go_on: Notify,
    }

    /// Runs a test beside an accept loop, both on this thread, as on an arbiter.
    fn beside_a_loop<F: Future>(limits: Limits, test: impl FnOnce(SocketAddr, Serving, Rc<Seen>) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = listen(ANY).unwrap();
            let address = listener.local_addr().unwrap();
            let seen = Rc::new(Seen::default());
            let serving = Rc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Rc::clone(&serving);
                async move {
                    seen.paths.borrow_mut().push(request.uri().path().to_owned());
                    seen.arrived.notify_one();
                    if request.uri().path() == "/wait" {
                        seen.go_on.notified().await;
                    }
                    let body = if request.uri().path() == "/much" { &MUCH[..] } else { b"ok" };
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(body))))
                }
            });
            let (stop, stopped) = watch::channel(false);
            tokio::task::spawn_local(accept(listener, service, stopped, limits));
            test(address, Serving { stops: vec![stop] }, seen).await;
        });
    }

    async fn send(stream: &mut TcpStream, path: &str) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await.unwrap();
    }

    /// Reads an answer; `false` where the other side has closed.
    async fn answered(stream: &mut TcpStream) -> bool {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\nok") {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    }

    #[test]
    fn a_port_that_somebody_else_has_is_refused() {
        let taken = Listeners::bind(ANY).unwrap();
        let error = Listeners::bind(taken.address()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_head_that_does_not_end_is_cut_off() {
        let limits = Limits { header_read: Duration::from_millis(20), ..ROOM };
        beside_a_loop(limits, |address, serving, seen| async move {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(b"GET / HTTP/1.1\r\nhost: te").await.unwrap();
            assert!(!answered(&mut slow).await);
            assert!(seen.paths.borrow().is_empty());
            drop(serving);
        });
    }

    #[test]
    fn a_connection_too_many_waits_until_another_ends() {
        let limits = Limits { connections_max: 1, ..ROOM };
        beside_a_loop(limits, |address, serving, seen| async move {
            let mut first = TcpStream::connect(address).await.unwrap();
            send(&mut first, "/first").await;
            assert!(answered(&mut first).await);
            let mut second = TcpStream::connect(address).await.unwrap();
            send(&mut second, "/second").await;
            // Time enough for a loop without a cap to take the second one.
            for _ in 0..200 {
                send(&mut first, "/first").await;
                assert!(answered(&mut first).await);
            }
            assert!(seen.paths.borrow().iter().all(|path| path == "/first"));
            drop(first);
            assert!(answered(&mut second).await);
            drop(serving);
        });
    }

    #[test]
    fn a_client_that_takes_nothing_loses_its_place() {
        let limits = Limits { connections_max: 1, unread: Duration::from_millis(20), ..ROOM };
        beside_a_loop(limits, |address, serving, _| async move {
            let mut greedy = TcpStream::connect(address).await.unwrap();
            for _ in 0..20 {
                send(&mut greedy, "/much").await;
            }
            let mut second = TcpStream::connect(address).await.unwrap();
            send(&mut second, "/second").await;
            assert!(tokio::time::timeout(PATIENCE, answered(&mut second)).await.unwrap());
            drop((greedy, serving));
        });
    }

    #[test]
    fn that_there_is_no_room_is_told_once_until_there_is_room_again() {
        let mut room = Room::new(20);
        let mut places: Vec<_> = (0..20).map(|_| Arc::clone(&room.places).try_acquire_owned().unwrap()).collect();
        assert!(room.fills_up());
        for _ in 0..3 {
            assert!(!room.fills_up(), "somebody still waits");
            drop(places.pop());
            assert!(!room.fills_up(), "somebody left");
            places.push(Arc::clone(&room.places).try_acquire_owned().unwrap());
        }
        places.truncate(17);
        assert!(!room.fills_up());
        places.extend((0..3).map(|_| Arc::clone(&room.places).try_acquire_owned().unwrap()));
        assert!(room.fills_up() && !room.fills_up());
    }

    #[test]
    fn stopping_answers_what_was_accepted_and_closes_what_is_idle() {
        beside_a_loop(ROOM, |address, serving, seen| async move {
            let mut idle = TcpStream::connect(address).await.unwrap();
            send(&mut idle, "/idle").await;
            assert!(answered(&mut idle).await);
            seen.arrived.notified().await;
            let mut busy = TcpStream::connect(address).await.unwrap();
            send(&mut busy, "/wait").await;
            seen.arrived.notified().await;
            let stopping = tokio::task::spawn_local(serving.stop(LONG));
            assert!(!answered(&mut idle).await, "an idle connection is closed");
            assert!(!stopping.is_finished(), "somebody waits for an answer");
            seen.go_on.notify_one();
            assert!(answered(&mut busy).await);
            assert!(stopping.await.unwrap());
            assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
        });
    }

    #[test]
    fn stopping_ends_at_its_deadline_also_when_there_is_no_room() {
        let limits = Limits { connections_max: 1, ..ROOM };
        beside_a_loop(limits, |address, serving, seen| async move {
            let mut busy = TcpStream::connect(address).await.unwrap();
            send(&mut busy, "/wait").await;
            seen.arrived.notified().await;
            assert!(!serving.stop(Duration::from_millis(20)).await);
            assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
        });
    }
}
