//! This engine, over HTTP: a connection, a customer and a token for each thread, a key for
//! each order.

use crate::api::Admin;
use crate::client::Client;
use crate::lab::backend::{Attempt, Backend, Bought, Promise, Shelf, Till};
use crate::program::Program;
use crate::request::Request;
use crate::shop::Shop;
use anyhow::{Context, bail};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// How long an empty shop may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How often a buyer that was told "too busy" comes back.
const AGAIN_MAX: u32 = 1_000;

/// A shop of this engine, started for the lab.
pub struct Engine {
    program: Program,
    admin: Mutex<Admin>,
    tokens: Vec<String>,
    /// The product of the run under way; each run has its own.
    product: Mutex<(u64, String)>,
    // Last: the folder goes when nobody writes into it any more.
    _folder: TempDir,
}

impl Engine {
    /// Starts a shop with tokens for so many threads.
    pub fn start(binary: &Path, threads: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // No hold may end while the units are being counted.
        let shop = Shop::new(binary, &folder.path().join("data")).set("SON7_HOLD_SECONDS", "36000");
        let program = shop.start(START_PATIENCE)?;
        let admin = Admin::new(program.address(), &shop.admin_token()?);
        let tokens = shop.customer_tokens("buyer", threads)?;
        Ok(Self { program, admin: Mutex::new(admin), tokens, product: Mutex::default(), _folder: folder })
    }

    fn sku(&self) -> String {
        self.product.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl Backend for Engine {
    fn name(&self) -> &'static str {
        "son7shop-http"
    }

    fn about(&self) -> &'static str {
        "this engine over HTTP: token, idempotency key, JSON; write-behind to SQLite running"
    }

    fn promise(&self) -> Promise {
        Promise::SyncedBeforeAnswer
    }

    fn stock_up(&self, units: u64) -> anyhow::Result<()> {
        let mut product = self.product.lock().unwrap_or_else(PoisonError::into_inner);
        product.0 += 1;
        product.1 = format!("lab-{}", product.0);
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(admin.create_product(&product.1, 1_000, units)?)
    }

    fn till(&self, thread: usize) -> anyhow::Result<Box<dyn Till + '_>> {
        let client = Client::new(self.program.address());
        let token = self.tokens.get(thread).context("there is no token for this thread")?;
        let sku = self.sku();
        let body = format!(r#"{{"lines":[{{"sku":"{sku}","quantity":1}}]}}"#);
        let request = Request::to("POST", &client.host(), "/v1/orders").bearer(token);
        Ok(Box::new(EngineTill { client, request: request.numbered_key(&sku).json(&body), number: 0 }))
    }

    fn shelf(&self) -> anyhow::Result<Shelf> {
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let stock = admin.stock(&self.sku())?;
        // Every order here is of one unit, and holds it.
        Ok(Shelf { left: i64::try_from(stock.available)?, orders: stock.held })
    }
}

struct EngineTill {
    client: Client,
    request: Request,
    number: u64,
}

impl Till for EngineTill {
    fn buy(&mut self) -> anyhow::Result<Attempt> {
        self.number += 1;
        self.request.set_key(self.number);
        for retries in 0..AGAIN_MAX {
            let answer = self.client.send(&self.request)?;
            let code = || answer.json().ok().and_then(|json| Some(json.get("code")?.as_str()?.to_owned()));
            match answer.status {
                201 => return Ok(Attempt { bought: Bought::Sold, retries }),
                409 if code().is_some_and(|code| code == "sold_out") => {
                    return Ok(Attempt { bought: Bought::SoldOut, retries });
                }
                // The same key again: it cannot be sold twice.
                503 => {}
                status => bail!("answered {status}: {}", answer.text()),
            }
        }
        bail!("too busy, {AGAIN_MAX} times")
    }
}
