//! This engine over HTTP, from one thread that watches all connections (this crate's load
//! client): what is left when thousands of buying threads do not compete with the engine for
//! the processors. It counts as the harness counts: an attempt without a clear answer is
//! unknown, never a refusal.

use super::engine::{EngineShop, OpenShop};
use super::http::{AGAIN_MAX, BROKEN_MAX, BUSY_PAUSE, Told, told};
use crate::answer::Answer;
use crate::drive::{Failure, Pace as Drive, Plan, Probe, Report, Then, Workload, percentile, run};
use crate::lab::backend::{Contender, Promise};
use crate::lab::costs::Reading;
use crate::lab::load::{Costs, Counted, Load, Micros, Pace, Sale};
use crate::lab::verdict::Verdict;
use crate::request::Request;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How long answers are awaited after the window.
const PATIENCE: Duration = Duration::from_mins(1);

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Buyers on connections that one thread drives.
pub struct EngineEpoll {
    shop: Arc<EngineShop>,
}

impl EngineEpoll {
    /// A load's threads are connections here, each with its own token.
    pub fn new(shop: Arc<EngineShop>) -> Self {
        Self { shop }
    }
}

impl Contender for EngineEpoll {
    fn name(&self) -> &'static str {
        "son7shop-http-epoll"
    }

    fn about(&self) -> &'static str {
        "this engine over HTTP, as many connections as threads, all driven by one thread; token, idempotency key, \
         JSON; write-behind to SQLite running"
    }

    fn promise(&self) -> Promise {
        Promise::SyncedBeforeAnswer
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.shop.settings();
        settings.push(("HTTP connections".to_owned(), "one for each of the load's threads, on one thread".to_owned()));
        settings
    }

    fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
        let shop = self.shop.open(load.units)?;
        let requests = (0..load.threads).map(|buyer| shop.purchase(buyer));
        let phase = Arc::new(AtomicU8::new(WARMING_UP));
        let crowd = Crowd::new(requests.collect::<anyhow::Result<_>>()?, load.pace, Arc::clone(&phase));
        let mut costs = Window { shop: &shop, phase, opened: None, closed: None };
        let (report, crowds) = run(&plan(shop.address(), load)?, vec![crowd], &mut costs)?;
        if !matches!(load.pace, Pace::Closed { .. }) {
            // What ends after the window of a closed loop is not counted; else everything is: once more.
            costs.window_closed();
        }
        let crowd = crowds.into_iter().next().context("the client gave no crowd back")?;
        let counted = crowd.counted(&report);
        let shelf = shop.shelf()?;
        Ok(Sale {
            costs: costs.of(counted.sold),
            verdict: Verdict::new(load.units, counted.sold_in_all, counted.unknown_in_all, shelf),
            counted,
        })
    }
}

fn plan(address: SocketAddr, load: &Load) -> anyhow::Result<Plan> {
    let seconds = Duration::try_from_secs_f64;
    let (pace, warmup, window, patience) = match load.pace {
        Pace::Closed { warmup_seconds, window_seconds } => {
            (Drive::Closed, seconds(warmup_seconds)?, Some(seconds(window_seconds)?), PATIENCE)
        }
        Pace::Open { per_second, window_seconds } => {
            (Drive::Open { per_second }, Duration::ZERO, Some(seconds(window_seconds)?), PATIENCE)
        }
        Pace::SellOut { patience_seconds } => (Drive::Closed, Duration::ZERO, None, seconds(patience_seconds)?),
    };
    let connections = load.threads;
    Ok(Plan { address, connections, threads: 1, pace, warmup, window, patience })
}

/// Reads the costs when the window opens and closes, and tells the crowd.
struct Window<'a> {
    shop: &'a OpenShop,
    phase: Arc<AtomicU8>,
    opened: Option<Reading>,
    closed: Option<Reading>,
}

impl Window<'_> {
    fn of(&self, sold: u64) -> Costs {
        match (&self.opened, &self.closed) {
            (Some(opened), Some(closed)) => closed.since(opened, sold),
            _ => Costs::default(),
        }
    }
}

impl Probe for Window<'_> {
    fn window_opened(&mut self) {
        // Before the reading, which takes a while: the client counts by the clock.
        self.phase.store(COUNTING, Ordering::Relaxed);
        self.opened = Some(Reading::before(&[self.shop.pid()], || self.shop.syncs()));
    }

    fn window_closed(&mut self) {
        self.phase.store(OVER, Ordering::Relaxed);
        self.closed = Some(Reading::after(&[self.shop.pid()], || self.shop.syncs()));
    }
}

/// An attempt under way.
#[derive(Debug, Clone, Copy, Default)]
struct UnderWay {
    retries: u32,
    broken: u32,
}

/// All buyers.
struct Crowd {
    requests: Vec<Request>,
    pace: Pace,
    phase: Arc<AtomicU8>,
    /// By connection; nothing where no attempt waits for its outcome.
    under_way: Vec<Option<UnderWay>>,
    /// Attempts begun: the keys' numbers, and in an open loop the place in the schedule.
    begun: u64,
    counted: Counted,
    /// Seconds that attempts had waited which were dropped.
    waited: Vec<f64>,
}

impl Crowd {
    fn new(requests: Vec<Request>, pace: Pace, phase: Arc<AtomicU8>) -> Self {
        let under_way = vec![None; requests.len()];
        Self { requests, pace, phase, under_way, begun: 0, counted: Counted::default(), waited: Vec::new() }
    }

    /// Of a closed loop only the window counts; of the others all.
    fn counts(&self) -> u64 {
        let is_in = !matches!(self.pace, Pace::Closed { .. }) || self.phase.load(Ordering::Relaxed) == COUNTING;
        u64::from(is_in)
    }

    /// The attempt has its outcome.
    fn done(&mut self, connection: usize) {
        let retries = self.under_way[connection].take().map_or(0, |attempt| attempt.retries);
        self.counted.retries += self.counts() * u64::from(retries);
    }

    /// Nobody knows its outcome, and nobody will.
    fn lost(&mut self, connection: usize, words: String) -> Then {
        self.done(connection);
        self.counted.unknown_in_all += 1;
        self.counted.failed += self.counts();
        self.counted.first_failure.get_or_insert(words);
        Then::Next
    }

    /// With the same key.
    fn again(&mut self, connection: usize) -> Option<Then> {
        let attempt = self.under_way[connection].as_mut().filter(|attempt| attempt.retries < AGAIN_MAX)?;
        attempt.retries += 1;
        Some(Then::Again(BUSY_PAUSE))
    }

    /// What was counted, here and by the client.
    fn counted(mut self, report: &Report) -> Counted {
        let pending = self.under_way.iter().filter(|attempt| attempt.is_some()).count() as u64;
        self.counted.unknown_in_all += pending;
        // Of a closed loop they were to be answered after the window.
        if !matches!(self.pace, Pace::Closed { .. }) {
            self.counted.failed += pending;
        }
        if pending > 0 {
            self.counted.first_failure.get_or_insert_with(|| "no answer until the run ended".to_owned());
        }
        let unsent = report.open.map_or(0, |open| open.unsent);
        let mut latency = report.latency.clone();
        for seconds in &self.waited {
            // Both are far below the histogram's bound, and what is above is recorded as it.
            let nanos = Duration::try_from_secs_f64(*seconds).map_or(0, |waited| waited.as_nanos());
            latency.saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        let micros = |percent| percentile(&latency, percent).as_secs_f64() * 1e6;
        let [p50, p90, p99, p999, max] = [50.0, 90.0, 99.0, 99.9, 100.0].map(micros);
        // Where late answers are counted, so is the time that they took.
        let seconds = if matches!(self.pace, Pace::Closed { .. }) { report.window } else { report.elapsed };
        Counted {
            seconds: seconds.as_secs_f64(),
            // By the client's clock, as its latencies are.
            sold: report.answers.of(201),
            dropped: self.waited.len() as u64 + unsent,
            micros: (!latency.is_empty()).then_some(Micros { p50, p90, p99, p999, max }),
            ..self.counted
        }
    }
}

impl Workload for Crowd {
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    fn prepare(&mut self, connection: usize) -> bool {
        let place = self.begun;
        self.begun += 1;
        if let Pace::Open { per_second, window_seconds } = self.pace
            && self.phase.load(Ordering::Relaxed) == OVER
        {
            // Was due in the window and finds a connection only now.
            self.waited.push((window_seconds - place as f64 / per_second).max(0.0));
            return false;
        }
        self.requests[connection].set_key(place);
        self.under_way[connection] = Some(UnderWay::default());
        true
    }

    fn bytes(&self, connection: usize) -> &[u8] {
        self.requests[connection].bytes()
    }

    fn answered(&mut self, connection: usize, answer: Answer<'_>) -> Then {
        match told(answer) {
            Told::Sold => {
                self.done(connection);
                self.counted.sold_in_all += 1;
                Then::Next
            }
            Told::SoldOut => {
                self.done(connection);
                self.counted.refused += self.counts();
                if matches!(self.pace, Pace::SellOut { .. }) { Then::Stop } else { Then::Next }
            }
            Told::Busy => {
                self.again(connection).unwrap_or_else(|| self.lost(connection, format!("too busy, {AGAIN_MAX} times")))
            }
            Told::Other(words) => self.lost(connection, words),
        }
    }

    fn failed(&mut self, connection: usize, failure: &Failure) -> Then {
        let may_repeat = self.under_way[connection].as_mut().is_some_and(|attempt| {
            attempt.broken += 1;
            attempt.broken <= BROKEN_MAX
        });
        let again = if may_repeat { self.again(connection) } else { None };
        again.unwrap_or_else(|| self.lost(connection, failure.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Sender, channel};

    /// Opens the gate when the window has closed.
    struct AfterTheWindow(Sender<()>);

    impl Probe for AfterTheWindow {
        fn window_closed(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    /// Sells to one connection from a server that answers only when the window has closed.
    fn answered_late(pace: Pace) -> Counted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, closed) = channel();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            closed.recv().unwrap();
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            // Until the client goes.
            let _ = stream.read(&mut [0; 4096]);
        });
        let load = Load { threads: 1, units: 1, pace };
        let mut probe = AfterTheWindow(sender);
        let (report, crowds) = run(&plan(address, &load).unwrap(), vec![crowd(pace)], &mut probe).unwrap();
        server.join().unwrap();
        crowds.into_iter().next().unwrap().counted(&report)
    }

    #[test]
    fn an_answer_after_the_window_of_a_closed_loop_is_a_latency_and_no_sale() {
        let counted = answered_late(Pace::Closed { warmup_seconds: 0.0, window_seconds: 0.05 });
        assert_eq!((counted.sold, counted.sold_in_all, counted.unknown_in_all), (0, 1, 0));
        assert!(counted.micros.is_some());
    }

    #[test]
    fn an_open_loops_late_sale_is_counted_with_the_time_that_it_took() {
        let counted = answered_late(Pace::Open { per_second: 1.0, window_seconds: 0.05 });
        assert_eq!((counted.sold, counted.sold_in_all, counted.dropped), (1, 1, 0));
        // It was answered after the window had closed.
        assert!(counted.seconds > 0.05 && counted.micros.is_some(), "{counted:?}");
    }

    fn crowd(pace: Pace) -> Crowd {
        let request = Request::to("POST", "h", "/v1/orders").numbered_key("lab").json("{}");
        Crowd::new(vec![request; 2], pace, Arc::new(AtomicU8::new(WARMING_UP)))
    }

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, retry_after: None, body: body.as_bytes() }
    }

    #[test]
    fn a_closed_loop_counts_its_window_and_remembers_all() {
        let mut crowd = crowd(Pace::Closed { warmup_seconds: 1.0, window_seconds: 1.0 });
        for (phase, refused) in [(WARMING_UP, 0), (COUNTING, 1), (OVER, 1)] {
            crowd.phase.store(phase, Ordering::Relaxed);
            assert!(crowd.prepare(0) && crowd.prepare(1));
            assert_eq!(crowd.answered(0, answer(409, r#"{"code":"sold_out"}"#)), Then::Next);
            assert_eq!(crowd.answered(1, answer(500, "")), Then::Next);
            assert_eq!((crowd.counted.refused, crowd.counted.failed), (refused, refused));
        }
        assert_eq!(crowd.counted.unknown_in_all, 3);
        assert_eq!(crowd.counted.first_failure.as_deref(), Some("answered 500: "));
    }

    #[test]
    fn a_key_that_broke_comes_again_and_is_unknown_in_the_end() {
        let mut crowd = crowd(Pace::SellOut { patience_seconds: 1.0 });
        assert!(crowd.prepare(1));
        let bytes = crowd.bytes(1).to_vec();
        assert_eq!(crowd.answered(1, answer(503, "{}")), Then::Again(BUSY_PAUSE));
        for _ in 0..BROKEN_MAX {
            assert_eq!(crowd.failed(1, &Failure::Closed), Then::Again(BUSY_PAUSE));
            assert_eq!(crowd.bytes(1), bytes);
        }
        assert_eq!(crowd.failed(1, &Failure::Closed), Then::Next);
        let Counted { failed, unknown_in_all, retries, .. } = crowd.counted;
        assert_eq!((failed, unknown_in_all, retries), (1, 1, u64::from(BROKEN_MAX) + 1));
        // The next attempt is another one; the last that is refused is the connection's end.
        assert!(crowd.prepare(1) && crowd.bytes(1) != bytes);
        assert_eq!(crowd.answered(1, answer(409, r#"{"code":"sold_out"}"#)), Then::Stop);
    }

    #[test]
    fn what_is_due_and_finds_no_connection_in_the_window_is_dropped() {
        let mut crowd = crowd(Pace::Open { per_second: 2.0, window_seconds: 2.0 });
        crowd.phase.store(COUNTING, Ordering::Relaxed);
        assert!(crowd.prepare(0));
        crowd.phase.store(OVER, Ordering::Relaxed);
        assert!(!crowd.prepare(1));
        // The second was due after half a second.
        assert_eq!(crowd.waited, [1.5]);
        assert!(crowd.under_way[0].is_some() && crowd.under_way[1].is_none());
    }
}
