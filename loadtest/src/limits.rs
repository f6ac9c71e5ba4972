//! Open files: thousands of connections need more than the usual limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process needs beside its connections: standard streams, logs, epoll, timers.
const OTHER_FILES: u64 = 64;

/// The limit on open files is too low and may not be raised.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and the hard limit is {hard}; raise it (as root: `ulimit -Hn {needed}`, or nofile in limits.conf) or ask for fewer clients"
)]
pub struct FilesError {
    /// Files needed.
    pub needed: u64,
    /// What the limit may be raised to.
    pub hard: u64,
}

/// Raises this process's limit on open files so that `connections` fit. Processes started
/// later inherit it.
pub fn allow_connections(connections: usize) -> Result<(), FilesError> {
    let needed = connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    // No value means no limit.
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(needed.min(hard)), maximum: limit.maximum };
    if needed > hard || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(FilesError { needed, hard });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_allowed_and_what_cannot_be_is_said() {
        assert_eq!(allow_connections(10), Ok(()));
        if let Some(hard) = getrlimit(Resource::Nofile).maximum {
            let connections = usize::try_from(hard).unwrap_or(usize::MAX - 64);
            assert_eq!(allow_connections(connections), Err(FilesError { needed: hard + OTHER_FILES, hard }));
        }
    }
}
