//! A toy server that answers as it is told, the tills, and the pool.

use super::*;
use crate::lab::backend::{Backend, Promise, Shelf};
use crate::lab::harness;
use crate::lab::load::{Load, Pace};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

const SOLD: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
const SOLD_OUT: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 19\r\n\r\n{\"code\":\"sold_out\"}";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}";

/// A server that answers with what it is told, given the request's number; an empty answer
/// closes the connection.
fn serve(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, asked) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    // It serves until the test's process ends.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
            std::thread::spawn(move || converse(stream.unwrap(), &*answer, &asked));
        }
    });
    address
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(usize) -> &'static str, asked: &AtomicUsize) {
    while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
        let text = answer(asked.fetch_add(1, Ordering::SeqCst));
        if text.is_empty() || stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn till(address: SocketAddr, token: Option<&str>) -> HttpTill {
    HttpTill::new(Line::open(None, address).unwrap(), purchase(address, "air", token))
}

#[test]
fn answers_mean_what_they_say() {
    let say = |status, body: &'static str| told(Answer { status, retry_after: None, body: body.as_bytes() });
    assert_eq!(say(201, "{}"), Told::Sold);
    assert_eq!(say(409, r#"{"status":409,"code":"sold_out"}"#), Told::SoldOut);
    assert_eq!(say(409, r#"{"code":"request_in_progress"}"#), Told::Busy);
    assert_eq!(say(503, "no json"), Told::Busy);
    for (status, body) in [(409, r#"{"code":"limit"}"#), (409, ""), (200, "{}"), (500, r#"{"code":"sold_out"}"#)] {
        assert!(matches!(say(status, body), Told::Other(_)), "{status} {body}");
    }
}

#[test]
fn only_a_request_with_a_key_is_sent_again() {
    let sold = |retries| Attempt { bought: Bought::Sold, retries };
    // Too busy, then the connection breaks, then sold.
    let flaky = |asked| [BUSY, "", SOLD][asked % 3];
    assert_eq!(till(serve(flaky), Some("token")).buy().unwrap(), sold(2));
    let mut without = till(serve(flaky), None);
    assert!(without.buy().unwrap_err().to_string().contains("503"));
    assert!(without.buy().is_err());
    assert_eq!(without.buy().unwrap(), sold(0));
}

#[test]
fn a_connection_that_always_breaks_is_an_error_in_the_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = serve(move |number| {
        count.store(number + 1, Ordering::SeqCst);
        ""
    });
    assert!(till(address, Some("token")).buy().is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 1 + BROKEN_MAX as usize);
}

/// Sells over HTTP what a toy server has.
struct Toy {
    address: SocketAddr,
    left: Arc<AtomicI64>,
    pool: Option<Arc<Pool<LeanClient>>>,
}

impl Toy {
    fn new(pool: Option<u32>) -> Self {
        let left = Arc::new(AtomicI64::new(0));
        let stock = Arc::clone(&left);
        let take = move |_| {
            let taken = stock.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| (left > 0).then_some(left - 1));
            if taken.is_ok() { SOLD } else { SOLD_OUT }
        };
        let address = serve(take);
        Self { address, left, pool: pool.map(|count| open_pool(address, count).unwrap()) }
    }
}

impl Backend for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn about(&self) -> &'static str {
        "a toy"
    }
    fn promise(&self) -> Promise {
        Promise::InMemory
    }
    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.left.store(i64::try_from(units)?, Ordering::SeqCst);
        Ok(())
    }
    fn till(&self, _: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let line = Line::open(self.pool.clone(), self.address)?;
        Ok(Box::new(HttpTill::new(line, purchase(self.address, "air", None))))
    }
    fn shelf(&self) -> anyhow::Result<Shelf> {
        let left = self.left.load(Ordering::SeqCst);
        Ok(Shelf { left, orders: u64::try_from(50 - left)? })
    }
}

#[test]
fn eight_threads_buy_exactly_what_there_is() {
    for pool in [None, Some(3), Some(20)] {
        let toy = Toy::new(pool);
        let load = Load { threads: 8, units: 50, pace: Pace::SellOut { patience_seconds: 60.0 } };
        let sale = harness::sell(&toy, &load).unwrap();
        assert_eq!((sale.counted.sold_in_all, sale.counted.refused, sale.counted.failed), (50, 8, 0));
        assert!(sale.verdict.is_right() && sale.counted.micros.is_some(), "{pool:?}: {:?}", sale.verdict);
    }
}

#[test]
fn a_broken_server_gives_errors_and_loses_no_connection() {
    for answer in [BROKEN, ""] {
        let address = serve(move |_| answer);
        let pool = open_pool(address, 2).unwrap();
        for _ in 0..3 {
            let line = Line::open(Some(Arc::clone(&pool)), address).unwrap();
            assert!(HttpTill::new(line, purchase(address, "air", None)).buy().is_err());
        }
    }
}
