//! The kinds of server: where each is found and how each is started.

use super::{ServerError, fetch, io, is_set};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The user, and their password, who may do everything.
pub(super) const USER: &str = "son7shop";
/// The database that exists.
pub(super) const DATABASE: &str = "son7shop";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB.
    MariaDb,
    /// MySQL, version 9 or what the machine has.
    MySql,
    /// Redis.
    Redis,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A server's program, and what it needs to run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub kind: Kind,
    /// The folder that its packages were unpacked into; `None` for the machine's own.
    pub root: Option<PathBuf>,
    /// Whether it runs with `root` as its file system's root.
    pub chroot: bool,
    /// The path of the program, as it is started.
    pub path: PathBuf,
    /// What `--version` says.
    pub version: String,
}

impl Kind {
    /// As its makers write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
            Self::Redis => "Redis",
        }
    }

    /// Finds the program on this machine, or fetches it.
    pub(super) fn find(self) -> Result<Program, ServerError> {
        let installed = if is_set("SON7_UNPACK") { None } else { self.installed() };
        match installed {
            Some(program) => Ok(program),
            None => match self {
                Self::MariaDb => fetch::unpacked(
                    self,
                    "mariadb",
                    &["mariadb-server-core", "mariadb-client-core"],
                    Path::new("usr/sbin/mariadbd"),
                ),
                Self::Redis => {
                    fetch::unpacked(self, "redis", &["redis-server", "redis-tools"], Path::new("usr/bin/redis-server"))
                }
                Self::MySql => fetch::debootstrapped(
                    self,
                    "mysql",
                    &["mysql-server-core", "mysql-client-core"],
                    Path::new("usr/sbin/mysqld"),
                ),
            },
        }
    }

    fn installed(self) -> Option<Program> {
        let names: &[&str] = match self {
            Self::MariaDb => &["mariadbd", "mysqld"],
            Self::MySql => &["mysqld"],
            Self::Redis => &["redis-server", "valkey-server"],
        };
        // A user's PATH often lacks the folders of servers.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
        let candidates = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        candidates.filter(|path| path.is_file()).find_map(|path| {
            let program = Program { kind: self, root: None, chroot: false, path, version: String::new() };
            program.with_version().ok().filter(|program| {
                // `mysqld` may be either of the two.
                program.version.contains("MariaDB") == (self == Self::MariaDb)
            })
        })
    }
}

impl Program {
    /// The same with its version, which shows that it runs here.
    pub(super) fn with_version(mut self) -> Result<Self, ServerError> {
        let mut command = self.bare();
        if self.kind != Kind::Redis {
            command.arg("--no-defaults");
        }
        let said = fetch::run(command.arg("--version"), "asking for the version")?;
        said.trim().clone_into(&mut self.version);
        Ok(self)
    }

    /// The program without arguments.
    pub(super) fn bare(&self) -> Command {
        match &self.root {
            Some(root) if self.chroot => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.path);
                command
            }
            Some(root) => fetch::with_libraries(Command::new(&self.path), root),
            None => Command::new(&self.path),
        }
    }

    /// A folder for one server's data, where the server can see it.
    pub(super) fn temporary_folder(&self) -> Result<TempDir, ServerError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("son7shop-");
        match &self.root {
            Some(root) if self.chroot => builder.tempdir_in(root.join("srv")),
            _ => builder.tempdir(),
        }
        .map_err(io("making a server's folder"))
    }

    /// A path as the server sees it.
    pub(super) fn seen(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) if self.chroot => {
                path.strip_prefix(root).map_or(path.to_owned(), |inner| Path::new("/").join(inner))
            }
            _ => path.to_owned(),
        }
    }

    /// The command that serves `folder` on `port`.
    pub(super) fn command(&self, folder: &Path, port: u16, arguments: &[String]) -> Command {
        let mut command = self.bare();
        let seen = self.seen(folder);
        match self.kind {
            Kind::MariaDb | Kind::MySql => {
                command.args(self.common_arguments(&seen));
                command.arg(format!("--port={port}"));
                command.arg(format!("--socket={}", seen.join("socket").display()));
                command.arg(format!("--pid-file={}", seen.join("pid").display()));
                command.arg(format!("--init-file={}", seen.join("init.sql").display()));
                command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]);
                command.args(["--innodb-buffer-pool-size=64M", "--max-connections=400"]);
                command.args(["--performance-schema=OFF", "--back-log=512"]);
            }
            Kind::Redis => {
                command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
                command.arg("--dir").arg(&seen).args(["--daemonize", "no", "--logfile", ""]);
            }
        }
        command.args(arguments);
        command
    }

    /// What both making and serving a data folder of MariaDB or MySQL take. The log is small
    /// because a folder is copied for every server; pass a larger one to measure.
    pub(super) fn common_arguments(&self, folder: &Path) -> Vec<String> {
        let mut arguments = vec!["--no-defaults".to_owned(), format!("--datadir={}", folder.join("data").display())];
        match self.kind {
            Kind::MariaDb => arguments.push("--innodb-log-file-size=16M".to_owned()),
            Kind::MySql => {
                arguments.extend(
                    ["--innodb-redo-log-capacity=32M", "--mysqlx=OFF", "--secure-file-priv=NULL"].map(str::to_owned),
                );
            }
            Kind::Redis => {}
        }
        if let Some(root) = self.root.as_ref().filter(|_| !self.chroot) {
            arguments.push(format!("--basedir={}", root.join("usr").display()));
            arguments.push(format!("--lc-messages-dir={}", root.join("usr/share/mysql").display()));
            arguments.push(format!("--character-sets-dir={}", root.join("usr/share/mysql/charsets").display()));
        }
        if rustix::process::geteuid().is_root() {
            arguments.push("--user=root".to_owned());
        }
        arguments
    }
}
