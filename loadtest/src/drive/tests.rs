//! The client against a server that is told what to answer.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::request::Request;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Serves one answer after another, by a function of how many came before on any connection;
/// `None` closes the connection. Ends with the test's process.
fn serve(answer: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
            std::thread::spawn(move || serve_one(stream.unwrap(), &*answer, &count));
        }
    });
    address
}

fn serve_one(mut stream: TcpStream, answer: &dyn Fn(usize) -> Option<Vec<u8>>, count: &AtomicUsize) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(len) => seen.extend_from_slice(&buffer[..len]),
            }
            continue;
        };
        seen.drain(..end + 4);
        let Some(bytes) = answer(count.fetch_add(1, Ordering::Relaxed)) else { return };
        // In two pieces, so that answers arrive cut.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        stream.write_all(first).unwrap();
        stream.flush().unwrap();
        if stream.write_all(second).is_err() {
            return;
        }
    }
}

fn plain(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends `left` requests on each connection, and remembers what failed.
struct Count {
    request: Request,
    left: Vec<u32>,
    failures: Vec<String>,
    on_failure: Then,
}

impl Count {
    fn new(connections: usize, each: u32) -> Self {
        Self {
            request: Request::to("GET", "test", "/").empty(),
            left: vec![each; connections],
            failures: Vec::new(),
            on_failure: Then::Stop,
        }
    }
}

impl Workload for Count {
    fn prepare(&mut self, connection: usize) -> bool {
        let left = &mut self.left[connection];
        let any = *left > 0;
        *left = left.saturating_sub(1);
        any
    }

    fn bytes(&self, _connection: usize) -> &[u8] {
        self.request.bytes()
    }

    fn answered(&mut self, _connection: usize, answer: Answer<'_>) -> Then {
        if answer.status == 503 {
            return Then::Again(Duration::from_millis(u64::from(answer.retry_after.unwrap_or(0))));
        }
        Then::Next
    }

    fn failed(&mut self, _connection: usize, failure: &Failure) -> Then {
        self.failures.push(failure.to_string());
        self.on_failure
    }
}

fn plan(address: SocketAddr, connections: usize, threads: usize) -> Plan {
    Plan {
        address,
        connections,
        threads,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        window: None,
        patience: Duration::from_secs(30),
    }
}

#[test]
fn closed_loop_answers_every_request() {
    let address = serve(|_| Some(plain(201, "{}")));
    let (report, _) = run(&plan(address, 10, 2), vec![Count::new(10, 5), Count::new(10, 5)], &mut ()).unwrap();
    assert_eq!(report.answers.seen().collect::<Vec<_>>(), [(201, 50)]);
    assert_eq!((report.latency.len(), report.refused_latency.len()), (50, 0));
    assert_eq!((report.failures, report.again, report.reopened, report.unanswered), (0, 0, 0, 0));
    assert!(report.open.is_none());
}

#[test]
fn a_busy_server_is_asked_again_and_counted_apart() {
    let busy = b"HTTP/1.1 503 x\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let address = serve(|count| Some(if count < 4 { busy.to_vec() } else { plain(409, "{}") }));
    let (report, _) = run(&plan(address, 3, 1), vec![Count::new(3, 2)], &mut ()).unwrap();
    assert_eq!(report.answers.seen().collect::<Vec<_>>(), [(409, 6)]);
    assert_eq!((report.again, report.latency.len(), report.refused_latency.len()), (4, 0, 6));
}

#[test]
fn a_lost_connection_is_a_failure_and_is_opened_anew() {
    let address = serve(|count| (count % 3 != 0).then(|| plain(200, "{}")));
    let mut workload = Count::new(4, 6);
    workload.on_failure = Then::Again(Duration::ZERO);
    let (report, back) = run(&plan(address, 4, 1), vec![workload], &mut ()).unwrap();
    assert_eq!(report.answers.of(200), 24);
    assert!(report.failures > 0);
    // A request that failed was sent again on a new connection, and nothing else opened one.
    assert_eq!(report.failures, report.reopened);
    assert_eq!(report.failures, back[0].failures.len() as u64);
}

#[test]
fn a_broken_answer_is_a_failure_with_its_reason() {
    let address = serve(|_| Some(b"SMTP ready\r\n\r\n".to_vec()));
    let (report, _) = run(&plan(address, 1, 1), vec![Count::new(1, 1)], &mut ()).unwrap();
    assert_eq!((report.answers.sum(), report.failures), (0, 1));
    assert!(report.first_failure.unwrap().starts_with("the answer is broken: the answer's head"));
}

#[test]
fn bytes_nobody_asked_for_are_a_failure() {
    let address = serve(|_| Some(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\nmore".to_vec()));
    let (report, back) = run(&plan(address, 1, 1), vec![Count::new(1, 1)], &mut ()).unwrap();
    assert_eq!((report.failures, report.answers.sum()), (1, 0));
    assert_eq!(back[0].failures, [Failure::Unasked.to_string()]);
}

fn open_plan(address: SocketAddr, per_second: f64, patience: Duration) -> Plan {
    Plan {
        pace: Pace::Open { per_second },
        warmup: Duration::from_millis(200),
        window: Some(Duration::from_millis(500)),
        patience,
        ..plan(address, 4, 2)
    }
}

#[test]
fn an_open_loop_sends_what_is_due() {
    let address = serve(|_| Some(plain(200, "{}")));
    let plan = open_plan(address, 1_000.0, Duration::from_secs(30));
    let (report, _) = run(&plan, vec![Count::new(4, 10_000), Count::new(4, 10_000)], &mut ()).unwrap();
    let open = report.open.unwrap();
    assert_eq!(open.due, 500);
    assert_eq!((open.unsent, open.unanswered), (0, 0));
    assert_eq!((report.answers.of(200), report.latency.len()), (500, 500));
    assert_eq!(report.answers_in_all.of(200), 700);
}

#[test]
fn a_stalled_server_cannot_hide_what_it_kept_from_being_sent() {
    let address = serve(|_| {
        loop {
            std::thread::park();
        }
    });
    let plan = open_plan(address, 1_000.0, Duration::from_millis(100));
    let (report, _) = run(&plan, vec![Count::new(4, 10_000), Count::new(4, 10_000)], &mut ()).unwrap();
    let open = report.open.unwrap();
    assert_eq!(open.due, 500);
    // The four connections were taken while warming up, so nothing of the window was sent.
    assert_eq!((open.unsent, open.unanswered, report.unanswered), (500, 0, 4));
    assert_eq!(report.latency.len(), 500);
    assert!(percentile(&report.latency, 100.0) >= Duration::from_millis(500));
    assert_eq!(report.answers.sum(), 0);
}

/// Tells when the window has closed.
struct Closing(std::sync::mpsc::Sender<()>);

impl Probe for Closing {
    fn window_closed(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn whoever_waits_when_the_window_of_a_closed_loop_closes_is_in_the_latencies() {
    let silent = |_| loop {
        std::thread::park();
    };
    let busy = |_| Some(b"HTTP/1.1 503 x\r\nretry-after: 100\r\ncontent-length: 0\r\n\r\n".to_vec());
    let (sender, closed) = std::sync::mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    let late = move |_| closed.lock().unwrap().recv().map(|()| plain(201, "{}")).ok();
    // The request is sent while warming up; that it is answered late, told to come again in vain, or
    // never answered does not keep it out.
    for (address, unanswered, answered) in [(serve(late), 0, 1), (serve(busy), 0, 0), (serve(silent), 1, 0)] {
        let (warmup, window) = (Duration::from_millis(20), Some(Duration::from_millis(50)));
        let patience = if unanswered == 1 { Duration::from_millis(50) } else { Duration::from_secs(30) };
        let plan = Plan { warmup, window, patience, ..plan(address, 1, 1) };
        let (report, _) = run(&plan, vec![Count::new(1, 1)], &mut Closing(sender.clone())).unwrap();
        assert_eq!((report.answers.sum(), report.answers_in_all.of(201), report.unanswered), (0, answered, unanswered));
        assert_eq!(report.latency.len(), 1);
        assert!(percentile(&report.latency, 100.0) >= Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_run_is_said() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = run(&plan(address, 2, 1), vec![Count::new(2, 1)], &mut ());
    assert!(matches!(refused, Err(DriveError::Connect { connection: 0, .. })));
    let empty = run(&plan(address, 0, 1), vec![Count::new(0, 1)], &mut ());
    assert!(matches!(empty, Err(DriveError::EmptyPlan)));
    let still = Plan { pace: Pace::Open { per_second: 0.0 }, ..plan(address, 1, 1) };
    assert!(matches!(run(&still, vec![Count::new(1, 1)], &mut ()), Err(DriveError::EmptyPlan)));
}

/// Rests between its requests, and stops everybody after so many.
struct Thoughtful {
    request: Request,
    sent: usize,
    most: usize,
    due: Vec<Instant>,
}

impl Workload for Thoughtful {
    fn first_due(&mut self, _connection: usize) -> Option<Instant> {
        Some(Instant::now())
    }

    fn due(&mut self, _connection: usize, due: Instant) {
        self.due.push(due);
    }

    fn is_stopped(&self) -> bool {
        self.sent == self.most
    }

    fn prepare(&mut self, _connection: usize) -> bool {
        self.sent += 1;
        true
    }

    fn bytes(&self, _connection: usize) -> &[u8] {
        self.request.bytes()
    }

    fn answered(&mut self, _connection: usize, _answer: Answer<'_>) -> Then {
        // The next one was due when this one was: its latency counts from then.
        Then::At(self.due[self.due.len() - 1])
    }
}

#[test]
fn a_request_counts_from_when_it_was_due_and_a_stop_ends_the_run() {
    let address = serve(|_| Some(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()));
    for pace in [Pace::Closed, Pace::Open { per_second: 1_000.0 }] {
        let request = Request::to("GET", "h", "/").empty();
        let workload = Thoughtful { request, sent: 0, most: 5, due: Vec::new() };
        let plan = Plan {
            address,
            connections: 1,
            threads: 1,
            pace,
            warmup: Duration::ZERO,
            // Far longer than a test may take: the stop ends it.
            window: Some(Duration::from_hours(1)),
            patience: Duration::from_mins(1),
        };
        let (report, back) = run(&plan, vec![workload], &mut ()).unwrap();
        assert_eq!((report.answers.of(200), report.failures, report.unanswered), (5, 0, 0));
        if pace == Pace::Closed {
            assert!(back[0].due.iter().all(|due| *due == back[0].due[0]), "{:?}", back[0].due);
        }
    }
}
