//! The gate of a partition: what everybody else knows of its owner. It outlives owners.
//!
//! Callers find the owner's address here, followers learn how far the journal is
//! committed, and the keeper says whether the partition serves. Nothing here decides
//! anything, and nothing here waits.

use crate::ShopError;
use crate::owner::Owner;
use actix::Addr;
use arc_swap::ArcSwapOption;
use son7shop_engine::{Lsn, Participant, PartitionId};
use son7shop_persistence::journal::Committed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Whether a partition serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GateState {
    Serving,
    Recovering,
    /// For good, until somebody starts the program again. The reason is shown to everybody,
    /// and so it says nothing of paths or systems: the log does.
    Closed(&'static str),
}

/// One order under way; comes back when it is dropped with its answer.
#[derive(Debug)]
pub(crate) struct Credit(Arc<Gate>);

impl Drop for Credit {
    fn drop(&mut self) {
        self.0.credits.fetch_add(1, Ordering::Release);
    }
}

/// What everybody else knows of a partition's owner.
#[derive(Debug)]
pub(crate) struct Gate {
    id: PartitionId,
    owner: ArcSwapOption<Addr<Owner>>,
    state: watch::Sender<GateState>,
    /// Whether the shop ends: no further owner is started.
    ending: AtomicBool,
    /// Orders that may still come under way.
    credits: AtomicU32,
    committed: Mutex<Committed>,
    /// Wakes write-behind; set only while it sleeps, since a wake-up costs the owner more
    /// than an order does.
    pub(crate) news: Signal,
    /// Wakes the stock participant; raised only by events that ask other partitions.
    pub(crate) asks: Signal,
    /// Wake the payment, deadline and refund participants, in this order.
    due: [Signal; 3],
    /// The database has every event up to here.
    stored: AtomicU64,
    /// The stock participant is done with every event up to here.
    settled: AtomicU64,
}

/// What a batch has in it that somebody is to be woken for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct News {
    /// It asks other partitions.
    pub(crate) asks: bool,
    /// It has steps of sagas for these [`Participant`]s, due now or soon.
    pub(crate) due: [bool; 3],
}

/// Wakes one follower, if it sleeps.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicU64,
    asleep: AtomicBool,
    notify: Notify,
}

impl Signal {
    fn raise(&self) {
        self.raised.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.notify.notify_one();
        }
    }

    /// How often it was raised; look before you read the news.
    pub(crate) fn raised(&self) -> u64 {
        self.raised.load(Ordering::SeqCst)
    }

    /// Sleeps until it is raised once more than `seen`.
    pub(crate) async fn wait(&self, seen: u64) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.raised() == seen {
            self.notify.notified().await;
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Gate {
    pub(crate) fn new(id: PartitionId, credits: u32, committed: Committed) -> Self {
        Self {
            id,
            owner: ArcSwapOption::empty(),
            state: watch::Sender::new(GateState::Recovering),
            ending: AtomicBool::new(false),
            credits: AtomicU32::new(credits),
            committed: Mutex::new(committed),
            news: Signal::default(),
            asks: Signal::default(),
            due: Default::default(),
            stored: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        }
    }

    pub(crate) const fn id(&self) -> PartitionId {
        self.id
    }

    /// Lets callers in to `owner`.
    pub(crate) fn open(&self, owner: Addr<Owner>) {
        self.owner.store(Some(Arc::new(owner)));
        self.set_state(GateState::Serving);
    }

    /// Lets nobody in.
    pub(crate) fn close(&self, why: GateState) {
        self.set_state(why);
        self.owner.store(None);
    }

    fn set_state(&self, state: GateState) {
        self.state.send_replace(state);
    }

    /// An owner that dies from now on is the last.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the shop ends.
    pub(crate) fn ends(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether callers are let in.
    pub(crate) fn serves(&self) -> bool {
        *self.state.borrow() == GateState::Serving
    }

    /// Returns once callers are let in, or never will be.
    pub(crate) async fn until_open(&self) {
        self.until(|state| matches!(state, GateState::Serving | GateState::Closed(_))).await;
    }

    /// Returns once nobody is let in any more.
    pub(crate) async fn until_closed(&self) {
        self.until(|state| matches!(state, GateState::Closed(_))).await;
    }

    async fn until(&self, reached: impl Fn(&GateState) -> bool) {
        // Fails only when the gate is gone, and it is ours.
        let _ = self.state.subscribe().wait_for(|state| reached(state)).await;
    }

    /// The owner's address. One address for everybody: the library bounds mailboxes by
    /// sender, and ours are bounded by credits.
    pub(crate) fn owner(&self) -> Result<Arc<Addr<Owner>>, ShopError> {
        self.owner.load_full().ok_or_else(|| self.closed())
    }

    /// Why nobody is let in.
    pub(crate) fn closed(&self) -> ShopError {
        let why = match &*self.state.borrow() {
            GateState::Serving => "draining",
            GateState::Recovering => "recovering",
            GateState::Closed(why) => why,
        };
        ShopError::PartitionClosed { partition: self.id, why: why.to_owned() }
    }

    /// Room for one order, if there is any.
    pub(crate) fn credit(self: &Arc<Self>) -> Result<Credit, ShopError> {
        let taken = self.credits.fetch_update(Ordering::Acquire, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map(|_| Credit(Arc::clone(self))).map_err(|_| ShopError::Overloaded)
    }

    /// What followers may read.
    pub(crate) fn committed(&self) -> Committed {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, committed: Committed, news: News) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = committed;
        self.news.raise();
        if news.asks {
            self.asks.raise();
        }
        for (signal, _) in self.due.iter().zip(news.due).filter(|(_, due)| *due) {
            signal.raise();
        }
    }

    /// Wakes `part` when a step is due that it does not know of.
    pub(crate) fn due(&self, part: Participant) -> &Signal {
        &self.due[part as usize]
    }

    pub(crate) fn stored(&self) -> Lsn {
        Lsn(self.stored.load(Ordering::Acquire))
    }

    pub(crate) fn set_stored(&self, lsn: Lsn) {
        self.stored.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn settled(&self) -> Lsn {
        Lsn(self.settled.load(Ordering::Acquire))
    }

    pub(crate) fn set_settled(&self, lsn: Lsn) {
        self.settled.store(lsn.0, Ordering::Release);
    }
}
