//! This engine, over HTTP: a customer and a token for each thread, a key for each order; a
//! connection for each thread, or a few that all threads share.

use super::http::{HttpTill, Line, Pool, open_pool, purchase};
use crate::api::Admin;
use crate::client::Client;
use crate::lab::backend::{Backend, Promise, Shelf, Till};
use crate::lean::LeanClient;
use crate::metrics::Metrics;
use crate::program::{Program, output};
use crate::request::Request;
use crate::shop::Shop;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// How long an empty shop may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// What is set of the shop's settings: no hold may end while the units are being counted.
const SETTINGS: [(&str, &str); 1] = [("SON7_HOLD_SECONDS", "36000")];
/// The shop's counter of syncs, by partition.
const SYNCS: &str = "son7_journal_syncs_total";

/// A shop of this engine, started for the lab. Several backends may use it, one after another.
pub struct EngineShop {
    program: Program,
    admin: Mutex<Admin>,
    tokens: Vec<String>,
    version: Option<String>,
    /// Products made so far: each run has its own.
    products: AtomicU64,
    // Last: the folder goes when nobody writes into it any more.
    _folder: TempDir,
}

impl EngineShop {
    /// Starts a shop with tokens for so many threads.
    pub fn start(binary: &Path, threads: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut shop = Shop::new(binary, &folder.path().join("data"));
        for (name, value) in SETTINGS {
            shop = shop.set(name, value);
        }
        let program = shop.start(START_PATIENCE)?;
        let admin = Admin::new(program.address(), &shop.admin_token()?);
        let tokens = shop.customer_tokens("buyer", threads)?;
        let mut version = Command::new(binary);
        version.arg("--version");
        let version = output(version).ok().map(|version| version.trim().to_owned());
        Ok(Self { program, admin: Mutex::new(admin), tokens, version, products: AtomicU64::new(0), _folder: folder })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.program.address()
    }

    pub(super) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// A new product with so many units.
    pub(super) fn stock_up(&self, units: u64) -> anyhow::Result<String> {
        let sku = format!("lab-{}", self.products.fetch_add(1, Ordering::Relaxed));
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).create_product(&sku, 1_000, units)?;
        Ok(sku)
    }

    pub(super) fn shelf(&self, sku: &str) -> anyhow::Result<Shelf> {
        let stock = self.admin.lock().unwrap_or_else(PoisonError::into_inner).stock(sku)?;
        // Every order here is of one unit, and holds it.
        Ok(Shelf { left: i64::try_from(stock.available)?, orders: stock.held })
    }

    /// What the buyer of this number sends.
    pub(super) fn purchase(&self, sku: &str, buyer: usize) -> anyhow::Result<Request> {
        let token = self.tokens.get(buyer).with_context(|| format!("there is no token for buyer {buyer}"))?;
        Ok(purchase(self.address(), sku, Some(token)))
    }

    /// Asked on a connection of its own.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter, far below 2^52")]
    pub(super) fn syncs(&self) -> Option<u64> {
        Some(Metrics::of(self.address()).ok()?.get(SYNCS)? as u64)
    }

    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let given = SETTINGS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let version = self.version.clone().map(|version| ("version".to_owned(), version));
        let partitions = self.partitions().map(|partitions| ("partitions".to_owned(), partitions.to_string()));
        version.into_iter().chain(partitions).chain(given).collect()
    }

    /// Each has its own sample of the counter.
    fn partitions(&self) -> Option<usize> {
        let text = Client::new(self.address()).get("/metrics", None).ok()?.text();
        let of_syncs = |line: &&str| line.strip_prefix(SYNCS).is_some_and(|rest| rest.starts_with('{'));
        Some(text.lines().filter(of_syncs).count()).filter(|partitions| *partitions > 0)
    }
}

/// Buyers that send over HTTP.
pub struct Engine {
    shop: Arc<EngineShop>,
    pool: Option<Pool<LeanClient>>,
    /// The product of the run under way.
    sku: Mutex<String>,
}

impl Engine {
    /// Starts a shop of its own, with tokens for so many threads; see [`Engine::new`].
    pub fn start(binary: &Path, threads: usize) -> anyhow::Result<Self> {
        Ok(Self::new(Arc::new(EngineShop::start(binary, threads)?)))
    }

    /// Each thread has its own connection.
    pub fn new(shop: Arc<EngineShop>) -> Self {
        Self { shop, pool: None, sku: Mutex::default() }
    }

    /// All threads share `count` connections.
    pub fn pooled(shop: Arc<EngineShop>, count: usize) -> anyhow::Result<Self> {
        let pool = Some(open_pool(shop.address(), count)?);
        Ok(Self { shop, pool, sku: Mutex::default() })
    }

    fn sku(&self) -> String {
        self.sku.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend for Engine {
    fn name(&self) -> &'static str {
        if self.pool.is_some() { "son7shop-http-pool" } else { "son7shop-http" }
    }

    fn about(&self) -> &'static str {
        if self.pool.is_some() {
            "this engine over HTTP, from connections that all threads share; token, idempotency key, JSON; \
             write-behind to SQLite running"
        } else {
            "this engine over HTTP: token, idempotency key, JSON; write-behind to SQLite running"
        }
    }

    fn promise(&self) -> Promise {
        Promise::SyncedBeforeAnswer
    }

    fn settings(&self) -> Vec<(String, String)> {
        let connections = self.pool.as_ref().map_or("one a thread".to_owned(), |pool| pool.count().to_string());
        let mut settings = self.shop.settings();
        settings.push(("HTTP connections".to_owned(), connections));
        settings
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        *self.sku.lock().unwrap_or_else(PoisonError::into_inner) = self.shop.stock_up(units)?;
        Ok(())
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let request = self.shop.purchase(&self.sku(), thread)?;
        Ok(Box::new(HttpTill::new(Line::open(self.pool.as_ref(), self.shop.address())?, request)))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.shop.shelf(&self.sku())
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.shop.pid()]
    }

    fn syncs(&self) -> Option<u64> {
        self.shop.syncs()
    }
}
