//! The orders that somebody waits for a change of: each is sent to them as it is once a change is on disk.
//!
//! An order that nobody watches costs nothing.

use son7shop_engine::{Event, OrderId, OrderView, Partition};
use std::cell::RefCell;
use std::collections::HashMap;
use tokio::sync::watch;

/// Entries after which those that nobody listens to any more are dropped.
const SWEEP: usize = 1024;

/// Who watches which order.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// In a cell: to begin watching is a read of the owner.
    orders: RefCell<HashMap<OrderId, watch::Sender<Option<OrderView>>>>,
    /// Watched orders that the open batch changes.
    changed: Vec<OrderId>,
}

impl Watched {
    /// Carries the order as it is after each change; `None` before the first.
    pub(crate) fn watch(&self, order: OrderId) -> watch::Receiver<Option<OrderView>> {
        let mut orders = self.orders.borrow_mut();
        if orders.len() >= SWEEP && orders.len().is_power_of_two() {
            orders.retain(|_, listeners| listeners.receiver_count() > 0);
        }
        orders.entry(order).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Takes in an event of the open batch.
    #[inline]
    pub(crate) fn take(&mut self, event: &Event) {
        if self.orders.get_mut().is_empty() {
            return;
        }
        self.changed.extend(event.changes_order().filter(|id| self.orders.get_mut().contains_key(id)));
    }

    /// The open batch, which made `partition` what it is, is on disk.
    pub(crate) fn tell(&mut self, partition: &Partition) {
        let orders = self.orders.get_mut();
        for id in self.changed.drain(..) {
            if orders.get(&id).is_some_and(|listeners| listeners.send(partition.order(id)).is_err()) {
                orders.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use son7shop_engine::{Ended, Lines, PartitionId};

    fn expired(id: OrderId) -> Event {
        Event::OrderExpired(Ended { id, lines: Lines::new(), parts: Vec::new() })
    }

    #[test]
    fn a_change_is_told_once_it_is_on_disk_and_only_to_whoever_listens() {
        let (one, other) = (OrderId::from_bytes([1; 16]), OrderId::from_bytes([2; 16]));
        let (mut watched, partition) = (Watched::default(), Partition::new(PartitionId(0), 1));
        watched.take(&expired(one));
        let listener = watched.watch(one);
        watched.take(&expired(other));
        watched.tell(&partition);
        assert!(!listener.has_changed().unwrap(), "that was before, or another order");
        watched.take(&expired(one));
        assert!(!listener.has_changed().unwrap(), "not on disk yet");
        watched.tell(&partition);
        assert!(listener.has_changed().unwrap());
        drop(listener);
        watched.take(&expired(one));
        watched.tell(&partition);
        assert!(watched.orders.borrow().is_empty(), "nobody listens");
    }
}
