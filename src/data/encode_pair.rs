//! Encodes both images of a pair as one file.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage, imageops};

use super::seam::{MARK, MARK_START};
use crate::error::{Error, Result};

/// Returns a PNG file with A and B side by side.
///
/// A text chunk marks the file, so that [`PairedFolder`](super::PairedFolder) takes it for a pair without looking at its
/// content.
///
/// # Errors
/// [`Error::Image`] if the images have different sizes, or if the feature `codecs` is off.
///
/// # Examples
/// ```
/// # #[cfg(feature = "codecs")] {
/// use pix2pix::data::encode_pair;
/// use pix2pix::image::{RgbImage, load_from_memory};
///
/// let png = encode_pair([&RgbImage::new(40, 30), &RgbImage::new(40, 30)])?;
/// assert_eq!(load_from_memory(&png).unwrap().width(), 80);
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn encode_pair([a, b]: [&RgbImage; 2]) -> Result<Vec<u8>> {
    let [size, other] = [a, b].map(RgbImage::dimensions);
    if size != other {
        let problem = format!("A has {size:?} pixels, but B has {other:?}; both must have the same size");
        return Err(Error::in_memory_image(problem));
    }
    let (width, height) = size;
    let mut both = RgbImage::new(2 * width, height);
    imageops::replace(&mut both, a, 0, 0);
    imageops::replace(&mut both, b, i64::from(width), 0);
    let mut png = Cursor::new(Vec::new());
    let encoded = DynamicImage::from(both).write_to(&mut png, ImageFormat::Png);
    encoded.map_err(Error::in_memory_image)?;
    let png = png.into_inner();
    Ok([&png[..MARK_START], MARK, &png[MARK_START..]].concat())
}
