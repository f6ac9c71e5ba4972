//! What ends a child when we die without a chance to say so: a shell that waits for the end of
//! a pipe that we hold, and then kills that one child by its process id. The pipe ends when we
//! do, even by SIGKILL.
//!
//! A terminal's Ctrl-C reaches neither the watchdog nor, if its [`own_group`] was asked for,
//! the child: whoever is interrupted still needs its servers to write down what it has.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Waits for the pipe's end; then kills the child, and removes its folder if it has one.
const SCRIPT: &str = "read _; kill -KILL \"$1\"; if [ -n \"$2\" ]; then rm -rf \"$2\"; fi";

/// A running watchdog. Dropping it calls it off: do so before the child is waited for for the
/// last time, since its id is anybody's afterwards.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// Held, never written to.
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over the child `pid`; removes `folder` with it.
    pub(crate) fn over(pid: u32, folder: Option<&Path>) -> io::Result<Self> {
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
    use rustix::process::{Pid, getpgid};
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
