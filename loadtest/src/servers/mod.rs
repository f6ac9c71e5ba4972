//! Database servers for tests and measurements: MariaDB, MySQL and Redis, started on a
//! free port of 127.0.0.1 in a temporary folder, so that a test can also kill them.
//!
//! | server | where it comes from |
//! |---|---|
//! | MariaDB | the machine's, else Debian's packages unpacked into the servers' folder (no root needed) |
//! | Redis | the same |
//! | MySQL | the machine's, else a small Debian system made by `debootstrap` in that folder (needs root) |
//! | Chromium, no server, for tests that look at a page | as MariaDB |
//!
//! The servers' folder is `SON7_SERVERS_DIR`, else `target/servers`. `SON7_UNPACK=1` passes
//! over what is installed. A lock file makes processes that need the same thing at the same
//! time fetch it once.
//!
//! ```no_run
//! let mut server = son7shop_loadtest::servers::mariadb()?;
//! println!("{}", server.url());
//! server.kill()?; // SIGKILL
//! server.start_again()?; // the same data on the same port
//! # Ok::<(), son7shop_loadtest::servers::ServerError>(())
//! ```
//!
//! A server ends with its [`Server`], and also when this process dies without a chance to
//! say so. Nothing here ends a process that it did not start. The calls block; every wait
//! has a limit and ends in an error that says what was waited for.

mod browser;
mod fetch;
mod kind;
mod process;
mod ready;
mod template;

pub use browser::{Browser, browser};
pub use kind::Kind;

use process::Process;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// How often a start is tried on another port, when somebody else took the free one.
const STARTS: u32 = 3;
/// Ports from here on are looked at, up to those that the kernel deals out to connections.
const PORTS_FROM: u16 = 10_000;
/// How many of them are looked at.
const PORTS_TRIED: u32 = 100;
/// How long a server may take to stop by itself.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is not installed and cannot be fetched here.
    #[error("{kind} cannot be had here: {why}")]
    NotHere {
        /// Which server, or the browser.
        kind: &'static str,
        /// What stands in the way.
        why: String,
    },
    /// It ended while it was starting.
    #[error("{kind} ended while starting:\n{log}")]
    Ended {
        /// Which server, or the browser.
        kind: &'static str,
        /// The end of its log.
        log: String,
    },
    /// It took too long.
    #[error("{kind} did not {what} within {seconds} s:\n{log}")]
    TooSlow {
        /// Which server, or the browser.
        kind: &'static str,
        /// What was waited for.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A step of the preparations failed.
    #[error("{what} failed: {why}")]
    Step {
        /// Which step.
        what: String,
        /// What it said.
        why: String,
    },
    /// The file system or the process table said no.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What was answered.
        #[source]
        source: std::io::Error,
    },
}

/// Makes an [`ServerError::Io`] of what was tried.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ServerError {
    move |source| ServerError::Io { what: what.into(), source }
}

/// Starts MariaDB with an empty database.
///
/// # Errors
/// Any [`ServerError`]; a test should take it for a failure.
pub fn mariadb() -> Result<Server, ServerError> {
    Server::start(Kind::MariaDb, &[])
}

/// Starts MySQL with an empty database.
///
/// # Errors
/// [`ServerError::NotHere`] where neither the machine has it nor it can be set up; see [`mysql_or_say_so`].
pub fn mysql() -> Result<Server, ServerError> {
    Server::start(Kind::MySql, &[])
}

/// Starts Redis.
///
/// # Errors
/// Any [`ServerError`].
pub fn redis() -> Result<Server, ServerError> {
    Server::start(Kind::Redis, &[])
}

/// [`mysql`] for a test: where MySQL cannot be had, says loudly that `test` did not run and
/// returns `None`, or with `SON7_REQUIRE_MYSQL=1` the error.
///
/// # Errors
/// Any [`ServerError`] but [`ServerError::NotHere`], and that one too where MySQL is required.
pub fn mysql_or_say_so(test: &str) -> Result<Option<Server>, ServerError> {
    match mysql() {
        Ok(server) => Ok(Some(server)),
        Err(error @ ServerError::NotHere { .. }) if !is_set("SON7_REQUIRE_MYSQL") => {
            let mut line = String::new();
            // Past the test harness, which shows a passing test's output to nobody.
            let _ = writeln!(line, "NOT RUN: {test}: {error}");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether an environment variable is set to something other than nothing and `0`.
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// A server in a temporary folder. Dropping it kills the server and removes the folder.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: kind::Program,
    arguments: Vec<String>,
    port: u16,
    process: Option<Process>,
    // After `process`: the folder goes when nobody writes into it any more.
    folder: TempDir,
}

impl Server {
    /// Starts a server of this kind, with further arguments after the usual ones.
    ///
    /// # Errors
    /// Any [`ServerError`].
    pub fn start(kind: Kind, arguments: &[&str]) -> Result<Self, ServerError> {
        let program = kind.find()?;
        let mut tried = 0;
        loop {
            tried += 1;
            let folder = program.temporary_folder()?;
            template::fill(&program, folder.path())?;
            let port = free_port()?;
            let arguments = arguments.iter().map(ToString::to_string).collect();
            let mut server = Self { kind, program: program.clone(), arguments, port, process: None, folder };
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(ServerError::Ended { .. }) if tried < STARTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts it again after [`Server::stop`] or [`Server::kill`]: the same data, the same
    /// port. Does nothing while it runs.
    ///
    /// # Errors
    /// Any [`ServerError`].
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        if self.process.is_some() {
            return Ok(());
        }
        let command = self.program.command(self.folder.path(), self.port, &self.arguments);
        let mut process = Process::start(self.kind, command, self.folder.path().join("log"))?;
        ready::wait(self.kind, self.port, &mut process)?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`ServerError::TooSlow`]; it is killed then.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        self.process.take().map_or(Ok(()), |process| process.stop(STOP_LIMIT))
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn kill(&mut self) -> Result<(), ServerError> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Stops its clock (SIGSTOP): it accepts connections and answers nothing.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn pause(&self) -> Result<(), ServerError> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(rustix::process::Signal::STOP))
    }

    /// Lets it go on after [`Server::pause`].
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub fn resume(&self) -> Result<(), ServerError> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(rustix::process::Signal::CONT))
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its port on 127.0.0.1; kept over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Where to connect: for the databases, with user, password and an empty database.
    pub fn url(&self) -> String {
        self.url_of(kind::DATABASE)
    }

    /// The same with another database, which need not exist (the user may make it). Redis
    /// has numbered ones.
    pub fn url_of(&self, database: &str) -> String {
        match self.kind {
            Kind::Redis if database == kind::DATABASE => format!("redis://127.0.0.1:{}/0", self.port),
            Kind::Redis => format!("redis://127.0.0.1:{}/{database}", self.port),
            Kind::MariaDb | Kind::MySql => {
                format!("mysql://{0}:{0}@127.0.0.1:{1}/{database}", kind::USER, self.port)
            }
        }
    }
}

/// A port that nobody listens on at this moment, and that nobody gets unasked: a server that is
/// away for a while finds it again. (Of those that the kernel deals out, thousands of connections of other
/// tests take one sooner or later.)
fn free_port() -> Result<u16, ServerError> {
    let dealt_out = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first: u16 = dealt_out.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0);
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    let asked = (0..PORTS_TRIED).filter(|_| first > PORTS_FROM);
    let found = asked.map(|_| bind(rand::random_range(PORTS_FROM..first))).find_map(Result::ok);
    let listener = found.map_or_else(|| bind(0), Ok).map_err(io("looking for a free port"))?;
    Ok(listener.local_addr().map_err(io("looking for a free port"))?.port())
}

/// The folder that fetched servers and templates live in.
pub(crate) fn servers_folder() -> Result<PathBuf, ServerError> {
    let set = std::env::var_os("SON7_SERVERS_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set.map_or_else(below_target, Ok)?;
    std::fs::create_dir_all(&folder).map_err(io(format!("making {}", folder.display())))?;
    folder.canonicalize().map_err(io(format!("finding {}", folder.display())))
}

/// `servers` in the `target` folder that this program was built into; for a program that
/// was moved elsewhere, in the machine's temporary folder.
fn below_target() -> Result<PathBuf, ServerError> {
    let program = std::env::current_exe().map_err(io("asking for this program's path"))?;
    let target = program.ancestors().find(|path| path.file_name().is_some_and(|name| name == "target"));
    Ok(target.map_or_else(|| std::env::temp_dir().join("son7shop-servers"), |target| target.join("servers")))
}
