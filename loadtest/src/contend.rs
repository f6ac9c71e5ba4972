//! `loadtest contention`: against a shop that runs, or one that is started for it.

use anyhow::{Context, ensure};
use son7shop_loadtest::contention::buyers::Layout;
use son7shop_loadtest::contention::{Finding, Scenario, Target, run as contend};
use son7shop_loadtest::drive::percentile;
use son7shop_loadtest::limits::allow_connections;
use son7shop_loadtest::shop::{Shop, binary_beside_this_one};
use std::env::VarError;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long an empty shop may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take to stop.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// The key of a shop that does not use its data folder's own.
const TOKEN_KEY: &str = "SON7_TOKEN_KEY";

/// Broken promises that are printed one by one.
const VIOLATIONS_SHOWN: usize = 20;

/// Far more buyers than units, all at once, for one product; then the check that every promise was kept.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Connections that buy.
    #[arg(long, default_value_t = 2000)]
    clients: usize,
    /// Units that there are.
    #[arg(long, default_value_t = 1000)]
    units: u64,
    /// Units that one customer may have.
    #[arg(long)]
    per_customer_limit: Option<u32>,
    /// Customers; by default one for each client, with a limit one for each two.
    #[arg(long)]
    customers: Option<usize>,
    /// Units that each client tries to buy, one after another; by default 1, with a limit as many as
    /// make every customer ask for more than the limit.
    #[arg(long)]
    requests: Option<u64>,
    /// Send every request twice with the same key, and expect the same order.
    #[arg(long)]
    repeat_keys: bool,
    /// Threads of this program.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The shop's binary to start; by default the one beside this program.
    #[arg(long, conflicts_with = "url")]
    server: Option<PathBuf>,
    /// A shop that runs already, such as http://127.0.0.1:8080. Its tokens come from --data-dir, or
    /// from --admin-token and --customer-tokens.
    #[arg(long)]
    url: Option<String>,
    /// The running shop's data folder, to make tokens with its key; with SON7_TOKEN_KEY, if the shop has one.
    #[arg(long, requires = "url")]
    data_dir: Option<PathBuf>,
    /// An admin's token for the running shop.
    #[arg(long, requires = "customer_tokens")]
    admin_token: Option<String>,
    /// A file of customers' tokens for the running shop, one a line.
    #[arg(long, requires = "admin_token")]
    customer_tokens: Option<PathBuf>,
}

impl Args {
    fn scenario(&self) -> Scenario {
        let customers = self.customers.unwrap_or_else(|| match self.per_customer_limit {
            Some(_) => self.clients.div_ceil(2),
            None => self.clients,
        });
        // Each customer has clients ÷ customers connections; together they must ask for more than the limit.
        let requests = self.requests.unwrap_or_else(|| match self.per_customer_limit {
            Some(limit) => u64::from(limit) / (self.clients / customers.max(1)).max(1) as u64 + 1,
            None => 1,
        });
        let layout = Layout { clients: self.clients, customers, requests, repeat_keys: self.repeat_keys };
        Scenario { layout, units: self.units, per_customer_limit: self.per_customer_limit }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario();
    // The shop inherits the limit and needs as many.
    allow_connections(scenario.layout.connections())?;
    let beside = binary_beside_this_one()?;
    let finding = if let Some(url) = &args.url {
        let target = running_shop(args, url, &beside, scenario.layout.customers)?;
        contend(&scenario, &target, args.threads)?
    } else {
        let binary = args.server.clone().unwrap_or(beside);
        ensure!(binary.is_file(), "{} is not there: build it, or name the shop's binary by --server", binary.display());
        own_shop(&binary, &scenario, args.threads)?
    };
    print(&scenario, &finding);
    Ok(if finding.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts a shop on an empty folder, which is removed afterwards.
fn own_shop(binary: &Path, scenario: &Scenario, threads: usize) -> anyhow::Result<Finding> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    // No hold may end while the orders are being compared.
    let shop = Shop::new(binary, &folder.path().join("data")).set("SON7_HOLD_SECONDS", "86399");
    let program = shop.start(START_PATIENCE)?;
    let target = Target {
        address: program.address(),
        admin_token: shop.admin_token()?,
        customer_tokens: shop.customer_tokens("buyer", scenario.layout.customers)?,
    };
    let finding = contend(scenario, &target, threads)?;
    let status = program.stop(STOP_PATIENCE)?;
    ensure!(status.success(), "the shop ended with {status} after SIGTERM");
    Ok(finding)
}

fn running_shop(args: &Args, url: &str, binary: &Path, customers: usize) -> anyhow::Result<Target> {
    let address = address_of(url)?;
    let (admin_token, customer_tokens) = match (&args.data_dir, &args.admin_token, &args.customer_tokens) {
        (_, Some(admin_token), Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
            let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            (admin_token.clone(), tokens)
        }
        (Some(data_dir), ..) => {
            // A shop with a key of its own has it from the environment; so does this program then.
            let shop = match std::env::var(TOKEN_KEY) {
                Ok(key) => Shop::new(binary, data_dir).set(TOKEN_KEY, &key),
                Err(VarError::NotPresent) => Shop::new(binary, data_dir),
                Err(VarError::NotUnicode(_)) => anyhow::bail!("{TOKEN_KEY} is no text"),
            };
            (shop.admin_token()?, shop.customer_tokens("buyer", customers)?)
        }
        _ => anyhow::bail!("tokens are needed: --data-dir of the running shop, or --admin-token and --customer-tokens"),
    };
    Ok(Target { address, admin_token, customer_tokens })
}

fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let host = rest.trim_end_matches('/');
    host.to_socket_addrs().with_context(|| format!("{host} is no host:port"))?.next().context("the host has no address")
}

fn print(scenario: &Scenario, finding: &Finding) {
    let Scenario { layout, units, per_customer_limit } = scenario;
    let limit = per_customer_limit.map_or("no limit".to_owned(), |limit| format!("at most {limit} each"));
    println!(
        "{} clients of {} customers, {} keys each{}; {units} units, {limit}; product {}",
        layout.clients,
        layout.customers,
        layout.requests,
        if layout.repeat_keys { ", every key sent twice" } else { "" },
        finding.sku
    );
    println!("orders      {} of {} that could be", finding.orders, finding.sellable);
    println!("accepted    {} sendings", finding.accepted_sendings);
    let by_code: Vec<_> = finding.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
    println!("refused     {} sendings ({})", finding.refused.values().sum::<u64>(), by_code.join(", "));
    let report = &finding.report;
    println!("errors      {}", finding.unexpected + report.failures + report.unanswered);
    println!(
        "asked again {} after 503, {} after \"still running\", {} after a lost connection",
        finding.again.busy, finding.again.still_running, finding.again.lost
    );
    if let Some(first) = &report.first_failure {
        println!("            {first}");
    }
    println!("time        {:.3} s from the first sending to the last answer", report.window.as_secs_f64());
    for (name, latency) in [("accepted", &report.latency), ("refused", &report.refused_latency)] {
        if !latency.is_empty() {
            let [p50, p90, p99, max] = [50.0, 90.0, 99.0, 100.0].map(|percent| percentile(latency, percent));
            println!("{name:<11} p50 {p50:.2?}, p90 {p90:.2?}, p99 {p99:.2?}, max {max:.2?}");
        }
    }
    let stock = finding.stock;
    println!(
        "stock       on hand {}, held {}, sold {}, available {}; {} orders listed",
        stock.on_hand, stock.held, stock.sold, stock.available, finding.listed
    );
    if finding.is_sound() {
        println!("every promise was kept");
        return;
    }
    println!("BROKEN: {} violations", finding.violations.len());
    for violation in finding.violations.iter().take(VIOLATIONS_SHOWN) {
        println!("  {violation}");
    }
    if finding.violations.len() > VIOLATIONS_SHOWN {
        println!("  … and {} more", finding.violations.len() - VIOLATIONS_SHOWN);
    }
}
