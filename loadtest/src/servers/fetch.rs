//! Getting a server that the machine does not have, through Debian's own tools. Which
//! mirror they ask is the machine's setting, or their own.

use super::kind::{Kind, Program};
use super::{ServerError, io, servers_folder};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// How long any one step may take, a download included.
const STEP_LIMIT: Duration = Duration::from_mins(10);
/// How long to wait for another process that is at it.
const LOCK_LIMIT: Duration = Duration::from_mins(15);
/// How long a failure is remembered, so that not every test waits for the next.
const FAILURE_LIMIT: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(20);
/// Libraries that come with the system's loader: another version beside it would break both.
const NEVER_UNPACKED: &[&str] = &["libc6", "libc-bin", "dpkg", "debconf"];
/// Where Debian's packages keep libraries, below an unpacked folder.
const LIBRARIES: &[&str] = &["usr/lib", "lib"];
/// Folders within those with libraries that others look for below `/`.
const PRIVATE_LIBRARIES: &[&str] = &["pulseaudio"];

/// A lock between processes; ends with the value.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Waits for the lock of one kind in a folder.
    pub(super) fn take(folder: &Path, kind: &'static str) -> Result<Self, ServerError> {
        let path = folder.join(format!("{}.lock", kind.to_lowercase()));
        let file = File::create(&path).map_err(io(format!("opening {}", path.display())))?;
        let since = Instant::now();
        while since.elapsed() < LOCK_LIMIT {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
                Err(TryLockError::Error(source)) => return Err(io(format!("locking {}", path.display()))(source)),
            }
        }
        let (what, seconds) = ("become free (another process is fetching it)", LOCK_LIMIT.as_secs());
        Err(ServerError::TooSlow { kind, what, seconds, log: String::new() })
    }
}

/// A server's packages, unpacked into `servers/NAME`.
pub(super) fn unpacked(kind: Kind, name: &str, packages: &[&str], program: &Path) -> Result<Program, ServerError> {
    let root = unpacked_folder(kind.name(), name, packages)?;
    let path = root.join(program);
    Program { kind, root: Some(root), chroot: false, path, version: String::new() }.with_version()
}

/// Debian's packages, and what they need, unpacked into `servers/NAME`.
pub(super) fn unpacked_folder(kind: &'static str, name: &str, packages: &[&str]) -> Result<PathBuf, ServerError> {
    once(kind, name, |folder| {
        let system = SystemLists::new(folder, packages)?;
        let all = system.with_dependencies(packages)?;
        let debs = folder.join("debs");
        std::fs::create_dir_all(&debs).map_err(io("making a folder for packages"))?;
        run(system.apt_get("download").args(&all).current_dir(&debs), "downloading Debian's packages")?;
        for deb in std::fs::read_dir(&debs).map_err(io("reading packages"))? {
            let deb = deb.map_err(io("reading packages"))?.path();
            run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder), "unpacking a package")?;
        }
        std::fs::remove_dir_all(&debs).map_err(io("removing packages"))?;
        system.remove()
    })
}

/// A small Debian system with the packages, in `servers/NAME`.
pub(super) fn debootstrapped(
    kind: Kind,
    name: &str,
    packages: &[&str],
    program: &Path,
) -> Result<Program, ServerError> {
    let no = |why: &str| Err(ServerError::NotHere { kind: kind.name(), why: why.to_owned() });
    if !rustix::process::geteuid().is_root() {
        return no("setting it up needs root (chroot), and it is not installed");
    }
    if !["/usr/sbin/debootstrap", "/sbin/debootstrap"].iter().any(|path| Path::new(path).exists()) {
        return no("setting it up needs debootstrap, which is not installed");
    }
    let root = once(kind.name(), name, |folder| {
        let mut command = Command::new("debootstrap");
        // Only Debian's unstable has MySQL.
        command.args(["--variant=minbase", &format!("--include={}", packages.join(",")), "sid"]).arg(folder);
        run(&mut command, "setting up a Debian system by debootstrap")?;
        let downloads = folder.join("var/cache/apt/archives");
        run(Command::new("rm").arg("-rf").arg(&downloads), "removing packages").map(|_| ())
    })
    .map_err(|error| match error {
        ServerError::Step { what, why } => {
            ServerError::NotHere { kind: kind.name(), why: format!("{what} failed: {why}") }
        }
        other => other,
    })?;
    let path = Path::new("/").join(program);
    Program { kind, root: Some(root), chroot: true, path, version: String::new() }.with_version()
}

/// `servers/NAME`, filled by `fill` where it is not there. Half a folder is never seen: it
/// is filled under another name. A failure is remembered for a while.
fn once(
    kind: &'static str,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), ServerError>,
) -> Result<PathBuf, ServerError> {
    let servers = servers_folder()?;
    let folder = servers.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let _lock = Lock::take(&servers, kind)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let failure = servers.join(format!("{name}.failed"));
    let age = failure.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
    if let Ok(Ok(age)) = age
        && age < FAILURE_LIMIT
    {
        let why = std::fs::read_to_string(&failure).unwrap_or_default();
        return Err(ServerError::NotHere {
            kind,
            why: format!("{why} (from {}, {} s ago)", failure.display(), age.as_secs()),
        });
    }
    let partial = servers.join(format!("{name}.partial"));
    run(Command::new("rm").arg("-rf").arg(&partial), "removing a half-made folder")?;
    std::fs::create_dir_all(&partial).map_err(io("making a folder for a server"))?;
    match fill(&partial) {
        Ok(()) => {
            let _ = std::fs::remove_file(&failure);
            std::fs::rename(&partial, &folder).map_err(io("keeping a server"))?;
            Ok(folder)
        }
        Err(error) => {
            let _ = std::fs::write(&failure, error.to_string());
            Err(error)
        }
    }
}

/// The package lists to ask: the machine's where it has some, else our own copy, which
/// needs no root.
#[derive(Debug)]
struct SystemLists {
    own: Option<PathBuf>,
}

impl SystemLists {
    fn new(folder: &Path, packages: &[&str]) -> Result<Self, ServerError> {
        let system = Self { own: None };
        let mut command = system.apt_get("download");
        // Asks for an address only: shows that the lists are there and that they are readable.
        command.arg("--print-uris").args(packages);
        if run(&mut command, "asking for packages").is_ok() {
            return Ok(system);
        }
        let own = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            std::fs::create_dir_all(own.join(part)).map_err(io("making a folder for package lists"))?;
        }
        let system = Self { own: Some(own) };
        run(&mut system.apt_get("update"), "fetching Debian's package lists")?;
        Ok(system)
    }

    fn options(&self) -> Vec<String> {
        let Some(own) = &self.own else { return Vec::new() };
        let own = own.display();
        [
            format!("Dir::State::Lists={own}/lists"),
            format!("Dir::Cache={own}/cache"),
            "Debug::NoLocking=1".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect()
    }

    fn apt_get(&self, verb: &str) -> Command {
        let mut command = Command::new("apt-get");
        command.args(self.options()).args(["-q", "-o", "Acquire::Retries=3", verb]);
        command
    }

    /// The packages and all that they need.
    fn with_dependencies(&self, packages: &[&str]) -> Result<Vec<String>, ServerError> {
        let mut command = Command::new("apt-cache");
        command.args(self.options()).args(["depends", "--recurse", "--no-recommends", "--no-suggests"]);
        command.args(["--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"]).args(packages);
        let said = run(&mut command, "asking for dependencies")?;
        // A line at the margin is a package; `<name>` is one that only others provide.
        let names = said.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let mut names: Vec<String> = names.filter(|name| !NEVER_UNPACKED.contains(name)).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn remove(self) -> Result<(), ServerError> {
        self.own.map_or(Ok(()), |own| std::fs::remove_dir_all(own).map_err(io("removing package lists")))
    }
}

/// `command` with the libraries below `root` found first.
pub(super) fn with_libraries(mut command: Command, root: &Path) -> Command {
    let mut folders = Vec::new();
    for library in LIBRARIES.iter().map(|folder| root.join(folder)) {
        // One folder for each architecture, such as `x86_64-linux-gnu`.
        let inner = std::fs::read_dir(&library).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in inner.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")) {
            folders.extend(PRIVATE_LIBRARIES.iter().map(|name| folder.join(name)).filter(|path| path.is_dir()));
            folders.push(folder);
        }
        folders.push(library);
    }
    let system = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&system).filter(|path| !path.as_os_str().is_empty()));
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("LD_LIBRARY_PATH", path);
    }
    command
}

/// Runs a step to its end and returns what it printed.
pub(super) fn run(command: &mut Command, what: &str) -> Result<String, ServerError> {
    let failed = |why: String| ServerError::Step { what: what.to_owned(), why };
    let mut output = tempfile::tempfile().map_err(io("making a temporary file"))?;
    let both = |output: &File| output.try_clone().map_err(io("sharing a temporary file"));
    // A group of its own: a step that is given up ends with all that it started.
    command.process_group(0).stdin(Stdio::null()).stdout(both(&output)?).stderr(both(&output)?);
    command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    let mut child = command.spawn().map_err(|error| failed(format!("{}: {error}", command.get_program().display())))?;
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io(what))? {
            break status;
        }
        if since.elapsed() > STEP_LIMIT {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            return Err(failed(format!("not done after {} s", STEP_LIMIT.as_secs())));
        }
        std::thread::sleep(POLL);
    };
    let mut said = Vec::new();
    output.rewind().and_then(|()| output.read_to_end(&mut said)).map_err(io("reading a step's output"))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    if status.success() {
        return Ok(said);
    }
    let end: Vec<&str> = said.lines().rev().take(8).collect();
    Err(failed(format!("{status}: {}", end.into_iter().rev().collect::<Vec<_>>().join(" | "))))
}
