//! Every call that came, what it did and what was answered, so that a run can be looked at and
//! played again. It must never print what a call said: that holds tokens and addresses.

use super::faults::Used;
use super::ids::Aid;
use super::reply::Reply;
use super::words::Endpoint;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use son7shop_engine::Time;
use son7shop_engine::Won;
use std::collections::VecDeque;
use std::fmt;

/// What a call changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Committed {
    /// Nothing.
    Nothing,
    /// A payment was prepared.
    Prepared,
    /// Money was taken.
    Captured {
        /// The capture.
        aid: Aid,
        /// Won.
        amount: Won,
    },
    /// The payment failed.
    Failed,
    /// It will turn out later.
    Unsettled,
    /// Money was given back.
    Refunded {
        /// The refund.
        aid: Aid,
        /// Won.
        amount: Won,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It has not.
    UnderWay,
    /// With this answer.
    Answered(Reply),
    /// Without one: the connection was closed.
    Dropped,
}

/// A call.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub seq: u64,
    /// When it came.
    pub at: Time,
    /// What was asked.
    pub endpoint: Endpoint,
    /// Whether the key was the right one. The key itself is not kept.
    pub key_is_right: bool,
    /// The payment that it named, or made.
    pub tid: Option<String>,
    /// The shop's order, as the call or the payment says.
    pub order: Option<String>,
    /// What it said, as it came.
    pub body: Vec<u8>,
    /// Fields that the protocol does not have.
    pub unknown: Vec<String>,
    /// Faults that happened to it.
    pub faults: Vec<Used>,
    /// What it changed.
    pub committed: Committed,
    /// When it changed that; `None` where it has not come to it.
    pub committed_at: Option<Time>,
    /// How it ended.
    pub end: End,
    /// When it ended.
    pub ended_at: Option<Time>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("seq", &self.seq)
            .field("at", &self.at)
            .field("endpoint", &self.endpoint)
            .field("key_is_right", &self.key_is_right)
            .field("tid", &self.tid)
            .field("unknown", &self.unknown)
            .field("faults", &self.faults)
            .field("committed", &self.committed)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// All of it, also what is secret: for the control plane and for files that tests keep.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let text = |bytes: &[u8]| {
            serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
        };
        let (end, status, answer) = match &self.end {
            End::UnderWay => ("under_way", None, None),
            End::Dropped => ("dropped", None, None),
            End::Answered(reply) => ("answered", Some(reply.status), Some(text(&reply.body))),
        };
        json!({
            "seq": self.seq,
            "at": self.at,
            "endpoint": self.endpoint,
            "key_is_right": self.key_is_right,
            "tid": self.tid,
            "order": self.order,
            "body": text(&self.body),
            "unknown": self.unknown,
            "faults": self.faults,
            "committed": self.committed,
            "committed_at": self.committed_at,
            "end": end,
            "status": status,
            "answer": answer,
            "ended_at": self.ended_at,
        })
    }
}

/// The calls that came last.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
    /// Entries that are kept; older ones go.
    max: usize,
    last: u64,
}

impl Journal {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), max, last: 0 }
    }

    /// Adds an entry and says its number.
    pub(super) fn add(&mut self, mut entry: Entry) -> u64 {
        self.last += 1;
        entry.seq = self.last;
        self.entries.push_back(entry);
        while self.entries.len() > self.max {
            self.entries.pop_front();
        }
        self.last
    }

    /// Changes an entry, if it is still kept.
    pub(super) fn change(&mut self, seq: u64, change: impl FnOnce(&mut Entry)) {
        let kept = self.entries.front().and_then(|first| usize::try_from(seq.checked_sub(first.seq)?).ok());
        if let Some(entry) = kept.and_then(|at| self.entries.get_mut(at)) {
            change(entry);
        }
    }

    pub(super) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// How many came in all.
    pub(super) fn count(&self) -> u64 {
        self.last
    }
}
