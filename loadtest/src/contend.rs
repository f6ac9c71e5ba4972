//! `loadtest contention`: against a shop that runs, or one that is started for it.

use crate::against::{Against, conclude};
use son7shop_loadtest::contention::buyers::Layout;
use son7shop_loadtest::contention::{Finding, Scenario, run as contend};
use son7shop_loadtest::drive::percentile;
use son7shop_loadtest::limits::allow_connections;
use std::process::ExitCode;

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
    #[command(flatten)]
    against: Against,
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
    let shop = args.against.open(scenario.layout.customers)?;
    let finding = contend(&scenario, &shop.target, args.threads)?;
    print(&scenario, &finding);
    conclude(!finding.is_sound(), shop.close())?;
    Ok(if finding.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    match &finding.account {
        Ok((stock, listed)) => println!(
            "stock       on hand {}, held {}, sold {}, available {}; {listed} orders listed",
            stock.on_hand, stock.held, stock.sold, stock.available
        ),
        Err(error) => {
            let why: Vec<_> = anyhow::Chain::new(error).map(ToString::to_string).collect();
            println!("FAILED      the shop gives no account: {}", why.join(": "));
        }
    }
    if finding.is_sound() {
        println!("every promise was kept");
        return;
    }
    if finding.violations.is_empty() {
        println!("no promise was seen broken, but requests or the shop failed");
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
