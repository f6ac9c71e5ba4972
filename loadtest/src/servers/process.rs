//! A child process that does not outlive us, whatever ends us.
//!
//! Each server is [`Watched`]: it and its watchdog are in process groups of their own, so that a
//! terminal's Ctrl-C ends neither.

use super::{Kind, ServerError, io};
use crate::watchdog::Watched;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);
/// How much of a log an error shows.
const LOG_LINES: usize = 25;

/// A running child and its log.
#[derive(Debug)]
pub(super) struct Process {
    kind: Kind,
    child: Watched,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its output at the end of `log`.
    pub(super) fn start(kind: Kind, mut command: Command, log: PathBuf) -> Result<Self, ServerError> {
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(io("opening a server's log"))?;
        let errors = output.try_clone().map_err(io("opening a server's log"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = Watched::start(&mut command, log.parent()).map_err(io(format!("starting {kind}")))?;
        Ok(Self { kind, child, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(super) fn ended(&mut self) -> Result<bool, ServerError> {
        Ok(self.child.try_wait().map_err(io("asking after a server"))?.is_some())
    }

    /// The end of its log.
    pub(super) fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        // A child's id is positive, and ours until we wait for it.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid =
            pid.ok_or_else(|| ServerError::Step { what: "signalling".to_owned(), why: "no process".to_owned() })?;
        kill_process(pid, signal).map_err(|error| io(format!("signalling {}", self.kind))(error.into()))
    }

    pub(super) fn stop(mut self, limit: Duration) -> Result<(), ServerError> {
        self.signal(Signal::TERM)?;
        let since = Instant::now();
        while since.elapsed() < limit {
            if self.ended()? {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        let (kind, log) = (self.kind, self.log_end());
        self.kill()?;
        Err(ServerError::TooSlow { kind: kind.name(), what: "stop", seconds: limit.as_secs(), log })
    }

    pub(super) fn kill(mut self) -> Result<(), ServerError> {
        self.child.kill().map(|_| ()).map_err(io(format!("killing {}", self.kind)))
    }
}
