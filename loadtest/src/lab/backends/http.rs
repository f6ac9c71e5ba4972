//! What backends over HTTP share: a request that buys one unit, what its answer means, the
//! threads' way in, and connections that threads share.
//!
//! A request may be sent again only where its key keeps it from being sold twice; elsewhere a
//! connection that breaks leaves an unknown outcome, which is an error.

use crate::answer::Answer;
use crate::client::ClientError;
use crate::lab::backend::{Attempt, Bought, Till};
use crate::lean::LeanClient;
use crate::request::Request;
use anyhow::bail;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a buyer that was told "too busy" comes back.
pub(super) const AGAIN_MAX: u32 = 1_000;
/// How long it waits before.
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
    /// One of those that all threads share, and the thread's seat in the queue for them.
    Shared(Arc<Pool<LeanClient>>, Arc<Seat<LeanClient>>),
}

impl Line {
    /// A way in: to the pool, or a new connection where there is none.
    pub(super) fn open(pool: Option<Arc<Pool<LeanClient>>>, address: SocketAddr) -> Result<Self, ClientError> {
        match pool {
            Some(pool) => Ok(Self::Shared(pool, Arc::default())),
            None => Ok(Self::Own(LeanClient::connect(address)?)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Told, ClientError> {
        match self {
            Self::Own(client) => client.send(request).map(told),
            Self::Shared(pool, seat) => pool.lend(seat).send(request).map(told),
        }
    }
}

/// Opens connections that threads share.
pub(super) fn open_pool(address: SocketAddr, count: usize) -> anyhow::Result<Pool<LeanClient>> {
    anyhow::ensure!(count > 0, "a pool of no connections");
    let connections: Result<_, _> = (0..count).map(|_| LeanClient::connect(address)).collect();
    Ok(Pool::new(connections?))
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
                Err(_) if self.keyed && broken < BROKEN_MAX => broken += 1,
                Err(error) => return Err(error.into()),
            }
        }
        bail!("too busy, {AGAIN_MAX} times")
    }
}

/// Things that threads share. Who comes first is served first: what comes back is handed to
/// whoever has waited longest, and nobody who comes later can take it on the way. It comes
/// back whatever its user does, also if that panics.
pub(super) struct Pool<T> {
    count: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Not in use; empty while anybody waits. The one used last is lent first: its memory is warm.
    free: Vec<T>,
    waiting: VecDeque<Arc<Seat<T>>>,
}

/// Where a thread waits; it has one for all its waits.
pub(super) struct Seat<T> {
    given: Mutex<Option<T>>,
    called: Condvar,
}

impl<T> Default for Seat<T> {
    fn default() -> Self {
        Self { given: Mutex::new(None), called: Condvar::new() }
    }
}

impl<T> Pool<T> {
    pub(super) fn new(free: Vec<T>) -> Self {
        Self { count: free.len(), state: Mutex::new(State { free, waiting: VecDeque::new() }) }
    }

    /// How many there are, in use or not.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One of them, until what is returned is dropped. `seat` is the calling thread's alone.
    pub(super) fn lend(&self, seat: &Arc<Seat<T>>) -> Lent<'_, T> {
        let free = {
            let mut state = lock(&self.state);
            let free = state.free.pop();
            if free.is_none() {
                state.waiting.push_back(Arc::clone(seat));
            }
            free
        };
        Lent { pool: self, thing: Some(free.unwrap_or_else(|| seat.wait())) }
    }

    fn give_back(&self, thing: T) {
        let longest = {
            let mut state = lock(&self.state);
            match state.waiting.pop_front() {
                Some(seat) => seat,
                None => return state.free.push(thing),
            }
        };
        *lock(&longest.given) = Some(thing);
        longest.called.notify_one();
    }
}

impl<T> Seat<T> {
    fn wait(&self) -> T {
        let mut given = lock(&self.given);
        loop {
            match given.take() {
                Some(thing) => return thing,
                None => given = self.called.wait(given).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thing of a pool.
pub(super) struct Lent<'a, T> {
    pool: &'a Pool<T>,
    /// There until it is dropped.
    thing: Option<T>,
}

impl Lent<'_, LeanClient> {
    fn send(&mut self, request: &Request) -> Result<Answer<'_>, ClientError> {
        match &mut self.thing {
            Some(client) => client.send(request),
            // Only dropping takes it out.
            None => Err(ClientError::Broken(std::io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(thing) = self.thing.take() {
            self.pool.give_back(thing);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
