//! This engine, over HTTP: a customer and a token for each thread, a key for each order; a
//! connection for each thread, or a few that all threads share.

use super::http::{HttpTill, Line, open_pool, purchase};
use super::pool::Pool;
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
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// How long an empty shop may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// What is set of the shop's settings: no hold may end while the units are being counted.
const SETTINGS: [(&str, &str); 1] = [("SON7_HOLD_SECONDS", "36000")];
/// The shop's counter of syncs, by partition.
const SYNCS: &str = "son7_journal_syncs_total";

/// The product that is sold.
const SKU: &str = "air";

/// How a shop of this engine is started for the lab: anew for each run, on an empty folder,
/// and ended with it. What it wrote so far is no other run's burden, and write-behind does
/// not catch up while another backend is measured.
pub struct EngineShop {
    binary: PathBuf,
    buyers: usize,
    settings: Vec<(String, String)>,
}

/// A shop that sells in one run. It ends when this is dropped.
pub(super) struct OpenShop {
    program: Program,
    admin: Mutex<Admin>,
    tokens: Vec<String>,
    // Last: the folder goes when nobody writes into it any more.
    _folder: TempDir,
}

impl EngineShop {
    /// Shops with tokens for so many buyers. Starts one, to see that it can be had and what its
    /// settings are.
    pub fn start(binary: &Path, buyers: usize) -> anyhow::Result<Self> {
        let mut shop = Self { binary: binary.to_path_buf(), buyers, settings: Vec::new() };
        let partitions = shop.open(1)?.partitions();
        let mut version = Command::new(binary);
        version.arg("--version");
        let version = output(version).ok().map(|version| ("version".to_owned(), version.trim().to_owned()));
        let partitions = partitions.map(|partitions| ("partitions".to_owned(), partitions.to_string()));
        let given = SETTINGS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        shop.settings = version.into_iter().chain(partitions).chain(given).collect();
        Ok(shop)
    }

    /// Starts a shop that has so many units.
    pub(super) fn open(&self, units: u64) -> anyhow::Result<OpenShop> {
        let folder = tempfile::tempdir()?;
        let mut shop = Shop::new(&self.binary, &folder.path().join("data"));
        for (name, value) in SETTINGS {
            shop = shop.set(name, value);
        }
        let program = shop.start(START_PATIENCE)?;
        let mut admin = Admin::new(program.address(), &shop.admin_token()?);
        let tokens = shop.customer_tokens("buyer", self.buyers)?;
        admin.create_product(SKU, 1_000, units)?;
        Ok(OpenShop { program, admin: Mutex::new(admin), tokens, _folder: folder })
    }

    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.settings.clone()
    }
}

impl OpenShop {
    pub(super) fn address(&self) -> SocketAddr {
        self.program.address()
    }

    pub(super) fn pid(&self) -> u32 {
        self.program.pid()
    }

    pub(super) fn shelf(&self) -> anyhow::Result<Shelf> {
        let stock = self.admin.lock().unwrap_or_else(PoisonError::into_inner).stock(SKU)?;
        // Every order here is of one unit, and holds it.
        Ok(Shelf { left: i64::try_from(stock.available)?, orders: stock.held })
    }

    /// What the buyer of this number sends.
    pub(super) fn purchase(&self, buyer: usize) -> anyhow::Result<Request> {
        let token = self.tokens.get(buyer).with_context(|| format!("there is no token for buyer {buyer}"))?;
        Ok(purchase(self.address(), SKU, Some(token)))
    }

    /// Asked on a connection of its own.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter, far below 2^52")]
    pub(super) fn syncs(&self) -> Option<u64> {
        Some(Metrics::of(self.address()).ok()?.get(SYNCS)? as u64)
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
    /// Connections that all threads share; nothing: each has its own.
    pool: Option<u32>,
    run: Mutex<Option<Run>>,
}

/// The run under way.
#[derive(Clone)]
struct Run {
    shop: Arc<OpenShop>,
    pool: Option<Arc<Pool<LeanClient>>>,
}

impl Engine {
    /// Each thread has its own connection.
    pub fn new(shop: Arc<EngineShop>) -> Self {
        Self { shop, pool: None, run: Mutex::default() }
    }

    /// All threads share `count` connections.
    pub fn pooled(shop: Arc<EngineShop>, count: u32) -> Self {
        Self { shop, pool: Some(count), run: Mutex::default() }
    }

    fn set_run(&self, run: Option<Run>) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = run;
    }

    fn run(&self) -> anyhow::Result<Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).clone().context("the shop is not stocked")
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
        let connections = self.pool.map_or("one a thread".to_owned(), |count| count.to_string());
        let mut settings = self.shop.settings();
        settings.push(("HTTP connections".to_owned(), connections));
        settings
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        self.set_run(None);
        let shop = Arc::new(self.shop.open(units)?);
        let pool = self.pool.map(|count| open_pool(shop.address(), count)).transpose()?;
        self.set_run(Some(Run { shop, pool }));
        Ok(())
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let Run { shop, pool } = self.run()?;
        let request = shop.purchase(thread)?;
        Ok(Box::new(HttpTill::new(Line::open(pool, shop.address())?, request)))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        self.run()?.shop.shelf()
    }

    fn rest(&self) {
        self.set_run(None);
    }

    fn processes(&self) -> Vec<u32> {
        self.run().map(|run| run.shop.pid()).into_iter().collect()
    }

    fn syncs(&self) -> Option<u64> {
        self.run().ok()?.shop.syncs()
    }
}
