//! Reads the numbers that a PNG file stores where decoding as an image would change them.

use std::path::Path;

use image::DynamicImage;

use crate::error::Result;

/// Reads the samples of a PNG file that an image decoder converts: the indices of a palette, which become colours, and
/// grey levels of fewer than 8 bits, which are stretched. Returns `None` for any other file.
///
/// The caller has read the file as an image, which checks its size.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if the file cannot be read,
/// [`Error::Image`](crate::error::Error::Image) if it is damaged.
#[cfg(feature = "codecs")]
pub(crate) fn read_indices(path: &Path) -> Result<Option<DynamicImage>> {
    use std::fs::File;
    use std::io::{BufReader, Read, Seek};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::error::Error;

    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let mut start = Vec::new();
    file.by_ref().take(26).read_to_end(&mut start).map_err(io)?;
    // The header comes first: its bit depth is at 24, its colour type at 25. 0 is grey, 3 a palette.
    let [0x89, b'P', b'N', b'G', .., bits, colour] = start[..] else { return Ok(None) };
    if start.len() != 26 || !(colour == 3 || (colour == 0 && bits < 8)) {
        return Ok(None);
    }
    file.rewind().map_err(io)?;
    // A bug in the decoder must not end a long run.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(BufReader::new(file))));
    let Ok(decoded) = decoded else {
        return Err(Error::image(path, "the decoder failed on this file; convert it to grey PNG of 8 bits"));
    };
    decoded.map(Some).map_err(|error| Error::image(path, error))
}

/// Without decoders, there are no files.
#[cfg(not(feature = "codecs"))]
pub(crate) fn read_indices(_: &Path) -> Result<Option<DynamicImage>> {
    Ok(None)
}

/// Decodes the samples of at most 8 bits, unchanged, and rotates them upright.
#[cfg(feature = "codecs")]
fn decode(
    file: impl std::io::BufRead + std::io::Seek,
) -> std::result::Result<DynamicImage, png::DecodingError> {
    use image::GrayImage;
    use image::metadata::Orientation;

    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let mut packed = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut packed)?;
    let bits = frame.bit_depth as usize;
    let width = frame.width as usize;
    let mut samples = Vec::with_capacity(width * frame.height as usize);
    for row in packed.chunks_exact(frame.line_size).take(frame.height as usize) {
        // The first pixel of a byte is in its highest bits.
        let sample = |x: usize| {
            let byte = row[x * bits / 8];
            (byte >> (8 - bits - x * bits % 8)) & (0xff >> (8 - bits))
        };
        samples.extend((0..width).map(sample));
    }
    let image = GrayImage::from_raw(frame.width, frame.height, samples);
    let mut image = DynamicImage::ImageLuma8(image.ok_or(png::DecodingError::LimitsExceeded)?);
    let exif = reader.info().exif_metadata.as_deref();
    image.apply_orientation(exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms));
    Ok(image)
}
