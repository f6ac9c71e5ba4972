//! Accept loops, and what is the same for every answer. A connection that sends no whole head in
//! time is closed; a body that is too long is not read.

use super::plane::About;
use super::shared::{Shared, Stopped, stopping};
use super::{api, pages, plane};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections of one listener; more wait in the kernel.
const CONNECTIONS_MAX: usize = 4_096;
/// A client that sends no whole head in this time is cut off; an idle one too.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// A client that sends no whole body in this time is cut off.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// The longest body that is read, in bytes; the longest legal one is a few KiB.
const BODY_MAX: usize = 64 << 10;
/// How long what is being answered may take when the sandbox stops.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// The pause after a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Which of the three a listener serves.
#[derive(Debug, Clone)]
pub(super) enum Face {
    /// The API.
    Api,
    /// The shopper's pages.
    Pages,
    /// The control plane.
    Control {
        /// What it says of itself.
        about: Arc<About>,
        /// The only name by which it may be asked, if there is one.
        own_host: Option<SocketAddr>,
    },
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
pub(super) struct Hangup;

/// What is asked, whole.
pub(super) struct Asked {
    pub(super) head: http::request::Parts,
    /// `None`: it is longer than what is read.
    pub(super) body: Option<Bytes>,
}

/// Serves until the sandbox stops.
pub(super) fn serve(listener: TcpListener, face: Face, shared: &Arc<Shared>) {
    // A receiver before the task runs: whoever stops waits for it.
    let (shared, stopped) = (Arc::clone(shared), shared.running());
    tokio::spawn(accept(listener, face, shared, stopped));
}

async fn accept(listener: TcpListener, face: Face, shared: Arc<Shared>, mut stopped: Stopped) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            // Fails only when the semaphore is closed, and nobody closes it.
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?.0, place))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stopping(&mut stopped) => return,
        };
        match accepted {
            Ok((stream, place)) => {
                let (face, shared, stopped) = (face.clone(), Arc::clone(&shared), shared.running());
                tokio::spawn(async move {
                    connection(stream, face, shared, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the sandbox did not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, face: Face, shared: Arc<Shared>, mut stopped: Stopped) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "a connection to the sandbox ended before it began");
    }
    let service = service_fn(move |request| answer(request, face.clone(), Arc::clone(&shared)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(BODY_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_PATIENCE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        // A client that goes away is no news, nor is one that was hung up on.
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}

async fn answer(request: Request<Incoming>, face: Face, shared: Arc<Shared>) -> Result<Response<Sending>, Hangup> {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, BODY_MAX).collect());
    let body = body.await.map_err(|_| Hangup)?.ok().map(http_body_util::Collected::to_bytes);
    let asked = Asked { head, body };
    match face {
        Face::Api => api::answer(&shared, asked).await,
        Face::Pages => Ok(pages::answer(&shared, &asked).await),
        Face::Control { about, own_host } => Ok(plane::answer(&shared, &about, own_host, &asked).await),
    }
}

/// A body: all of it, or a beginning after which the connection breaks.
pub(super) struct Sending {
    bytes: Option<Bytes>,
    then: Then,
}

enum Then {
    End,
    /// Lets what was given be sent before it breaks.
    Flush,
    Break,
}

impl Sending {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: Some(bytes.into()), then: Then::End }
    }

    pub(super) fn beginning(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: Some(bytes.into()), then: Then::Flush }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.then {
            Then::End => Poll::Ready(None),
            Then::Flush => {
                self.then = Then::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Then::Break => Poll::Ready(Some(Err(io::Error::other("the answer is cut short")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && matches!(self.then, Then::End)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.then, &self.bytes) {
            (Then::End, Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            (Then::End, None) => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}
