//! The two sides of a comparison, each as a fresh program: the bare one, and the product with its own
//! empty data folder, a product on sale, and a token for every connection. Nothing of one measurement
//! is left for the next.

use anyhow::Context;
use son7shop_loadtest::api::{Admin, Sale};
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::servers::{self, Server};
use son7shop_loadtest::shop::Shop;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a program may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// The product that is ordered.
const SKU: &str = "bench-product";
const PRICE: i64 = 10_000;

/// Never sold out: every answer is to be 201.
const ON_HAND: u64 = 1_000_000_000;

/// Customers of a shop that is not loaded connection by connection.
const CUSTOMERS: usize = 1_000;

/// A limit that is checked and never reached; the most that the API takes.
const PER_CUSTOMER_LIMIT: u32 = 100_000;

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Warp answering a JSON POST.
    Bare,
    /// The product on the database in its folder; write-behind runs.
    Product,
    /// The product on a MariaDB that is stopped before the load.
    ProductWithoutDatabase,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The bare program.
    pub bare: PathBuf,
    /// The product; None when there is none to measure.
    pub product: Option<PathBuf>,
    /// Where data folders are made; on the disk that is to be measured.
    pub folder: PathBuf,
    /// Threads that serve, and the product's partitions.
    pub threads: u16,
    /// The bare program takes the product's place: to try the harness out.
    pub stand_in: bool,
}

/// A side that serves. Ends when it is dropped.
#[derive(Debug)]
pub struct Running {
    /// The server.
    pub program: Program,
    /// One request for each connection.
    pub requests: Vec<Request>,
    /// Whatever else must live as long.
    _database: Option<Server>,
    _folder: Option<TempDir>,
}

/// The product with nothing in it. Ends when it is dropped.
#[derive(Debug)]
pub struct EmptyShop {
    /// The server.
    pub program: Program,
    /// An admin's token.
    pub admin_token: String,
    /// Customers' tokens.
    pub customer_tokens: Vec<String>,
    _folder: TempDir,
}

impl Sides {
    /// Starts a side for so many connections.
    pub fn start(&self, side: Side, connections: usize) -> anyhow::Result<Running> {
        match (side, &self.product) {
            (Side::Bare, _) => self.start_bare(connections),
            _ if self.stand_in => self.start_bare(connections),
            (Side::Product | Side::ProductWithoutDatabase, Some(product)) => {
                self.start_product(product, side, connections)
            }
            (Side::Product | Side::ProductWithoutDatabase, None) => anyhow::bail!("there is no product to start"),
        }
    }

    /// Starts the product with nothing in it, and makes tokens for some customers.
    pub fn start_shop(&self) -> anyhow::Result<EmptyShop> {
        let binary = self.product.as_ref().context("there is no product to start")?;
        let folder = self.temporary_folder()?;
        let shop = Shop::new(binary, &folder.path().join("data"))
            .set("SON7_PARTITIONS", &self.threads.to_string())
            // No hold may end while it is looked at.
            .set("SON7_HOLD_SECONDS", "86399");
        let program = shop.start(START_PATIENCE)?;
        let (admin_token, customer_tokens) = (shop.admin_token()?, shop.customer_tokens("buyer", CUSTOMERS)?);
        Ok(EmptyShop { program, admin_token, customer_tokens, _folder: folder })
    }

    fn start_bare(&self, connections: usize) -> anyhow::Result<Running> {
        let folder = self.temporary_folder()?;
        let mut command = Command::new(&self.bare);
        command.arg("--threads").arg(self.threads.to_string());
        let program = Program::start(command, &folder.path().join("bare.log"), START_PATIENCE)?;
        // The bare program looks at neither; the requests are to be as long.
        let tokens = vec!["x".repeat(300); connections];
        let requests = requests(program.address(), &tokens);
        Ok(Running { program, requests, _database: None, _folder: Some(folder) })
    }

    fn start_product(&self, binary: &Path, side: Side, connections: usize) -> anyhow::Result<Running> {
        let folder = self.temporary_folder()?;
        let mut shop = Shop::new(binary, &folder.path().join("data"));
        shop = shop.set("SON7_PARTITIONS", &self.threads.to_string());
        let mut database = None;
        if side == Side::ProductWithoutDatabase {
            let server = servers::mariadb().context("MariaDB, to be stopped")?;
            shop = shop.set("SON7_DATABASE_URL", &server.url());
            database = Some(server);
        }
        let program = shop.start(START_PATIENCE)?;
        let mut admin = Admin::new(program.address(), &shop.admin_token()?);
        admin.create_product(SKU, PRICE, ON_HAND)?;
        admin.set_sale(SKU, Sale { price: PRICE, per_customer_limit: PER_CUSTOMER_LIMIT })?;
        let tokens = shop.customer_tokens("buyer", connections)?;
        let requests = requests(program.address(), &tokens);
        if let Some(server) = &mut database {
            server.stop().context("stopping MariaDB")?;
        }
        Ok(Running { program, requests, _database: database, _folder: Some(folder) })
    }

    fn temporary_folder(&self) -> anyhow::Result<TempDir> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("{}", self.folder.display()))?;
        tempfile::Builder::new().prefix("bench-").tempdir_in(&self.folder).context("a temporary folder")
    }
}

fn requests(address: SocketAddr, tokens: &[String]) -> Vec<Request> {
    let host = address.to_string();
    let body = serde_json::json!({ "lines": [{ "sku": SKU, "quantity": 1 }] }).to_string();
    let request =
        |token: &String| Request::to("POST", &host, "/v1/orders").bearer(token).numbered_key("bench").json(&body);
    tokens.iter().map(request).collect()
}
