//! The file `metrics.jsonl`: what a run has recorded, and how much of it belongs to a checkpoint.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Record;
use crate::files::{append, sync, write_atomically};
use crate::{Error, Result};

/// The file's name in a run folder.
const METRICS: &str = "metrics.jsonl";
/// Where a damaged one is kept.
const DAMAGED: &str = "damaged-metrics.jsonl";

/// How much of `metrics.jsonl` there was at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Its length.
    pub bytes: u64,
    /// Their CRC-32C.
    pub crc32c: u32,
}

impl Extent {
    fn and(self, more: &[u8]) -> Self {
        Self { bytes: self.bytes + more.len() as u64, crc32c: crc32c::crc32c_append(self.crc32c, more) }
    }

    /// Whether the first bytes of `file` are these.
    fn begins(self, file: &[u8]) -> Option<&[u8]> {
        let start = file.get(..usize::try_from(self.bytes).ok()?)?;
        (crc32c::crc32c(start) == self.crc32c).then_some(start)
    }
}

/// Refuses a run folder whose metrics do not begin with what there was of them.
pub(crate) fn verify(run: &Path, extent: Extent) -> Result<()> {
    let path = run.join(METRICS);
    match extent.begins(&earlier(&path)?) {
        Some(_) => Ok(()),
        None => {
            let problem = format!(
                "its first {} bytes are not those of the checkpoint; lines that can be read stay, and the damaged \
                 file as {DAMAGED}",
                extent.bytes
            );
            Err(Error::corrupt(&path, problem))
        }
    }
}

/// The bytes of the file, none if there is none.
fn earlier(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| Error::io(path, error)),
    }
}

/// The file, open for more.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    file: File,
    /// What is in the file for sure.
    written: Extent,
    /// Lines that could not be appended, or only in part.
    waiting: Vec<u8>,
}

impl Metrics {
    /// Opens the file in `run` with what belongs to `step`, and tells its records and whether they are those that were
    /// `recorded`.
    pub(super) fn open(run: &Path, step: u64, recorded: Option<Extent>) -> Result<(Self, Vec<Record>, bool)> {
        let path = run.join(METRICS);
        let earlier = earlier(&path)?;
        let whole = recorded.and_then(|extent| extent.begins(&earlier)).filter(|_| step > 0);
        let (mut lines, mut records) = (Vec::new(), Vec::new());
        for line in whole.unwrap_or(&earlier).split_inclusive(|byte| *byte == b'\n') {
            let record = serde_json::from_slice::<Record>(line).ok();
            let is_early = record.as_ref().is_some_and(|record| record.position().0 <= step);
            // What a checkpoint vouches for stays to the byte, whatever it is; else, what can be read and is not later.
            if whole.is_some() || (is_early && step > 0 && line.ends_with(b"\n")) {
                lines.extend_from_slice(line);
                records.extend(record);
            }
        }
        if recorded.is_some() && whole.is_none() && step > 0 && !earlier.is_empty() {
            write_atomically(&run.join(DAMAGED), &earlier)?;
        }
        // Written even if nothing changes: this proves that files in `run` can be replaced, as the page will be.
        let file = replaced(&path, &lines)?;
        let written = Extent::default().and(&lines);
        Ok((Self { path, file, written, waiting: vec![] }, records, whole.is_some()))
    }

    /// Appends lines; those that cannot be written now wait for [`sync`](Self::sync).
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        let is_torn = !self.waiting.is_empty();
        self.waiting.extend_from_slice(lines);
        if is_torn {
            return self.mend();
        }
        append(&self.file, &self.path, lines)?;
        self.accept();
        Ok(())
    }

    /// Waits until all lines are on the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            self.mend()?;
        }
        sync(&self.file, &self.path)
    }

    /// What is in the file.
    pub(super) fn extent(&self) -> Extent {
        self.written
    }

    /// Writes the file anew, without the half of a line at its end.
    fn mend(&mut self) -> Result<()> {
        let mut bytes = earlier(&self.path)?;
        bytes.truncate(self.written.bytes as usize);
        bytes.extend_from_slice(&self.waiting);
        self.file = replaced(&self.path, &bytes)?;
        self.accept();
        Ok(())
    }

    fn accept(&mut self) {
        self.written = self.written.and(&self.waiting);
        self.waiting.clear();
    }
}

/// The file with these lines, for more to be appended.
fn replaced(path: &Path, lines: &[u8]) -> Result<File> {
    write_atomically(path, lines)?;
    OpenOptions::new().append(true).open(path).map_err(|error| Error::io(path, error))
}
