//! A Chromium without a screen, for tests that look at a page as its reader does: the machine's, else
//! Debian's package unpacked into the servers' folder, which needs no root.
//!
//! Only finds it: whoever drives it starts it and ends it. Must never be asked to open what is
//! not trusted, since a driver that runs as root has to switch its sandbox off.

use super::{ServerError, fetch, io, is_set, servers_folder};
use crate::page::escape;
use std::path::{Path, PathBuf};
use std::process::Command;

const KIND: &str = "Chromium";
/// Its names where it is installed.
const NAMES: &[&str] =
    &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell"];
/// The build without windows, which needs a third of the other's libraries, and something to
/// write with: a page whose text has no size proves nothing.
const PACKAGES: &[&str] = &["chromium-headless-shell", "fonts-dejavu-core"];
/// Not the one in `usr/bin`: that is a script, which looks for it below `/`.
const PROGRAM: &str = "usr/lib/chromium/chromium-headless-shell";

/// A Chromium that runs here.
#[derive(Debug, Clone)]
pub struct Browser {
    program: PathBuf,
    /// The folder that its packages were unpacked into; `None` for the machine's own.
    root: Option<PathBuf>,
    version: String,
}

/// Finds it, or fetches it.
///
/// # Errors
/// [`ServerError::NotHere`] with every reason where it cannot be had; other [`ServerError`]s
/// where the file system says no.
pub fn browser() -> Result<Browser, ServerError> {
    let unpack_first = is_set("SON7_UNPACK");
    if let Some(browser) = installed().filter(|_| !unpack_first) {
        return Ok(browser);
    }
    match unpacked() {
        Ok(browser) => Ok(browser),
        Err(ServerError::Step { what, why }) => {
            // A machine whose packages are not Debian's may still have one of its own.
            let other = installed().filter(|_| unpack_first);
            other.ok_or_else(|| ServerError::NotHere { kind: KIND, why: format!("{what} failed: {why}") })
        }
        Err(error @ ServerError::NotHere { .. }) => installed().filter(|_| unpack_first).ok_or(error),
        Err(error) => Err(error),
    }
}

fn installed() -> Option<Browser> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // Some of these are scripts that only say where to get it.
    candidates.filter(|program| program.is_file()).find_map(|program| Browser::new(program, None).ok())
}

fn unpacked() -> Result<Browser, ServerError> {
    let root = fetch::unpacked_folder(KIND, "chromium", PACKAGES)?;
    let fonts = root.join("fonts.conf");
    if !fonts.is_file() {
        // Another process may be at it: it is there as a whole, or not yet.
        let half = tempfile::NamedTempFile::new_in(servers_folder()?).map_err(io("making a list of fonts"))?;
        std::fs::write(half.path(), fonts_of(&root)).map_err(io("writing a list of fonts"))?;
        half.persist(&fonts).map_err(|error| io("keeping a list of fonts")(error.error))?;
    }
    Browser::new(root.join(PROGRAM), Some(root))
}

/// Where fonts are, for a machine that has none. Whole paths: Chromium takes others to be below
/// the folder that it is started in.
fn fonts_of(root: &Path) -> String {
    let root = escape(&root.to_string_lossy());
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig>\
         <dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{root}/fonts-cache</cachedir>\
         </fontconfig>\n"
    )
}

impl Browser {
    /// One that says its version, which shows that it runs here.
    fn new(program: PathBuf, root: Option<PathBuf>) -> Result<Self, ServerError> {
        let mut browser = Self { program, root, version: String::new() };
        let said = fetch::run(browser.command().arg("--version"), "asking Chromium for its version")?;
        let version = said.lines().find(|line| line.starts_with("Chromium") || line.starts_with("Google Chrome"));
        let Some(version) = version else {
            return Err(ServerError::NotHere { kind: KIND, why: format!("{}: {said}", browser.program.display()) });
        };
        version.trim().clone_into(&mut browser.version);
        Ok(browser)
    }

    /// What `--version` says.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The program without arguments, and the environment that it needs.
    pub fn command(&self) -> Command {
        let command = Command::new(&self.program);
        let Some(root) = &self.root else { return command };
        let mut command = fetch::with_libraries(command, root);
        command.env("FONTCONFIG_FILE", root.join("fonts.conf"));
        command
    }
}
