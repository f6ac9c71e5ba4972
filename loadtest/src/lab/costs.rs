//! What a window costs: processor time, syncs, flushes of the disks. Reads only; Linux only.

use super::load::Costs;
use crate::process::cpu;
use std::time::Duration;

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    backend: Option<Duration>,
    buyers: Option<Duration>,
    syncs: Option<u64>,
    flushes: Option<u64>,
}

impl Reading {
    /// Reads them before what is measured begins: of a backend's `processes` (none: not known), of this
    /// process, of the disks. `syncs` asks the backend, which costs processor time: before the rest.
    pub(super) fn before(processes: &[u32], syncs: impl FnOnce() -> Option<u64>) -> Self {
        let syncs = syncs();
        Self { syncs, ..Self::of_the_kernel(processes) }
    }

    /// Reads them when it has ended: the backend is asked after the rest.
    pub(super) fn after(processes: &[u32], syncs: impl FnOnce() -> Option<u64>) -> Self {
        let kernel = Self::of_the_kernel(processes);
        Self { syncs: syncs(), ..kernel }
    }

    fn of_the_kernel(processes: &[u32]) -> Self {
        let sum = || processes.iter().map(|pid| cpu(*pid)).sum::<Result<Duration, _>>().ok();
        Self {
            backend: if processes.is_empty() { None } else { sum() },
            buyers: cpu(std::process::id()).ok(),
            syncs: None,
            flushes: disk_flushes(),
        }
    }

    /// What was used after `earlier` for each of `sold` units; nothing for none.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub(super) fn since(&self, earlier: &Self, sold: u64) -> Costs {
        if sold == 0 {
            return Costs::default();
        }
        let sold = sold as f64;
        let micros =
            |now: Option<Duration>, then: Option<Duration>| Some(now?.checked_sub(then?)?.as_secs_f64() * 1e6 / sold);
        let count = |now: Option<u64>, then: Option<u64>| Some(now?.checked_sub(then?)? as f64 / sold);
        Costs {
            backend_cpu_micros: micros(self.backend, earlier.backend),
            buyers_cpu_micros: micros(self.buyers, earlier.buyers),
            syncs: count(self.syncs, earlier.syncs),
            disk_flushes: count(self.flushes, earlier.flushes),
        }
    }
}

/// Flushes of all disks since the machine started; nothing where the kernel counts none.
fn disk_flushes() -> Option<u64> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    let counts = disks.filter_map(|disk| flushes_in(&std::fs::read_to_string(disk.path().join("stat")).ok()?));
    let sum: u64 = counts.sum();
    // A disk without a write cache is never told to flush: then nothing can be said.
    (sum > 0).then_some(sum)
}

/// The sixteenth field, since Linux 5.5 (Documentation/admin-guide/iostats.rst).
fn flushes_in(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(15)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_differences_for_each_unit() {
        let at = |millis, count| Reading {
            backend: None,
            buyers: Some(Duration::from_millis(millis)),
            syncs: Some(count),
            flushes: Some(count / 2),
        };
        let costs = at(30, 120).since(&at(10, 20), 100);
        let wanted = Costs {
            backend_cpu_micros: None,
            buyers_cpu_micros: Some(200.0),
            syncs: Some(1.0),
            disk_flushes: Some(0.5),
        };
        assert_eq!(costs, wanted);
        assert_eq!(at(30, 120).since(&at(10, 20), 0), Costs::default());
    }

    #[test]
    fn the_field_of_flushes_is_the_sixteenth() {
        assert_eq!(flushes_in("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), Some(16));
        // Before Linux 5.5 there were fifteen.
        assert_eq!(flushes_in("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), None);
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn what_it_costs_to_ask_for_syncs_is_nobodys() {
        let now = || cpu(std::process::id()).unwrap();
        let mut asked = Vec::new();
        // Asking costs processor time, until the kernel has seen it.
        let mut ask = || {
            let began = now();
            while now() == began {}
            asked.push((began, now()));
            Some(1)
        };
        let (before, after) = (Reading::before(&[], &mut ask), Reading::after(&[], &mut ask));
        assert!(before.buyers.unwrap() >= asked[0].1 && after.buyers.unwrap() <= asked[1].0, "{asked:?}");
        assert_eq!((before.syncs, after.syncs), (Some(1), Some(1)));
    }

    #[test]
    fn a_process_that_is_gone_has_no_costs() {
        assert_eq!(Reading::before(&[u32::MAX], || None).backend, None);
    }
}
