//! Reads image files within limits on size and memory, and turns panics of decoders into errors.

use std::fs::File;
use std::io::{BufRead, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::source::{NOT_A_NUMBER, Pixels};
use super::truncated::truncated;
use crate::error::{Error, Result};

/// The largest width or height. A file of a few bytes can claim any size.
const MAX_SIDE: u32 = 16_384;
/// The largest length of a file in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Reads an image file and rotates the image upright by its EXIF orientation. Of an animation, it reads the first
/// frame.
///
/// No side may have more than 16 384 pixels, and the decoded image must fit into 512 MiB. Truncated files are rejected.
/// Changed bytes in formats without checksums, such as JPEG, are not detected.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is not an image, damaged or too large, if a pixel is NaN (in floating-point TIFF files), or
///   if the path names a folder, a pipe or a device
pub fn read_image(path: impl AsRef<Path>) -> Result<DynamicImage> {
    read_image_with_profile(path).map(|(image, _)| image)
}

/// Reads an image as [`read_image`] does, and the ICC colour profile in the file, if there is one.
///
/// The profile is returned unchanged. It may describe other channels than those of the image: CMYK images are converted
/// to RGB, for example.
///
/// # Errors
/// As [`read_image`].
pub fn read_image_with_profile(path: impl AsRef<Path>) -> Result<(DynamicImage, Option<Vec<u8>>)> {
    let path = path.as_ref();
    let bytes = read(path)?;
    if let Some(problem) = truncated(&bytes) {
        return Err(Error::image(path, problem));
    }
    // A bug in a decoder must not end a long run.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(Cursor::new(bytes))));
    let Ok(decoded) = decoded else {
        return Err(Error::image(path, "the decoder failed on this file; convert it to PNG"));
    };
    let (image, profile) = decoded.map_err(|error| Error::image(path, error))?;
    // Some formats allow images without pixels.
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::image(path, "it has no pixels"));
    }
    if Pixels::of(&image, 3).is_some_and(|pixels| pixels.has_unusable_values()) {
        return Err(Error::image(path, NOT_A_NUMBER));
    }
    Ok((image, profile))
}

/// Reads a regular file. Reading a pipe or a device may block or never end, so those are rejected.
fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, error);
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::image(
            path,
            "this is not a file, but a folder, a pipe or a device; name an image file",
        ));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 {
        0 => Err(Error::image(path, "the file is empty")),
        length if length > MAX_FILE => Err(Error::image(path, "the file is longer than 1 GiB")),
        _ => Ok(bytes),
    }
}

/// Decodes an image and its colour profile within the limits.
fn decode(bytes: impl BufRead + Seek) -> image::ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::new(bytes).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Damaged metadata does not affect the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or(None);
    // Decoders check width and height; the caller must check the memory of the image.
    limits.reserve(decoder.total_bytes())?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, profile))
}
