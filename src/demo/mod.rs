//! Draws pairs for demonstrations and tests: label maps of façades, and "photographs" painted from the same layouts.
//!
//! The program's demo and study, the examples and the tests use them, and therefore need no download.

mod facade;
mod paint;

use std::ops::Range;
use std::path::Path;

pub use facade::pair;

use crate::data::encode_pair;
use crate::error::{Error, Result};

/// The first index of the validation pairs. Training pairs start at 0.
pub const HELD_OUT: u64 = 1 << 32;

/// Draws the pairs `indices` of the set `seed` into `folder` as `0000.png`, `0001.png` …: label map on the left,
/// photograph on the right, each `size`×`size` pixels.
///
/// Creates the folder if it does not exist. Each file is written atomically, and replaces a file of the same name.
///
/// # Errors
/// [`Error::Io`] or [`Error::Image`] if a file cannot be written.
///
/// # Examples
/// ```
/// use pix2pix::demo;
///
/// # fn main() -> pix2pix::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// demo::draw_pairs(folder.join("train"), 0..3, 32, 0)?;
/// demo::draw_pairs(folder.join("val"), demo::HELD_OUT..demo::HELD_OUT + 1, 32, 0)?;
/// assert!(folder.join("train/0002.png").is_file() && folder.join("val/0000.png").is_file());
/// # Ok(())
/// # }
/// ```
pub fn draw_pairs(folder: impl AsRef<Path>, indices: Range<u64>, size: u32, seed: u64) -> Result<()> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    for (number, index) in indices.enumerate() {
        let path = folder.join(format!("{number:04}.png"));
        let (left, right) = pair(seed, index, size);
        let unfinished = path.with_extension("part");
        let png = encode_pair([&left, &right]).map_err(|error| error.in_file(&unfinished))?;
        let written = std::fs::write(&unfinished, png).and_then(|()| std::fs::rename(&unfinished, &path));
        written.map_err(|error| Error::io(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn side_by_side((left, right): (RgbImage, RgbImage)) -> RgbImage {
        let png = encode_pair([&left, &right]).unwrap();
        image::load_from_memory(&png).unwrap().into_rgb8()
    }

    #[test]
    fn pairs_are_a_function_of_seed_index_and_size() {
        let checksum = |seed, index, size| crc32c::crc32c(side_by_side(pair(seed, index, size)).as_raw());
        assert_eq!(
            [checksum(0, 0, 64), checksum(0, HELD_OUT, 64), checksum(7, 3, 256)],
            [0x0b8a_9326, 0x2de6_25c6, 0xf1db_5208]
        );
    }

    #[test]
    fn the_folder_contains_only_the_pairs() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            draw_pairs(folder.path().join("new/train"), 5..7, 32, 1).unwrap();
        }
        let train = folder.path().join("new/train");
        assert_eq!(std::fs::read_dir(&train).unwrap().count(), 2);
        let found = image::open(train.join("0001.png")).unwrap().to_rgb8();
        assert_eq!(found, side_by_side(pair(1, 6, 32)));
    }
}
