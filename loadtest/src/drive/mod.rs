//! The load client: many keep-alive connections, few threads, one write and one read a request.
//!
//! It shares the machine with the server under test, so it must cost little: sockets do not block
//! and are watched by edge-triggered epoll, requests are bytes made beforehand, answers are parsed
//! where they were read. It never waits for one connection while another has work.
//!
//! Two paces. **Closed**: each connection sends its next request after its answer; this finds the
//! throughput. **Open**: requests are due at fixed times whatever the server does, and a latency
//! counts from the time a request was due, so that a server that stalls cannot hide the requests
//! that it kept from being sent (coordinated omission). Requests that could not be sent or were
//! not answered are counted, and enter the latencies with the time they had waited.

mod connection;
mod schedule;
mod tally;
mod worker;

pub use connection::Failure;
pub use schedule::Schedule;
pub use tally::{OpenCounts, Report, StatusCounts, percentile};
pub(crate) use worker::in_full;

use crate::answer::Answer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tally::Tally;
use worker::{Worker, WorkerError};

/// How often a run that goes on is looked at: whether it was stopped.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to do with a connection after its answer, or after it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The request is done; go on to the next one.
    Next,
    /// The request is done; in a closed loop the next one is due then, and its latency counts from then,
    /// also when that is past already. In an open loop the same as [`Then::Next`].
    At(Instant),
    /// Send the same bytes again after so long. The request's latency runs on.
    Again(Duration),
    /// Send nothing more on this connection.
    Stop,
}

/// What is sent and what its answers mean. One value for each thread; connections are named by
/// their number, counted over all threads.
pub trait Workload: Send {
    /// Every connection of every thread is open and the run begins; nothing was sent yet. Called once on
    /// each thread, with the same time.
    fn started(&mut self, start: Instant) {
        let _ = start;
    }

    /// When the connection's first request is due in a closed loop; `None`: at once.
    fn first_due(&mut self, connection: usize) -> Option<Instant> {
        let _ = connection;
        None
    }

    /// A request will be made ready that is due at this time: what its latency counts from.
    fn due(&mut self, connection: usize, due: Instant) {
        let _ = (connection, due);
    }

    /// Of an open loop: a request that was due then was never sent, for want of a connection.
    fn dropped(&mut self, due: Instant) {
        let _ = due;
    }

    /// Whether no more is to be sent, though there would be more; what is under way is awaited.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Makes the connection's next request ready; `false` when it has nothing more to send.
    fn prepare(&mut self, connection: usize) -> bool;

    /// The bytes of the request that was made ready last.
    fn bytes(&self, connection: usize) -> &[u8];

    /// The request was answered.
    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then;

    /// The request was not answered and may or may not have had its effect; the connection is
    /// closed and will be opened anew before the next sending.
    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        let _ = (connection, failure);
        Then::Stop
    }
}

/// Looks at the server when the counted window opens and closes.
pub trait Probe {
    /// Warming up is over.
    fn window_opened(&mut self) {}
    /// What is answered from here on is not counted.
    fn window_closed(&mut self) {}
}

/// Looks at nothing.
impl Probe for () {}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection sends after its answer.
    Closed,
    /// So many requests a second over all connections, at even distances.
    Open {
        /// Requests a second; more than 0.
        per_second: f64,
    },
}

/// A run of load.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Connections, opened before the first request; at least 1.
    pub connections: usize,
    /// Threads that drive them; at least 1. One is enough for some 100,000 requests a second.
    pub threads: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Load before the counted window.
    pub warmup: Duration,
    /// The counted window. None: from the start until the workload has nothing more to send;
    /// then [`Plan::patience`] bounds the whole run.
    pub window: Option<Duration>,
    /// How long outstanding answers are awaited after the window.
    pub patience: Duration,
}

/// Why a run could not be made. What fails within a run is counted in its report instead.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// No connection, no thread, or no rate.
    #[error("a run needs at least one connection, one workload for each thread, and a rate above zero")]
    EmptyPlan,
    /// Not all connections could be opened.
    #[error("connection {connection} to {address} could not be opened")]
    Connect {
        /// Which one, counted from 0.
        connection: usize,
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused what the client needs: an epoll, a timer.
    #[error("the client cannot watch its connections")]
    Watch(#[source] std::io::Error),
    /// A thread of the client panicked: a workload is broken.
    #[error("a load thread panicked")]
    Panicked,
}

/// What all threads of a run share.
struct Shared<'a> {
    plan: &'a Plan,
    /// Passed twice: when every connection is open, and when the times are fixed.
    gate: Barrier,
    times: OnceLock<Times>,
    /// A thread could not open its share: nobody runs.
    broken: AtomicBool,
    /// Threads that have ended; each wakes the one that waits for them.
    ended: AtomicUsize,
    waits: Thread,
}

/// The run's times; the same for all threads.
#[derive(Debug, Clone, Copy)]
struct Times {
    start: Instant,
    opens: Instant,
    /// None: counted until there is nothing more to send.
    closes: Option<Instant>,
    gives_up: Instant,
}

impl Times {
    fn of(plan: &Plan, start: Instant) -> Self {
        let opens = start + plan.warmup;
        let closes = plan.window.map(|window| opens + window);
        Self { start, opens, closes, gives_up: closes.unwrap_or(opens) + plan.patience }
    }

    /// Whether what happens at `when` is in the counted window.
    fn counts(&self, when: Instant) -> bool {
        when >= self.opens && self.closes.is_none_or(|closes| when < closes)
    }
}

/// Opens the connections, then drives them; one workload for each thread. Gives the workloads
/// back with what they have gathered.
pub fn run<W: Workload>(plan: &Plan, workloads: Vec<W>, probe: &mut dyn Probe) -> Result<(Report, Vec<W>), DriveError> {
    let rate_is_sound = match plan.pace {
        Pace::Closed => true,
        Pace::Open { per_second } => per_second.is_finite() && per_second > 0.0,
    };
    if plan.connections == 0 || plan.threads == 0 || workloads.len() != plan.threads || !rate_is_sound {
        return Err(DriveError::EmptyPlan);
    }
    let shared = Shared {
        plan,
        gate: Barrier::new(plan.threads + 1),
        times: OnceLock::new(),
        broken: AtomicBool::new(false),
        ended: AtomicUsize::new(0),
        waits: std::thread::current(),
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = workloads
            .into_iter()
            .enumerate()
            .map(|(index, workload)| {
                scope.spawn({
                    let shared = &shared;
                    move || drive(shared, index, workload)
                })
            })
            .collect();
        shared.gate.wait();
        let times = Times::of(plan, Instant::now());
        // Set once, here: nobody else writes it.
        let _ = shared.times.set(times);
        shared.gate.wait();
        if shared.broken.load(Ordering::Acquire) {
            // The threads' errors say why.
        } else if let Some(closes) = times.closes {
            shared.sleep_until(times.opens);
            probe.window_opened();
            shared.sleep_until(closes);
            probe.window_closed();
        } else {
            probe.window_opened();
        }
        let mut tally = Tally::new();
        let mut back = Vec::with_capacity(plan.threads);
        let mut failed = None;
        for thread in threads {
            match thread.join() {
                Ok(Ok((part, workload))) => {
                    tally.add(&part);
                    back.push(workload);
                }
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(_) => failed = Some(DriveError::Panicked),
            }
        }
        if times.closes.is_none() {
            probe.window_closed();
        }
        match failed {
            Some(error) => Err(error),
            None => Ok((tally.into_report(plan, times.opens.elapsed()), back)),
        }
    })
}

/// One thread's share: the connections whose number leaves its index when divided by the threads.
fn drive<W: Workload>(shared: &Shared<'_>, index: usize, workload: W) -> Result<(Tally, W), DriveError> {
    let _ending = Ending(shared);
    let worker = Worker::open(shared.plan, index, workload);
    if worker.is_err() {
        shared.broken.store(true, Ordering::Release);
    }
    // The gate is passed even when opening failed, or the others would wait for ever.
    shared.gate.wait();
    shared.gate.wait();
    let worker = worker.map_err(|error| match error {
        WorkerError::Connect { connection, source } => {
            DriveError::Connect { connection, address: shared.plan.address, source }
        }
        WorkerError::Watch(source) => DriveError::Watch(source),
    })?;
    if shared.broken.load(Ordering::Acquire) {
        return Ok(worker.give_up());
    }
    let times = shared.times.get().copied().unwrap_or_else(|| Times::of(shared.plan, Instant::now()));
    worker.run(times).map_err(DriveError::Watch)
}

/// Says that a thread has ended, however it did.
struct Ending<'a>(&'a Shared<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
        self.0.waits.unpark();
    }
}

impl Shared<'_> {
    /// Sleeps until then, or until the threads have nothing more to do.
    fn sleep_until(&self, when: Instant) {
        loop {
            let left = when.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ended.load(Ordering::Acquire) == self.plan.threads {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests;
