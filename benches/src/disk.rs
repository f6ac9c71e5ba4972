//! How long the disk takes to make a batch durable, without anybody else: `fdatasync` after writing a
//! few kilobytes into a file that was filled beforehand, as a journal's segment is.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes written before each sync: the size of a frame of some tens of orders.
const WRITE_BYTES: usize = 8 << 10;

/// The file goes round after so many writes.
const WRITES_IN_FILE: u64 = 2_048;

/// How long each of `count` syncs takes, in a new file in `folder`, least first.
pub fn sync_times(folder: &Path, count: usize) -> Result<Vec<Duration>> {
    let path = folder.join("sync-times");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let times = time_syncs(&file, count);
    drop(file);
    std::fs::remove_file(&path)?;
    let mut times = times?;
    times.sort_unstable();
    Ok(times)
}

fn time_syncs(file: &File, count: usize) -> Result<Vec<Duration>> {
    let bytes = vec![0x5a; WRITE_BYTES];
    for write in 0..WRITES_IN_FILE {
        file.write_all_at(&vec![0; WRITE_BYTES], write * WRITE_BYTES as u64)?;
    }
    file.sync_all()?;
    (0..count as u64)
        .map(|write| {
            file.write_all_at(&bytes, write % WRITES_IN_FILE * WRITE_BYTES as u64)?;
            let begun = Instant::now();
            file.sync_data()?;
            Ok(begun.elapsed())
        })
        .collect()
}

/// The time below which `percent` of `sorted` lie; 0 without any.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_timed_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sync_times(folder.path(), 3).unwrap().len(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn percentiles_by_rank() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(198));
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(100));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
