//! What every backend of the lab has in common.

use super::harness;
use super::load::{Load, Sale};
use serde::{Deserialize, Serialize};

/// What happened to an attempt to buy one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bought {
    /// The unit is the buyer's, and the order is written as durably as the backend promises.
    Sold,
    /// No unit was left.
    SoldOut,
}

/// An attempt, and how often the backend had to begin anew before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub bought: Bought,
    /// Lost races and refused locks on the way.
    pub retries: u32,
}

/// When a sold unit is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// On disk before the buyer hears of it.
    SyncedBeforeAnswer,
    /// On disk within a second or so; a crash loses what was sold meanwhile.
    SyncedLater,
    /// In memory only.
    InMemory,
}

impl Promise {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SyncedBeforeAnswer => "on disk before the answer",
            Self::SyncedLater => "on disk a second later",
            Self::InMemory => "in memory only",
        }
    }

    /// More is safer.
    pub(super) const fn strength(self) -> u8 {
        match self {
            Self::SyncedBeforeAnswer => 2,
            Self::SyncedLater => 1,
            Self::InMemory => 0,
        }
    }
}

/// What is left on the shelf, and what was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    /// Units that the stock still shows; may be below zero where nothing forbids it.
    pub left: i64,
    /// Orders that were written.
    pub orders: u64,
}

/// What takes part in the lab: a [`Backend`], or one that sells in another process, by the
/// same harness.
pub trait Contender {
    /// Its name in tables and files: short, lower case.
    fn name(&self) -> &str;

    /// What it does, in one sentence.
    fn about(&self) -> &str;

    /// When a sold unit is safe.
    fn promise(&self) -> Promise;

    /// What whoever repeats this has to know: versions, pools, settings; names and values.
    fn settings(&self) -> Vec<(String, String)>;

    /// Stocks up, sells under this load, and looks at the shelf.
    fn sell(&self, load: &Load) -> anyhow::Result<Sale>;
}

/// One way to sell the units of one product, to threads of this process.
pub trait Backend: Send + Sync {
    /// See [`Contender::name`].
    fn name(&self) -> &str;

    /// See [`Contender::about`].
    fn about(&self) -> &str;

    /// See [`Contender::promise`].
    fn promise(&self) -> Promise;

    /// See [`Contender::settings`].
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Puts so many units on the shelf and forgets earlier orders.
    fn stock_up(&self, units: u64) -> anyhow::Result<()>;

    /// One thread's way in; made before the clock starts.
    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>>;

    /// What the backend itself says afterwards.
    fn shelf(&self) -> anyhow::Result<Shelf>;

    /// The run is over: nothing that is still to be done for it may go on while another
    /// backend is measured.
    fn rest(&self) {}

    /// The processes that work for it, this one excepted; none where they are not known.
    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Syncs since it started, where it counts them. Must not queue behind the buyers.
    fn syncs(&self) -> Option<u64> {
        None
    }
}

impl<T: Backend> Contender for T {
    fn name(&self) -> &str {
        Backend::name(self)
    }

    fn about(&self) -> &str {
        Backend::about(self)
    }

    fn promise(&self) -> Promise {
        Backend::promise(self)
    }

    fn settings(&self) -> Vec<(String, String)> {
        Backend::settings(self)
    }

    fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
        harness::sell(self, load)
    }
}

/// Where one thread buys.
pub trait Till: Send {
    /// Tries to buy one unit. An error is a failure: whether the unit was sold is not known.
    fn buy(&mut self) -> anyhow::Result<Attempt>;
}
