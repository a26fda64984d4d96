//! The log of a run, `metrics.jsonl`, and the part of it that belongs to a checkpoint.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::error::{Error, Result};
use crate::files::{self, append, sync, write_atomically};

/// The largest length of a log that is read: that of some million steps.
const MAX_LOG: u64 = 1 << 30;

/// The name of the log in a run folder.
const METRICS: &str = "metrics.jsonl";
/// The name of the copy of a damaged log.
const DAMAGED: &str = "damaged-metrics.jsonl";

/// Length and CRC-32C of the first lines of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Their length in bytes.
    pub bytes: u64,
    /// Their CRC-32C.
    pub crc32c: u32,
}

impl LogPosition {
    /// Returns the position after `more`.
    fn and(self, more: &[u8]) -> Self {
        Self { bytes: self.bytes + more.len() as u64, crc32c: crc32c::crc32c_append(self.crc32c, more) }
    }

    /// Returns the bytes of `file` up to this position if their checksum matches.
    fn begins(self, file: &[u8]) -> Option<&[u8]> {
        let start = file.get(..usize::try_from(self.bytes).ok()?)?;
        (crc32c::crc32c(start) == self.crc32c).then_some(start)
    }
}

/// Refuses a run folder whose log does not start with the lines up to `position`.
pub(crate) fn verify(run: &Path, position: LogPosition) -> Result<()> {
    let path = run.join(METRICS);
    match position.begins(&earlier(&path)?) {
        Some(_) => Ok(()),
        None => {
            let problem = format!(
                "its first {} bytes differ from those of the checkpoint; resuming keeps the readable lines, and a copy \
                 of the file as {DAMAGED}",
                position.bytes
            );
            Err(Error::corrupt(&path, problem))
        }
    }
}

/// Returns the contents of the file; empty if it does not exist.
fn earlier(path: &Path) -> Result<Vec<u8>> {
    match files::read(path, MAX_LOG) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| Error::io(path, error)),
    }
}

/// The log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// The position after the last complete line in the file.
    written: LogPosition,
    /// Lines that were not appended, or only in part.
    pending: Vec<u8>,
}

impl Log {
    /// Opens the log in `run` for a run that resumes at `step`. Returns the log, its records up to that step, and
    /// whether its lines up to `recorded` are intact.
    pub(super) fn open(
        run: &Path,
        step: u64,
        recorded: Option<LogPosition>,
    ) -> Result<(Self, Vec<Record>, bool)> {
        let path = run.join(METRICS);
        let earlier = earlier(&path)?;
        let whole = recorded.and_then(|position| position.begins(&earlier)).filter(|_| step > 0);
        let (mut lines, mut records) = (Vec::new(), Vec::new());
        for line in whole.unwrap_or(&earlier).split_inclusive(|byte| *byte == b'\n') {
            let record = serde_json::from_slice::<Record>(line).ok();
            let is_early = record.as_ref().is_some_and(|record| record.position().0 <= step);
            // Keeps intact lines of the checkpoint unchanged; of a damaged log, only readable lines up to `step`.
            if whole.is_some() || (is_early && step > 0 && line.ends_with(b"\n")) {
                lines.extend_from_slice(line);
                records.extend(record);
            }
        }
        if recorded.is_some() && whole.is_none() && step > 0 && !earlier.is_empty() {
            write_atomically(&run.join(DAMAGED), &earlier)?;
        }
        // Written even if nothing changes, to fail now if files in `run` cannot be replaced.
        let file = replaced(&path, &lines)?;
        let written = LogPosition::default().and(&lines);
        Ok((Self { path, file, written, pending: vec![] }, records, whole.is_some()))
    }

    /// Appends lines. After an error, the next call of this or of [`sync`](Self::sync) tries again.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        let has_failed = !self.pending.is_empty();
        self.pending.extend_from_slice(lines);
        if has_failed {
            return self.repair();
        }
        append(&self.file, &self.path, lines)?;
        self.accept();
        Ok(())
    }

    /// Waits until all lines are on the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.repair()?;
        }
        sync(&self.file, &self.path)
    }

    /// Returns the position after the lines in the file.
    pub(super) fn position(&self) -> LogPosition {
        self.written
    }

    /// Rewrites the file: cuts off the partly written line at its end, and adds the pending lines.
    fn repair(&mut self) -> Result<()> {
        let mut bytes = earlier(&self.path)?;
        bytes.truncate(self.written.bytes as usize);
        bytes.extend_from_slice(&self.pending);
        self.file = replaced(&self.path, &bytes)?;
        self.accept();
        Ok(())
    }

    /// Marks the pending lines as written.
    fn accept(&mut self) {
        self.written = self.written.and(&self.pending);
        self.pending.clear();
    }
}

/// Replaces the file by one with these lines, and opens it for appending.
fn replaced(path: &Path, lines: &[u8]) -> Result<File> {
    write_atomically(path, lines)?;
    OpenOptions::new().append(true).open(path).map_err(|error| Error::io(path, error))
}
