//! Server programs under test: started, awaited until they serve, and ended with whoever started them.
//! A program says that it serves by a line `listening on http://ADDRESS` on its standard output.

use crate::watchdog::Watched;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a program prints before its address when it serves.
const READY_LINE: &str = "listening on http://";

/// Bytes of a program's log that go into an error.
const LOG_TAIL_BYTES: usize = 4_000;

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started at all.
    #[error("{program} cannot be started")]
    Start {
        /// Which program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its log file cannot be written.
    #[error("the log {path} cannot be written")]
    Log {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it served.
    #[error("{program} ended before it served ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// It did not serve in time.
    #[error("{program} did not serve within {seconds} s; the end of its log:\n{log}")]
    Slow {
        /// Which program.
        program: String,
        /// How long it had.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A command failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A process that was to end did not, and was killed.
    #[error("{program} did not end within {seconds} s of SIGTERM and was killed")]
    Stuck {
        /// Which program.
        program: String,
        /// How long it had.
        seconds: u64,
    },
    /// The kernel does not say how the process fares.
    #[error("{program} cannot be waited for")]
    Wait {
        /// Which program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A server program that serves. Killed when it is dropped, and by a watchdog when this process dies
/// first; a terminal's Ctrl-C does not reach it.
#[derive(Debug)]
pub struct Program {
    child: Watched,
    name: String,
    address: SocketAddr,
}

impl Program {
    /// Starts a program and awaits its line. Both its outputs go into the file `log`.
    pub fn start(command: Command, log: &Path, patience: Duration) -> Result<Self, ProgramError> {
        Self::start_saying(READY_LINE, command, log, patience)
    }

    /// The same for a program that says that it serves in other words, with its address after them.
    pub fn start_saying(
        ready_line: &'static str,
        mut command: Command,
        log: &Path,
        patience: Duration,
    ) -> Result<Self, ProgramError> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log_error = |source| ProgramError::Log { path: log.to_path_buf(), source };
        let file = File::options().create(true).append(true).open(log).map_err(log_error)?;
        let errors = file.try_clone().map_err(log_error)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = Watched::start(&mut command, None)
            .map_err(|source| ProgramError::Start { program: name.clone(), source })?;
        let ready = child.take_stdout().map(|stdout| watch_output(ready_line, stdout, file));
        let mut program = Self { child, name, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let address = ready.map(|ready| ready.recv_timeout(patience));
        match address {
            Some(Ok(address)) => {
                program.address = address;
                Ok(program)
            }
            Some(Err(RecvTimeoutError::Timeout)) => {
                Err(ProgramError::Slow { program: program.name.clone(), seconds: patience.as_secs(), log: tail(log) })
            }
            // Its standard output is closed: it is ending.
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                let status = program.wait(Duration::from_secs(5)).map_or_else(|e| e.to_string(), |s| s.to_string());
                Err(ProgramError::Ended { program: program.name.clone(), status, log: tail(log) })
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGTERM and waits for so long; kills it if it does not end.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus, ProgramError> {
        self.signal(Signal::TERM);
        self.wait(patience)
    }

    /// Ends it with SIGKILL: it gets no chance to finish anything.
    pub fn kill(mut self) -> Result<ExitStatus, ProgramError> {
        self.child.kill().map_err(|source| ProgramError::Wait { program: self.name.clone(), source })
    }

    /// Sends a signal; a process that has ended is left alone.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<ExitStatus, ProgramError> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    return Err(ProgramError::Stuck { program: self.name.clone(), seconds: patience.as_secs() });
                }
                Err(source) => return Err(ProgramError::Wait { program: self.name.clone(), source }),
            }
        }
    }
}

/// Copies a program's output into its log for as long as it lives, so that it never waits for a reader;
/// gives the address on from the line that names it.
fn watch_output(ready_line: &'static str, stdout: ChildStdout, mut log: File) -> Receiver<SocketAddr> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody may be waiting any more, and a log that cannot be written is not worth ending for.
            if let Some(address) = line.split(ready_line).nth(1).and_then(|rest| rest.trim().parse().ok()) {
                let _ = sender.send(address);
            }
            let _ = writeln!(log, "{line}");
        }
    });
    receiver
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
}

/// A command as an error names it: without its environment, which may hold a key.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end; its standard output.
pub fn output(mut command: Command) -> Result<String, ProgramError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProgramError::Start { program: name.clone(), source })?;
    if !output.status.success() {
        return Err(ProgramError::Failed {
            command: shown(&command),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_serves_and_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "echo first; echo '12:00 listening on http://127.0.0.1:81'; exec sleep 600";
        let program = Program::start(shell(script), &log, Duration::from_secs(30)).unwrap();
        assert_eq!(program.address(), "127.0.0.1:81".parse().unwrap());
        let status = program.stop(Duration::from_secs(30)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        let script = "echo 'listening on http://127.0.0.1:81'; echo 'control http://127.0.0.1:82'; exec sleep 600";
        let other = Program::start_saying("control http://", shell(script), &log, Duration::from_secs(30)).unwrap();
        assert_eq!(other.address(), "127.0.0.1:82".parse().unwrap());
    }

    #[test]
    fn a_program_that_does_not_serve_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let ended = Program::start(shell("echo 'no disk' >&2; exit 3"), &log, Duration::from_secs(30));
        let text = ended.unwrap_err().to_string();
        assert!(text.contains("exit status: 3") && text.contains("no disk"), "{text}");
        let slow = Program::start(shell("exec sleep 600"), &log, Duration::from_millis(10));
        assert!(matches!(slow, Err(ProgramError::Slow { .. })));
        let missing = Program::start(Command::new("/no/such/program"), &log, Duration::from_secs(1));
        assert!(matches!(missing, Err(ProgramError::Start { .. })));
    }

    #[test]
    fn a_command_gives_its_output_or_its_error() {
        assert_eq!(output(shell("echo token")).unwrap(), "token\n");
        let failed = output(shell("echo why >&2; exit 2")).unwrap_err();
        assert!(matches!(failed, ProgramError::Failed { stderr, .. } if stderr == "why\n"));
    }
}
