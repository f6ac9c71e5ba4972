//! `loadtest`: load from the command line.

mod against;
mod compare;
mod contend;
mod journey;
mod laboratory;
mod lua_server;
mod plain;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// For the server in front of Redis, as the shop has it; the buyers' side costs less with it, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load against Son7shop, and the check that it kept its promises.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Two runs of the lab side by side; exits 1 when the second is worse by more than the noise.
    Compare(compare::Args),
    /// Far more buyers than units, all at once, for one product; exits 1 when a promise was broken.
    Contention(contend::Args),
    /// Shoppers who look, order and change their minds; exits 1 when a threshold was missed or a promise broken.
    Journey(journey::Args),
    /// Many threads buy one product from this engine and from everything else that people use.
    Lab(laboratory::Args),
    /// The server in front of Redis that the lab measures; it starts it itself.
    #[command(hide = true)]
    LuaServer(lua_server::Args),
    /// Send one request again and again, print throughput and latencies; exits 1 when an answer is missing or not as expected.
    Plain(plain::Args),
    /// A flash sale that opens at a set second, with a crowd waiting; exits 1 when a promise was broken.
    Sale(journey::SaleArgs),
    /// The journey for minutes or hours, with the server's memory and lag over time.
    Soak(journey::SoakArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().scenario {
        Scenario::Compare(args) => compare::run(&args),
        Scenario::Contention(args) => contend::run(&args),
        Scenario::Journey(args) => journey::run(&args),
        Scenario::Sale(args) => journey::sale(&args),
        Scenario::Soak(args) => journey::soak(&args),
        Scenario::Lab(args) => laboratory::run(&args),
        Scenario::LuaServer(args) => lua_server::run(&args),
        Scenario::Plain(args) => plain::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            // 1 says that an invariant is broken; 2 that nothing can be said.
            ExitCode::from(2)
        }
    }
}
