//! The containers of `torch.save`: a zip, or the legacy format. Both hold a pickle of names and shapes, and numbers.
//!
//! A few kilobytes of a crafted file can unpack to gigabytes. PyTorch does not compress, and its pickles are small, so
//! files with compressed entries or large pickles are refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::foreign;
use super::pickle::{Pickle, Problem, TOO_LARGE, Value};
use crate::error::{CheckpointProblem, Error, Result};
use crate::files;

/// The largest size of names and shapes in bytes. Those of a network take about 30 000; checkpoints of training
/// frameworks add optimisers and settings.
const MAX_PICKLE: u64 = 16 << 20;
/// The largest size of a zip file's directory in bytes; it has one entry for each tensor.
const MAX_DIRECTORY: u64 = 4 << 20;
/// The magic number of a legacy container, as bytes and as text.
const LEGACY_MAGIC: [&[u8]; 2] =
    [&[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], b"119547037146038801333356"];
/// The number of bytes at the start of a file that must contain the magic number.
const MAGIC_WITHIN: usize = 64;
/// The pickles of a legacy container before that of names and shapes: magic number, version, system.
const LEGACY_HEAD: usize = 3;

/// A place in a file: its first byte, and its number of bytes.
pub(super) type Place = (u64, u64);

/// An open file of `torch.save`.
pub(super) struct Container {
    pub(super) file: File,
    /// The bytes of the file.
    pub(super) length: u64,
    /// The pickle of names and shapes; in a legacy container, all pickles and the numbers that follow within the limit.
    bytes: Vec<u8>,
    /// The numbers of a zip's storages by key; `None` in a legacy container, where they follow the pickles.
    storages: Option<HashMap<String, Place>>,
}

/// The unpickled content of a container.
pub(super) struct Content<'a> {
    pub(super) pickle: Pickle<'a>,
    pub(super) root: Value<'a>,
    /// The numbers of each storage by key.
    pub(super) storages: HashMap<String, Place>,
}

impl Container {
    /// Opens a file, and reads its pickle.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is not a plain container of `torch.save`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let mut file = files::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut head = Vec::new();
        file.by_ref().take(foreign::HEAD).read_to_end(&mut head).map_err(io)?;
        if head.starts_with(b"PK\x03\x04") {
            return match zip(&mut file, length).map_err(io)? {
                Ok((bytes, storages)) => Ok(Self { file, length, bytes, storages: Some(storages) }),
                Err(problem) => Err(Error::Checkpoint { path: path.to_owned(), problem }),
            };
        }
        let start = &head[..head.len().min(MAGIC_WITHIN)];
        if !LEGACY_MAGIC.iter().any(|magic| start.windows(magic.len()).any(|part| part == *magic)) {
            return Err(Error::Checkpoint { path: path.to_owned(), problem: foreign::recognise(&head) });
        }
        file.rewind().map_err(io)?;
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_PICKLE).read_to_end(&mut bytes).map_err(io)?;
        Ok(Self { file, length, bytes, storages: None })
    }

    /// Interprets the pickle, and finds the numbers of its storages.
    ///
    /// # Errors
    /// The problem, if the pickle is damaged, or describes more than a file can hold.
    pub(super) fn content(&self) -> std::result::Result<Content<'_>, Problem> {
        let mut pickle = Pickle::default();
        if let Some(storages) = &self.storages {
            let (root, _) = pickle.load(&self.bytes)?;
            return Ok(Content { pickle, root, storages: storages.clone() });
        }
        let mut rest = self.bytes.as_slice();
        for _ in 0..LEGACY_HEAD {
            (_, rest) = pickle.load(rest)?;
        }
        let (root, rest) = pickle.load(rest)?;
        let (keys, rest) = pickle.load(rest)?;
        let start = (self.bytes.len() - rest.len()) as u64;
        let storages = self.legacy_storages(&pickle, keys, start)?;
        Ok(Content { pickle, root, storages })
    }

    /// Returns the places of a legacy container's storages, which follow each other, each after its number of values.
    fn legacy_storages(
        &self,
        pickle: &Pickle,
        keys: Value,
        mut at: u64,
    ) -> std::result::Result<HashMap<String, Place>, Problem> {
        let Value::List(keys) = keys else { return Err("it has no list of its storages".to_owned()) };
        let mut storages = HashMap::new();
        for key in &pickle.lists[keys] {
            let Value::Text(key) = key else { return Err("a storage has no name".to_owned()) };
            let storage = pickle.storages.iter().find(|storage| storage.key == *key);
            let storage = storage.ok_or_else(|| format!("its storage {key:.40} has no type"))?;
            let bytes = storage.len.checked_mul(storage.kind.size()).ok_or(TOO_LARGE)?;
            at = at.checked_add(8).ok_or(TOO_LARGE)?;
            storages.insert((*key).to_owned(), (at, bytes));
            at = at.checked_add(bytes).ok_or(TOO_LARGE)?;
        }
        if at > self.length {
            Err("truncated: some of its numbers are missing".to_owned())
        } else {
            Ok(storages)
        }
    }
}

/// The pickle of a zip, and the places of its storages by key.
type Parts = (Vec<u8>, HashMap<String, Place>);

/// Reads the pickle of a zip of `torch.save`, and finds its storages. Its entries must not be compressed, nor claim more
/// bytes than the file has.
fn zip(file: &mut File, length: u64) -> std::io::Result<std::result::Result<Parts, CheckpointProblem>> {
    let Some(directory) = directory(file, length)? else {
        return corrupt("its directory is not at its end");
    };
    let entries = match entries(&directory, length) {
        Ok(entries) => entries,
        Err(problem) => return corrupt(problem),
    };
    if entries.iter().any(|entry| entry.name.ends_with("/constants.pkl")) {
        return Ok(Err(CheckpointProblem::Unsupported(foreign::TORCHSCRIPT.to_owned())));
    }
    let Some(pickle) = entries.iter().find(|entry| entry.name.ends_with("data.pkl")) else {
        return Ok(Err(CheckpointProblem::Unsupported(foreign::ARCHIVE.to_owned())));
    };
    if pickle.size > MAX_PICKLE {
        return corrupt(TOO_LARGE);
    }
    let folder = pickle.name.trim_end_matches("data.pkl");
    let byte_order = entries.iter().find(|entry| entry.name.strip_prefix(folder) == Some("byteorder"));
    if let Some(entry) = byte_order
        && bytes(file, entry, length)? == b"big"
    {
        return corrupt("it was saved on a big-endian machine");
    }
    let mut storages = HashMap::new();
    for entry in &entries {
        let Some(key) = entry.name.strip_prefix(folder).and_then(|name| name.strip_prefix("data/")) else {
            continue;
        };
        let place = (entry.start(file, length)?, entry.size);
        storages.insert(key.to_owned(), place);
    }
    let pickle = bytes(file, pickle, length)?;
    Ok(Ok((pickle, storages)))
}

/// Returns the problem of a damaged zip.
fn corrupt<T>(problem: impl Into<String>) -> std::io::Result<std::result::Result<T, CheckpointProblem>> {
    Ok(Err(CheckpointProblem::Corrupt(problem.into().into())))
}

/// Returns the bytes of an entry; fewer, if the file is truncated.
fn bytes(file: &mut File, entry: &Entry, length: u64) -> std::io::Result<Vec<u8>> {
    let start = entry.start(file, length)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(entry.size.min(MAX_PICKLE)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the entries of a zip's directory.
fn entries(mut directory: &[u8], length: u64) -> std::result::Result<Vec<Entry>, Problem> {
    let (mut entries, mut total) = (Vec::new(), 0_u64);
    while !directory.is_empty() {
        let Some((entry, rest)) = Entry::read(directory) else {
            return Err("its directory is damaged".to_owned());
        };
        if entry.is_compressed {
            return Err("compressed, but torch.save does not compress".to_owned());
        }
        total = total.saturating_add(entry.size);
        entries.push(entry);
        directory = rest;
    }
    if total > length { Err("its entries claim more bytes than it has".to_owned()) } else { Ok(entries) }
}

/// Returns the directory of a zip file, or `None` if it is not where every reader looks for it. It must end where the
/// end records begin, these must agree, and they must be at the end of the file.
fn directory(file: &mut File, length: u64) -> std::io::Result<Option<Vec<u8>>> {
    const END: usize = 22;
    const LONG_END: usize = 56; // the zip64 end record of a large file
    const LOCATOR: usize = 20; // the locator of that record, which follows it
    let mut tail = [0; LONG_END + LOCATOR + END];
    let Some(tail_at) = length.checked_sub(tail.len() as u64) else { return Ok(None) };
    file.seek(SeekFrom::Start(tail_at))?;
    file.read_exact(&mut tail)?;
    let (long, end) = tail.split_at(LONG_END + LOCATOR);
    let found = (|| {
        let (size, start) = (number(end, 12, 4)?, number(end, 16, 4)?);
        let is_plain = end.starts_with(b"PK\x05\x06\0\0\0\0") && number(end, 20, 2)? == 0;
        let behind = start.checked_add(size)?;
        let long_agrees = long.starts_with(b"PK\x06\x06")
            && [number(long, 4, 8)?, number(long, 40, 8)?, number(long, 48, 8)?] == [44, size, start]
            && long[LONG_END..].starts_with(b"PK\x06\x07")
            && number(long, LONG_END + 8, 8)? == behind;
        let is_there = if behind == tail_at { long_agrees } else { behind == length - END as u64 };
        (is_plain && is_there && size <= MAX_DIRECTORY).then_some((start, size))
    })();
    let Some((start, size)) = found else { return Ok(None) };
    let mut directory = vec![0; size as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut directory)?;
    Ok(Some(directory))
}

/// One entry of a zip file's directory.
struct Entry {
    name: String,
    size: u64,
    is_compressed: bool,
    /// The place of the entry's own header.
    header: u64,
}

impl Entry {
    /// Reads the first entry of a directory, and returns the rest.
    fn read(list: &[u8]) -> Option<(Self, &[u8])> {
        const FIXED: usize = 46;
        let list = list.strip_prefix(b"PK\x01\x02").map(|_| list)?;
        let (stored, size) = (number(list, 20, 4)?, number(list, 24, 4)?);
        let is_compressed = number(list, 10, 2)? != 0 || stored != size;
        let [name, extra, comment] = [28, 30, 32].map(|at| number(list, at, 2).map(|length| length as usize));
        let header = number(list, 42, 4)?;
        let (name, rest) = list.get(FIXED..)?.split_at_checked(name?)?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some((Self { name, size, is_compressed, header }, rest.get(extra? + comment?..)?))
    }

    /// Returns the place of the entry's first byte, behind its own header.
    fn start(&self, file: &mut File, length: u64) -> std::io::Result<u64> {
        const FIXED: u64 = 30;
        let mut header = [0; FIXED as usize];
        if self.header.saturating_add(FIXED) > length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(self.header))?;
        file.read_exact(&mut header)?;
        let [name, extra] = [26, 28].map(|at| number(&header, at, 2).unwrap_or_default());
        Ok(self.header + FIXED + name + extra)
    }
}

/// Returns the little-endian number of `width` bytes at an offset.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
