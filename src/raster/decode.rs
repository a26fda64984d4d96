//! Decodes image files within limits on size and memory, and turns panics of decoders into errors.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::header::{ImageHeader, Kind, MAX_METADATA, decoder_limits, mended_png};
use super::limits::{ImageLimits, MemoryPermit};
use super::source::{NOT_A_NUMBER, Pixels};
use super::truncated::{is_truncated_webp, jpeg_problem};
use crate::error::{Error, Result};

/// The largest length of a file in bytes.
const MAX_FILE: u64 = 1 << 30;
/// The bytes of a JPEG that are read at most, plus [`MAX_JPEG_PIXEL`] for each pixel. A video may follow the image.
const MAX_JPEG: u64 = 64 << 20;
const MAX_JPEG_PIXEL: u64 = 8;
/// The largest length of a colour profile in bytes. Longer ones are ignored.
const MAX_PROFILE: usize = 4 << 20;

/// An image, its colour profile, and the memory that both take in the budget.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedImage {
    /// The image, upright.
    pub image: DynamicImage,
    /// The ICC colour profile in the file, unchanged.
    pub profile: Option<Vec<u8>>,
    /// The memory of image, profile and working copies.
    pub permit: MemoryPermit,
}

/// Reads an image of a type that `image` decodes, and holds its memory in the budget of `limits`.
pub(super) fn load_decoded(
    path: &Path,
    limits: &ImageLimits,
    working: impl Fn(&ImageHeader) -> u64,
) -> Result<LoadedImage> {
    let (mut file, length) = open(path)?;
    let header = guarded(path, || ImageHeader::read(&mut file))?;
    if let Some(problem) = limits.problem([header.width, header.height], header.bytes) {
        return Err(Error::image(path, problem));
    }
    let working = working(&header);
    let most = length.min(MAX_JPEG + MAX_JPEG_PIXEL * u64::from(header.width) * u64::from(header.height));
    // The decoder of JPEG copies the file.
    let read = if header.kind == Kind::Jpeg { 2 * most } else { 0 };
    // Rotating an image upright copies it.
    let decoding = read + header.decoder + 2 * header.bytes;
    let mut permit = limits.budget().take(decoding.max(header.bytes + working + MAX_METADATA));
    let io = |error| Error::io(path, error);
    file.rewind().map_err(io)?;
    let (image, profile) = match header.kind {
        Kind::Jpeg => {
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes).map_err(io)?;
            if let Some(problem) = jpeg_problem(&bytes) {
                return Err(Error::image(path, problem));
            }
            guarded(path, || decode(Cursor::new(bytes), decoder_limits(&header)))?
        }
        Kind::Png => match mended_png(&mut file, length).map_err(io)? {
            Some(bytes) => guarded(path, || decode(Cursor::new(bytes), decoder_limits(&header)))?,
            None => {
                file.rewind().map_err(io)?;
                guarded(path, || decode(file, decoder_limits(&header)))?
            }
        },
        Kind::WebP | Kind::Other => {
            if header.kind == Kind::WebP && is_truncated_webp(&mut file, length).map_err(io)? {
                let problem = "the file is truncated: this WebP is shorter than its header states; use a \
                               complete copy";
                return Err(Error::image(path, problem));
            }
            guarded(path, || decode(file, decoder_limits(&header)))?
        }
    };
    check(path, &image)?;
    let profile = profile.filter(|profile| profile.len() <= MAX_PROFILE);
    let kept = image.as_bytes().len() + profile.as_ref().map_or(0, Vec::len);
    permit.shrink(kept as u64 + working);
    Ok(LoadedImage { image, profile, permit })
}

/// Runs a decoder. A bug in a decoder must not end a long run.
pub(super) fn guarded<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    path: &Path,
    decode: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .map_err(|_| {
            Error::image(path, "the decoder failed on this file; convert it to PNG or to 16-bit TIFF")
        })?
        .map_err(|error| Error::image(path, error))
}

/// Rejects images without pixels, which some formats allow, and NaN.
fn check(path: &Path, image: &DynamicImage) -> Result<()> {
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::image(path, "it has no pixels"));
    }
    if Pixels::of(image, 3).is_some_and(|pixels| pixels.has_unusable_values()) {
        return Err(Error::image(path, NOT_A_NUMBER));
    }
    Ok(())
}

/// Opens a regular file, and returns its length. Reading a pipe or a device may block or never end, so those are
/// rejected.
pub(super) fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let io = |error| Error::io(path, error);
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::image(
            path,
            "this is not a file, but a folder, a pipe or a device; name an image file",
        ));
    }
    match metadata.len() {
        0 => Err(Error::image(path, "the file is empty")),
        length if length > MAX_FILE => Err(Error::image(path, "the file is longer than 1 GiB")),
        length => Ok((BufReader::new(File::open(path).map_err(io)?), length)),
    }
}

/// Decodes an image and its colour profile within the limits.
fn decode(bytes: impl BufRead + Seek, limits: Limits) -> image::ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::new(bytes).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    // Damaged metadata does not affect the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or(None);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, profile))
}

/// Returns the width and height in the header of an image file, before rotation by the EXIF orientation, or `None` if
/// the header cannot be read.
pub(crate) fn stored_size(path: &Path) -> Option<[u32; 2]> {
    let (mut file, _) = open(path).ok()?;
    let header = guarded(path, || ImageHeader::read(&mut file)).ok()?;
    Some([header.width, header.height])
}
