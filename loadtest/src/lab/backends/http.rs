//! What backends over HTTP share: a request that buys one unit, what its answer means, and the
//! threads' way in.
//!
//! A request may be sent again only where its key keeps it from being sold twice; elsewhere a
//! connection that breaks leaves an unknown outcome, which is an error.

use super::pool::Pool;
use crate::answer::Answer;
use crate::client::ClientError;
use crate::lab::backend::{Attempt, Bought, Till};
use crate::lean::LeanClient;
use crate::request::Request;
use anyhow::bail;
use serde::Deserialize;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often a buyer that was told "too busy" comes back.
pub(super) const AGAIN_MAX: u32 = 1_000;
/// How long it waits before, also where its connection broke: a server that is away is not called in a
/// tight loop.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// How often a request whose connection broke is sent again, with the same key.
pub(super) const BROKEN_MAX: u32 = 3;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The unit is the buyer's.
    Sold,
    /// No unit is left.
    SoldOut,
    /// Nothing was decided; the same key may come again.
    Busy,
    /// Something else, in words.
    Other(String),
}

/// The part of problem+json that decides.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

/// Reads an answer to a request that buys one unit.
pub(super) fn told(answer: Answer<'_>) -> Told {
    let code = || serde_json::from_slice(answer.body).map(|problem: Problem<'_>| problem.code);
    match answer.status {
        201 => Told::Sold,
        503 => Told::Busy,
        409 => match code().as_deref() {
            Ok("sold_out") => Told::SoldOut,
            // The first sending of this key is still under way: its connection broke before.
            Ok("request_in_progress") => Told::Busy,
            _ => other(answer),
        },
        _ => other(answer),
    }
}

fn other(answer: Answer<'_>) -> Told {
    Told::Other(format!("answered {}: {}", answer.status, String::from_utf8_lossy(answer.body)))
}

/// A request that buys one unit of a product.
pub(super) fn purchase(address: SocketAddr, sku: &str, token: Option<&str>) -> Request {
    let mut request = Request::to("POST", &address.to_string(), "/v1/orders");
    if let Some(token) = token {
        request = request.bearer(token).numbered_key(sku);
    }
    request.json(&format!(r#"{{"lines":[{{"sku":"{sku}","quantity":1}}]}}"#))
}

/// How a thread comes to its connection.
pub(super) enum Line {
    /// Its own.
    Own(LeanClient),
    /// One of those that all threads share.
    Shared(Arc<Pool<LeanClient>>),
}

impl Line {
    /// A way in: to the pool, or a new connection where there is none.
    pub(super) fn open(pool: Option<Arc<Pool<LeanClient>>>, address: SocketAddr) -> Result<Self, ClientError> {
        match pool {
            Some(pool) => Ok(Self::Shared(pool)),
            None => Ok(Self::Own(LeanClient::connect(address)?)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Told, ClientError> {
        match self {
            Self::Own(client) => client.send(request).map(told),
            Self::Shared(pool) => match pool.take_blocking().connection() {
                Some(client) => client.send(request).map(told),
                // A client opens its own connection anew, so none is ever given up.
                None => Err(ClientError::Broken(std::io::ErrorKind::NotConnected.into())),
            },
        }
    }
}

/// Opens connections that threads share.
pub(super) fn open_pool(address: SocketAddr, count: u32) -> anyhow::Result<Arc<Pool<LeanClient>>> {
    anyhow::ensure!(count > 0, "a pool of no connections");
    let connections: Result<_, _> = (0..count).map(|_| LeanClient::connect(address)).collect();
    Ok(Arc::new(Pool::of(connections?)))
}

/// Where a thread buys over HTTP.
pub(super) struct HttpTill {
    line: Line,
    request: Request,
    /// Whether the server knows a request by its key: then it cannot be sold twice.
    keyed: bool,
    number: u64,
}

impl HttpTill {
    pub(super) fn new(line: Line, request: Request) -> Self {
        let keyed = !request.key().is_empty();
        Self { line, request, keyed, number: 0 }
    }
}

impl Till for HttpTill {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        self.number += 1;
        self.request.set_key(self.number);
        let mut broken = 0;
        for retries in 0..AGAIN_MAX {
            // A connection that is shared goes back before anybody sleeps.
            match self.line.ask(&self.request) {
                Ok(Told::Sold) => return Ok(Attempt { bought: Bought::Sold, retries }),
                Ok(Told::SoldOut) => return Ok(Attempt { bought: Bought::SoldOut, retries }),
                Ok(Told::Busy) if self.keyed => std::thread::sleep(BUSY_PAUSE),
                Ok(Told::Busy) => bail!("answered 503, and without a key nobody may ask again"),
                Ok(Told::Other(words)) => bail!(words),
                Err(_) if self.keyed && broken < BROKEN_MAX => {
                    broken += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        bail!("too busy, {AGAIN_MAX} times")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
