//! Recognises label maps that hold the ids of classes as dark grey levels.

use std::collections::BTreeSet;

use image::DynamicImage;

use super::labels::Samples;

/// Ids of classes are below this number, and so the image looks black.
const MAX_ID: u16 = 64;
/// The least share of pixels that equal their left neighbour: a label map has areas of one level, a dark photograph has
/// noise.
const MIN_EQUAL: f64 = 0.5;

/// Returns the levels in an image that looks like a map of class ids: grey, with a few low levels in areas of one level
/// each. Such an image looks black. The highest level of the type may occur as well; it often marks pixels without a
/// class. Returns `None` for any other image, and for one with a single level.
///
/// # Examples
/// ```
/// use pix2pix::data::class_ids;
/// use pix2pix::image::{DynamicImage, GrayImage, Luma};
///
/// let map = GrayImage::from_fn(30, 30, |x, _| Luma([(x / 10) as u8]));
/// assert_eq!(class_ids(&DynamicImage::ImageLuma8(map)), Some(vec![0, 1, 2]));
/// assert_eq!(class_ids(&DynamicImage::new_luma8(30, 30)), None);
/// ```
pub fn class_ids(image: &DynamicImage) -> Option<Vec<u16>> {
    class_ids_in(image, [0, 0], [image.height() as usize, image.width() as usize])
}

/// Does the same for the part of an image at `[top, left]`.
pub(super) fn class_ids_in(
    image: &DynamicImage,
    [top, left]: [usize; 2],
    [height, width]: [usize; 2],
) -> Option<Vec<u16>> {
    let samples = Samples::of(image).ok()?;
    let bits = 8 * u32::from(image.color().bytes_per_pixel()) / u32::from(image.color().channel_count());
    let void = if bits == 8 { u16::from(u8::MAX) } else { u16::MAX };
    let (mut levels, mut equal) = (BTreeSet::new(), 0usize);
    for y in top..top + height {
        let mut last = None;
        for x in left..left + width {
            let level = samples.at([x, y]).ok().filter(|level| *level < MAX_ID || *level == void)?;
            if last == Some(level) {
                equal += 1;
            } else {
                levels.insert(level);
                last = Some(level);
            }
        }
    }
    let is_map = equal as f64 >= MIN_EQUAL * (height * width.saturating_sub(1)) as f64;
    // Black and white is a drawing.
    let has_id = levels.iter().any(|level| (1..MAX_ID).contains(level));
    (is_map && has_id && levels.len() > 1).then(|| levels.into_iter().collect())
}
