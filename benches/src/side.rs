//! The two sides of a comparison, each as a fresh program: the bare one, and the product with its own
//! empty data folder, a product on sale, and a token for every connection. Nothing of one measurement
//! is left for the next.

use anyhow::Context;
use son7shop_loadtest::api::{Admin, Sale};
use son7shop_loadtest::client::Client;
use son7shop_loadtest::program::Program;
use son7shop_loadtest::request::Request;
use son7shop_loadtest::servers::{self, Server};
use son7shop_loadtest::shop::Shop;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

    /// Starts a sandbox of the gateway.
    pub fn start_gateway(&self) -> anyhow::Result<Gateway> {
        let binary = self.product.as_ref().context("there is no product to start")?;
        Gateway::start(binary)
    }

    /// Starts the product, paid through `gateway`, with something on sale: a request for each connection, and
    /// the tokens of so many payers.
    pub fn start_paid(
        &self,
        gateway: &Gateway,
        connections: usize,
        payers: usize,
    ) -> anyhow::Result<(Running, Vec<String>)> {
        self.start_with_gateway(gateway, connections, payers, None)
    }

    /// The same without a load, and with orders that may be paid for so many seconds.
    pub fn start_held(&self, gateway: &Gateway, payers: usize, seconds: u64) -> anyhow::Result<(Running, Vec<String>)> {
        self.start_with_gateway(gateway, 1, payers, Some(seconds))
    }

    fn start_with_gateway(
        &self,
        gateway: &Gateway,
        connections: usize,
        payers: usize,
        hold_seconds: Option<u64>,
    ) -> anyhow::Result<(Running, Vec<String>)> {
        let binary = self.product.as_ref().context("there is no product to start")?;
        let folder = self.temporary_folder()?;
        let mut shop = Shop::new(binary, &folder.path().join("data"))
            .set("SON7_PARTITIONS", &self.threads.to_string())
            .set("SON7_PAYMENTS", "kakaopay")
            .set("SON7_KAKAO_URL", &format!("http://{}{}", gateway.api, gateway.path))
            .set("SON7_KAKAO_KEY", &gateway.key);
        if let Some(seconds) = hold_seconds {
            shop = shop.set("SON7_HOLD_SECONDS", &seconds.to_string());
        }
        let program = shop.start(START_PATIENCE)?;
        let mut admin = Admin::new(program.address(), &shop.admin_token()?);
        admin.create_product(SKU, PRICE, ON_HAND)?;
        admin.set_sale(SKU, Sale { price: PRICE, per_customer_limit: PER_CUSTOMER_LIMIT })?;
        let requests = requests(program.address(), &shop.customer_tokens("buyer", connections)?);
        let tokens = shop.customer_tokens("payer", payers)?;
        Ok((Running { program, requests, _database: None, _folder: Some(folder) }, tokens))
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

/// The gateway's sandbox as a program of its own. Ends when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where its API is.
    pub api: SocketAddr,
    /// The API's path.
    pub path: String,
    /// Where the shopper's pages are.
    pub pages: SocketAddr,
    control: SocketAddr,
    /// The key that it takes.
    pub key: String,
}

impl Gateway {
    fn start(binary: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["kakao-sandbox", "--port", "0"]).env("SON7_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{}", binary.display()))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // Held from here on, so that it ends whatever it says.
        let mut gateway =
            Self { child, api: nowhere, path: String::new(), pages: nowhere, control: nowhere, key: String::new() };
        let output = gateway.child.stdout.take().context("the sandbox has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            let (what, value) = line.split_once(' ').context("the sandbox says something else than expected")?;
            let rest = value.strip_prefix("http://").unwrap_or(value);
            let (address, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            match what {
                "api" => (gateway.api, gateway.path) = (address.parse()?, path.to_owned()),
                "pages" => gateway.pages = address.parse()?,
                "control" => gateway.control = address.parse()?,
                "key" => {
                    value.clone_into(&mut gateway.key);
                    return Ok(gateway);
                }
                _ => {}
            }
        }
        anyhow::bail!("the sandbox ended before it served")
    }

    /// Lets every call from now on wait so many milliseconds before it does anything.
    pub fn hang(&self, millis: u32) -> anyhow::Result<()> {
        let mut control = Client::new(self.control);
        for endpoint in ["ready", "approve", "order", "cancel"] {
            let rule = serde_json::json!({
                "endpoint": endpoint, "action": { "kind": "delay_before", "ms": millis }, "times": u32::MAX,
            });
            let answer = control.send(&Request::to("POST", &control.host(), "/faults").json(&rule.to_string()))?;
            anyhow::ensure!(answer.status == 200, "the sandbox would not hang: {}", answer.text());
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An order of one unit of what is on sale.
pub fn order() -> serde_json::Value {
    serde_json::json!({ "lines": [{ "sku": SKU, "quantity": 1 }] })
}

fn requests(address: SocketAddr, tokens: &[String]) -> Vec<Request> {
    let host = address.to_string();
    let body = order().to_string();
    let request =
        |token: &String| Request::to("POST", &host, "/v1/orders").bearer(token).numbered_key("bench").json(&body);
    tokens.iter().map(request).collect()
}
