//! What ends a child when we die without a chance to say so: a shell that waits for the end of
//! a pipe that we hold, and then kills that one child by its process id. The pipe ends when we
//! do, even by SIGKILL.
//!
//! A terminal's Ctrl-C reaches neither the watchdog nor, if its [`own_group`] was asked for,
//! the child: whoever is interrupted still needs its servers to write down what it has.
//!
//! Must never be armed over an id that may be anybody's: a child is reaped only after its watchdog was
//! called off.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// Waits for the pipe's end; then kills the child, and removes its folder if it has one.
const SCRIPT: &str = "read _; kill -KILL \"$1\"; if [ -n \"$2\" ]; then rm -rf \"$2\"; fi";

/// A child in a process group of its own, under a watchdog for as long as its id is its own. Killed when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    /// Nothing once the child was reaped.
    watchdog: Option<Watchdog>,
}

impl Watched {
    /// Starts it, with the watchdog over it; `folder` is removed when we die.
    pub(crate) fn start(command: &mut Command, folder: Option<&Path>) -> io::Result<Self> {
        let child = own_group(command).spawn()?;
        let mut watched = Self { child, watchdog: None };
        // Without one, the child goes again with `watched`.
        watched.watchdog = Some(Watchdog::over(watched.id(), folder)?);
        Ok(watched)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output, if that is a pipe and nobody has taken it yet.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// How it ended, if it has; it is reaped then.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.watchdog.is_some() && !self.has_ended(WaitIdOptions::NOHANG)? {
            return Ok(None);
        }
        drop(self.watchdog.take());
        self.child.try_wait()
    }

    /// Kills it and reaps it.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        // Of a child that was reaped the standard library knows that.
        self.child.kill()?;
        if self.watchdog.is_some() {
            self.has_ended(WaitIdOptions::empty())?;
        }
        drop(self.watchdog.take());
        self.child.wait()
    }

    /// Whether it has ended; it is not reaped, and its id remains its own.
    fn has_ended(&self, how: WaitIdOptions) -> io::Result<bool> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(waitid(WaitId::Pid(pid), how | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?.is_some())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.kill();
    }
}

/// A running watchdog. Dropping it calls it off.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
    /// Held, never written to.
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over the child `pid`; removes `folder` with it.
    fn over(pid: u32, folder: Option<&Path>) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog", &pid.to_string()]).arg(folder.unwrap_or(Path::new("")));
        let mut shell =
            own_group(&mut command).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The shell first, then the pipe: the other way round it would act.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        drop(self.pipe.take());
    }
}

/// The command in a process group of its own, which the terminal's signals do not reach.
pub(crate) fn own_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use rustix::process::getpgid;
    use std::os::unix::process::ExitStatusExt as _;

    fn sleeper() -> Child {
        own_group(Command::new("sleep").arg("600")).spawn().unwrap()
    }

    fn group(pid: u32) -> i32 {
        getpgid(Pid::from_raw(i32::try_from(pid).unwrap())).unwrap().as_raw_nonzero().get()
    }

    #[test]
    fn when_the_pipe_ends_the_child_and_its_folder_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        let mut watchdog = Watchdog::over(child.id(), Some(folder.path())).unwrap();
        // As when we die.
        drop(watchdog.pipe.take());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        watchdog.shell.wait().unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    fn one_that_is_called_off_does_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        drop(Watchdog::over(child.id(), Some(folder.path())).unwrap());
        assert!(child.try_wait().unwrap().is_none() && folder.path().exists());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_child_is_reaped_only_after_its_watchdog_was_called_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = Watched::start(Command::new("true").arg(""), Some(folder.path())).unwrap();
        let shell = Pid::from_raw(i32::try_from(watched.watchdog.as_ref().unwrap().shell.id()).unwrap()).unwrap();
        // It has ended, and its id is still its own: the watchdog may stay.
        assert!(watched.has_ended(WaitIdOptions::empty()).unwrap() && watched.watchdog.is_some());
        assert!(watched.has_ended(WaitIdOptions::NOHANG).unwrap());
        assert!(watched.try_wait().unwrap().unwrap().success() && watched.watchdog.is_none());
        assert!(rustix::process::test_kill_process(shell).is_err(), "the watchdog is there after its child");
        // Both may be asked again.
        assert!(watched.try_wait().unwrap().unwrap().success());
        drop(watched);
        assert!(folder.path().exists());
    }

    #[test]
    fn one_that_is_dropped_is_killed_and_gone() {
        let mut watched = Watched::start(Command::new("sleep").arg("600"), None).unwrap();
        assert_eq!(watched.try_wait().unwrap(), None);
        let pid = Pid::from_raw(i32::try_from(watched.id()).unwrap()).unwrap();
        drop(watched);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn neither_is_in_our_process_group() {
        let mut child = sleeper();
        let watchdog = Watchdog::over(child.id(), None).unwrap();
        let ours = group(std::process::id());
        assert_eq!(group(child.id()), i32::try_from(child.id()).unwrap());
        assert_ne!(group(watchdog.shell.id()), ours);
        drop(watchdog);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
