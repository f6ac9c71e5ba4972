//! `loadtest compare`: two runs of the lab side by side, and whether the second is worse.

use anyhow::Context;
use son7shop_loadtest::lab::compare::{Comparison, compare};
use son7shop_loadtest::lab::report::Report;
use son7shop_loadtest::page::short;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare two runs of the lab: exits 0 when nothing is worse in B by more than the noise, 1 when
/// something is or one of ours is wrong, broke or is missing in B, 2 when they cannot be read or compared.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The `lab.json` of the run to compare with.
    a: PathBuf,
    /// The `lab.json` of the run that is judged.
    b: PathBuf,
    /// Write a page with graphs to this file.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let names = (args.a.display().to_string(), args.b.display().to_string());
    let comparison = compare(&a, &b).with_context(|| format!("{} and {}", names.0, names.1))?;
    print(&comparison, (&names.0, &names.1));
    if let Some(out) = &args.out {
        let page = comparison.html((&names.0, &names.1))?;
        std::fs::write(out, page).with_context(|| format!("writing {}", out.display()))?;
        println!("written to {}", out.display());
    }
    Ok(if comparison.is_worse() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // In two steps, so that it says which of the two it is not.
    let json: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    serde_json::from_value(json).with_context(|| format!("{} is no report of this version's lab", path.display()))
}

fn print(comparison: &Comparison, (a, b): (&str, &str)) {
    println!("A: {a}\nB: {b}");
    for warning in &comparison.warnings {
        println!("not the same: {warning}");
    }
    for one in &comparison.only_in {
        println!("{one}");
    }
    println!(
        "{:<28} {:<34} {:>9} {:>9} {:<16} {:>9} {:>9} {:<16} {:>9} {:>9}",
        "backend", "load", "sold/s A", "B", "", "p50 ms A", "B", "", "p99 ms A", "B"
    );
    for row in &comparison.rows {
        print!("{:<28} {:<34}", row.backend, row.load);
        for (one, scale) in [(row.sold_per_second, 1.0), (row.p50_micros, 1e-3), (row.p99_micros, 1e-3)] {
            let figure = |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| short(figure * scale));
            let (a, b) = (one.a.map(|a| a.median), one.b.map(|b| b.median));
            print!(" {:>9} {:>9} {:<16}", figure(a), figure(b), one.to_string());
        }
        println!();
    }
    for one in &comparison.wrong_units {
        println!("{one}");
    }
    println!("{}", comparison.summary());
}
