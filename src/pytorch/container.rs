//! Checks the container of a `.pth` file before it is unpacked.
//!
//! A few kilobytes of a crafted file can unpack to gigabytes. PyTorch does not compress, and its metadata is small, so
//! files with compressed entries or large metadata are refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};

/// The largest size of names and shapes in bytes; those of a network take about 30 000 bytes.
const MAX_PICKLE: usize = 1 << 20;
/// The largest size of a zip file's directory in bytes; it has one entry for each tensor.
const MAX_DIRECTORY: u64 = 1 << 20;
/// The pickles at the beginning of a legacy container: magic number, version, system, names and shapes, order.
const LEGACY_PICKLES: usize = 5;
/// The magic number of a legacy container, as bytes and as text.
const LEGACY_MAGIC: [&[u8]; 2] =
    [&[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], b"119547037146038801333356"];
/// The number of bytes at the start of a file that must contain the magic number.
const MAGIC_WITHIN: usize = 64;

/// Checks that a file is one of PyTorch's two containers and does not unpack to more than its length, and returns the
/// length.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if a check fails.
pub(super) fn check(path: &Path) -> Result<u64> {
    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    file.by_ref().take(MAX_PICKLE as u64).read_to_end(&mut start).map_err(io)?;
    let head = &start[..start.len().min(MAGIC_WITHIN)];
    let fits = if head.starts_with(b"PK\x03\x04") {
        zip_is_plain(&mut file, length).map_err(io)?
    } else if LEGACY_MAGIC.iter().any(|magic| head.windows(magic.len()).any(|part| part == *magic)) {
        // A pickle that does not end within the bytes that were read is too long or truncated.
        let mut rest = Some(start.as_slice());
        for _ in 0..LEGACY_PICKLES {
            rest = rest.and_then(after_pickle);
        }
        rest.map(|_| ()).ok_or("its names and shapes are truncated, or larger than those of a network")
    } else {
        Err("not a zip or legacy file of torch.save")
    };
    fits.map_err(|problem| Error::corrupt(path, problem))?;
    Ok(length)
}

/// Checks that the entries of a zip file are not compressed and do not claim more bytes than the file has.
fn zip_is_plain(file: &mut File, length: u64) -> std::io::Result<std::result::Result<(), &'static str>> {
    let Some(directory) = directory(file, length)? else {
        return Ok(Err("damaged, or not a zip of torch.save: its directory is not at its end"));
    };
    let (mut rest, mut total) = (directory.as_slice(), 0);
    while !rest.is_empty() {
        let Some(entry) = Entry::read(rest) else { return Ok(Err("its directory is damaged")) };
        if entry.is_compressed {
            return Ok(Err("compressed, but torch.save does not compress"));
        }
        if entry.name.ends_with(b"data.pkl") && entry.size > MAX_PICKLE as u64 {
            return Ok(Err("its names and shapes are larger than those of a network"));
        }
        total += entry.size;
        rest = entry.rest;
    }
    Ok(if total > length { Err("its entries claim more bytes than it has") } else { Ok(()) })
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

/// One entry of a zip file's directory, and the rest of the directory.
struct Entry<'a> {
    name: &'a [u8],
    size: u64,
    is_compressed: bool,
    rest: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(list: &'a [u8]) -> Option<Self> {
        const FIXED: usize = 46;
        let list = list.strip_prefix(b"PK\x01\x02").map(|_| list)?;
        let (stored, size) = (number(list, 20, 4)?, number(list, 24, 4)?);
        let is_compressed = number(list, 10, 2)? != 0 || stored != size;
        let [name, extra, comment] = [28, 30, 32].map(|at| number(list, at, 2).map(|length| length as usize));
        let (name, rest) = list.get(FIXED..)?.split_at_checked(name?)?;
        Some(Self { name, size, is_compressed, rest: rest.get(extra? + comment?..)? })
    }
}

/// Returns the bytes after the first pickle, or `None` if it does not end. The pickle is skipped, not interpreted.
fn after_pickle(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&code, rest) = bytes.split_first()?;
        let prefixed = |width: usize| Some(width.checked_add(number(rest, 0, width)?.try_into().ok()?));
        // The length of the argument, by the table in Python's pickletools.py.
        let length = match code {
            b'.' => return Some(rest),
            b'K' | b'q' | b'h' | 0x80 | 0x82 => 1,
            b'M' | 0x83 => 2,
            b'J' | b'r' | b'j' | 0x84 => 4,
            b'G' | 0x95 => 8,
            b'U' | b'C' | 0x8a | 0x8c => prefixed(1)??,
            b'T' | b'B' | b'X' | 0x8b => prefixed(4)??,
            0x8d | 0x8e | 0x96 => prefixed(8)??,
            b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'p' | b'g' => line(rest)?,
            b'c' | b'i' => {
                let first = line(rest)?;
                first + line(rest.get(first..)?)?
            }
            _ => 0,
        };
        bytes = rest.get(length..)?;
    }
}

/// Returns the length of the first line, with its line feed.
fn line(bytes: &[u8]) -> Option<usize> {
    Some(bytes.iter().position(|byte| *byte == b'\n')? + 1)
}

/// Returns the little-endian number of `width` bytes at an offset.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
