//! The control plane's verbs, for tests that are in the same process.

use super::shared::Shared;
use super::visits;
use crate::sandbox::machine::{
    Act, Added, Address, BadRule, Entry, Ledger, Machine, Means, Moved, Rule, Shown, Stuck, Whose,
};
use serde::Serialize;
use son7shop_engine::Time;
use std::sync::Arc;

/// Who plays the shopper's browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Browser {
    /// Whoever asks: the address is told.
    #[default]
    Told,
    /// The sandbox: it arrives at the shop itself, and tells the shop's status.
    Followed,
}

/// What a shopper did, and what became of the browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// What happened, and who was to arrive where.
    #[serde(flatten)]
    pub moved: Moved,
    /// Where the shopper's browser goes; `None`: it stays, is lost, or arrives later.
    pub location: Option<Address>,
    /// The status with which the shop answered, where the sandbox played the browser.
    pub answered: Option<u16>,
}

/// A handle; clones are of the same sandbox.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The time, as the sandbox has it.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.now()
    }

    /// How far the clock is ahead of the real one, in milliseconds.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.shared.offset()
    }

    /// Moves the clock by milliseconds; whoever waits for a time that has come goes on.
    pub fn advance(&self, ms: i64) -> Time {
        self.shared.advance(ms)
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Time) {
        self.shared.set(now);
    }

    /// Adds a fault to come and says its number.
    pub fn add_fault(&self, rule: Rule) -> Result<u64, BadRule> {
        self.shared.with(|machine, _| machine.add_fault(rule))
    }

    /// Takes a fault away; says whether it was there.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.shared.with(|machine, _| machine.remove_fault(id))
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.shared.with(|machine, _| machine.clear_faults());
    }

    /// The faults that were not used up.
    #[must_use]
    pub fn faults(&self) -> Vec<Added> {
        self.shared.with(|machine, _| machine.faults().to_vec())
    }

    /// What money moved.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.with(Machine::ledger)
    }

    /// The calls that came after the one with this number, at most `count` of them.
    #[must_use]
    pub fn requests(&self, after: u64, count: usize) -> Vec<Entry> {
        self.shared
            .with(|machine, _| machine.requests().filter(|entry| entry.seq > after).take(count).cloned().collect())
    }

    /// The payments in the order in which they were prepared, from the one at `from` on.
    #[must_use]
    pub fn payments(&self, from: usize, count: usize) -> Vec<Shown> {
        self.shared.with(|machine, now| machine.all_shown(now, from, count))
    }

    /// The payment with this name.
    #[must_use]
    pub fn payment(&self, tid: &str) -> Option<Shown> {
        self.shared.with(|machine, now| machine.shown(now, Whose::Tid(tid)))
    }

    /// Does with the machine what this handle has no verb for. `with` runs under the machine's
    /// lock: it must use no handle.
    pub fn with<T>(&self, with: impl FnOnce(&mut Machine, Time) -> T) -> T {
        self.shared.with(with)
    }

    /// Returns once `is` is true of the machine. It runs under the machine's lock: it must use no
    /// handle.
    pub async fn until(&self, is: impl Fn(&Machine) -> bool) {
        self.shared.until(is).await;
    }

    /// The shopper does one thing.
    pub async fn act(&self, whose: Whose<'_>, act: Act, browser: Browser) -> Result<Sent, Stuck> {
        let moved = self.shared.with(|machine, now| machine.act(now, whose, act))?;
        Ok(self.send(moved, browser).await)
    }

    /// The shopper pays, with all that it takes.
    pub async fn pay(&self, whose: Whose<'_>, means: Means, browser: Browser) -> Result<Sent, Stuck> {
        let moved = self.shared.with(|machine, now| machine.pay(now, whose, means))?;
        Ok(self.send(moved, browser).await)
    }

    /// The shopper enters a wrong password, with all that it takes.
    pub async fn mistype(&self, whose: Whose<'_>, means: Means, browser: Browser) -> Result<Sent, Stuck> {
        let moved = self.shared.with(|machine, now| machine.mistype(now, whose, means))?;
        Ok(self.send(moved, browser).await)
    }

    /// The shopper leaves.
    pub async fn quit(&self, whose: Whose<'_>, browser: Browser) -> Result<Sent, Stuck> {
        self.act(whose, Act::Quit, browser).await
    }

    async fn send(&self, moved: Moved, browser: Browser) -> Sent {
        let (location, answered) = visits::arrive(&self.shared, &moved.visits, browser).await;
        Sent { moved, location, answered }
    }
}
