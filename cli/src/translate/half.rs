//! Side-by-side pairs among the inputs: recognises them, and cuts out the half that `--half` names.

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use image::{DynamicImage, GenericImageView};
use pix2pix::data::{self, DataConfig, Direction, ImageLimits, Size};

use super::jobs::Job;
use crate::output::note;

/// The number of inputs that are looked at, evenly spread.
const SAMPLE: usize = 16;
/// The largest difference between the ratio of width to height of a pair and twice that of the training's images.
const SAME_SHAPE: f64 = 0.03;

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
        sizes.iter().filter(|(job, size)| is_pair_of_training(&job.input, *size, config, limits)).collect();
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
fn is_pair_of_training(path: &Path, size: Size, config: &DataConfig, limits: &ImageLimits) -> bool {
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
            && data::load_image(path, limits, |_| 0)
                .is_ok_and(|loaded| data::looks_like_pair(&loaded.image) == Some(true))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

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
