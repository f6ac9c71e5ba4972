//! The plainest workload: each connection sends its own request again and again, with a new
//! idempotency key each time, and one status is expected of every answer.

use crate::answer::Answer;
use crate::drive::{Failure, Then, Workload};
use crate::request::Request;

/// Keys of different threads differ from this bit on; a thread sends fewer requests than that.
const THREAD_SHIFT: u32 = 48;

/// The same requests over and over.
#[derive(Debug, Clone)]
pub struct Prepared {
    requests: Vec<Request>,
    next_key: u64,
    expected: u16,
    other: Option<String>,
}

impl Prepared {
    /// Connection `n` sends `requests[n]`, or, when there are fewer, the one at `n` modulo their number;
    /// there is at least one. `thread` keeps the keys of several threads apart.
    pub fn new(requests: Vec<Request>, thread: usize, expected: u16) -> Self {
        Self { requests, next_key: (thread as u64) << THREAD_SHIFT, expected, other: None }
    }

    /// The first answer that was not as expected, or the first failure.
    pub fn unexpected(&self) -> Option<&str> {
        self.other.as_deref()
    }

    fn at(&self, connection: usize) -> usize {
        connection % self.requests.len()
    }
}

impl Workload for Prepared {
    fn prepare(&mut self, connection: usize) -> bool {
        let at = self.at(connection);
        self.requests[at].set_key(self.next_key);
        self.next_key += 1;
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.requests[self.at(connection)].bytes()
    }

    fn answered(&mut self, _connection: usize, answer: Answer<'_>) -> Then {
        if answer.status != self.expected {
            self.other.get_or_insert_with(|| format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
        }
        Then::Next
    }

    fn failed(&mut self, _connection: usize, failure: &Failure) -> Then {
        self.other.get_or_insert_with(|| failure.to_string());
        Then::Next
    }
}
