//! Writes a file of `torch.save`: a zip whose entries are not compressed, with a pickle of names and shapes, and the
//! numbers of each tensor.

use std::path::Path;

use super::state_pickle;
use crate::error::{CheckpointProblem, Error, Result};
use crate::files::{Output, write_atomically_by};
use crate::weights::{Entry, Precision};

/// The folder of all entries in the zip.
const FOLDER: &str = "archive";
/// PyTorch aligns the numbers of each tensor to this many bytes, so that they can be mapped into memory.
const ALIGNMENT: u64 = 64;
/// The largest size of a zip file without the extension for larger ones.
const MAX_LENGTH: u64 = u32::MAX as u64;
/// Room for the directory and the headers of each entry.
const OVERHEAD: u64 = 1 << 10;
/// The first of January 1980 as MS-DOS writes it, the earliest date of a zip file.
const DATE: u16 = 0x21;
/// The version of the zip format that readers must know.
const VERSION: u16 = 20;
/// The flag of names in UTF-8.
const UTF_8: u16 = 1 << 11;

/// Writes tensors as `torch.save` writes a state dict, atomically and one tensor after another.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Device`] if the device fails to return a tensor;
/// [`Error::Checkpoint`] if the file would be larger than 4 GiB.
pub(super) fn write(entries: &[Entry<'_>], precision: Precision, path: &Path) -> Result<()> {
    let length: u64 = entries.iter().map(|entry| entry.size(precision) as u64 + OVERHEAD).sum();
    if length > MAX_LENGTH {
        let problem = format!("the weights take {length} bytes, more than 4 GiB; write a .safetensors file");
        return Err(Error::Checkpoint {
            path: path.to_owned(),
            problem: CheckpointProblem::Unsupported(problem),
        });
    }
    write_atomically_by(path, |output| {
        let mut zip = Zip { output, directory: vec![], count: 0 };
        zip.add("data.pkl", &state_pickle::bytes(entries, precision))?;
        zip.add("byteorder", b"little")?;
        for (key, entry) in entries.iter().enumerate() {
            entry.with_bytes(precision, |bytes| zip.add(&format!("data/{key}"), bytes))?;
        }
        zip.add("version", b"3\n")?;
        zip.finish()
    })
}

/// A zip file that is being written.
struct Zip<'a, 'b> {
    output: &'a mut Output<'b>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip<'_, '_> {
    /// Adds an entry.
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        /// The size of an entry's header before its name.
        const FIXED: usize = 30;
        /// The size of the head of the extra field that PyTorch fills up with padding.
        const HEAD: usize = 4;
        let name = format!("{FOLDER}/{name}");
        let header = self.output.length();
        let unpadded = header + (FIXED + name.len() + HEAD) as u64;
        let padding = (unpadded.next_multiple_of(ALIGNMENT) - unpadded) as u16;
        let size = bytes.len() as u32;
        let mut common = Vec::new();
        for half in [VERSION, UTF_8, 0, 0, DATE] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc32fast::hash(bytes), size, size] {
            common.extend(word.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());

        let mut local = [b"PK\x03\x04", &common[..]].concat();
        local.extend((HEAD as u16 + padding).to_le_bytes());
        local.extend(name.as_bytes());
        local.extend(b"FB");
        local.extend(padding.to_le_bytes());
        local.resize(local.len() + usize::from(padding), b'Z');
        self.output.write(&local)?;
        self.output.write(bytes)?;

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(VERSION.to_le_bytes());
        self.directory.extend(&common);
        // No extra field, no comment, the first disk, no attributes.
        self.directory.extend([0; 2 + 2 + 2 + 2 + 4]);
        self.directory.extend((header as u32).to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// Writes the directory and the end record.
    fn finish(self) -> Result<()> {
        let start = self.output.length() as u32;
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([self.count, self.count].map(u16::to_le_bytes).concat());
        end.extend([self.directory.len() as u32, start].map(u32::to_le_bytes).concat());
        end.extend([0; 2]); // no comment
        self.output.write(&self.directory)?;
        self.output.write(&end)
    }
}
