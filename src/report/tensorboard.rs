//! Event files for TensorBoard: as much of its protocol buffers and record format as scalars and images need.
//!
//! The crates that write such files are unmaintained or need a protobuf compiler to build.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::record::Record;
use super::series;
use crate::error::{Error, Result};
use crate::files::{self, append};

/// The name of the event file, constant so that a resumed run replaces it. TensorBoard looks for `tfevents` in names.
const FILE: &str = "events.out.tfevents.0.pix2pix";

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct Events {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// The scratch file, until it is published.
    scratch: Option<NamedTempFile>,
}

impl Events {
    /// Creates an event file in `folder`, which is created if absent. An earlier file is kept until
    /// [`published`](Self::published).
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        files::own_folder(folder)?;
        files::sweep(folder)?;
        let path = folder.join(FILE);
        let begun =
            files::scratch_in(folder).and_then(|scratch| Ok((scratch.as_file().try_clone()?, scratch)));
        let (file, scratch) = begun.map_err(|error| Error::io(&path, error))?;
        let mut events = Self { folder: folder.to_owned(), path, file, scratch: Some(scratch) };
        events.write(0, &Message::default().bytes(3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// Replaces the earlier file by this one, atomically.
    pub(super) fn published(mut self) -> Result<Self> {
        if let Some(scratch) = self.scratch.take() {
            files::sync(&self.file, &self.path)?;
            files::rename(scratch.path(), &self.path)?;
            let _ = scratch.keep(); // it is renamed, so there is nothing to remove
            files::sync_folder(&self.folder)?;
        }
        Ok(self)
    }

    /// Adds the values of `record` as scalars.
    pub(super) fn record(&mut self, record: &Record) -> Result<()> {
        let values = series::values(record).into_iter().filter_map(|value| Some((value.tag?, value.number)));
        let summary = values.fold(Message::default(), |summary, (tag, number)| {
            let value = Message::default().bytes(1, tag.as_bytes()).float(2, number as f32);
            summary.bytes(1, &value.0)
        });
        self.write(record.position().0, &Message::default().bytes(5, &summary.0))
    }

    /// Adds an image, the bytes of a PNG file.
    pub(super) fn image(&mut self, step: u64, [width, height]: [u32; 2], png: &[u8]) -> Result<()> {
        const RGB: u64 = 3;
        let image = Message::default().number(1, height.into()).number(2, width.into());
        let image = image.number(3, RGB).bytes(4, png);
        let value = Message::default().bytes(1, b"input, output, target").bytes(4, &image.0);
        let summary = Message::default().bytes(1, &value.0);
        self.write(step, &Message::default().bytes(5, &summary.0))
    }

    /// Appends an event with the current time, `step`, and the fields of `rest`.
    fn write(&mut self, step: u64, rest: &Message) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = Message::default().double(1, time.as_secs_f64()).number(2, step);
        event.0.extend(&rest.0);
        append(&self.file, &self.path, &framed(&event.0))
    }
}

/// Returns an event as a record: its length, the checksum of the length, the event, and its checksum.
fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), event, &masked(event)].concat()
}

/// Returns the masked CRC-32C. TensorFlow masks it because a CRC is weak for data that contain CRCs.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A protocol buffer: a sequence of fields, each after a key with its number and its wire type.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends a number in groups of seven bits, lowest first, with the eighth bit set in all bytes but the last.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_equal_those_of_tensorflow() {
        // The first record of every event file of TensorFlow, with 1.0 as its time.
        let event = Message::default().double(1, 1.0).bytes(3, b"brain.Event:2");
        assert_eq!(event.0.len(), 24);
        let record = framed(&event.0);
        assert_eq!(record[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(record.len(), 24 + 16);
        assert_eq!(Message::default().number(2, 300).0, [0x10, 0xac, 0x02]);
    }
}
