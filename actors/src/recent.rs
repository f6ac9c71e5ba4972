//! The order events that the database does not have yet: what lists add to its rows.

use son7shop_engine::{Event, Lsn, OrderId, Partition};
use std::collections::VecDeque;

/// Events that are kept. Beyond it, lists are refused until write-behind has caught up:
/// selling waits while they are looked at.
pub(crate) const RECENT_MAX: usize = 1 << 14;

/// Order events that the database does not have yet, oldest first.
pub(crate) struct Recent {
    events: VecDeque<(Lsn, OrderId)>,
    /// The last event that was dropped for want of room.
    dropped: Lsn,
}

impl Recent {
    /// What a partition that was just recovered knows after `stored`.
    pub(crate) fn after(stored: Lsn, partition: &Partition) -> Self {
        let mut events: Vec<(Lsn, OrderId)> = partition.changes_after(stored).collect();
        events.sort_unstable();
        let kept = events.split_off(events.len().saturating_sub(RECENT_MAX));
        Self { events: kept.into(), dropped: events.last().map_or(Lsn(0), |(lsn, _)| *lsn) }
    }

    /// The events after `stored`, oldest first; `None` if some of them are no longer known.
    pub(crate) fn newer(&self, stored: Lsn) -> Option<impl Iterator<Item = &(Lsn, OrderId)>> {
        let from = self.events.partition_point(|(lsn, _)| *lsn <= stored);
        (self.dropped <= stored).then(|| self.events.range(from..))
    }

    /// Keeps `event`, if it changes an order's row in a list.
    pub(crate) fn take(&mut self, lsn: Lsn, event: &Event) {
        let Some(id) = event.changes_order() else { return };
        if self.events.len() >= RECENT_MAX
            && let Some((dropped, _)) = self.events.pop_front()
        {
            self.dropped = dropped;
        }
        self.events.push_back((lsn, id));
    }

    /// Drops what the database has up to `stored`.
    pub(crate) fn forget(&mut self, stored: Lsn) {
        while self.events.front().is_some_and(|(lsn, _)| *lsn <= stored) {
            self.events.pop_front();
        }
    }
}
