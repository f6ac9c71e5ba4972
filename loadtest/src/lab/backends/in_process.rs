//! What sells in the process of its buyers: this engine without HTTP, and one `Mutex` around the
//! same decision.
//!
//! Both need the engine's crates, which this crate must never know: another program, `in_process`
//! of `benches/`, holds shop and threads, uses this crate's harness, and prints what came of it
//! as one line of JSON. Each run is a process of its own and does not outlive its load by more
//! than a minute.

use crate::lab::backend::{Contender, Promise};
use crate::lab::load::{Load, Pace, Sale};
use crate::program::shown;
use crate::shop::program_beside_this_one;
use crate::watchdog::own_group;
use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program's name.
pub const PROGRAM: &str = "in_process";
/// How long the program may take over its load's time: to open, to let two thousand threads finish
/// what they began, one sync after the other, and to end.
const GRACE: Duration = Duration::from_mins(1);
/// How often it is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes of the program's standard error that go into an error.
const STDERR_TAIL_BYTES: usize = 4_000;

/// A way to sell in process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// This engine.
    Engine,
    /// This engine on storage that never syncs.
    EngineUnsynced,
    /// One mutex around the engine's decision, the journal's write and its sync.
    Mutex,
    /// The same without the sync.
    MutexUnsynced,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Engine, Self::EngineUnsynced, Self::Mutex, Self::MutexUnsynced];

    /// As the program's `--way`.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::EngineUnsynced => "engine-unsynced",
            Self::Mutex => "mutex",
            Self::MutexUnsynced => "mutex-unsynced",
        }
    }

    /// The backend's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "son7shop-in-process",
            Self::EngineUnsynced => "son7shop-in-process-unsynced",
            Self::Mutex => "mutex-sync-each",
            Self::MutexUnsynced => "mutex-unsynced",
        }
    }

    /// What it does.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Engine => {
                "this engine called from the buyers' own process: key, hold; write-behind to SQLite running"
            }
            Self::EngineUnsynced => "the same on storage that never syncs: what durability costs",
            Self::Mutex => {
                "one Mutex around the same decision: key, hold, one record and one sync of the journal for each order"
            }
            Self::MutexUnsynced => "the same Mutex without the sync",
        }
    }

    /// When a sold unit is safe. What is not synced is in the kernel's cache at best.
    pub const fn promise(self) -> Promise {
        if self.syncs() { Promise::SyncedBeforeAnswer } else { Promise::InMemory }
    }

    /// Whether an order is synced before it is answered.
    pub const fn syncs(self) -> bool {
        matches!(self, Self::Engine | Self::Mutex)
    }
}

/// No way has that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is engine, engine-unsynced, mutex and mutex-unsynced")]
pub struct UnknownWay;

impl FromStr for Way {
    type Err = UnknownWay;

    fn from_str(text: &str) -> Result<Self, UnknownWay> {
        Self::ALL.into_iter().find(|way| way.argument() == text).ok_or(UnknownWay)
    }
}

/// Names and values, as in [`Contender::settings`].
pub type Settings = Vec<(String, String)>;

/// The line that the program prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What came of the load.
    pub sale: Sale,
    /// How the way was set up.
    pub settings: Settings,
}

/// One way, by the program.
#[derive(Debug)]
pub struct InProcess {
    way: Way,
    program: PathBuf,
    folder: PathBuf,
    settings: Settings,
}

impl InProcess {
    /// The way, by the program beside the running one; its data goes where every temporary
    /// file goes.
    pub fn beside_this_one(way: Way) -> anyhow::Result<Self> {
        Self::new(way, &program_beside_this_one(PROGRAM)?, &std::env::temp_dir())
    }

    /// The way, by this program, with its data in folders of its own in `folder`, which must be
    /// on the disk that is to be measured.
    pub fn new(way: Way, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        ensure!(
            program.is_file(),
            "{} is not there; build it: cargo build --release --bins --workspace",
            program.display()
        );
        let mut command = Command::new(program);
        command.args(["--way", way.argument(), "--settings"]);
        let mut settings: Settings = told(&run(command, GRACE)?)?;
        settings.push(("data".to_owned(), folder.display().to_string()));
        Ok(Self { way, program: program.to_path_buf(), folder: folder.to_path_buf(), settings })
    }
}

impl Contender for InProcess {
    fn name(&self) -> &str {
        self.way.name()
    }

    fn about(&self) -> &str {
        self.way.about()
    }

    fn promise(&self) -> Promise {
        self.way.promise()
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn sell(&self, load: &Load) -> anyhow::Result<Sale> {
        // Ours, so that it goes even when the program had to be killed.
        let folder = tempfile::tempdir_in(&self.folder).context("making a folder for the data")?;
        let mut command = Command::new(&self.program);
        command.args(["--way", self.way.argument(), "--load", &serde_json::to_string(load)?, "--folder"]);
        command.arg(folder.path()).args(["--parent", &std::process::id().to_string()]);
        let told: Told = told(&run(command, time_of(load)? + GRACE)?)?;
        Ok(told.sale)
    }
}

/// How long the load lasts.
fn time_of(load: &Load) -> anyhow::Result<Duration> {
    let seconds = match load.pace {
        Pace::Closed { warmup_seconds, window_seconds } => warmup_seconds + window_seconds,
        Pace::Open { window_seconds, .. } => window_seconds,
        Pace::SellOut { patience_seconds } => patience_seconds,
    };
    Duration::try_from_secs_f64(seconds).with_context(|| format!("a load of {seconds} s"))
}

/// The one line of a program.
fn told<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let mut lines = text.lines();
    let (line, more) = (lines.next().unwrap_or_default(), lines.next());
    ensure!(more.is_none(), "{PROGRAM} printed more than one line: {text}");
    serde_json::from_str(line).with_context(|| format!("{PROGRAM} printed: {line}"))
}

/// Runs a command to its end, but kills it after `patience`; its standard output. A terminal's Ctrl-C does
/// not reach it: whoever is interrupted still needs what the run tells.
fn run(mut command: Command, patience: Duration) -> anyhow::Result<String> {
    let shown = shown(&command);
    own_group(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().with_context(|| format!("`{shown}` cannot be started"))?);
    let (stdout, stderr) = (read(child.0.stdout.take()), read(child.0.stderr.take()));
    let until = Instant::now() + patience;
    let status = loop {
        match child.0.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() < until => std::thread::sleep(LOOK),
            None => break None,
        }
    };
    // Its ends of the pipes close with it.
    drop(child);
    let text = |reader: JoinHandle<Vec<u8>>| reader.join().map_err(|_| anyhow::anyhow!("a reading thread panicked"));
    let (stdout, stderr) = (text(stdout)?, text(stderr)?);
    let end = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(STDERR_TAIL_BYTES)..]);
    match status {
        Some(status) if status.success() => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        Some(status) => bail!("`{shown}` failed ({status}): {}", end.trim_end()),
        None => bail!("`{shown}` did not end within {} s and was killed: {}", patience.as_secs(), end.trim_end()),
    }
}

/// A child that does not outlive its handle.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself; then both say so and there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads to the end, on a thread, so that the program never waits for a reader.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could not be read is missing in what is made of it.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lab::load::{Costs, Counted};
    use crate::lab::verdict::Verdict;

    const LOAD: Load = Load { threads: 8, units: 50, pace: Pace::SellOut { patience_seconds: 1.0 } };

    /// A program that tells its settings and then runs `script` for its load.
    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join(PROGRAM);
        let text = format!("#!/bin/sh\n[ \"$3\" = --settings ] && echo '[[\"pool\",\"3\"]]' && exit 0\n{script}\n");
        // Written by another process: a child of a test beside this one may inherit our open file, and
        // a file that somebody may write cannot be run.
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""]).arg(&path).arg(text);
        assert!(shell.status().unwrap().success());
        path
    }

    fn sell(script: &str) -> anyhow::Result<Sale> {
        let folder = tempfile::tempdir().unwrap();
        let sold = InProcess::new(Way::Mutex, &program(folder.path(), script), folder.path()).unwrap().sell(&LOAD);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|left| left.file_name()).collect();
        assert_eq!(left, [PROGRAM], "its data is gone");
        sold
    }

    #[test]
    fn what_the_program_tells_is_the_sale() {
        let sale = Sale {
            counted: Counted { seconds: 0.1, sold: 50, refused: 8, sold_in_all: 50, ..Counted::default() },
            costs: Costs::default(),
            verdict: Verdict { wrong_units: 0, oversold: 0, missing_orders: 0, unknown: 0 },
        };
        let told = serde_json::to_string(&Told { sale: sale.clone(), settings: Vec::new() }).unwrap();
        let load = serde_json::to_string(&LOAD).unwrap();
        let script = format!(
            "[ \"$1 $2 $3 $5 $7 $8\" = '--way mutex --load --folder --parent {}' ] && [ \"$4\" = '{load}' ] && echo kept > \"$6/data\" && echo '{told}' || echo \"$*\" >&2",
            std::process::id()
        );
        assert_eq!(sell(&script).unwrap(), sale);
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let check = |script: &str, wanted: &[&str]| {
            let error = format!("{:#}", sell(script).unwrap_err());
            assert!(wanted.iter().all(|part| error.contains(part)), "{error}");
        };
        check("echo '{\"sale\":1}'; echo no disk >&2; exit 2", &["exit status: 2", "no disk"]);
        check("echo '{\"sale\":1}'", &["in_process printed: {\"sale\":1}"]);
        check("true", &["in_process printed: "]);
        check("echo one; echo two", &["more than one line"]);
    }

    #[test]
    fn a_program_leads_a_process_group_of_its_own() {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _ _ _ _ group _ < /proc/$$/stat; echo \"$$ $group\""]);
        let text = run(command, GRACE).unwrap();
        let (leader, group) = text.trim().split_once(' ').unwrap();
        assert_eq!(leader, group);
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo it hangs >&2; exec sleep 600"]);
        let error = run(command, Duration::from_millis(200)).unwrap_err().to_string();
        assert!(error.contains("did not end within") && error.contains("killed"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_what_to_do() {
        let error = InProcess::new(Way::Engine, Path::new("/no/such/in_process"), Path::new("/tmp")).unwrap_err();
        assert!(error.to_string().contains("/no/such/in_process is not there; build it"), "{error}");
        let names = Way::ALL.map(Way::name);
        let wanted = ["son7shop-in-process", "son7shop-in-process-unsynced", "mutex-sync-each", "mutex-unsynced"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn settings_come_before_any_sale() {
        let folder = tempfile::tempdir().unwrap();
        let backend = InProcess::new(Way::EngineUnsynced, &program(folder.path(), ""), folder.path()).unwrap();
        let folder = folder.path().display().to_string();
        assert_eq!(backend.settings(), [("pool".to_owned(), "3".to_owned()), ("data".to_owned(), folder)]);
        assert_eq!(Contender::promise(&backend), Promise::InMemory);
    }

    #[test]
    fn ways_come_back_from_their_arguments() {
        for way in Way::ALL {
            assert_eq!(way.argument().parse(), Ok(way));
        }
        assert_eq!("lock".parse::<Way>(), Err(UnknownWay));
    }
}
