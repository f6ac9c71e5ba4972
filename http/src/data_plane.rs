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
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

/// Connections that the kernel keeps until they are accepted: a sale opens with a crowd.
const LISTEN_BACKLOG: i32 = 4096;
/// A client that sends no whole head in this time is cut off (slowloris).
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections on one arbiter; more of them wait in the kernel until one ends.
const CONNECTIONS_MAX: usize = 20_000;
/// The pause after a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listeners of a data plane, one for each arbiter, all on one address.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// Binds `count` listeners to `address`; with port 0 they share a free one.
    pub fn bind(address: SocketAddr, count: usize) -> io::Result<Self> {
        let first = listen(address)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..count {
            listeners.push(listen(address)?);
        }
        Ok(Self { listeners, address })
    }

    /// Where they listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on every arbiter, each with a service of its own.
    pub fn serve<S, B>(self, arbiters: &[ArbiterHandle], service: impl Fn() -> S) -> Serving
    where
        S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (stop, stopped) = watch::channel(false);
        for (listener, arbiter) in self.listeners.into_iter().zip(arbiters) {
            let (service, stopped) = (service(), stopped.clone());
            arbiter.spawn_fn(move || drop(tokio::task::spawn_local(accept(listener, service, stopped))));
        }
        Serving { stop }
    }
}

/// Accept loops at work.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
}

impl Serving {
    /// Accepts nobody any more, lets requests under way be answered, and closes idle
    /// connections. Returns once all are closed, or at the deadline; says whether all were.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.stop.send_replace(true);
        // Every loop and every connection holds a receiver until it ends.
        tokio::time::timeout(deadline, self.stop.closed()).await.is_ok()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

async fn accept<S, B>(listener: TcpListener, service: S, mut stopped: watch::Receiver<bool>)
where
    S: HttpService<Incoming, ResBody = B> + Clone + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "an arbiter cannot listen"),
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (builder, service, stopped) = (builder.clone(), service.clone(), stopped.clone());
        tokio::task::spawn_local(async move {
            connection(&builder, stream, service, stopped).await;
            drop(place);
        });
    }
}

async fn connection<S, B>(builder: &http1::Builder, stream: TcpStream, service: S, mut stopped: watch::Receiver<bool>)
where
    S: HttpService<Incoming, ResBody = B> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "a connection ended before it began");
    }
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
