//! A running shop with products in every state, and `check()`: one request through a real
//! socket, its answer held against what every answer promises and against the OpenAPI.

use super::document::Document;
use super::said::{Said, exchange};
use serde_json::{Value, json};
use son7shop_engine::CustomerId;
use son7shop_http::token::{Role, SigningKey};
use son7shop_loadtest::program::Program;
use son7shop_loadtest::shop::Shop;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A debug build on a busy machine starts slowly.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    Admin,
    Kim,
    Lee,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    who: Who,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
}

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By its length; none for no body.
    Length,
    /// By chunks.
    Chunked,
    /// A length that is never reached: the sender falls silent for good.
    Short,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>, who: Who) -> Self {
        Self { method, path: path.into(), who, headers: Vec::new(), body: Vec::new(), framing: Framing::Length }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// A body, said to be JSON.
    pub(crate) fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    pub(crate) fn cut_short(mut self) -> Self {
        self.framing = Framing::Short;
        self
    }

    fn bytes(&self, token: Option<&str>) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        lines.extend(["host: shop".to_owned(), "connection: close".to_owned()]);
        lines.extend(token.map(|token| format!("authorization: Bearer {token}")));
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let length = self.body.len();
        lines.extend(match self.framing {
            Framing::Length if length == 0 => None,
            Framing::Length => Some(format!("content-length: {length}")),
            Framing::Short => Some(format!("content-length: {}", length + 10)),
            Framing::Chunked => Some("transfer-encoding: chunked".to_owned()),
        });
        let mut bytes = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        if self.framing == Framing::Chunked {
            for chunk in self.body.chunks(1000) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

pub(crate) fn get(path: impl Into<String>, who: Who) -> Request {
    Request::new("GET", path, who)
}

pub(crate) fn post(path: impl Into<String>, who: Who) -> Request {
    Request::new("POST", path, who)
}

/// An order of Kim's.
pub(crate) fn order(key: &str, lines: &[(&str, i64)]) -> Request {
    post("/v1/orders", Who::Kim).key(key).json(lines_of(lines))
}

pub(crate) fn lines_of(lines: &[(&str, i64)]) -> String {
    let lines: Vec<_> = lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
    json!({ "lines": lines }).to_string()
}

/// A shop that runs, and who may ask it.
pub(crate) struct World {
    pub(crate) program: Option<Program>,
    address: SocketAddr,
    tokens: [String; 3],
    pub(crate) document: Document,
    /// Operations that were answered, with the status.
    seen: RefCell<BTreeSet<(String, u16)>>,
    /// Runs the program's other commands on the same data.
    shop: Shop,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts a shop of three partitions, with more settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_son7shop"));
        let mut shop = Shop::new(binary, &folder.path().join("data")).set("SON7_PARTITIONS", "3");
        for (name, value) in settings {
            shop = shop.set(name, value);
        }
        let admin = shop.admin_token().unwrap();
        let [kim, lee] = <[String; 2]>::try_from(shop.customer_tokens("buyer", 2).unwrap()).unwrap();
        let program = shop.start(PATIENCE).unwrap();
        let address = program.address();
        let document = exchange(address, b"GET /openapi.json HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        let document = Document::new(document.unwrap().json());
        let seen = RefCell::default();
        Self { program: Some(program), address, tokens: [admin, kim, lee], document, seen, shop, folder }
    }

    /// Stops the program in order.
    pub(crate) fn stop(&mut self) {
        self.program.take().unwrap().stop(PATIENCE).unwrap();
    }

    /// Runs another command of the program on the same data: all that it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.shop.command(arguments).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// What the program has logged and printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("data.log")).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        let [admin, kim, lee] = &self.tokens;
        match who {
            Who::Nobody => None,
            Who::Admin => Some(admin),
            Who::Kim => Some(kim),
            Who::Lee => Some(lee),
        }
    }

    /// A token of Kim's that is over in so many seconds.
    pub(crate) fn brief_token(&self, seconds: u64) -> String {
        let key = SigningKey::local(&self.folder.path().join("data")).unwrap();
        let kim = CustomerId::parse("buyer-1").unwrap();
        key.sign(Role::Customer, &kim, Duration::from_secs(seconds)).unwrap()
    }

    /// Sends a request and holds its answer against every promise; says nothing about which
    /// answer is right.
    pub(crate) fn send(&self, request: &Request) -> Said {
        let said = exchange(self.address, &self.bytes(request)).unwrap_or_else(|error| panic!("{request:?}: {error}"));
        self.promised(request, said)
    }

    /// The request as it is sent.
    pub(crate) fn bytes(&self, request: &Request) -> Vec<u8> {
        request.bytes(self.token(request.who))
    }

    /// The same for an answer that came in another way.
    pub(crate) fn judge(&self, request: &Request, answer: &[u8]) -> Said {
        let said = Said::read(answer);
        let said = said.unwrap_or_else(|| panic!("{request:?}: no answer: {:?}", String::from_utf8_lossy(answer)));
        self.promised(request, said)
    }

    fn promised(&self, request: &Request, said: Said) -> Said {
        let seen = self.document.check(request.method, &request.path, &said);
        let seen = seen.unwrap_or_else(|wrong| panic!("{} {}: {wrong}\n{said}", request.method, request.path));
        if let Some(operation) = seen {
            self.seen.borrow_mut().insert((operation, said.status));
        }
        said
    }

    /// Sends a request that must be answered with this status and, where it is a problem,
    /// this code.
    pub(crate) fn check(&self, request: &Request, status: u16, code: &str) -> Said {
        let said = self.send(request);
        let found = if said.status >= 400 && !said.body.is_empty() { said.json()["code"].clone() } else { json!("") };
        let right = said.status == status && (found == code || request.method == "HEAD");
        assert!(right, "{} {} must be {status} {code}:\n{request:?}\n{said}", request.method, request.path);
        said
    }

    /// An operation was answered in a way that cannot be read to its end.
    pub(crate) fn saw(&self, operation: &str, status: u16) {
        self.seen.borrow_mut().insert((operation.to_owned(), status));
    }

    /// The operations that were answered with a status for which this holds.
    pub(crate) fn seen(&self, holds: impl Fn(u16) -> bool) -> BTreeSet<String> {
        self.seen.borrow().iter().filter(|(_, status)| holds(*status)).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn product(&self, sku: &str, price: i64, on_hand: i64) {
        let body = json!({"sku": sku, "name": sku, "price": price, "on_hand": on_hand}).to_string();
        self.check(&post("/v1/products", Who::Admin).json(body), 201, "");
    }

    /// A product on sale at half its price of 100, two to a customer.
    pub(crate) fn on_sale(&self, sku: &str, on_hand: i64, opens_at: &str, closes_at: &str) {
        self.product(sku, 100, on_hand);
        let terms = json!({"opens_at": opens_at, "closes_at": closes_at, "price": 50, "per_customer_limit": 2});
        let set = Request::new("PUT", format!("/v1/products/{sku}/sale"), Who::Admin).json(terms.to_string());
        self.check(&set, 200, "");
    }

    /// Places an order of Kim's; its id.
    pub(crate) fn placed(&self, key: &str, lines: &[(&str, i64)]) -> String {
        let said = self.check(&order(key, lines), 201, "");
        said.json()["id"].as_str().unwrap().to_owned()
    }

    /// Every product with its stock and sale, and every order as its owner shows it: what a
    /// bad request must not change.
    pub(crate) fn everything(&self, orders: &[String]) -> Value {
        let products = self.check(&get("/v1/products?limit=100", Who::Nobody), 200, "").json();
        let orders: Vec<_> =
            orders.iter().map(|id| self.check(&get(format!("/v1/orders/{id}"), Who::Admin), 200, "").json()).collect();
        json!({"products": products, "orders": orders})
    }
}
