//! `son7shop journal inspect`: the journal, printed for people.

use super::{counted, storage};
use anyhow::Context as _;
use son7shop_engine::PartitionId;
use son7shop_http::settings::Settings;
use son7shop_persistence::journal::DataFolder;
use son7shop_persistence::journal::inspect::{self, Finding, FrameInfo};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// What to do with the journal.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print what is in it, and what is wrong with it; exits 1 if anything is, 2 if it cannot say
    Inspect {
        /// Only this partition
        #[arg(long)]
        partition: Option<u16>,
        /// Print every event, not only the frames
        #[arg(long)]
        events: bool,
    },
}

pub(crate) fn run(settings: &Settings, command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Inspect { partition, events } = command;
    let folder = DataFolder::look(storage(), &settings.data_dir)?;
    let chosen = match partition {
        Some(id) => vec![folder.partition(PartitionId(*id)).with_context(|| format!("there is no partition {id}"))?],
        None => folder.all().collect(),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "journal {}, {}", folder.journal_id(), counted(folder.partitions(), "partition"))?;
    let mut wrong = 0;
    for partition in chosen {
        writeln!(out, "partition {}", partition.id())?;
        let mut printed = Ok(());
        let summary = inspect::partition(&partition, &mut |finding| {
            if printed.is_ok() {
                printed = print(&mut out, &finding, *events);
            }
        })?;
        printed?;
        writeln!(
            out,
            "  {}, {}, {}, LSN {} to {}, epoch {}, {} wrong",
            counted(summary.segments, "segment"),
            counted(summary.frames, "frame"),
            counted(summary.events, "event"),
            summary.first_lsn.unwrap_or_default(),
            summary.last_lsn,
            summary.epoch,
            summary.wrong
        )?;
        wrong += summary.wrong;
    }
    out.flush()?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(out: &mut impl Write, finding: &Finding, events: bool) -> io::Result<()> {
    match finding {
        Finding::Snapshot { lsn, epoch, next_segment, bytes } => {
            writeln!(out, "  snapshot to LSN {lsn}, epoch {epoch}, before segment {next_segment}, {bytes} bytes")
        }
        Finding::Cursor { name, lsn } => writeln!(out, "  cursor {name} at LSN {lsn}"),
        Finding::Segment { number, path, bytes, after_cut } => {
            let cut = if *after_cut { ", after a cut" } else { "" };
            writeln!(out, "  segment {number}, {bytes} bytes{cut}: {}", path.display())
        }
        Finding::Frame(frame) => print_frame(out, frame, events),
        Finding::Cut { segment, offset } => writeln!(out, "    cut: segment {segment} ends at offset {offset}"),
        Finding::Wrong { path, offset, what } => {
            writeln!(out, "  WRONG: {} at offset {offset}: {what}", path.display())
        }
    }
}

fn print_frame(out: &mut impl Write, frame: &FrameInfo, events: bool) -> io::Result<()> {
    let FrameInfo { offset, bytes, epoch, first_lsn, synced, chain, records, .. } = frame;
    let [a, b, c, d, ..] = chain;
    let count = counted(records.len(), "event");
    writeln!(
        out,
        "    frame at {offset}, {bytes} bytes, epoch {epoch}, {count} from LSN {first_lsn}, synced {synced}, chain {a:02x}{b:02x}{c:02x}{d:02x}…"
    )?;
    if events {
        for (lsn, record) in (first_lsn.0..).zip(records) {
            writeln!(out, "      {lsn} at {} {:?}", record.at.0, record.event)?;
        }
    }
    Ok(())
}
