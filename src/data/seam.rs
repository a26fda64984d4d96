//! Judges whether files hold both images of a pair, by the seam between them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

use super::layout::Layout;
use crate::raster::{ImageLimits, load_image};

/// The largest number of files that are decoded to judge a folder.
const MAX_SAMPLE: usize = 48;
/// The smallest number of files that condemns a folder.
const MIN_AGAINST: usize = 3;
/// Smaller images show too little to be judged.
const MIN_SIDE: u32 = 32;
/// The columns on each side of the middle with which the seam is compared.
const NEIGHBOURS: std::ops::RangeInclusive<u32> = 2..=10;

/// The correlation of the two columns in the middle above which content continues across them.
const MIN_CORRELATION: f64 = 0.8;
/// The standard deviation in levels of 8 bits below which a column shows nothing.
const MIN_DEVIATION: f64 = 8.0;

/// The text chunk that marks a PNG file as a pair: its length, name, key and text, and checksum.
pub(super) const MARK: &[u8] = b"\0\0\0\x14tEXtComment\0pix2pix pair\x9d8\x92\xd8";
/// The position of the mark: after the signature and the header chunk.
pub(super) const MARK_START: usize = 33;

/// Returns whether an image looks like two images side by side: `Some(true)` if it has a seam in its middle,
/// `Some(false)` if its content continues across the middle or both halves are equal, `None` if it shows neither.
///
/// Images with little content around the middle, noise and small images show neither.
///
/// # Examples
/// ```
/// use pix2pix::data::looks_like_pair;
///
/// let shades = |x: u32, y: u32| ((x * 7 + y * y * 3) % 61) as u8;
/// let pair = image::GrayImage::from_fn(128, 64, |x, y| image::Luma([shades(x, y) / 4 + if x < 64 { 190 } else { 0 }]));
/// assert_eq!(looks_like_pair(&pair.into()), Some(true));
/// assert_eq!(looks_like_pair(&image::DynamicImage::new_rgb8(128, 64)), None);
/// ```
#[must_use]
pub fn looks_like_pair(image: &DynamicImage) -> Option<bool> {
    let (width, height) = (image.width(), image.height());
    if width.min(height) < MIN_SIDE {
        return None;
    }
    let middle = width / 2;
    // Only the columns that are compared become colours.
    let column = |x: u32| image.crop_imm(x, 0, 1, height).into_rgb8();
    let step = |x: u32| difference(&column(x), &column(x + 1));
    let seam = step_in_middle(image);
    let local = median(NEIGHBOURS.flat_map(|k| [middle - 1 - k, middle - 1 + k]).map(step).collect());
    if has_equal_halves(image) {
        return Some(false);
    }
    if seam > 3.0 * local + 4.0 {
        return Some(true);
    }
    let [left, right] = [column(middle - 1), column(middle)];
    let continues = seam < 1.7 * local && correlation(&left, &right) > MIN_CORRELATION;
    continues.then_some(false)
}

/// Returns whether both halves have the same pixels, more than one colour.
fn has_equal_halves(image: &DynamicImage) -> bool {
    let (half, height) = (image.width() / 2, image.height());
    let column = |x: u32| image.crop_imm(x, 0, 1, height).into_rgb8();
    let first = column(0);
    image.width().is_multiple_of(2)
        && (0..half).all(|x| column(x) == column(half + x))
        && (!is_flat(&first) || (1..half).any(|x| column(x) != first))
}

fn is_flat(column: &RgbImage) -> bool {
    column.pixels().all(|pixel| pixel == column.get_pixel(0, 0))
}

/// Returns the correlation of two columns; 0 for columns with little content, such as a background.
fn correlation(a: &RgbImage, b: &RgbImage) -> f64 {
    let count = a.as_raw().len() as f64;
    let mean = |values: &RgbImage| values.as_raw().iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let moments =
        a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - mean_a, f64::from(*b) - mean_b));
    let [aa, ab, bb] = moments.fold([0.0; 3], |[aa, ab, bb], (a, b)| [aa + a * a, ab + a * b, bb + b * b]);
    if aa.min(bb) / count < MIN_DEVIATION * MIN_DEVIATION { 0.0 } else { ab / (aa * bb).sqrt() }
}

/// Returns the mean difference of two columns in levels of 8 bits.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The judgement that the files of a folder are not side-by-side pairs.
#[derive(Debug)]
pub(super) struct NotPairs {
    /// The indices of files that show it.
    pub(super) files: Vec<usize>,
    /// The layout that most of them seem to have.
    pub(super) better: Option<Layout>,
}

/// Returns the judgement of a sample of files, if most of those show that they are not side-by-side pairs.
pub(super) fn not_pairs(files: &[&Path], limits: &ImageLimits) -> Option<NotPairs> {
    let step = files.len().div_ceil(MAX_SAMPLE).max(1);
    let sample: Vec<usize> = (0..files.len()).step_by(step).collect();
    let judge = |index: usize| Some((index, evidence_against(files[index], limits)?));
    let against: Vec<(usize, bool)> = sample.par_iter().filter_map(|index| judge(*index)).collect();
    if against.len() < MIN_AGAINST || 2 * against.len() <= sample.len() {
        return None;
    }
    let stacked = against.iter().filter(|(_, is_stacked)| *is_stacked).count();
    let better = (2 * stacked > against.len()).then_some(Layout::Stacked);
    Some(NotPairs { files: against.into_iter().map(|(index, _)| index).collect(), better })
}

/// Returns `Some` if an image shows that it is not a side-by-side pair: with whether it looks like a stacked pair.
pub(super) fn evidence_against(path: &Path, limits: &ImageLimits) -> Option<bool> {
    if is_marked(path) {
        return None;
    }
    // Rotating the image takes a copy.
    let loaded = load_image(path, limits, |header| header.bytes).ok()?;
    let image = &loaded.image;
    let is_narrow = image.width() < image.height() && image.width() >= MIN_SIDE;
    let turned = || Some(image.rotate90()).filter(|turned| looks_like_pair(turned) == Some(true));
    let is_against = match looks_like_pair(image) {
        Some(false) => true,
        None => is_narrow,
        // Blocks of colour may have an edge in the middle; that between stacked images is the stronger one.
        Some(true) => {
            is_narrow && turned().is_some_and(|turned| step_in_middle(&turned) > step_in_middle(image))
        }
    };
    is_against.then(|| turned().is_some())
}

/// Returns the mean difference of the two columns in the middle.
fn step_in_middle(image: &DynamicImage) -> f64 {
    let column = |x: u32| image.crop_imm(x, 0, 1, image.height()).into_rgb8();
    difference(&column(image.width() / 2 - 1), &column(image.width() / 2))
}

/// Returns whether a file has the mark of [`encode_pair`](super::encode_pair).
fn is_marked(path: &Path) -> bool {
    let mut head = Vec::new();
    let length = (MARK_START + MARK.len()) as u64;
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut head));
    read.is_ok() && head.get(MARK_START..) == Some(MARK)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;

    /// Returns a value that changes slowly with the position, as photographs do, and not in a straight line.
    fn waves(x: u32, y: u32, seed: f32) -> f32 {
        let (x, y) = (x as f32, y as f32);
        128.0
            + 60.0 * ((x + 3.0 * seed) / 9.0).sin() * ((y - seed) / 7.0).cos()
            + 40.0 * ((x + y) / 23.0 + seed).sin()
    }

    fn grey(width: u32, height: u32, value: impl Fn(u32, u32) -> f32) -> DynamicImage {
        GrayImage::from_fn(width, height, |x, y| Luma([value(x, y) as u8])).into()
    }

    #[test]
    fn a_seam_tells_pairs_from_single_images() {
        let pair = grey(128, 64, |x, y| if x < 64 { waves(x, y, 0.0) } else { 255.0 - waves(x, y, 9.0) });
        assert_eq!(looks_like_pair(&pair), Some(true));
        assert_eq!(looks_like_pair(&grey(128, 96, |x, y| waves(x, y, 0.0))), Some(false));
        let noise = grey(128, 64, |x, y| ((x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 24) as f32);
        assert_eq!(looks_like_pair(&noise), None);
        assert_eq!(looks_like_pair(&grey(128, 64, |_, _| 200.0)), None);
        assert_eq!(looks_like_pair(&grey(1, 1, |_, _| 200.0)), None);
    }
}
