//! The few calls of the shop's API that the lab makes itself: a product to contend for, its sale,
//! and afterwards its stock and every order. What the shop answers is read strictly: a field that
//! is missing is an error, not a zero.

use crate::client::{Client, ClientError, Response};
use crate::request::Request;
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Orders asked for in one page: the most that the API takes.
const PAGE_ORDERS: usize = 100;

/// A shop that asks to come again later is asked again for so long: after a load its database is
/// behind, and lists are refused until it has caught up.
const BUSY_PATIENCE: Duration = Duration::from_mins(1);

/// Between two readings, also when the shop says that it needs no time.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Why a call did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no answer.
    #[error("{call}: no answer")]
    NoAnswer {
        /// Method and path.
        call: String,
        /// Why.
        source: ClientError,
    },
    /// The shop refused.
    #[error("{call}: answered {status}: {body}")]
    Status {
        /// Method and path.
        call: String,
        /// The status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The answer is not what the API promises.
    #[error("{call}: the answer has another shape than is promised: {body}")]
    Shape {
        /// Method and path.
        call: String,
        /// What came.
        body: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Paging does not end: a cursor came back that was given before.
    #[error("the list of orders gave the cursor {cursor} twice")]
    CursorTwice {
        /// Which cursor.
        cursor: String,
    },
}

/// A product's stock, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Stock {
    /// In the shop: supplied less sold.
    pub on_hand: u64,
    /// Under an unpaid order.
    pub held: u64,
    /// Under a confirmed order.
    pub sold: u64,
    /// On hand less held.
    pub available: u64,
}

/// An order as lists show it; the fields that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub customer: String,
    /// Its state.
    pub status: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Its total in won.
    pub total: i64,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// Units.
    pub quantity: u64,
}

/// An accepted order, for whoever needs only its id.
#[derive(Debug, Deserialize)]
pub struct Placed {
    /// Its id.
    pub id: String,
}

/// A refusal, for whoever needs only its code.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// The stable code.
    pub code: String,
}

/// A sale's terms but for its window, which is always open here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// The unit price in won.
    pub price: i64,
    /// Units that one customer may have.
    pub per_customer_limit: u32,
}

#[derive(Deserialize)]
struct ProductBody {
    stock: Stock,
}

#[derive(Deserialize)]
struct OrdersBody {
    orders: Vec<Order>,
    next_cursor: Option<String>,
}

/// The shop, as whoever runs it calls it.
#[derive(Debug)]
pub struct Admin {
    client: Client,
    token: String,
    busy_patience: Duration,
}

impl Admin {
    /// Calls the shop at `address` with an admin's token.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { client: Client::new(address), token: token.to_owned(), busy_patience: BUSY_PATIENCE }
    }

    /// Starts selling a product.
    pub fn create_product(&mut self, sku: &str, price: i64, on_hand: u64) -> Result<(), ApiError> {
        let body = serde_json::json!({ "sku": sku, "name": sku, "price": price, "on_hand": on_hand });
        self.change("POST", "/v1/products", &body).map(drop)
    }

    /// Puts a product on a sale that is open for decades.
    pub fn set_sale(&mut self, sku: &str, sale: Sale) -> Result<(), ApiError> {
        self.set_sale_between(sku, sale, "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
    }

    /// Puts a product on a sale with this window, two times of RFC 3339.
    pub fn set_sale_between(&mut self, sku: &str, sale: Sale, opens_at: &str, closes_at: &str) -> Result<(), ApiError> {
        let body = serde_json::json!({
            "opens_at": opens_at,
            "closes_at": closes_at,
            "price": sale.price,
            "per_customer_limit": sale.per_customer_limit,
        });
        self.change("PUT", &format!("/v1/products/{sku}/sale"), &body).map(drop)
    }

    /// A product's stock.
    pub fn stock(&mut self, sku: &str) -> Result<Stock, ApiError> {
        let product: ProductBody = self.get(&format!("/v1/products/{sku}"))?;
        Ok(product.stock)
    }

    /// Every order that has a line of `sku`, page by page, as the list gives them.
    pub fn orders_of(&mut self, sku: &str) -> Result<Vec<Order>, ApiError> {
        self.orders_with(|line| line.sku == sku)
    }

    /// Every order that has such a line, page by page, as the list gives them.
    pub fn orders_with(&mut self, is_wanted: impl Fn(&Line) -> bool) -> Result<Vec<Order>, ApiError> {
        let mut found = Vec::new();
        let mut path = format!("/v1/orders?limit={PAGE_ORDERS}");
        let mut cursors = std::collections::HashSet::new();
        loop {
            let page: OrdersBody = self.get(&path)?;
            found.extend(page.orders.into_iter().filter(|order| order.lines.iter().any(&is_wanted)));
            let Some(cursor) = page.next_cursor else { return Ok(found) };
            path = format!("/v1/orders?limit={PAGE_ORDERS}&after={}", query_value(&cursor));
            if !cursors.insert(cursor.clone()) {
                return Err(ApiError::CursorTwice { cursor });
            }
        }
    }

    /// Reads; 503 with `Retry-After` is waited out, up to a minute, and is an error only then.
    fn get<T: for<'a> Deserialize<'a>>(&mut self, path: &str) -> Result<T, ApiError> {
        let call = format!("GET {path}");
        let gives_up = Instant::now() + self.busy_patience;
        let response = loop {
            let response = self.client.get(path, Some(&self.token));
            let Some(pause) = response.as_ref().ok().and_then(asked_pause) else { break response };
            if Instant::now() + pause > gives_up {
                break response;
            }
            std::thread::sleep(pause);
        };
        let response = accepted(&call, response)?;
        serde_json::from_slice(&response.body).map_err(|source| ApiError::Shape { call, body: response.text(), source })
    }

    fn change(&mut self, method: &str, path: &str, body: &serde_json::Value) -> Result<Response, ApiError> {
        let request = Request::to(method, &self.client.host(), path)
            .bearer(&self.token)
            .header("Idempotency-Key", &format!("lab-{:032x}", rand::random::<u128>()))
            .json(&body.to_string());
        accepted(&format!("{method} {path}"), self.client.send(&request))
    }
}

fn accepted(call: &str, response: Result<Response, ClientError>) -> Result<Response, ApiError> {
    let call = call.to_owned();
    match response {
        Ok(response) if (200..300).contains(&response.status) => Ok(response),
        Ok(response) => Err(ApiError::Status { call, status: response.status, body: response.text() }),
        Err(source) => Err(ApiError::NoAnswer { call, source }),
    }
}

/// How long to wait before asking again, if that is what the answer says.
fn asked_pause(response: &Response) -> Option<Duration> {
    let seconds = response.header("retry-after").filter(|_| response.status == 503)?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(BUSY_PAUSE))
}

/// A value as it may stand in a query: everything but unreserved characters escaped.
fn query_value(value: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Gives these answers, one for each request, on one connection.
    fn answering(answers: &'static [&'static str]) -> Admin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Admin::new(address, "admin")
    }

    const BUSY: &str = "HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy";
    const CLOSED: &str = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n";
    const WRONG: &str = "HTTP/1.1 500 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{\"orders\":[],\"next_cursor\":null}";

    fn status(found: Result<Vec<Order>, ApiError>) -> Option<u16> {
        match found.unwrap_err() {
            ApiError::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    #[test]
    fn a_list_is_asked_for_again_while_the_database_catches_up() {
        assert_eq!(answering(&[BUSY, BUSY, EMPTY]).orders_of("sku").unwrap(), []);
    }

    #[test]
    fn a_shop_that_stays_busy_or_does_not_ask_to_wait_is_an_error() {
        let mut admin = answering(&[BUSY, EMPTY]);
        admin.busy_patience = Duration::ZERO;
        assert_eq!(status(admin.orders_of("sku")), Some(503));
        assert_eq!(status(answering(&[CLOSED, EMPTY]).orders_of("sku")), Some(503));
        assert_eq!(status(answering(&[WRONG, EMPTY]).orders_of("sku")), Some(500));
    }

    #[test]
    fn a_cursor_stands_in_a_query_whatever_is_in_it() {
        assert_eq!(query_value("aZ9-._~"), "aZ9-._~");
        assert_eq!(query_value("a+b/c=&"), "a%2Bb%2Fc%3D%26");
    }
}
