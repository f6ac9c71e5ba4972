//! The product as a program: where its binary is, its data folder and settings, its tokens.

use crate::program::{Program, ProgramError, output, shown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The product's binary.
pub const BINARY: &str = "son7shop";

/// A shop that can be started, killed and started again on the same data.
#[derive(Debug, Clone)]
pub struct Shop {
    binary: PathBuf,
    data_dir: PathBuf,
    settings: Vec<(String, String)>,
}

impl Shop {
    /// A shop on `data_dir`, listening on a free port of the loopback, with every other setting at its
    /// default: settings of the caller's environment do not reach it.
    pub fn new(binary: &Path, data_dir: &Path) -> Self {
        let shop = Self { binary: binary.to_path_buf(), data_dir: data_dir.to_path_buf(), settings: Vec::new() };
        shop.set("SON7_LISTEN", "127.0.0.1:0")
    }

    /// Sets one of its settings, by the name that it has in the environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and awaits that it serves; recovery may take as long as `patience`.
    pub fn start(&self, patience: Duration) -> Result<Program, ProgramError> {
        std::fs::create_dir_all(&self.data_dir)
            .map_err(|source| ProgramError::Log { path: self.data_dir.clone(), source })?;
        let mut log = self.data_dir.clone().into_os_string();
        log.push(".log");
        Program::start(self.command(&["serve"]), Path::new(&log), patience)
    }

    /// The same, out of reach of this terminal's Ctrl-C: whoever started it ends it.
    pub fn start_apart(&self, patience: Duration) -> Result<Program, ProgramError> {
        use std::os::unix::process::CommandExt as _;
        std::fs::create_dir_all(&self.data_dir)
            .map_err(|source| ProgramError::Log { path: self.data_dir.clone(), source })?;
        let mut command = self.command(&["serve"]);
        command.process_group(0);
        Program::start(command, &self.data_dir.with_extension("log"), patience)
    }

    /// A token for whoever runs the shop.
    pub fn admin_token(&self) -> Result<String, ProgramError> {
        Ok(output(self.command(&["token", "--role", "admin"]))?.trim().to_owned())
    }

    /// Tokens of the customers `subject-1` to `subject-count`, in this order.
    pub fn customer_tokens(&self, subject: &str, count: usize) -> Result<Vec<String>, ProgramError> {
        let command =
            self.command(&["token", "--role", "customer", "--subject", subject, "--count", &count.to_string()]);
        let shown = shown(&command);
        let tokens: Vec<String> = output(command)?.lines().map(|line| line.trim().to_owned()).collect();
        if tokens.len() != count {
            let stderr = format!("{count} tokens were asked for, {} lines came", tokens.len());
            return Err(ProgramError::Failed { command: shown, status: "exit status: 0".to_owned(), stderr });
        }
        Ok(tokens)
    }

    /// The program with these arguments, on this shop's data and settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SON7_") {
                command.env_remove(name);
            }
        }
        command.env("SON7_DATA_DIR", &self.data_dir);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.args(arguments);
        command
    }
}

/// The product's binary beside the running one: all of a build's programs are in one folder.
pub fn binary_beside_this_one() -> std::io::Result<PathBuf> {
    let folder = std::env::current_exe()?;
    let mut folder = folder.parent().unwrap_or(Path::new(".")).to_path_buf();
    // Test binaries are one folder further down.
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder.join(BINARY))
}
