//! Side-by-side pairs among the inputs: recognises them, and cuts out the half that `--half` names.

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use image::{DynamicImage, GenericImageView, Rgb, RgbImage};
use pix2pix::data::{self, DataConfig, Direction, ImageLimits, Size};

use super::jobs::Job;
use crate::output::note;

/// The number of inputs that are looked at, evenly spread.
const SAMPLE: usize = 16;
/// The largest difference between the ratio of width to height of a pair and twice that of the training's images.
const SAME_SHAPE: f64 = 0.03;
/// The smallest step between two columns that counts as a seam, in levels of 8 bits.
const MIN_SEAM: f64 = 6.0;

/// The half of a side-by-side pair to translate.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Half {
    /// The left half (A)
    Left,
    /// The right half (B)
    Right,
    /// The whole image, even if it looks like a pair
    None,
}

impl Half {
    /// Cuts the half out of an image.
    pub(crate) fn cut(self, image: DynamicImage, path: &Path) -> Result<DynamicImage> {
        if self == Self::None {
            return Ok(image);
        }
        let (width, height) = image.dimensions();
        if !width.is_multiple_of(2) {
            bail!("{}: width {width} is odd; --half needs two halves of equal width", path.display());
        }
        let left = if self == Self::Left { 0 } else { width / 2 };
        Ok(image.crop_imm(left, 0, width / 2, height))
    }
}

/// Asks for `--half` if most inputs look like the side-by-side pairs that the training reads: translating both halves of
/// them is hardly ever meant. Refuses a folder of pairs, and warns of a single one.
pub(crate) fn ask(jobs: &[Job], is_folder: bool, config: &DataConfig, limits: &ImageLimits) -> Result<()> {
    let count = jobs.len().min(SAMPLE);
    let sample = (0..count).map(|index| &jobs[index * jobs.len() / count]);
    let sizes: Vec<(&Job, Size)> =
        sample.filter_map(|job| Some((job, data::image_size(&job.input)?))).collect();
    let pairs: Vec<_> =
        sizes.iter().filter(|(job, size)| looks_like_pair(&job.input, *size, config, limits)).collect();
    let Some((job, size)) = pairs.first().filter(|_| pairs.len() * 2 > sizes.len()) else { return Ok(()) };
    let (half, side) = match config.direction {
        Direction::BToA => ("right", "B, the right half"),
        _ => ("left", "A, the left half"),
    };
    let question = format!(
        "--half: {} of {} images looked at are side-by-side pairs as in training, for example {} of {}×{} pixels; the \
         network was trained to translate {side}: add `--half {half}`, or `--half none` to translate whole images",
        pairs.len(),
        sizes.len(),
        job.input.display(),
        size.width,
        size.height,
    );
    if is_folder {
        bail!(question);
    }
    note!("warning: {question}");
    Ok(())
}

/// Returns whether an image is as large as a pair of the training, or has the shape of one and a seam in the middle.
fn looks_like_pair(path: &Path, size: Size, config: &DataConfig, limits: &ImageLimits) -> bool {
    if size.width < 4 || !size.width.is_multiple_of(2) {
        return false;
    }
    let ratio = |size: Size| size.width as f64 / size.height as f64;
    let seen = config.image_size.unwrap_or(config.crop_size);
    let is_as_large =
        config.image_size.is_some() && [size.height, size.width] == [seen.height, 2 * seen.width];
    let has_shape = (ratio(size) / (2.0 * ratio(seen)) - 1.0).abs() < SAME_SHAPE;
    is_as_large
        || has_shape
            && data::load_image(path, limits, |header| 3 * header.pixels())
                .is_ok_and(|loaded| has_seam(&loaded.image.to_rgb8()))
}

/// Returns whether the step between the two columns in the middle is among the largest of the image.
fn has_seam(image: &RgbImage) -> bool {
    let column = |x: u32| image.view(x, 0, 1, image.height()).to_image();
    let difference = |a: &Rgb<u8>, b: &Rgb<u8>| {
        a.0.iter().zip(b.0).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>() / 3.0
    };
    let mut steps: Vec<f64> = Vec::with_capacity(image.width() as usize);
    let mut last = column(0);
    for x in 1..image.width() {
        let next = column(x);
        let sum: f64 = last.pixels().zip(next.pixels()).map(|(a, b)| difference(a, b)).sum();
        steps.push(sum / f64::from(image.height()));
        last = next;
    }
    let middle = steps[image.width() as usize / 2 - 1];
    steps.sort_by(f64::total_cmp);
    let (median, high) = (steps[steps.len() / 2], steps[steps.len() - 1 - steps.len() / 32]);
    middle >= MIN_SEAM && middle >= 2.0 * median && middle >= high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seam_is_a_step_in_the_middle() {
        let pair = RgbImage::from_fn(64, 32, |x, y| {
            if x < 32 { Rgb([(x * 4) as u8, (y * 8) as u8, 0]) } else { Rgb([200, (x * 3) as u8, 90]) }
        });
        assert!(has_seam(&pair));
        let smooth = RgbImage::from_fn(64, 32, |x, y| Rgb([(x * 4) as u8, (y * 8) as u8, 0]));
        assert!(!has_seam(&smooth));
        let edge_elsewhere = RgbImage::from_fn(64, 32, |x, _| Rgb([if x < 20 { 0 } else { 200 }; 3]));
        assert!(!has_seam(&edge_elsewhere));
    }

    #[test]
    fn halves_are_cut_out() {
        let image = DynamicImage::from(RgbImage::from_fn(6, 2, |x, _| Rgb([x as u8; 3])));
        let first = |half: Half| half.cut(image.clone(), Path::new("a.png")).unwrap().to_rgb8();
        assert_eq!((first(Half::Left).dimensions(), first(Half::Left).get_pixel(0, 0).0[0]), ((3, 2), 0));
        assert_eq!(first(Half::Right).get_pixel(0, 0).0[0], 3);
        assert_eq!(first(Half::None).dimensions(), (6, 2));
        let odd = DynamicImage::new_rgb8(5, 2);
        let message = Half::Left.cut(odd, Path::new("a.png")).unwrap_err().to_string();
        assert!(message.contains("a.png: width 5 is odd"), "{message}");
    }
}
