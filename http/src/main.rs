//! The program `son7shop`: reads its settings and does one thing.

mod commands;

use clap::{Parser, Subcommand};
use son7shop_http::settings::{Flags, Settings, TOKEN_KEY};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An order engine for flash sales: one owner for each product's stock, nothing lost after a crash.
#[derive(Debug, Parser)]
#[command(name = "son7shop", version)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the shop (what it does without a command)
    Serve,
    /// Print the settings in force, secrets hidden
    Config,
    /// Print a token for this data folder's key
    Token(commands::token::Options),
    /// Look at the journal
    Journal {
        #[command(subcommand)]
        command: commands::journal::Command,
    },
    /// Recompute stock and orders from the journal, compare with the database; exits 1 with the differences
    Verify,
}

fn main() -> ExitCode {
    let program = Program::parse();
    let key = std::env::var(TOKEN_KEY).ok().filter(|key| !key.is_empty());
    match run(program, key.as_deref()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("son7shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: Program, key: Option<&str>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&program.flags, key.is_some())?;
    match program.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve::run(&settings, key),
        Command::Config => {
            print!("{}", settings.shown());
            Ok(ExitCode::SUCCESS)
        }
        Command::Token(options) => commands::token::run(&settings, key, &options),
        Command::Journal { command } => commands::journal::run(&settings, &command),
        Command::Verify => commands::verify::run(&settings),
    }
}
