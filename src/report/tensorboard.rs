//! Event files for TensorBoard: its protocol buffers and its record format, as far as scalars and pictures need them.
//!
//! Our own, as the crates that write them are no longer kept or need a protobuf compiler to build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::{Record, page};
use crate::files::{self, append};
use crate::{Error, Result};

/// One name for all of a run, so that a run that goes on replaces the file. TensorBoard looks for `tfevents`.
const FILE: &str = "events.out.tfevents.0.pix2pix";

/// What TensorBoard calls a record's values, and what the page does.
const TAGS: [(&str, &str); 14] = [
    ("loss/G_L1", "G_L1"),
    ("loss/G_GAN", "G_GAN"),
    ("loss/D_real", "D_real"),
    ("loss/D_fake", "D_fake"),
    ("epoch/G_L1", "Mean G_L1"),
    ("epoch/G_GAN", "Mean G_GAN"),
    ("epoch/D_real", "Mean D_real"),
    ("epoch/D_fake", "Mean D_fake"),
    ("accuracy/D_real", "Accuracy on real"),
    ("accuracy/D_fake", "Accuracy on fake"),
    ("validation/L1", "Validation L1"),
    ("validation/PSNR", "PSNR"),
    ("validation/SSIM", "SSIM"),
    ("learning_rate", "Learning rate"),
];

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct Events {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// The name that it has until it is published.
    scratch: Option<NamedTempFile>,
}

impl Events {
    /// Begins an event file in `folder`, which is made where absent, beside any earlier one.
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        files::sweep(folder)?;
        let path = folder.join(FILE);
        let begun =
            files::scratch_in(folder).and_then(|scratch| Ok((scratch.as_file().try_clone()?, scratch)));
        let (file, scratch) = begun.map_err(|error| Error::io(&path, error))?;
        let mut events = Self { folder: folder.to_owned(), path, file, scratch: Some(scratch) };
        events.write(0, &Message::default().bytes(3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// Takes the place of the earlier file, which was whole until now.
    pub(super) fn published(mut self) -> Result<Self> {
        if let Some(scratch) = self.scratch.take() {
            files::rename(scratch.path(), &self.path)?;
            let _ = scratch.keep(); // it has another name now
            files::sync_folder(&self.folder)?;
        }
        Ok(self)
    }

    /// Adds the values of `record` as scalars.
    pub(super) fn record(&mut self, record: &Record) -> Result<()> {
        let values = TAGS.iter().filter_map(|(tag, name)| Some((tag, page::value(record, name)?)));
        let summary = values.fold(Message::default(), |summary, (tag, value)| {
            let value = Message::default().bytes(1, tag.as_bytes()).float(2, value as f32);
            summary.bytes(1, &value.0)
        });
        self.write(record.position().0, &Message::default().bytes(5, &summary.0))
    }

    /// Adds a picture, the bytes of a PNG file.
    pub(super) fn picture(&mut self, step: u64, [width, height]: [u32; 2], png: &[u8]) -> Result<()> {
        const RGB: u64 = 3;
        let image = Message::default().number(1, height.into()).number(2, width.into());
        let image = image.number(3, RGB).bytes(4, png);
        let value = Message::default().bytes(1, b"input, output, target").bytes(4, &image.0);
        let summary = Message::default().bytes(1, &value.0);
        self.write(step, &Message::default().bytes(5, &summary.0))
    }

    fn write(&mut self, step: u64, rest: &Message) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = Message::default().double(1, time.as_secs_f64()).number(2, step);
        event.0.extend(&rest.0);
        append(&self.file, &self.path, &framed(&event.0))
    }
}

/// A record: the length and its checksum, the event and its checksum.
fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), event, &masked(event)].concat()
}

/// Checksums are masked there because data that contain their own checksum would be a bad case for CRC.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A protocol buffer in the making: fields by number, each after a key that tells its kind.
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

    /// Seven bits a byte, the lowest first, the eighth bit set on all but the last.
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
    fn records_are_as_tensorflow_writes_them() {
        // The first record of every event file of TensorFlow, but for the time: 1.0 here.
        let event = Message::default().double(1, 1.0).bytes(3, b"brain.Event:2");
        assert_eq!(event.0.len(), 24);
        let record = framed(&event.0);
        assert_eq!(record[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(record.len(), 24 + 16);
        assert_eq!(Message::default().number(2, 300).0, [0x10, 0xac, 0x02]);
    }
}
