//! Reads image files within limits of size and memory, and catches a decoder's panic.

use std::fs::File;
use std::io::{BufRead, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::source::{NOT_A_NUMBER, Pixels};
use super::truncated::truncated;
use crate::error::{Error, Result};

/// The largest width or height: a file of a few bytes can claim to be enormous.
const MAX_SIDE: u32 = 16_384;
/// The largest length of a file in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Reads an image file and turns the image upright by its EXIF orientation; of an animation, it reads the first frame.
///
/// No side may have more than 16 384 pixels, and the image must fit into 512 MiB. A truncated file is refused. Damage
/// that leaves an image of the same size is not noticed: changed bytes in the middle of a JPEG, for instance, as that
/// type has no checksums.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is not an image, damaged or too large, if a pixel is NaN (in TIFF files of floating-point
///   numbers), or if the path names a folder, a pipe or a device
pub fn read_image(path: impl AsRef<Path>) -> Result<DynamicImage> {
    read_image_with_profile(path).map(|(image, _)| image)
}

/// Reads an image as [`read_image`] does, and the ICC colour profile in the file, if there is one.
///
/// The profile is returned as it stands in the file. It may be for other channels than the image's: images in CMYK, for
/// instance, are turned into RGB.
///
/// # Errors
/// As [`read_image`].
pub fn read_image_with_profile(path: impl AsRef<Path>) -> Result<(DynamicImage, Option<Vec<u8>>)> {
    let path = path.as_ref();
    let bytes = read(path)?;
    if let Some(problem) = truncated(&bytes) {
        return Err(Error::image(path, problem));
    }
    // A decoder's bug must not end a long run.
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

/// Reads a regular file; others, such as pipes, may never end or never begin.
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

fn decode(bytes: impl BufRead + Seek) -> image::ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::new(bytes).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Damage in the metadata does no harm to the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or(None);
    // Decoders check the sides; the caller has to check the memory of the image itself.
    limits.reserve(decoder.total_bytes())?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, profile))
}
