//! The server over time: its memory, how far the database is behind, its journal's size. What cannot be
//! read is absent.

use crate::metrics::Metrics;
use crate::process::resident_bytes;
use serde::Serialize;
use std::collections::VecDeque;
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
    /// How long the oldest of them has waited, in seconds; of what was there before the first look, at least.
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
    arrivals: Arrivals,
}

impl Sampler {
    /// Of the server at `address`.
    pub fn new(address: SocketAddr, own: Option<(u32, PathBuf)>, start: Instant) -> Self {
        Self { address, own, start, arrivals: Arrivals::default() }
    }

    /// Looks once.
    #[allow(clippy::cast_precision_loss, reason = "bytes of a machine are far below 2^52")]
    pub fn look(&mut self) -> Sample {
        const MIB: f64 = 1_048_576.0;
        let at_seconds = self.start.elapsed().as_secs_f64();
        // What could not be read is absent, and nothing that was seen before is forgotten for it.
        let metrics = Metrics::of(self.address).unwrap_or_default();
        let resident = match &self.own {
            Some((pid, _)) => resident_bytes(*pid).ok().map(|(now, _)| now as f64),
            None => metrics.get("process_resident_memory_bytes"),
        };
        let lag_events = metrics.get("son7_write_behind_lag_events");
        let carried = metrics.get("son7_write_behind_events_total");
        let lag_seconds = lag_events.zip(carried).map(|(lag, carried)| self.arrivals.age(at_seconds, carried, lag));
        Sample {
            at_seconds,
            memory_mib: resident.map(|bytes| bytes / MIB),
            lag_events,
            lag_seconds,
            journal_mib: self.own.as_ref().and_then(|(_, data)| segment_bytes(data)).map(|bytes| bytes as f64 / MIB),
        }
    }
}

/// How many events there were at which time, as far back as the database is behind.
#[derive(Debug, Default)]
struct Arrivals(VecDeque<(f64, f64)>);

impl Arrivals {
    /// Seconds that the oldest event has waited which the database does not have; between two looks
    /// events are taken to come evenly. Grows by itself while the database stands still.
    fn age(&mut self, at_seconds: f64, carried: f64, lag: f64) -> f64 {
        let looks = &mut self.0;
        if looks.back().is_some_and(|(_, before)| *before > carried + lag) {
            // Fewer than there were: the server was started again and counts anew.
            looks.clear();
        }
        looks.push_back((at_seconds, carried + lag));
        // The first look is the last one at which there was nothing that the database does not have now.
        while looks.get(1).is_some_and(|(_, events)| *events <= carried) {
            looks.pop_front();
        }
        let since = match (looks.front(), looks.get(1)) {
            _ if lag == 0.0 => at_seconds,
            (Some((before, fewer)), Some((after, more))) if *fewer < carried => {
                before + (after - before) * (carried - fewer) / (more - fewer)
            }
            (Some((before, _)), _) => *before,
            (None, _) => at_seconds,
        };
        at_seconds - since
    }
}

/// Bytes of all journal segments below a folder; none when it cannot be read.
fn segment_bytes(folder: &Path) -> Option<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        if entry.file_type().ok()?.is_dir() {
            sum += segment_bytes(&entry.path())?;
        } else if entry.path().extension().is_some_and(|name| name == "segment") {
            sum += match entry.metadata() {
                Ok(metadata) => metadata.len(),
                // It was removed since the listing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                Err(_) => return None,
            };
        }
    }
    Some(sum)
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
        assert_eq!(segment_bytes(folder.path()), Some(49));
        assert_eq!(segment_bytes(&below.join("no-such")), None);
    }

    #[test]
    fn lag_grows_while_the_database_stands_still() {
        let mut arrivals = Arrivals::default();
        // Seconds, events that the database has, events that it does not have, seconds of lag.
        for (at, carried, lag, expected) in [
            (0.0, 100.0, 0.0, 0.0),
            (1.0, 200.0, 0.0, 0.0),
            // It stops; 100 events come a second. Then none come, and it stands still all the same.
            (2.0, 200.0, 100.0, 1.0),
            (3.0, 200.0, 200.0, 2.0),
            (9.0, 200.0, 200.0, 8.0),
            // It goes on: the oldest one that it does not have is of second 2.5.
            (10.0, 350.0, 50.0, 7.5),
            (11.0, 400.0, 0.0, 0.0),
            // An even load, a tenth of a second behind.
            (12.0, 490.0, 10.0, 0.1),
            // Started again.
            (13.0, 0.0, 20.0, 0.0),
            (14.0, 0.0, 20.0, 1.0),
        ] {
            let age = arrivals.age(at, carried, lag);
            assert!((age - expected).abs() < 1e-9, "at {at}: {age}, not {expected}");
        }
    }

    #[test]
    fn what_was_there_before_the_first_look_is_at_least_as_old_as_the_look() {
        let mut arrivals = Arrivals::default();
        for (at, carried, lag, expected) in [(5.0, 0.0, 50.0, 0.0), (6.0, 0.0, 70.0, 1.0), (7.0, 60.0, 10.0, 1.5)] {
            let age = arrivals.age(at, carried, lag);
            assert!((age - expected).abs() < 1e-9, "at {at}: {age}, not {expected}");
        }
    }

    #[test]
    fn a_look_that_fails_is_absent_and_forgets_nothing() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let own = Some((u32::MAX, PathBuf::from("/no/such/folder")));
        let mut sampler = Sampler::new(nobody, own, Instant::now());
        sampler.arrivals.age(0.0, 10.0, 5.0);
        let Sample { memory_mib, lag_events, lag_seconds, journal_mib, .. } = sampler.look();
        assert_eq!([memory_mib, lag_events, lag_seconds, journal_mib], [None; 4]);
        assert_eq!(sampler.arrivals.0, [(0.0, 15.0)]);
    }
}
