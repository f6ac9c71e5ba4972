//! The buyers: each connection buys one unit at a time with a new key, and remembers what it was told.
//!
//! With repeated keys every request is sent a second time: by most clients after the answer, by every
//! fourth through a twin, another connection that sends the same keys at the same time.

use super::check::{Outcome, Told};
use crate::answer::Answer;
use crate::api::{Placed, Problem};
use crate::drive::{Failure, Then, Workload};
use crate::request::Request;
use std::time::Duration;

/// Refusals that contention explains.
pub const REFUSALS: [&str; 2] = ["sold_out", "limit_reached"];

/// The refusal of a repeat whose first sending is still being decided.
pub const STILL_RUNNING: &str = "request_in_progress";

/// Of so many clients one has a twin, with repeated keys.
const TWIN_EVERY: usize = 4;

/// How often a request is sent again before its buyer gives up.
const AGAIN_MAX: u32 = 100;

/// How long a repeat waits for the sending that is being decided.
const STILL_RUNNING_PAUSE: Duration = Duration::from_millis(5);

/// Buyers that were turned away do not all come back in the same moment.
const RETRY_SPREAD_MILLIS: u64 = 500;

/// How many times what was asked again, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgainCounts {
    /// After 503.
    pub busy: u64,
    /// After 409: the first sending was still being decided.
    pub still_running: u64,
    /// After the connection was lost.
    pub lost: u64,
}

/// Which connection buys what, for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Clients, each on its own connection.
    pub clients: usize,
    /// Customers; client `n` is customer `n` modulo their number.
    pub customers: usize,
    /// Different keys that each client sends.
    pub requests: u64,
    /// Whether every key is sent twice.
    pub repeat_keys: bool,
}

impl Layout {
    /// Connections: the clients, then their twins.
    pub fn connections(&self) -> usize {
        self.clients + if self.repeat_keys { self.clients.div_ceil(TWIN_EVERY) } else { 0 }
    }

    /// Different keys of each customer.
    pub fn demand(&self) -> Vec<u64> {
        let mut demand = vec![0; self.customers];
        for client in 0..self.clients {
            demand[client % self.customers] += self.requests;
        }
        demand
    }

    /// Whose requests a connection sends.
    pub(super) fn client(&self, connection: usize) -> usize {
        if connection < self.clients { connection } else { (connection - self.clients) * TWIN_EVERY }
    }

    pub(super) fn customer(&self, connection: usize) -> usize {
        self.client(connection) % self.customers
    }

    /// How often this connection sends each key.
    fn sendings(&self, connection: usize) -> u32 {
        let has_or_is_twin = connection >= self.clients || connection.is_multiple_of(TWIN_EVERY);
        if self.repeat_keys && !has_or_is_twin { 2 } else { 1 }
    }

    fn key(&self, connection: usize, request: u64) -> u64 {
        self.client(connection) as u64 * self.requests + request
    }
}

/// One connection's buyer.
struct Buyer {
    request: Request,
    /// Requests begun.
    begun: u64,
    /// Sendings of the current key that are still to come.
    sendings_left: u32,
    again: u32,
}

/// All buyers of one thread.
pub struct Buyers {
    layout: Layout,
    of_connection: Vec<Buyer>,
    /// What they were told, in the order of the answers.
    pub told: Vec<Told>,
    /// What was asked again.
    pub again: AgainCounts,
}

impl Buyers {
    /// Buyers for every connection of the layout; `request` makes a connection's request.
    pub fn new(layout: Layout, mut request: impl FnMut(usize) -> Request) -> Self {
        let of_connection = (0..layout.connections())
            .map(|connection| Buyer { request: request(connection), begun: 0, sendings_left: 0, again: 0 })
            .collect();
        Self { layout, of_connection, told: Vec::new(), again: AgainCounts::default() }
    }

    fn tell(&mut self, connection: usize, outcome: Outcome) -> Then {
        let key = self.layout.key(connection, self.of_connection[connection].begun - 1);
        self.told.push(Told { customer: self.layout.customer(connection), key, outcome });
        Then::Next
    }

    /// Sends again, or gives up.
    fn again_or(&mut self, connection: usize, pause: Duration, gives_up: impl FnOnce() -> String) -> Then {
        let buyer = &mut self.of_connection[connection];
        buyer.again += 1;
        if buyer.again > AGAIN_MAX {
            let outcome = Outcome::Unexpected(format!("given up after {AGAIN_MAX} times: {}", gives_up()));
            return self.tell(connection, outcome);
        }
        Then::Again(pause)
    }
}

impl Workload for Buyers {
    fn prepare(&mut self, connection: usize) -> bool {
        let buyer = &mut self.of_connection[connection];
        buyer.again = 0;
        if buyer.sendings_left == 0 {
            if buyer.begun == self.layout.requests {
                return false;
            }
            buyer.request.set_key(self.layout.key(connection, buyer.begun));
            buyer.begun += 1;
            buyer.sendings_left = self.layout.sendings(connection);
        }
        buyer.sendings_left -= 1;
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.of_connection[connection].request.bytes()
    }

    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then {
        let text = || format!("{} {}", answer.status, String::from_utf8_lossy(answer.body));
        if answer.status == 201 {
            let outcome = match serde_json::from_slice::<Placed>(answer.body) {
                Ok(placed) => Outcome::Accepted(placed.id),
                Err(_) => Outcome::Unexpected(text()),
            };
            return self.tell(connection, outcome);
        }
        if let (503, Some(seconds)) = (answer.status, answer.retry_after) {
            self.again.busy += 1;
            let spread = Duration::from_millis(connection as u64 * 37 % RETRY_SPREAD_MILLIS);
            return self.again_or(connection, Duration::from_secs(seconds.into()) + spread, text);
        }
        let code = serde_json::from_slice::<Problem>(answer.body).map(|problem| problem.code).unwrap_or_default();
        if answer.status != 409 {
            return self.tell(connection, Outcome::Unexpected(text()));
        }
        if code == STILL_RUNNING {
            self.again.still_running += 1;
            return self.again_or(connection, STILL_RUNNING_PAUSE, text);
        }
        let outcome =
            if REFUSALS.contains(&code.as_str()) { Outcome::Refused(code) } else { Outcome::Unexpected(text()) };
        self.tell(connection, outcome)
    }

    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        self.again.lost += 1;
        let pause = Duration::from_millis(100);
        self.again_or(connection, pause, || failure.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn buyers(layout: Layout) -> Buyers {
        Buyers::new(layout, |_| Request::to("POST", "h", "/").numbered_key("k").json("{}"))
    }

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, retry_after: (status == 503).then_some(1), body: body.as_bytes() }
    }

    /// Every key that a connection sends, in order; each is answered by a refusal.
    fn keys(buyers: &mut Buyers, connection: usize) -> Vec<String> {
        let mut keys = Vec::new();
        while buyers.prepare(connection) {
            keys.push(buyers.of_connection[connection].request.key());
            assert_eq!(buyers.answered(connection, answer(409, "{\"code\":\"sold_out\"}")), Then::Next);
        }
        keys
    }

    #[test]
    fn keys_are_sent_twice_by_one_or_by_two() {
        let layout = Layout { clients: 6, customers: 3, requests: 2, repeat_keys: true };
        assert_eq!(layout.connections(), 8);
        assert_eq!(layout.demand(), [4, 4, 4]);
        let mut buyers = buyers(layout);
        let sent: Vec<_> = (0..layout.connections()).map(|connection| keys(&mut buyers, connection)).collect();
        // Clients 0 and 4 have the twins 6 and 7; the others repeat by themselves.
        assert_eq!((&sent[0], &sent[4]), (&sent[6], &sent[7]));
        assert_eq!(sent[0].len(), 2);
        assert_eq!(sent[1].len(), 4);
        assert_eq!(sent[1][0], sent[1][1]);
        let mut all: Vec<_> = sent.concat();
        assert_eq!(all.len(), 24);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 12);
        assert_eq!(buyers.told.len(), 24);
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let layout = Layout { clients: 1, customers: 1, requests: 9, repeat_keys: false };
        let mut buyers = buyers(layout);
        let mut next = |status, body: &str| {
            assert!(buyers.prepare(0));
            let then = buyers.answered(0, answer(status, body));
            (then, buyers.told.last().map(|told| told.outcome.clone()))
        };
        assert_eq!(next(201, "{\"id\":\"a\"}"), (Then::Next, Some(Outcome::Accepted("a".to_owned()))));
        assert_eq!(next(409, "{\"code\":\"limit_reached\"}").1, Some(Outcome::Refused("limit_reached".to_owned())));
        assert!(matches!(next(201, "{}").1, Some(Outcome::Unexpected(_))));
        assert!(matches!(next(200, "{\"id\":\"a\"}").1, Some(Outcome::Unexpected(_))));
        assert!(matches!(next(409, "{\"code\":\"wrong_state\"}").1, Some(Outcome::Unexpected(_))));
        assert!(matches!(next(410, "{\"code\":\"sold_out\"}").1, Some(Outcome::Unexpected(_))));
        assert_eq!(next(503, "{}").0, Then::Again(Duration::from_secs(1)));
        assert_eq!(next(409, "{\"code\":\"request_in_progress\"}").0, Then::Again(STILL_RUNNING_PAUSE));
        assert_eq!(buyers.again, AgainCounts { busy: 1, still_running: 1, lost: 0 });
    }

    #[test]
    fn a_buyer_gives_up_in_the_end() {
        let layout = Layout { clients: 1, customers: 1, requests: 1, repeat_keys: false };
        let mut buyers = buyers(layout);
        assert!(buyers.prepare(0));
        for _ in 0..AGAIN_MAX {
            assert!(matches!(buyers.answered(0, answer(503, "{}")), Then::Again(_)));
        }
        assert_eq!(buyers.failed(0, &Failure::Closed), Then::Next);
        assert!(matches!(&buyers.told[..], [Told { outcome: Outcome::Unexpected(_), .. }]));
        assert!(!buyers.prepare(0));
    }
}
