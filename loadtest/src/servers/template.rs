//! A fresh data folder for every server: made once by the server's own tool, which takes
//! seconds, and copied from then on.

use super::fetch::{self, Lock, run};
use super::kind::{DATABASE, Kind, Program, USER};
use super::{ServerError, io, servers_folder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fills a server's empty folder.
pub(super) fn fill(program: &Program, folder: &Path) -> Result<(), ServerError> {
    if program.kind == Kind::Redis {
        return Ok(());
    }
    let template = made(program)?;
    run(Command::new("cp").arg("-a").arg(template).arg(folder.join("data")), "copying a data folder")?;
    // Run at every start; each line is one statement.
    let statements = [
        format!("CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;"),
        format!("CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{USER}';"),
        format!("GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1';"),
    ];
    std::fs::write(folder.join("init.sql"), statements.join("\n") + "\n")
        .map_err(io("writing a server's first statements"))
}

/// The data folder to copy, made where it is missing.
fn made(program: &Program) -> Result<PathBuf, ServerError> {
    let home = match &program.root {
        Some(root) if program.chroot => root.join("srv"),
        _ => servers_folder()?,
    };
    let arguments = program.common_arguments(Path::new(""));
    // Another version or other arguments: another template.
    let mut hasher = DefaultHasher::new();
    (&program.version, &arguments).hash(&mut hasher);
    let template = home.join(format!("{}-data-{:016x}", program.kind.to_string().to_lowercase(), hasher.finish()));
    let _lock = Lock::take(&home, program.kind.name())?;
    if template.is_dir() {
        return Ok(template);
    }
    let folder = tempfile::Builder::new().prefix("template-").tempdir_in(&home).map_err(io("making a data folder"))?;
    initialise(program, folder.path())?;
    std::fs::rename(folder.path().join("data"), &template).map_err(io("keeping a data folder"))?;
    Ok(template)
}

fn initialise(program: &Program, folder: &Path) -> Result<(), ServerError> {
    let arguments = program.common_arguments(&program.seen(folder));
    let mut command = match program.kind {
        Kind::MySql => {
            let mut command = program.bare();
            command.args(&arguments).arg("--initialize-insecure");
            command
        }
        _ => install_db(program, &arguments),
    };
    run(&mut command, "making a data folder").map(|_| ())
}

/// MariaDB's own script, of the machine or of the unpacked packages.
fn install_db(program: &Program, arguments: &[String]) -> Command {
    let mut command = match &program.root {
        Some(root) => fetch::with_libraries(Command::new(root.join("usr/bin/mariadb-install-db")), root),
        None => Command::new("mariadb-install-db"),
    };
    // The script wants `--no-defaults` first, as the arguments have it.
    command.args(arguments).args(["--skip-test-db", "--auth-root-authentication-method=normal"]);
    command
}
