//! `loadtest journey`, `loadtest soak` and `loadtest sale`: shoppers for seconds or for hours, and a crowd at an opening.

use crate::against::{Against, Opened, conclude};
use anyhow::Context;
use son7shop_loadtest::journeys::report::{Outcome, Verdict};
use son7shop_loadtest::journeys::run::run as play;
use son7shop_loadtest::journeys::sale::{run as sell, scenario::SaleScenario};
use son7shop_loadtest::journeys::scenario::Scenario;
use son7shop_loadtest::limits::allow_connections;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shoppers who look, order and change their minds.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The scenario, TOML; by default the one that ships as loadtest/scenarios/journey.toml.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// The folder for the report; by default target/journey, or journey where there is no target.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    against: Against,
}

/// Shoppers for long, with the server's memory and lag over time.
#[derive(clap::Args)]
pub(crate) struct SoakArgs {
    /// The scenario, TOML; by default the one that ships as loadtest/scenarios/soak.toml: three minutes.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Minutes, instead of the scenario's seconds.
    #[arg(long, conflicts_with = "hours")]
    minutes: Option<f64>,
    /// Hours, instead of the scenario's seconds.
    #[arg(long)]
    hours: Option<f64>,
    /// The folder for the report; by default target/soak, or soak where there is no target.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    against: Against,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shipped = include_str!("../scenarios/journey.toml");
    perform("journey", &read(args.scenario.as_deref(), shipped)?, args.out.as_deref(), &args.against)
}

pub(crate) fn soak(args: &SoakArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = read(args.scenario.as_deref(), include_str!("../scenarios/soak.toml"))?;
    if let Some(minutes) = args.minutes.or(args.hours.map(|hours| hours * 60.0)) {
        scenario.load.seconds = minutes * 60.0;
        scenario.check()?;
    }
    perform("soak", &scenario, args.out.as_deref(), &args.against)
}

/// A flash sale that opens at a set second, with a crowd waiting.
#[derive(clap::Args)]
pub(crate) struct SaleArgs {
    /// The scenario, TOML; by default the one that ships as loadtest/scenarios/sale.toml.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// The folder for the report; by default target/sale, or sale where there is no target.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    against: Against,
}

pub(crate) fn sale(args: &SaleArgs) -> anyhow::Result<ExitCode> {
    let scenario = match &args.scenario {
        None => SaleScenario::parse(include_str!("../scenarios/sale.toml"))?,
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            SaleScenario::parse(&text).with_context(|| file.display().to_string())?
        }
    };
    allow_connections(scenario.buyers)?;
    let stop = stop_on_ctrl_c()?;
    let shop = args.against.open(scenario.customers)?;
    let outcome = sell(&scenario, &shop.target, &stop)?;
    match outcome.sold {
        Some(sold) => println!("{sold} of {} units that could be were sold", outcome.sellable),
        None => println!("of {} units that could be sold nobody knows", outcome.sellable),
    }
    end("sale", args.out.as_deref(), &outcome.into_report("Son7shop: sale", &scenario), shop)
}

fn read(file: Option<&Path>, shipped: &str) -> anyhow::Result<Scenario> {
    let Some(file) = file else { return Ok(Scenario::parse(shipped)?) };
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Scenario::parse(&text).with_context(|| file.display().to_string())
}

fn perform(name: &str, scenario: &Scenario, out: Option<&Path>, against: &Against) -> anyhow::Result<ExitCode> {
    // The shop inherits the limit and needs as many.
    allow_connections(scenario.load.shoppers)?;
    let stop = stop_on_ctrl_c()?;
    let shop = against.open(scenario.load.shoppers)?;
    let outcome = play(&format!("Son7shop: {name}"), scenario, &shop.target, shop.own(), &stop)?;
    end(name, out, &outcome, shop)
}

/// Writes the report, ends the shop, and says how it went.
fn end(name: &str, out: Option<&Path>, outcome: &Outcome, shop: Opened) -> anyhow::Result<ExitCode> {
    let folder = out.map_or_else(|| folder_for(name), Path::to_path_buf);
    print(outcome);
    let written = write(&folder, name, outcome);
    if written.is_ok() {
        println!("written to {}", folder.join(format!("{name}.html")).display());
    }
    // A report that cannot be written leaves no shop behind.
    let closed = shop.close();
    let is_wrong = outcome.verdict() == Verdict::Missed;
    conclude(is_wrong, written)?;
    conclude(is_wrong, closed)?;
    Ok(match outcome.verdict() {
        Verdict::Held => ExitCode::SUCCESS,
        Verdict::Missed => ExitCode::FAILURE,
        Verdict::Unknown => ExitCode::from(2),
    })
}

/// Below `target`, which is never committed, where there is one.
fn folder_for(name: &str) -> PathBuf {
    if Path::new("target").is_dir() { Path::new("target").join(name) } else { PathBuf::from(name) }
}

/// Set by the first Ctrl-C; the run then ends with what it has. A second one ends the program.
fn stop_on_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("watching for Ctrl-C")?;
    let flag = Arc::clone(&stop);
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                eprintln!("ending; the report will be partial");
            }
        });
    });
    Ok(stop)
}

fn write(folder: &Path, name: &str, outcome: &Outcome) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let write = |file: String, text: &str| {
        let path = folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write(format!("{name}.json"), &serde_json::to_string_pretty(outcome)?)?;
    write(format!("{name}.csv"), &outcome.csv())?;
    write(format!("{name}-server.csv"), &outcome.samples_csv())?;
    write(format!("{name}.html"), &outcome.html()?)
}

fn print(outcome: &Outcome) {
    println!("{:.1} s of load ({}), seed {}", outcome.seconds, outcome.seconds_are, outcome.seed);
    for (name, figure) in &outcome.figures {
        println!("{name:<28}{figure:>14.2}");
    }
    for (code, count) in &outcome.refused {
        println!("refused {code}: {count}");
    }
    for judged in &outcome.thresholds {
        let figure = judged.figure.map_or("not measured".to_owned(), |figure| format!("{figure:.2}"));
        println!("{} {} {}: {figure}", if judged.held { "held  " } else { "MISSED" }, judged.name, judged.bound);
    }
    for line in &outcome.failed {
        println!("FAILED {line}");
    }
    for line in outcome.broken.iter().take(20) {
        println!("BROKEN {line}");
    }
    for line in &outcome.errors {
        println!("error {line}");
    }
    if outcome.interrupted {
        println!("ended early: this is a part of a run");
    }
}
