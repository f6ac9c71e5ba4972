//! One thread of the client: an epoll loop over its share of the connections. It never blocks
//! on one of them, except while a connection that failed is opened anew.

use super::connection::{Connection, Failure, Got, Standing, open};
use super::schedule::Schedule;
use super::tally::{Counts, Tally};
use super::{LOOK_EVERY, Pace, Plan, Then, Times, Workload};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes read at once; an answer to an order is a few hundred.
const READ_BYTES: usize = 64 << 10;

/// Events fetched at once.
const EVENTS_MAX: usize = 512;

/// In an open loop, after how many events the schedule is looked at.
const EVENTS_BETWEEN_LOOKS: usize = 32;

/// In an open loop, how far apart the looks at the schedule are when nothing else wakes the loop;
/// a request is sent at most so long after it is due, and its latency says so.
const TICK: Duration = Duration::from_micros(200);

/// After a failure the next request waits so long, so that a dead server is not called in a tight loop.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// The timer's name among the events; connections are named by their slot.
const TIMER: u64 = u64::MAX;

/// Why a thread could not begin.
pub(super) enum WorkerError {
    Connect { connection: usize, source: std::io::Error },
    Watch(std::io::Error),
}

/// What follows a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    SameRequest,
    NextRequest,
    /// The request is done and the next one is due.
    Thought,
}

/// An open loop's state.
struct Open {
    schedule: Schedule,
    /// The next request to send; those before it were sent.
    next: u64,
    /// When a request last found every connection busy.
    starved_at: Option<Instant>,
    timer: OwnedFd,
}

/// One thread of the client.
pub(super) struct Worker<'a, W> {
    plan: &'a Plan,
    index: usize,
    workload: W,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request, longest idle first; in an open loop only.
    idle: VecDeque<usize>,
    pausing: BinaryHeap<Reverse<(Instant, usize, After)>>,
    open: Option<Open>,
    /// Connections that are not done.
    live: usize,
    /// Connections whose request is under way or will be sent again.
    busy: usize,
    scratch: Vec<u8>,
    tally: Tally,
}

impl<'a, W: Workload> Worker<'a, W> {
    /// Opens this thread's share of the connections, one after another.
    pub(super) fn open(plan: &'a Plan, index: usize, workload: W) -> Result<Self, WorkerError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| WorkerError::Watch(errno.into()))?;
        let mut connections = Vec::new();
        for connection in (index..plan.connections).step_by(plan.threads) {
            let stream = open(plan.address).map_err(|source| WorkerError::Connect { connection, source })?;
            watch(&epoll, &stream, connections.len()).map_err(WorkerError::Watch)?;
            connections.push(Connection::new(stream, Instant::now()));
        }
        Ok(Self {
            plan,
            index,
            workload,
            epoll,
            live: connections.len(),
            busy: 0,
            connections,
            idle: VecDeque::new(),
            pausing: BinaryHeap::new(),
            open: None,
            scratch: vec![0; READ_BYTES],
            tally: Tally::new(),
        })
    }

    /// Nothing was sent.
    pub(super) fn give_up(self) -> (Tally, W) {
        (self.tally, self.workload)
    }

    /// Sends and receives until the run is over.
    pub(super) fn run(mut self, times: Times) -> std::io::Result<(Tally, W)> {
        self.workload.started(times.start);
        match self.plan.pace {
            Pace::Closed => {
                for slot in 0..self.connections.len() {
                    match self.workload.first_due(self.number(slot)) {
                        Some(due) => self.think(slot, due),
                        None => self.begin(slot, Instant::now()),
                    }
                }
            }
            Pace::Open { per_second } => {
                self.idle.extend(0..self.connections.len());
                self.open = Some(Open {
                    schedule: Schedule::new(times.start, per_second, self.index, self.plan.threads),
                    next: 0,
                    starved_at: None,
                    timer: self.arm_timer()?,
                });
            }
        }
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            let now = Instant::now();
            self.resume(now, &times);
            self.send_due(now, &times);
            if self.is_over(now, &times) {
                break;
            }
            let timeout = self.timeout(now, &times);
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for (n, event) in events.iter().enumerate() {
                // Answers come in crowds; what falls due meanwhile is not held up by them.
                if n % EVENTS_BETWEEN_LOOKS == EVENTS_BETWEEN_LOOKS - 1 {
                    self.send_due(Instant::now(), &times);
                }
                // The struct is packed: take the copy first.
                let (data, flags) = (event.data, event.flags);
                if data.u64() == TIMER {
                    self.rearm_timer();
                } else {
                    self.on_event(usize::try_from(data.u64()).unwrap_or(usize::MAX), flags, &times);
                }
            }
        }
        self.count_the_unanswered(&times);
        Ok((self.tally, self.workload))
    }

    fn is_over(&self, now: Instant, times: &Times) -> bool {
        if now >= times.gives_up || self.live == 0 {
            return true;
        }
        if self.busy == 0 && self.workload.is_stopped() {
            return true;
        }
        let Some(open) = &self.open else {
            return self.busy == 0 && times.closes.is_some_and(|closes| now >= closes);
        };
        let all_sent = times.closes.is_some_and(|closes| open.schedule.due_at(open.next) >= closes);
        all_sent && self.busy == 0
    }

    /// The connection's number over all threads.
    fn number(&self, slot: usize) -> usize {
        self.index + slot * self.plan.threads
    }

    /// Makes the next request and sends it; its latency counts from `since`.
    fn begin(&mut self, slot: usize, since: Instant) {
        let number = self.number(slot);
        if self.workload.is_stopped() {
            self.done(slot);
            return;
        }
        self.workload.due(number, since);
        if !self.workload.prepare(number) {
            self.done(slot);
            return;
        }
        self.connections[slot].since = since;
        self.busy += 1;
        self.transmit(slot);
    }

    /// Sends the request that was made ready, on a new connection if the old one is gone.
    fn transmit(&mut self, slot: usize) {
        let number = self.number(slot);
        if let Err(failure) = self.reopen(slot) {
            self.on_failure(slot, &failure);
            return;
        }
        let connection = &mut self.connections[slot];
        connection.standing = Standing::Waiting;
        if let Err(failure) = connection.send(self.workload.bytes(number)) {
            self.on_failure(slot, &failure);
        }
    }

    fn reopen(&mut self, slot: usize) -> Result<(), Failure> {
        if self.connections[slot].stream.is_some() {
            return Ok(());
        }
        let stream = open(self.plan.address).map_err(Failure::Connect)?;
        watch(&self.epoll, &stream, slot).map_err(Failure::Broken)?;
        self.connections[slot].stream = Some(stream);
        self.tally.reopened += 1;
        Ok(())
    }

    fn done(&mut self, slot: usize) {
        self.connections[slot].standing = Standing::Done;
        self.live -= 1;
    }

    fn on_event(&mut self, slot: usize, flags: epoll::EventFlags, times: &Times) {
        let connection = &mut self.connections[slot];
        if flags.contains(epoll::EventFlags::OUT)
            && let Err(failure) = connection.flush()
        {
            return self.on_broken(slot, &failure);
        }
        let (parsed, in_inbox) = match connection.receive(&mut self.scratch) {
            Ok(Got::Nothing) => return,
            Ok(Got::Whole { parsed, in_inbox }) => (parsed, in_inbox),
            Err(failure) => return self.on_broken(slot, &failure),
        };
        if connection.standing != Standing::Waiting {
            return self.on_broken(slot, &Failure::Unasked);
        }
        let number = self.index + slot * self.plan.threads;
        let bytes = if in_inbox { connection.inbox() } else { &self.scratch };
        let then = self.workload.answered(number, parsed.answer(bytes));
        connection.clear_inbox();
        if parsed.close {
            connection.close();
        }
        self.after_answer(slot, parsed.status, then, times);
    }

    fn after_answer(&mut self, slot: usize, status: u16, then: Then, times: &Times) {
        let now = Instant::now();
        let since = self.connections[slot].since;
        if let Then::Again(pause) = then {
            self.tally.again += 1;
            self.pause(slot, now + pause, After::SameRequest);
            return;
        }
        self.busy -= 1;
        let window_is_over = self.open.is_none() && times.closes.is_some_and(|closes| now >= closes);
        // In an open loop a request belongs to the window in which it was due.
        let belongs_at = if self.open.is_some() { since } else { now };
        let counts = if times.counts(belongs_at) {
            Counts::Fully
        } else if window_is_over {
            Counts::LatencyOnly
        } else {
            Counts::Not
        };
        self.tally.answer(status, now.saturating_duration_since(since), counts);
        if then == Then::Stop || window_is_over {
            self.done(slot);
        } else if self.open.is_some() {
            self.connections[slot].standing = Standing::Idle;
            self.idle.push_back(slot);
        } else if let Then::At(due) = then {
            self.think(slot, due);
        } else {
            self.begin(slot, now);
        }
    }

    /// Lets the connection rest until its next request is due.
    fn think(&mut self, slot: usize, due: Instant) {
        self.pause(slot, due, After::Thought);
        self.connections[slot].standing = Standing::Thinking;
    }

    /// A connection broke: a failure when a request was under way, else only to be opened anew.
    fn on_broken(&mut self, slot: usize, failure: &Failure) {
        if self.connections[slot].standing == Standing::Waiting {
            self.on_failure(slot, failure);
        } else {
            self.connections[slot].close();
        }
    }

    fn on_failure(&mut self, slot: usize, failure: &Failure) {
        self.connections[slot].close();
        self.tally.failures += 1;
        self.tally.first_failure.get_or_insert_with(|| in_full(failure));
        let now = Instant::now();
        match self.workload.failed(self.number(slot), failure) {
            Then::Again(pause) => self.pause(slot, now + pause, After::SameRequest),
            Then::Next | Then::At(_) => self.pause(slot, now + PAUSE_AFTER_FAILURE, After::NextRequest),
            Then::Stop => {
                self.busy -= 1;
                self.done(slot);
            }
        }
    }

    fn pause(&mut self, slot: usize, until: Instant, after: After) {
        self.connections[slot].standing = Standing::Pausing;
        self.pausing.push(Reverse((until, slot, after)));
    }

    /// Goes on with connections whose pause is over.
    fn resume(&mut self, now: Instant, times: &Times) {
        while let Some(Reverse((until, slot, after))) = self.pausing.peek().copied() {
            if until > now {
                return;
            }
            self.pausing.pop();
            let window_is_over = self.open.is_none() && times.closes.is_some_and(|closes| now >= closes);
            match after {
                After::Thought if window_is_over => self.done(slot),
                After::Thought => self.begin(slot, until),
                _ if window_is_over => {
                    if after == After::SameRequest {
                        // Told to come again, and never answered.
                        self.tally.waited(now.saturating_duration_since(self.connections[slot].since));
                    }
                    self.busy -= 1;
                    self.done(slot);
                }
                After::SameRequest => self.transmit(slot),
                After::NextRequest => {
                    self.busy -= 1;
                    if self.open.is_some() {
                        self.connections[slot].standing = Standing::Idle;
                        self.idle.push_back(slot);
                    } else {
                        self.begin(slot, now);
                    }
                }
            }
        }
    }

    /// Of an open loop: sends what is due, as far as there are connections without a request.
    fn send_due(&mut self, now: Instant, times: &Times) {
        loop {
            if self.workload.is_stopped() {
                return;
            }
            let Some(open) = &mut self.open else { return };
            let due = open.schedule.due_at(open.next);
            if due > now || times.closes.is_some_and(|closes| due >= closes) {
                return;
            }
            let Some(slot) = self.idle.pop_front() else {
                open.starved_at = Some(now);
                return;
            };
            open.next += 1;
            if times.counts(due) {
                self.tally.open.due += 1;
                if open.starved_at.is_some_and(|starved_at| due <= starved_at) {
                    self.tally.open.delayed += 1;
                }
            }
            if times.counts(due) {
                self.tally.late(now.saturating_duration_since(due));
            }
            self.begin(slot, due);
        }
    }

    /// What never got an answer weighs in with the time it had waited at the end.
    fn count_the_unanswered(&mut self, times: &Times) {
        let now = Instant::now();
        for connection in &self.connections {
            if !matches!(connection.standing, Standing::Waiting | Standing::Pausing) {
                continue;
            }
            self.tally.unanswered += 1;
            let is_due_in_window = self.open.is_some() && times.counts(connection.since);
            self.tally.open.unanswered += u64::from(is_due_in_window);
            // In a closed loop all of them waited when the window closed, whenever that began.
            if is_due_in_window || self.open.is_none() {
                self.tally.waited(now.saturating_duration_since(connection.since));
            }
        }
        let (Some(open), Some(closes)) = (&self.open, times.closes) else { return };
        let mut next = open.next;
        loop {
            let due = open.schedule.due_at(next);
            // What was to come after a stop was never due.
            if due >= closes || (due > now && self.workload.is_stopped()) {
                return;
            }
            if times.counts(due) {
                self.workload.dropped(due);
                self.tally.open.due += 1;
                self.tally.open.unsent += 1;
                self.tally.waited(now.saturating_duration_since(due));
            }
            next += 1;
        }
    }

    /// How long to sleep when no connection has news.
    fn timeout(&self, now: Instant, times: &Times) -> Timespec {
        let mut until = times.gives_up.min(now + LOOK_EVERY);
        if let Some(Reverse((resumes, _, _))) = self.pausing.peek() {
            until = until.min(*resumes);
        }
        let wait = until.saturating_duration_since(now);
        // A run is far shorter than what a timespec holds.
        Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
    }

    /// Reading a periodic timer is what sets it going again.
    fn rearm_timer(&self) {
        if let Some(open) = &self.open {
            // Nothing to read means that the tick was read before.
            let _ = rustix::io::read(&open.timer, &mut [0; 8]);
        }
    }

    /// A timer that ticks while it is read.
    fn arm_timer(&self) -> std::io::Result<OwnedFd> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &timer, epoll::EventData::new_u64(TIMER), flags)?;
        Ok(timer)
    }
}

/// Watches a socket by edge, for reading and writing: one call for the connection's whole life.
fn watch(epoll: &OwnedFd, stream: &TcpStream, slot: usize) -> std::io::Result<()> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    epoll::add(epoll, stream, epoll::EventData::new_u64(slot as u64), flags)?;
    Ok(())
}

/// An error with all its sources.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
