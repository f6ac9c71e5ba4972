//! What a process costs: processor time, context switches and memory, as the kernel counts
//! them in `/proc`. Reads only; Linux only.

use std::path::Path;
use std::time::Duration;

/// The kernel counts processor time in `/proc` in hundredths of a second, whatever its tick is.
const TICKS_PER_SECOND: u64 = 100;

/// Why a process's costs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// There is no such process, or its folder in `/proc` cannot be read.
    #[error("process {pid}: {file} cannot be read")]
    Unreadable {
        /// The process.
        pid: u32,
        /// Which of its files.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel writes the file in another shape than is expected here.
    #[error("process {pid}: {file} has an unexpected form")]
    Form {
        /// The process.
        pid: u32,
        /// Which of its files.
        file: &'static str,
    },
}

/// What a process has used since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of all its threads, ended ones included; in steps of 10 ms.
    pub cpu: Duration,
    /// Context switches of the threads that live now, because they waited.
    pub voluntary_switches: u64,
    /// Context switches of the threads that live now, because another thread's turn came.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Reads what process `pid` has used.
    pub fn of(pid: u32) -> Result<Self, UsageError> {
        let mut usage = Self { cpu: cpu(pid)?, ..Self::default() };
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|source| UsageError::Unreadable {
            pid,
            file: "task",
            source,
        })?;
        for task in tasks.flatten() {
            // A thread that ends between the listing and the reading takes its counts along.
            let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
            usage.voluntary_switches += field(&status, "voluntary_ctxt_switches").unwrap_or(0);
            usage.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches").unwrap_or(0);
        }
        Ok(usage)
    }

    /// What was used after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
        }
    }

    /// Context switches of both kinds.
    pub fn switches(&self) -> u64 {
        self.voluntary_switches + self.involuntary_switches
    }
}

/// Processor time of all threads of process `pid`, ended ones included; in steps of 10 ms.
pub fn cpu(pid: u32) -> Result<Duration, UsageError> {
    let ticks = cpu_ticks(&read(pid, "stat")?).ok_or(UsageError::Form { pid, file: "stat" })?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Memory that process `pid` has in use (resident), in bytes, and the most it ever had.
pub fn resident_bytes(pid: u32) -> Result<(u64, u64), UsageError> {
    let status = read(pid, "status")?;
    let kib = |name| field(&status, name).ok_or(UsageError::Form { pid, file: "status" });
    Ok((kib("VmRSS")? * 1_024, kib("VmHWM")? * 1_024))
}

fn read(pid: u32, file: &'static str) -> Result<String, UsageError> {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file))
        .map_err(|source| UsageError::Unreadable { pid, file, source })
}

/// User and system time from `/proc/PID/stat`. The program's name stands in brackets and may hold
/// spaces and brackets, so fields are counted from the last bracket.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    // The state is field 3; user time 14, system time 15.
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The first number of line `name:` in a `status` file.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_fields() {
        let stat = "7 (a) b (c)) R 1 1 1 0 -1 4194304 2843 6499 5 0 21 13 3 0 20 0 1 0 48269";
        assert_eq!(cpu_ticks(stat), Some(34));
        assert_eq!(cpu_ticks("7 (cut"), None);
    }

    #[test]
    fn fields_are_whole_names() {
        let status = "VmRSSx:\t1 kB\nVmRSS:\t  20 kB\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t4\n";
        assert_eq!(field(status, "VmRSS"), Some(20));
        assert_eq!(field(status, "voluntary_ctxt_switches"), Some(4));
    }

    #[test]
    fn our_own_costs_grow() {
        let pid = std::process::id();
        let before = Usage::of(pid).unwrap();
        while Usage::of(pid).unwrap().since(&before).cpu < Duration::from_millis(20) {
            std::hint::black_box((0..10_000_u64).sum::<u64>());
        }
        let (now, most) = resident_bytes(pid).unwrap();
        assert!(now > 0 && most >= now);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(matches!(Usage::of(u32::MAX), Err(UsageError::Unreadable { file: "stat", .. })));
    }
}
