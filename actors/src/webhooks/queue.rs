//! What an endpoint has still to be told: its places in the journal, and the messages that
//! were read there and wait for a try.
//!
//! The queue is durable as a whole, bodies included ([`super::store`]): a place in the journal
//! moves on once a message stands here, so one that waits a day for its next try does not hold
//! the journal's segments, and a retry never has to find its event again. The queue is bounded
//! by [`WAITING_MAX`]; only what finds no room holds its place.
//!
//! Pure: knows no clock, does no I/O. It must never drop a message that was not delivered or
//! given up.

use serde::{Deserialize, Serialize};
use son7shop_engine::Time;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Messages of one endpoint that wait, at most: bounds memory and the file (a message has about
/// 0.5 KiB, at most some 6).
pub(super) const WAITING_MAX: usize = 1000;
/// Tries of one endpoint's that are under way at once.
pub(super) const TRIES_MAX: usize = 8;
/// While a queue is full, how often it is tried out of turn whether the endpoint is back.
const PROBE_MILLIS: i64 = 5 * 60 * 1000;

/// The pauses before each try, the first one's included; after the last it is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// A schedule of these pauses, for tests; a first try at once is put before none.
    #[must_use]
    pub fn new(pauses: &[Duration]) -> Self {
        Self(if pauses.is_empty() { vec![Duration::ZERO] } else { pauses.to_vec() })
    }

    /// How often a message is tried.
    #[must_use]
    pub fn tries(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The pause in milliseconds before the try after `tries` of them, with up to a tenth more
    /// by `jitter` (0 to 1), so that what failed together does not come back together.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "milliseconds of days")]
    fn pause_millis(&self, tries: u32, jitter: f64) -> Option<i64> {
        let pause = self.0.get(tries as usize)?.as_millis() as f64;
        Some((pause * (1.0 + jitter.clamp(0.0, 1.0) / 10.0)) as i64)
    }
}

/// The published one.
impl Default for RetrySchedule {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        let seconds = [0, 5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self(seconds.map(Duration::from_secs).to_vec())
    }
}

/// Where an endpoint's reading of one partition's journal stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lane {
    pub(super) partition: u16,
    /// Every event up to here is delivered, given up, in the queue, or not for this endpoint:
    /// the end of a frame, since a reader can start only there.
    pub(super) position: u64,
    /// The same, inside the next frame.
    pub(super) taken: u64,
    /// `None`: follows the journal for good.
    pub(super) replay: Option<Replay>,
    /// Names the lane among all of this process's.
    #[serde(skip, default = "next_lane")]
    pub(super) number: u64,
}

/// What a lane reads again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// The last event.
    pub(super) until: u64,
    /// Events before this time are left out; milliseconds since 1970.
    pub(super) since: Option<i64>,
    /// When it was asked for; milliseconds since 1970.
    pub(super) began: i64,
}

fn next_lane() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Lane {
    pub(super) fn new(partition: u16, position: u64, replay: Option<Replay>) -> Self {
        Self { partition, position, taken: position, replay, number: next_lane() }
    }
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) body: String,
    /// When it came into the queue, in milliseconds since 1970.
    pub(super) since: i64,
    /// Tries that failed.
    pub(super) tries: u32,
    /// When it is tried next, by the schedule.
    pub(super) due: i64,
    /// Tried now, out of turn: the try does not count.
    #[serde(skip)]
    hurried: bool,
    #[serde(skip)]
    under_way: bool,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) body: String,
    /// Which, from 1.
    pub(super) number: u32,
}

/// What follows from a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It is tried again then.
    Again(Time),
    /// It was the last.
    GivenUp,
}

/// What an endpoint has still to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) lanes: Vec<Lane>,
    waiting: VecDeque<Waiting>,
    #[serde(skip)]
    under_way: usize,
    #[serde(skip)]
    probed: i64,
}

impl Queue {
    /// A queue that follows the journal from these places on, one for each partition.
    pub(super) fn from_places(places: &[u64]) -> Self {
        let mut queue = Self::default();
        queue.follow(places);
        queue
    }

    /// Follows the journal from these places on, and from no others.
    pub(super) fn follow(&mut self, places: &[u64]) {
        self.lanes = (0..).zip(places).map(|(partition, &place)| Lane::new(partition, place, None)).collect();
    }

    pub(super) fn lane(&mut self, number: u64) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.number == number)
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Since when the oldest message waits.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| Time(waiting.since)).min()
    }

    /// Takes a message in, due at once; one that waits already is not taken twice.
    pub(super) fn push(&mut self, id: String, kind: &str, body: String, now: Time) {
        if self.waiting.iter().any(|waiting| waiting.id == id) {
            return;
        }
        let (kind, since) = (kind.to_owned(), now.0);
        let fresh = Waiting { id, kind, body, since, tries: 0, due: now.0, hurried: false, under_way: false };
        self.waiting.push_back(fresh);
    }

    /// The next try that is due, if there is room for one more.
    pub(super) fn take(&mut self, now: Time) -> Option<Try> {
        if self.under_way >= TRIES_MAX {
            return None;
        }
        let due = |waiting: &&mut Waiting| !waiting.under_way && (waiting.hurried || waiting.due <= now.0);
        let waiting = self.waiting.iter_mut().find(due)?;
        waiting.under_way = true;
        self.under_way += 1;
        let Waiting { id, kind, body, tries, .. } = waiting.clone();
        Some(Try { id, kind, body, number: tries + 1 })
    }

    /// When something will be due, if nothing is under way that tells.
    pub(super) fn next_due(&self) -> Option<Time> {
        let due = |waiting: &Waiting| if waiting.hurried { 0 } else { waiting.due };
        let next = self.waiting.iter().filter(|waiting| !waiting.under_way).map(due).min()?;
        Some(Time(if self.is_full() { next.min(self.probed + PROBE_MILLIS) } else { next }))
    }

    /// A try succeeded.
    pub(super) fn delivered(&mut self, id: &str, now: Time) {
        if self.end_try(id) {
            let full = self.is_full();
            self.waiting.retain(|waiting| waiting.id != id);
            // Others wait for room, perhaps for hours: the endpoint is back, so they need not.
            if full && now.0 >= self.probed + PROBE_MILLIS / 2 {
                self.probed = now.0;
                self.hurry();
            }
        }
    }

    /// A try failed. `None`: the message is not here any more.
    pub(super) fn failed(&mut self, id: &str, now: Time, schedule: &RetrySchedule, jitter: f64) -> Option<After> {
        if !self.end_try(id) {
            return None;
        }
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.id == id)?;
        let out_of_turn = std::mem::take(&mut waiting.hurried) && waiting.due > now.0;
        if out_of_turn {
            return Some(After::Again(Time(waiting.due)));
        }
        waiting.tries += 1;
        if let Some(pause) = schedule.pause_millis(waiting.tries, jitter) {
            waiting.due = now.0.saturating_add(pause);
            return Some(After::Again(Time(waiting.due)));
        }
        self.waiting.retain(|waiting| waiting.id != id);
        Some(After::GivenUp)
    }

    fn end_try(&mut self, id: &str) -> bool {
        let found = self.waiting.iter_mut().find(|waiting| waiting.id == id && waiting.under_way);
        let Some(waiting) = found else { return false };
        waiting.under_way = false;
        self.under_way -= 1;
        true
    }

    /// Everything that waits is tried now; such tries come on top of the schedule's.
    pub(super) fn hurry(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.hurried = true);
    }

    /// While the queue is full, the oldest message is tried now and then: the endpoint may be
    /// back long before the schedule looks.
    pub(super) fn probe(&mut self, now: Time) {
        if self.is_full() && now.0 >= self.probed + PROBE_MILLIS {
            self.probed = now.0;
            if let Some(oldest) = self.waiting.front_mut() {
                oldest.hurried = true;
            }
        }
    }

    /// No try is under way any more: whoever made them is gone.
    pub(super) fn release(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.under_way = false);
        self.under_way = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(ids: &[&str]) -> Queue {
        let mut queue = Queue::from_places(&[0]);
        for id in ids {
            queue.push((*id).to_owned(), "ping", "{}".to_owned(), Time(0));
        }
        queue
    }

    fn id(tried: Option<Try>) -> Option<(String, u32)> {
        tried.map(|tried| (tried.id, tried.number))
    }

    #[test]
    fn a_message_is_tried_by_the_published_schedule_and_then_given_up() {
        let schedule = RetrySchedule::default();
        let (mut queue, mut now, mut pauses) = (queue(&["a"]), Time(0), Vec::new());
        for number in 1.. {
            assert_eq!(id(queue.take(now)), Some(("a".to_owned(), number)));
            match queue.failed("a", now, &schedule, 0.0).unwrap() {
                After::Again(due) => {
                    pauses.push((due.0 - now.0) / 1000);
                    assert_eq!(queue.take(Time(due.0 - 1)), None);
                    assert_eq!(queue.next_due(), Some(due));
                    now = due;
                }
                After::GivenUp => break,
            }
        }
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!((queue.len(), queue.take(Time(i64::MAX))), (0, None));
        assert_eq!(schedule.pause_millis(1, 1.0), Some(5500));
    }

    #[test]
    fn so_many_tries_are_under_way_and_no_message_is_there_twice() {
        let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut queue = queue(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        queue.push("3".to_owned(), "ping", "{}".to_owned(), Time(0));
        assert_eq!(queue.len(), 20);
        let taken: Vec<_> = std::iter::from_fn(|| id(queue.take(Time(0)))).map(|(id, _)| id).collect();
        assert_eq!(taken, &ids[..TRIES_MAX]);
        queue.delivered("3", Time(0));
        queue.delivered("3", Time(0));
        assert_eq!(id(queue.take(Time(0))), Some(("8".to_owned(), 1)));
        assert_eq!(queue.take(Time(0)), None);
        queue.release();
        assert_eq!(id(queue.take(Time(0))), Some(("0".to_owned(), 1)));
    }

    #[test]
    fn a_try_out_of_turn_does_not_count() {
        let schedule = RetrySchedule::default();
        let mut queue = queue(&["a"]);
        queue.take(Time(0)).unwrap();
        let due = Time(5000);
        assert_eq!(queue.failed("a", Time(0), &schedule, 0.0), Some(After::Again(due)));
        queue.hurry();
        assert_eq!(id(queue.take(Time(1))), Some(("a".to_owned(), 2)));
        assert_eq!(queue.failed("a", Time(1), &schedule, 0.0), Some(After::Again(due)));
        assert_eq!(queue.take(Time(2)), None);
        assert_eq!(id(queue.take(due)), Some(("a".to_owned(), 2)));
    }

    #[test]
    fn a_full_queue_is_probed_and_goes_on_once_the_endpoint_is_back() {
        let schedule = RetrySchedule::default();
        let ids: Vec<String> = (0..WAITING_MAX).map(|n| n.to_string()).collect();
        let mut queue = queue(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        // Two tries of each have failed: the third is due five minutes later.
        for now in [Time(0), Time(5000)] {
            while let Some(tried) = queue.take(now) {
                queue.failed(&tried.id, now, &schedule, 0.0).unwrap();
            }
        }
        queue.probe(Time(0));
        assert!(queue.is_full() && queue.take(Time(6000)).is_none());
        let now = Time(PROBE_MILLIS);
        assert_eq!(queue.next_due(), Some(now));
        queue.probe(now);
        assert_eq!(id(queue.take(now)), Some(("0".to_owned(), 3)));
        assert_eq!(queue.take(now), None, "one is enough to see");
        queue.delivered("0", Time(PROBE_MILLIS * 2));
        assert_eq!(std::iter::from_fn(|| queue.take(now)).count(), TRIES_MAX, "the endpoint is back");
    }

    #[test]
    fn a_queue_reads_back_without_what_was_under_way() {
        let mut queue = queue(&["a", "b"]);
        queue.take(Time(0)).unwrap();
        let text = serde_json::to_string(&queue).unwrap();
        let mut read: Queue = serde_json::from_str(&text).unwrap();
        assert_eq!(id(read.take(Time(0))), Some(("a".to_owned(), 1)));
        assert_eq!(read.lanes[0].position, queue.lanes[0].position);
        assert_ne!(read.lanes[0].number, queue.lanes[0].number);
    }
}
