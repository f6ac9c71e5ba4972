//! The program `son7shop`: reads its settings and does one thing.

mod commands;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};
use son7shop_http::settings::{Flags, Settings, TOKEN_KEY};
use son7shop_http::token::KeyError;
use std::env::VarError;
use std::ffi::OsStr;
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
    /// Recompute stock and orders from the journal, compare with the database; exits 1 with the
    /// differences, 2 if it cannot say
    Verify(commands::verify::VerifyOptions),
    /// Run the Kakao Pay sandbox alone: its protocol, its pages, no money
    KakaoSandbox(commands::paying::SandboxOptions),
}

impl Program {
    /// Reads arguments and environment. A variable that is set to nothing is not set:
    /// compose files and unit files leave such ones.
    fn read() -> Result<Self, clap::Error> {
        let empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let command =
            Self::command().mut_args(|arg| if arg.get_env().is_some_and(empty) { arg.env(None::<&str>) } else { arg });
        Self::from_arg_matches(&command.try_get_matches()?)
    }

    /// The variable that a wrong value came from, where it came from one.
    fn wrong_variable(error: &clap::Error) -> Option<String> {
        let mut command = Self::command();
        command.build();
        if error.kind() == ErrorKind::InvalidUtf8 {
            return Self::no_text(&command);
        }
        let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return None };
        let arg = command.get_arguments().find(|arg| arg.to_string() == *wrong)?;
        let flag = format!("--{}", arg.get_long()?);
        let given = std::env::args().any(|given| given.split('=').next() == Some(flag.as_str()));
        let name = arg.get_env()?;
        (!given && std::env::var_os(name).is_some()).then(|| name.to_string_lossy().into_owned())
    }

    /// The variable that is no text and must be; the library does not say which.
    fn no_text(command: &clap::Command) -> Option<String> {
        let texts = command.get_arguments().filter(|arg| arg.get_value_hint() != ValueHint::AnyPath);
        let is_none = |name: &&OsStr| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
        texts.filter_map(clap::Arg::get_env).find(is_none).map(|name| name.to_string_lossy().into_owned())
    }

    /// Where 1 says what was found, 2 says that nothing can be said.
    fn exit_when_it_fails(&self) -> ExitCode {
        match self.command {
            Some(Command::Verify(_) | Command::Journal { .. }) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    let program = match Program::read() {
        Ok(program) => program,
        Err(error) => {
            if let Some(name) = Program::wrong_variable(&error) {
                eprintln!("son7shop: {name} in the environment cannot be used");
            }
            error.exit()
        }
    };
    let failed = program.exit_when_it_fails();
    match run(program) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("son7shop: {error:#}");
            failed
        }
    }
}

/// The operator's key, where there is one.
fn token_key() -> Result<Option<String>, KeyError> {
    match std::env::var(TOKEN_KEY) {
        Ok(key) => Ok(Some(key).filter(|key| !key.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        // The error itself would show it.
        Err(VarError::NotUnicode(_)) => Err(KeyError::NotAKey(TOKEN_KEY.to_owned())),
    }
}

fn run(program: Program) -> anyhow::Result<ExitCode> {
    let key = token_key()?;
    let key = key.as_deref();
    let settings = Settings::load(&program.flags, key.is_some(), commands::paying::kakao_key()?.is_some())?;
    match program.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve::run(&settings, key),
        Command::Config => {
            print!("{}", settings.shown());
            Ok(ExitCode::SUCCESS)
        }
        Command::Token(options) => commands::token::run(&settings, key, &options),
        Command::Journal { command } => commands::journal::run(&settings, &command),
        Command::Verify(options) => commands::verify::run(&settings, &options),
        Command::KakaoSandbox(options) => commands::paying::run(&settings, &options),
    }
}
