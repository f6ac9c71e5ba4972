//! The first scenario: far more buyers than units, all at once, for one product.
//!
//! Every connection is open before the first request. Afterwards the shop's own account, its stock
//! and its list of orders, is compared with what every buyer was told ([`check`]). The scenario makes
//! a product of its own, so it may run against a shop that sells other things.

pub mod buyers;
pub mod check;

use crate::api::{Admin, ApiError, Sale, Stock};
use crate::drive::{self, DriveError, Pace, Plan, Report};
use crate::request::Request;
use buyers::{AgainCounts, Buyers, Layout};
use check::{Evidence, Outcome, Told, Violation, check, check_told, sellable};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The product's unit price in won.
const PRICE: i64 = 10_000;

/// The whole run ends within this time, whatever the server does.
const RUN_MAX: Duration = Duration::from_mins(5);

/// What is contended for and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Who buys how often.
    pub layout: Layout,
    /// Units that there are.
    pub units: u64,
    /// Units that one customer may have: the product is on sale then.
    pub per_customer_limit: Option<u32>,
}

/// The shop and the tokens for it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// An admin's token.
    pub admin_token: String,
    /// The customers' tokens, at least as many as the layout has customers.
    pub customer_tokens: Vec<String>,
}

/// Why nothing can be said about the shop's promises.
#[derive(Debug, thiserror::Error)]
pub enum ContentionError {
    /// There must be a client and a customer, and a token for each customer.
    #[error("{customers} customers need as many tokens, {tokens} are there; and at least one client and one customer")]
    Layout {
        /// Customers.
        customers: usize,
        /// Tokens.
        tokens: usize,
    },
    /// The shop cannot be prepared or asked afterwards.
    #[error("the shop's API")]
    Api(#[from] ApiError),
    /// The load could not be sent.
    #[error("the load")]
    Drive(#[from] DriveError),
}

/// What came of it.
#[derive(Debug)]
pub struct Finding {
    /// The product.
    pub sku: String,
    /// Units that could be sold: min(units, demand within the limits).
    pub sellable: u64,
    /// Sendings that were accepted, repeats among them.
    pub accepted_sendings: u64,
    /// Different orders.
    pub orders: u64,
    /// Sendings that were refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Sendings that were answered in a way that contention does not explain.
    pub unexpected: u64,
    /// What was asked again.
    pub again: AgainCounts,
    /// Times and failures.
    pub report: Report,
    /// The stock afterwards and how many orders were in the list, or why the shop did not show them.
    pub account: Result<(Stock, usize), ApiError>,
    /// Broken promises; failures of connections are in the report. Without the account only the answers
    /// were compared with each other.
    pub violations: Vec<Violation>,
}

impl Finding {
    /// Every promise was kept, no request failed, and the shop gave account of it.
    pub fn is_sound(&self) -> bool {
        self.account.is_ok() && self.violations.is_empty() && self.report.failures == 0 && self.report.unanswered == 0
    }
}

/// Makes a product, lets the buyers loose, and checks.
pub fn run(scenario: &Scenario, target: &Target, threads: usize) -> Result<Finding, ContentionError> {
    let Scenario { layout, units, per_customer_limit } = *scenario;
    let (customers, tokens) = (layout.customers, target.customer_tokens.len());
    if customers == 0 || layout.clients == 0 || tokens < customers {
        return Err(ContentionError::Layout { customers, tokens });
    }
    let run = rand::random::<u64>();
    let sku = format!("contention-{run:016x}");
    let mut admin = Admin::new(target.address, &target.admin_token);
    admin.create_product(&sku, PRICE, units)?;
    if let Some(per_customer_limit) = per_customer_limit {
        admin.set_sale(&sku, Sale { price: PRICE, per_customer_limit })?;
    }
    let body = serde_json::json!({ "lines": [{ "sku": sku, "quantity": 1 }] }).to_string();
    let host = target.address.to_string();
    let request = |connection: usize| {
        Request::to("POST", &host, "/v1/orders")
            .bearer(&target.customer_tokens[layout.customer(connection)])
            .numbered_key(&format!("{run:016x}"))
            .json(&body)
    };
    let buyers = (0..threads).map(|_| Buyers::new(layout, request)).collect();
    let plan = Plan {
        address: target.address,
        connections: layout.connections(),
        threads,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        window: None,
        patience: RUN_MAX,
    };
    let (report, buyers) = drive::run(&plan, buyers, &mut ())?;
    let mut again = AgainCounts::default();
    let mut told = Vec::new();
    for part in buyers {
        again.busy += part.again.busy;
        again.still_running += part.again.still_running;
        again.lost += part.again.lost;
        told.extend(part.told);
    }
    let limit = per_customer_limit.map(u64::from);
    let demand = layout.demand();
    let sellable = sellable(units, limit, &demand);
    let account = admin.stock(&sku).and_then(|stock| Ok((stock, admin.orders_of(&sku)?)));
    let (account, violations, told) = match account {
        Ok((stock, orders)) => {
            let listed = orders.len();
            let evidence = Evidence { units, limit, demand, told, stock, orders, sku: sku.clone(), price: PRICE };
            (Ok((stock, listed)), check(&evidence), evidence.told)
        }
        // A shop that died: what the buyers were told is all there is.
        Err(error) => (Err(error), check_told(&demand, &told), told),
    };
    let Counts { accepted_sendings, orders, refused, unexpected } = Counts::of(&told);
    Ok(Finding { sku, sellable, accepted_sendings, orders, refused, unexpected, again, report, account, violations })
}

/// How often the buyers were told what.
#[derive(Default)]
struct Counts {
    accepted_sendings: u64,
    orders: u64,
    refused: BTreeMap<String, u64>,
    unexpected: u64,
}

impl Counts {
    fn of(told: &[Told]) -> Self {
        let (mut counts, mut ids) = (Self::default(), HashSet::new());
        for told in told {
            match &told.outcome {
                Outcome::Accepted(id) => {
                    counts.accepted_sendings += 1;
                    ids.insert(id);
                }
                Outcome::Refused(code) => *counts.refused.entry(code.clone()).or_default() += 1,
                Outcome::Unexpected(_) => counts.unexpected += 1,
            }
        }
        counts.orders = ids.len() as u64;
        counts
    }
}
