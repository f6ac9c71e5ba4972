//! What the tests of the real binary share: a shop on a folder of its own, the API's calls,
//! and a seeded source of chance.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests")]

use serde_json::Value;
use son7shop_loadtest::client::{Client, ClientError, Response};
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::shop::Shop;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is awaited; never reached where nothing is broken.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_son7shop"))
}

/// A temporary folder, and a shop in it.
pub(crate) struct Place {
    /// The shop; its settings can be changed between starts.
    pub(crate) shop: Shop,
    data: PathBuf,
    // Last: the folder goes when nobody writes into it any more.
    folder: TempDir,
}

impl Place {
    /// A shop of so many partitions in a new folder. Small segments, so that they change often.
    pub(crate) fn new(partitions: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let shop = Shop::new(binary(), &data)
            .set("SON7_PARTITIONS", &partitions.to_string())
            .set("SON7_SEGMENT_MIB", "1")
            .set("SON7_HOLD_SECONDS", "36000");
        Self { shop, data, folder }
    }

    /// Changes a setting.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.shop = self.shop.clone().set(name, value);
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A path beside the data folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What every run of the shop has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.beside("data.log")).unwrap_or_default()
    }

    /// Starts the shop.
    pub(crate) fn start(&self) -> Program {
        self.shop.start(PATIENCE).unwrap()
    }

    /// Runs a command of the program to its end: whether it exited 0, and all that it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.shop.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `son7shop verify` finds nothing.
    pub(crate) fn verify(&self) {
        let (code, said) = self.run(&["verify"]);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// Ends a shop in order: SIGTERM, exit 0.
pub(crate) fn stop(program: Program) {
    let status = program.stop(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "SIGTERM ends it in order");
}

/// One connection with one token.
pub(crate) struct Caller {
    client: Client,
    token: String,
}

impl Caller {
    /// Calls the shop at `address`.
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { client: Client::new(address), token: token.to_owned() }
    }

    /// `GET path`.
    pub(crate) fn get(&mut self, path: &str) -> Result<Response, ClientError> {
        self.client.get(path, Some(&self.token))
    }

    /// `POST path`, with a body and a key where there are any.
    pub(crate) fn post(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response, ClientError> {
        self.send("POST", path, key, body)
    }

    /// Any request.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Response, ClientError> {
        let mut request = Request::to(method, &self.client.host(), path).bearer(&self.token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.client.send(&match body {
            Some(body) => request.json(&body.to_string()),
            None => request.header("Content-Length", "0").empty(),
        })
    }

    /// Makes a product that must not exist yet.
    pub(crate) fn product(&mut self, sku: &str, price: i64, on_hand: u64) {
        let body = serde_json::json!({ "sku": sku, "name": sku, "price": price, "on_hand": on_hand });
        let made = self.post("/v1/products", None, Some(&body)).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
    }

    /// Places an order of one line.
    pub(crate) fn order(&mut self, key: &str, sku: &str, quantity: u64) -> Result<Response, ClientError> {
        let body = serde_json::json!({ "lines": [{ "sku": sku, "quantity": quantity }] });
        self.post("/v1/orders", Some(key), Some(&body))
    }
}

/// A problem's code.
pub(crate) fn code(response: &Response) -> String {
    let json = response.json().unwrap_or_default();
    json["code"].as_str().unwrap_or("").to_owned()
}

/// Waits until `done` says so.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < by, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        _ => default,
    }
}

/// The run's seed: `SON7_SEED`, else drawn; printed either way.
pub(crate) fn seed() -> u64 {
    let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = number("SON7_SEED", drawn.into());
    println!("SON7_SEED={seed}");
    seed
}

/// Chance that follows from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Chance for one purpose: other words, other numbers.
    pub(crate) fn new(seed: u64, words: &[u64]) -> Self {
        let mut chance = Self(seed);
        for word in words {
            chance.0 = chance.next() ^ word;
        }
        chance
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to but not including `to`.
    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    /// One of these; `None` where there are none.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() {
            return None;
        }
        of.get(usize::try_from(self.next() % of.len() as u64).unwrap())
    }
}
