//! Arriving at the shop's addresses: who else arrives besides the shopper's browser, the sandbox
//! plays itself. It follows no redirect, waits a bounded time, and tells nobody where it was.

use super::control::Browser;
use super::shared::{Shared, stopping};
use crate::sandbox::machine::{Address, Arrival, Visit};
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

/// How long the shop may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a visit was none. No address stands in it.
#[derive(Debug, thiserror::Error)]
enum NoVisit {
    #[error("the address is not http://")]
    NotHttp,
    #[error("the shop is on another machine, and nobody allowed that")]
    NotHere,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TooLate,
    #[error("the shop was not reached")]
    Io(#[from] io::Error),
    #[error("the shop did not answer in HTTP")]
    Http(#[from] hyper::Error),
}

/// Lets everybody arrive but the shopper's own browser, and says where that is to go. With
/// [`Browser::Followed`] it arrives too, and the shop's status is told.
pub(super) async fn arrive(shared: &Arc<Shared>, visits: &[Visit], browser: Browser) -> (Option<Address>, Option<u16>) {
    let (later, now): (Vec<&Visit>, Vec<&Visit>) =
        visits.iter().partition(|visit| matches!(visit.arrival, Arrival::At(_)));
    for visit in later {
        aside(shared, visit);
    }
    let Some((own, others)) = now.split_last() else { return (None, None) };
    for (at, visit) in others.iter().enumerate() {
        let next = others.get(at + 1).unwrap_or(own);
        if next.arrival == Arrival::Together {
            aside(shared, visit);
        } else {
            visit_once(shared, &visit.address).await;
        }
    }
    let status = match browser {
        Browser::Told => None,
        Browser::Followed => visit_once(shared, &own.address).await,
    };
    (Some(own.address.clone()), status)
}

/// Arrives when it is time, while others go on.
fn aside(shared: &Arc<Shared>, visit: &Visit) {
    let (shared, visit, mut stopped) = (Arc::clone(shared), visit.clone(), shared.running());
    tokio::spawn(async move {
        let arrived = async {
            if let Arrival::At(time) = visit.arrival {
                shared.at(time).await;
            }
            visit_once(&shared, &visit.address).await
        };
        tokio::select! {
            _ = arrived => {}
            () = stopping(&mut stopped) => {}
        }
    });
}

/// The shop's status; `None` where it gave none.
async fn visit_once(shared: &Shared, address: &Address) -> Option<u16> {
    let mut stopped = shared.running();
    let visited = async {
        // Fails only when the semaphore is closed, and nobody closes it.
        let _place = shared.visits.acquire().await.map_err(io::Error::other)?;
        tokio::time::timeout(PATIENCE, get(address, shared.allow_remote)).await.map_err(|_| NoVisit::TooLate)?
    };
    let visited = tokio::select! {
        visited = visited => visited,
        () = stopping(&mut stopped) => return None,
    };
    visited.inspect_err(|error| tracing::warn!(%error, "the sandbox could not visit the shop")).ok()
}

async fn get(address: &Address, allow_remote: bool) -> Result<u16, NoVisit> {
    let uri: Uri = address.as_str().split('#').next().unwrap_or_default().parse().map_err(|_| NoVisit::NotHttp)?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(NoVisit::NotHttp) };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let mut found = lookup_host((host, port)).await?.filter(|found| allow_remote || found.ip().is_loopback());
    let stream = TcpStream::connect(found.next().ok_or(NoVisit::NotHere)?).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(path).header(HOST, authority.as_str()).body(Empty::<Bytes>::new());
    let answered = sender.send_request(request.map_err(|_| NoVisit::NotHttp)?);
    // The connection is driven here, and closed with the answer's head: the rest is for browsers.
    // Where it ends by itself, whoever waits for the answer is told, also if it has come.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        response = answered => Ok(response?.status().as_u16()),
        never = driven => never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_reaches_out_to_no_other_machine() {
        let refused = |address: &'static str| async move {
            let address = Address::new(address);
            tokio::time::timeout(PATIENCE, get(&address, false))
                .await
                .is_ok_and(|got| got.is_err_and(|why| matches!(why, NoVisit::NotHere)))
        };
        assert!(refused("http://192.0.2.1:80/ok").await);
        assert!(refused("http://[2001:db8::1]/ok").await);
        assert!(!refused("http://127.0.0.1:1/ok").await, "this one is here");
    }

    #[tokio::test]
    async fn what_is_no_plain_http_is_not_visited() {
        for address in ["https://127.0.0.1/ok", "ftp://127.0.0.1/ok", "/ok", ""] {
            let got = get(&Address::new(address), true).await;
            assert!(matches!(got, Err(NoVisit::NotHttp)), "{address}");
        }
    }
}
