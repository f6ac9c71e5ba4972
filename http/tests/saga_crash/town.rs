//! What everybody of a run shares: where the shop is and whether it serves, what was acknowledged, and what
//! must not be printed.

use crate::sandbox::{Sandbox, place_of};
use crate::support::{Caller, PATIENCE, code};
use serde_json::Value;
use son7shop_loadtest::client::{Client, ClientError, Response};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The pause before a shop is asked again that has answered that it does not know.
const AGAIN: Duration = Duration::from_millis(100);

/// A shop that is killed now and then, and everybody around it.
pub(crate) struct Town {
    pub(crate) address: SocketAddr,
    pub(crate) sandbox: Sandbox,
    pub(crate) admin: String,
    pub(crate) customers: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) doors: Doors,
    books: Mutex<Books>,
    pub(crate) counts: Counts,
}

/// What was acknowledged, and what else is held against the shop in the end.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Orders by id: whose.
    pub(crate) orders: BTreeMap<String, usize>,
    /// Orders whose cancellation was acknowledged.
    pub(crate) cancelled: BTreeSet<String>,
    /// Orders that were shown as confirmed.
    pub(crate) confirmed: BTreeSet<String>,
    /// Refunds by order and number: how much.
    pub(crate) refunds: BTreeMap<(String, u64), i64>,
    /// Confirmed orders that an admin may refund.
    pub(crate) to_refund: Vec<String>,
    /// Addresses that browsers were sent to lately: for whoever forges.
    pub(crate) addresses: Vec<String>,
    /// Proofs, nonces and pages.
    pub(crate) secrets: HashSet<String>,
    /// Answers that may not come.
    pub(crate) unexpected: Vec<String>,
}

/// How often something happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) payments: AtomicU64,
    pub(crate) not_begun: AtomicU64,
    pub(crate) paid: AtomicU64,
    pub(crate) quit: AtomicU64,
    pub(crate) mistyped: AtomicU64,
    pub(crate) left: AtomicU64,
    pub(crate) forged: AtomicU64,
    pub(crate) operated: AtomicU64,
    /// Requests without an answer that is certain.
    pub(crate) unknown: AtomicU64,
    /// Requests that were given up without one.
    pub(crate) unresolved: AtomicU64,
}

impl Counts {
    pub(crate) fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Town {
    pub(crate) fn new(address: SocketAddr, sandbox: Sandbox, admin: String, customers: Vec<String>, seed: u64) -> Self {
        let (doors, books, counts) = (Doors::default(), Mutex::default(), Counts::default());
        Self { address, sandbox, admin, customers, seed, doors, books, counts }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub(crate) fn as_admin(&self) -> Caller {
        Caller::new(self.address, &self.admin)
    }

    pub(crate) fn unexpected(&self, said: String) {
        self.books().unexpected.push(said);
    }

    /// Sends the same request under the same key until there is an answer that is certain. `None`: there was
    /// none, which is counted.
    pub(crate) fn insist(
        &self,
        caller: &mut Caller,
        (method, path): (&str, &str),
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Response> {
        let by = Instant::now() + PATIENCE;
        while Instant::now() < by {
            match caller.send(method, path, key, body) {
                Ok(said) if is_certain(&said) => return Some(said),
                Ok(_) => {
                    count(&self.counts.unknown);
                    std::thread::sleep(AGAIN);
                }
                Err(ClientError::Connect { .. }) => {}
                Err(_) => count(&self.counts.unknown),
            }
            self.doors.wait_open();
        }
        count(&self.counts.unresolved);
        None
    }

    /// A browser comes to an address of the shop, and reloads until there is an answer if `reloads` says so.
    pub(crate) fn arrive(&self, location: &str, reloads: bool) -> Option<Response> {
        let (address, path) = place_of(location);
        if address != self.address {
            self.unexpected("a browser was sent to another address than the shop's".to_owned());
            return None;
        }
        let mut browser = Client::new(address);
        let by = Instant::now() + PATIENCE;
        while Instant::now() < by {
            match browser.get(&path, None) {
                Ok(said) if is_certain(&said) => return Some(said),
                Ok(_) => std::thread::sleep(AGAIN),
                Err(_) => {}
            }
            count(&self.counts.unknown);
            if !reloads {
                return None;
            }
            self.doors.wait_open();
        }
        None
    }
}

/// Whether an answer says what happened: all but those after which to ask again.
fn is_certain(said: &Response) -> bool {
    let again = ["part_unanswered", "deadline_before_placed"];
    match said.status {
        503 => again.contains(&code(said).as_str()),
        409 => code(said) != "request_in_progress",
        _ => true,
    }
}

/// Whether the shop serves, and whether the run goes on.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    over: bool,
}

impl Doors {
    pub(crate) fn set_closed(&self, closed: bool) {
        self.state.lock().unwrap().closed = closed;
        self.changed.notify_all();
    }

    /// Nobody begins anything new; what was begun is brought to its end.
    pub(crate) fn end(&self) {
        *self.state.lock().unwrap() = State { closed: false, over: true };
        self.changed.notify_all();
    }

    pub(crate) fn are_over(&self) -> bool {
        self.state.lock().unwrap().over
    }

    /// Waits until the shop serves.
    pub(crate) fn wait_open(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, PATIENCE, |state| state.closed).unwrap());
    }

    /// Waits so long, or until the run is over; whether it goes on.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, pause, |state| !state.over).unwrap();
        !state.over
    }
}

/// Ends the run also when whoever steers it panics: or its shoppers would go on for ever.
pub(crate) struct Ends<'a>(pub(crate) &'a Doors);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
