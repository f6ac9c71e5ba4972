//! The server over time: its memory, how far the database is behind, its journal's size. What cannot be
//! read is absent.

use crate::metrics::Metrics;
use crate::process::resident_bytes;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The first part of a run, in which memory is not looked at.
const WARM_UP: f64 = 0.2;

/// One look at the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds from the start.
    pub at_seconds: f64,
    /// Memory in use, in MiB.
    pub memory_mib: Option<f64>,
    /// Events that the database does not have yet.
    pub lag_events: Option<f64>,
    /// That many events at the speed of the last interval, in seconds.
    pub lag_seconds: Option<f64>,
    /// The journal's segments, in MiB.
    pub journal_mib: Option<f64>,
}

/// Looks at a server.
#[derive(Debug)]
pub struct Sampler {
    address: SocketAddr,
    /// The process and its data folder, if the server is on this machine and ours.
    own: Option<(u32, PathBuf)>,
    start: Instant,
    last: Option<(f64, Metrics)>,
}

impl Sampler {
    /// Of the server at `address`.
    pub fn new(address: SocketAddr, own: Option<(u32, PathBuf)>, start: Instant) -> Self {
        Self { address, own, start, last: None }
    }

    /// Looks once.
    #[allow(clippy::cast_precision_loss, reason = "bytes of a machine are far below 2^52")]
    pub fn look(&mut self) -> Sample {
        const MIB: f64 = 1_048_576.0;
        let at_seconds = self.start.elapsed().as_secs_f64();
        let metrics = Metrics::of(self.address).unwrap_or_default();
        let resident = match &self.own {
            Some((pid, _)) => resident_bytes(*pid).ok().map(|(now, _)| now as f64),
            None => metrics.get("process_resident_memory_bytes"),
        };
        let lag_events = metrics.get("son7_write_behind_lag_events");
        let lag_seconds = lag_events.and_then(|lag| {
            let (before, earlier) = self.last.as_ref()?;
            let carried = metrics.grown(earlier, "son7_write_behind_events_total")?;
            time_for(lag, carried / (at_seconds - before))
        });
        self.last = Some((at_seconds, metrics));
        Sample {
            at_seconds,
            memory_mib: resident.map(|bytes| bytes / MIB),
            lag_events,
            lag_seconds,
            journal_mib: self.own.as_ref().map(|(_, data)| segment_bytes(data) as f64 / MIB),
        }
    }
}

/// Seconds for so many events at this speed; nobody knows at no speed.
fn time_for(events: f64, per_second: f64) -> Option<f64> {
    if events == 0.0 {
        return Some(0.0);
    }
    (per_second > 0.0 && per_second.is_finite()).then(|| events / per_second)
}

/// Bytes of all journal segments below a folder.
fn segment_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => segment_bytes(&entry.path()),
        _ if entry.path().extension().is_some_and(|name| name == "segment") => {
            entry.metadata().map_or(0, |metadata| metadata.len())
        }
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

/// MiB an hour by the line of least squares through what comes after warming up; none with fewer than three looks.
#[allow(clippy::cast_precision_loss, reason = "looks are few")]
pub fn memory_growth_per_hour(samples: &[Sample]) -> Option<f64> {
    let end = samples.last()?.at_seconds;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| sample.at_seconds >= end * WARM_UP)
        .filter_map(|sample| Some((sample.at_seconds / 3_600.0, sample.memory_mib?)))
        .collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (above, below) = points
        .iter()
        .fold((0.0, 0.0), |(above, below), (x, y)| (above + (x - mean_x) * (y - mean_y), below + (x - mean_x).powi(2)));
    (points.len() >= 3 && below > 0.0).then(|| above / below)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn sample(at_seconds: f64, memory_mib: f64) -> Sample {
        Sample { at_seconds, memory_mib: Some(memory_mib), ..Sample::default() }
    }

    #[test]
    fn growth_is_the_slope_after_warming_up() {
        // A leap while it warms up, then 36 MiB an hour.
        let mut samples = vec![sample(0.0, 1.0), sample(10.0, 500.0)];
        samples.extend((2..=10).map(|n| f64::from(n) * 100.0).map(|at| sample(at, 600.0 + at / 100.0)));
        assert!((memory_growth_per_hour(&samples).unwrap() - 36.0).abs() < 1e-6);
        assert_eq!(memory_growth_per_hour(&samples[..2]), None);
        // Two looks after warming up are a line through anything.
        assert_eq!(memory_growth_per_hour(&samples[samples.len() - 2..]), None);
        assert_eq!(memory_growth_per_hour(&[]), None);
    }

    #[test]
    fn a_journal_is_as_large_as_the_segments_of_all_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("partition-0");
        std::fs::create_dir(&below).unwrap();
        for (path, bytes) in
            [(below.join("1.segment"), 3), (below.join("2.segment"), 40), (below.join("snapshot"), 500)]
        {
            std::fs::write(path, vec![0; bytes]).unwrap();
        }
        std::fs::write(folder.path().join("0.segment"), [0; 6]).unwrap();
        assert_eq!(segment_bytes(folder.path()), 49);
        assert_eq!(segment_bytes(&below.join("no-such")), 0);
    }

    #[test]
    fn lag_is_a_time_only_at_a_speed() {
        assert_eq!(time_for(100.0, 50.0), Some(2.0));
        assert_eq!((time_for(0.0, 0.0), time_for(1.0, 0.0)), (Some(0.0), None));
        assert_eq!(time_for(1.0, f64::INFINITY), None);
    }
}
