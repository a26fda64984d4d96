//! The manifest of a checkpoint: its files with their lengths and checksums. It is written last, so that a checkpoint
//! with a manifest is complete.
//!
//! ```text
//! format 3
//! config.json 1592 4f0d7a31
//! generator.bpk 217714592 09ac11fe
//! crc32c 5b1e02c7
//! ```
//!
//! The last line is the checksum of all lines before it. CRC-32C finds every single flipped bit and misses one in 2³²
//! of other accidents. It does not protect against malice.

use std::io::Read;
use std::path::Path;

use crate::error::{CheckpointProblem, Error, Result};
use crate::files::{self, MAX_TEXT};
use crate::pack::Packed;

/// The version of a checkpoint's contents. Format 1 had no manifest; format 2 did not name its run.
const FORMAT: u64 = 3;

const MANIFEST: &str = "manifest.txt";

/// The file that named the format in format 1.
const FORMAT_1: &str = "state.json";

/// The number of bytes of one read.
const CHUNK: usize = 1 << 20;

/// The manifest of a folder that is being filled, file by file.
#[derive(Debug)]
pub(super) struct Manifest<'a> {
    folder: &'a Path,
    text: String,
}

impl<'a> Manifest<'a> {
    /// Creates the manifest of an empty folder.
    pub(super) fn begin(folder: &'a Path) -> Self {
        Self { folder, text: format!("format {FORMAT}\n") }
    }

    /// Writes a file and lists it, with the checksum of `bytes` and not of the bytes on the disk.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write(&self.folder.join(name), bytes)?;
        self.list(name, bytes.len(), crc32c::crc32c(bytes));
        Ok(())
    }

    /// As [`add`](Self::add), part by part.
    pub(super) fn add_packed(&mut self, name: &str, file: &Packed) -> Result<()> {
        let (mut length, mut checksum) = (0, 0);
        files::write_by(&self.folder.join(name), |output| {
            file.each(|bytes| {
                length += bytes.len();
                checksum = crc32c::crc32c_append(checksum, bytes);
                output.write(bytes)
            })
        })?;
        self.list(name, length, checksum);
        Ok(())
    }

    fn list(&mut self, name: &str, length: usize, checksum: u32) {
        self.text += &format!("{name} {length} {checksum:08x}\n");
    }

    /// Writes the manifest itself.
    pub(super) fn seal(mut self) -> Result<()> {
        self.text += &format!("crc32c {:08x}\n", crc32c::crc32c(self.text.as_bytes()));
        files::write(&self.folder.join(MANIFEST), self.text.as_bytes())?;
        files::sync_folder(self.folder)
    }
}

/// Checks the length and the checksum of every listed file, and returns their names.
///
/// # Errors
/// [`Error::Checkpoint`] if a file is damaged or missing, `needed` names a file that is not listed, or the folder has
/// another format.
pub(super) fn verify(folder: &Path, needed: &[&str]) -> Result<Vec<String>> {
    let path = folder.join(MANIFEST);
    let corrupt = |problem: &str| Error::corrupt(&path, problem);
    if !files::exists(&path)? {
        return Err(older(folder)?.unwrap_or_else(|| corrupt("it is missing")));
    }
    let text = files::read(&path, MAX_TEXT).map_err(|error| Error::io(&path, error))?;
    let text = String::from_utf8(text).map_err(|_| corrupt("it is not UTF-8 text"))?;
    let last = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
    let (listed, seal) = text.split_at(last);
    if seal != format!("crc32c {:08x}\n", crc32c::crc32c(listed.as_bytes())) {
        return Err(corrupt("its checksum differs"));
    }

    let mut lines = listed.lines();
    let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse::<u64>().ok());
    let format = format.ok_or_else(|| corrupt("its first line does not name a format"))?;
    if format != FORMAT {
        return Err(other_format(&path, format));
    }
    let mut names = Vec::new();
    for line in lines {
        let (name, entry) = line.split_once(' ').ok_or_else(|| corrupt("a line has no length"))?;
        verify_file(&folder.join(name), entry)?;
        names.push(name.to_owned());
    }
    match needed.iter().find(|needed| !names.iter().any(|name| name == *needed)) {
        Some(absent) => Err(corrupt(&format!("it does not list {absent}"))),
        None => Ok(names),
    }
}

/// Compares a file with its entry, `length checksum`.
fn verify_file(path: &Path, entry: &str) -> Result<()> {
    let (bytes, checksum) = match measure(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::corrupt(path, "it is missing"));
        }
        measured => measured.map_err(|error| Error::io(path, error))?,
    };
    match entry.split_once(' ') {
        Some((length, _)) if length != bytes.to_string() => {
            Err(Error::corrupt(path, format!("it has {bytes} bytes, not {length}")))
        }
        Some((_, expected)) if expected == format!("{checksum:08x}") => Ok(()),
        _ => Err(Error::corrupt(path, "its checksum differs")),
    }
}

/// Returns the length and the checksum of a file.
fn measure(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = files::open(path)?;
    let mut chunk = vec![0; CHUNK];
    let (mut bytes, mut checksum) = (0, 0);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((bytes, checksum)),
            count => {
                bytes += count as u64;
                checksum = crc32c::crc32c_append(checksum, &chunk[..count]);
            }
        }
    }
}

/// Returns the error for a folder of format 1; `None` if it is not one.
fn older(folder: &Path) -> Result<Option<Error>> {
    let path = folder.join(FORMAT_1);
    let state = match files::read(&path, MAX_TEXT) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| Error::io(&path, error))?,
    };
    // Damaged JSON becomes null, which names no format.
    let state = serde_json::from_slice::<serde_json::Value>(&state).unwrap_or_default();
    Ok(state["format"].as_u64().map(|format| other_format(&path, format)))
}

/// Returns the error for a folder of another format.
fn other_format(path: &Path, found: u64) -> Error {
    Error::Checkpoint {
        path: path.to_owned(),
        problem: CheckpointProblem::Version { found, supported: FORMAT },
    }
}
