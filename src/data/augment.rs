//! The random changes that both images of a pair share: crop and mirror (appendix 6.2), and if they are turned on,
//! rotation by quarter turns, scaling and warping.

use rand::RngExt;

use super::config::{DataConfig, Size};
use super::epoch::EpochCursor;
use super::image_part::{ImagePart, Resized};
use super::warp::Warp;
use crate::raster::{PlanarImage, ResizeFilter};
use crate::rng::{AUGMENT, JITTER, stream};

/// A random crop of a resized image, mirrored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jitter {
    left: isize,
    top: isize,
    size: Size,
    mirrored: bool,
}

impl Jitter {
    /// Draws the crop of an image of size `from`, and whether it is mirrored. A crop that is larger than the image
    /// contains it.
    fn draw(from: Size, crop: Size, mirror: bool, epoch: EpochCursor, index: usize) -> Self {
        let mut rng = stream(epoch.seed ^ JITTER, place(epoch, index));
        let mut start = |from: usize, crop: usize| {
            let drawn = rng.random_range(0..=from.abs_diff(crop)) as isize;
            if from < crop { -drawn } else { drawn }
        };
        Self {
            left: start(from.width, crop.width),
            top: start(from.height, crop.height),
            size: crop,
            mirrored: mirror && rng.random_bool(0.5),
        }
    }
}

/// The changes of one pair in one epoch. They depend only on the seed, the epoch and the index of the pair, and each
/// only on its own setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Augmentation {
    /// The factor of the size before the crop.
    factor: f64,
    /// Clockwise, 0 to 3.
    quarter_turns: u32,
    warp: Option<Warp>,
    mirror: bool,
    epoch: EpochCursor,
    index: usize,
}

impl Augmentation {
    pub(super) fn draw(config: &DataConfig, epoch: EpochCursor, index: usize) -> Self {
        let mut rng = stream(epoch.seed ^ AUGMENT, place(epoch, index));
        // Both are drawn even if they are off, so that a setting does not change the others' values.
        let (quarter_turns, share) = (rng.random_range(0..4), rng.random::<f64>());
        Self {
            factor: config.scale_range.map_or(1.0, |[low, high]| low * (high / low).powf(share)),
            quarter_turns: if config.rotate90 { quarter_turns } else { 0 },
            warp: (config.warp > 0.0).then(|| Warp::draw(config.warp, &mut rng)),
            mirror: config.mirror,
            epoch,
            index,
        }
    }

    /// Returns the size to which an image is resized that has size `size` without random scaling.
    pub(super) fn scaled(&self, size: Size) -> Size {
        let scaled = |length: usize| ((length as f64 * self.factor).round() as usize).max(1);
        if self.factor == 1.0 { size } else { [size.height, size.width].map(scaled).into() }
    }

    /// Crops, warps, mirrors and rotates an image that is scaled. `filter` says how the warp reads it.
    pub(super) fn apply(&self, image: &ImagePart, crop: Size, filter: ResizeFilter) -> Resized {
        let jitter = Jitter::draw(image.size().into(), crop, self.mirror, self.epoch, self.index);
        let (corner, size) = ([jitter.top, jitter.left], jitter.size.into());
        let image = match &self.warp {
            Some(warp) => warp.window(&image.whole(), corner, size, filter)?,
            None => image.window(corner, size),
        };
        let image = if jitter.mirrored { image.mirrored() } else { image };
        Ok(rotated(image, self.quarter_turns))
    }
}

/// Returns the number of the random stream of a pair in an epoch.
fn place(epoch: EpochCursor, index: usize) -> u64 {
    ((epoch.number as u64) << 32) | index as u64
}

/// Rotates a square image clockwise by quarter turns. Another image is rotated by half a turn if `quarter_turns` is 2 or
/// 3, which keeps its shape.
fn rotated(image: PlanarImage, quarter_turns: u32) -> PlanarImage {
    let [channels, height, width] = image.shape();
    if quarter_turns == 0 || (height != width && quarter_turns == 1) {
        return image;
    }
    let last = height * width - 1;
    let source = |at: usize| {
        let (y, x) = (at / width, at % width);
        match quarter_turns {
            1 => (width - 1 - x) * width + y,
            3 if height == width => x * width + width - 1 - y,
            _ => last - at,
        }
    };
    let planes = image.values().chunks_exact(height * width);
    let values = planes.flat_map(|plane| (0..plane.len()).map(move |at| plane[source(at)])).collect();
    PlanarImage::new(values, [channels, height, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(from: [usize; 2], crop: [usize; 2], seed: u64, epoch: usize, index: usize) -> Jitter {
        Jitter::draw(from.into(), crop.into(), true, EpochCursor::new(epoch, seed), index)
    }

    #[test]
    fn jitter_is_a_function_of_seed_epoch_and_index() {
        let draw = |seed, epoch, index| draw([286; 2], [256; 2], seed, epoch, index);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        let all = (0..40).flat_map(|seed| (1..3).flat_map(move |epoch| [(seed, epoch, 0), (seed, epoch, 1)]));
        let all: Vec<Jitter> = all.map(|(seed, epoch, index)| draw(seed, epoch, index)).collect();
        assert!(all.iter().any(|jitter| jitter.mirrored) && all.iter().any(|jitter| !jitter.mirrored));
        assert!(all.iter().all(|jitter| jitter.left <= 30 && jitter.top <= 30));
        assert!(all.iter().any(|jitter| jitter.left > 20) && all.iter().any(|jitter| jitter.left < 10));
        assert!(all.windows(2).any(|two| two[0] != two[1]));
    }

    #[test]
    fn a_rectangular_crop_stays_inside_the_image() {
        let all: Vec<Jitter> = (0..200).map(|index| draw([20, 40], [16, 30], 0, 1, index)).collect();
        assert!(all.iter().all(|jitter| (0..=10).contains(&jitter.left) && (0..=4).contains(&jitter.top)));
        assert!(all.iter().any(|jitter| jitter.left == 10) && all.iter().any(|jitter| jitter.top == 4));
        // A smaller image lies inside the crop.
        let all: Vec<Jitter> = (0..200).map(|index| draw([12, 40], [16, 30], 0, 1, index)).collect();
        assert!(all.iter().all(|jitter| (-4..=0).contains(&jitter.top)));
        assert!(all.iter().any(|jitter| jitter.top == -4) && all.iter().any(|jitter| jitter.top == 0));
    }

    #[test]
    fn rotations_permute_the_pixels_and_four_are_none() {
        let square = PlanarImage::new((0..18).map(|v| v as f32 / 18.0).collect(), [2, 3, 3]);
        let wide = PlanarImage::new((0..8).map(|v| v as f32 / 8.0).collect(), [1, 2, 4]);
        let turned = rotated(square.clone(), 1);
        assert_eq!(turned.values()[..3], [6.0, 3.0, 0.0].map(|v: f32| v / 18.0), "the first column rises");
        assert_eq!(rotated(turned.clone(), 1), rotated(square.clone(), 2));
        assert_eq!(rotated(turned.clone(), 3), square);
        assert_eq!(rotated(rotated(turned, 1), 2), square);
        assert_eq!(
            (rotated(wide.clone(), 1), rotated(wide.clone(), 2)),
            (wide.clone(), rotated(wide.clone(), 3))
        );
        assert_eq!(rotated(rotated(wide.clone(), 2), 2), wide);
    }

    #[test]
    fn factors_fill_the_range_evenly_on_both_sides_of_one() {
        let config = DataConfig::new().with_scale_range([0.5, 2.0]);
        let draw = |index| Augmentation::draw(&config, EpochCursor::new(1, 0), index);
        let factors: Vec<f64> = (0..400).map(|index| draw(index).factor).collect();
        assert!(factors.iter().all(|factor| (0.5..=2.0).contains(factor)));
        let below = factors.iter().filter(|factor| **factor < 1.0).count();
        assert!((150..250).contains(&below), "{below} of 400 shrink");
        let scaled = draw(7).scaled([100, 200].into());
        assert_eq!(scaled, [100.0, 200.0].map(|l| (l * factors[7]).round() as usize).into());
    }

    #[test]
    fn a_setting_does_not_change_the_values_of_the_others() {
        let draw = |config: DataConfig| Augmentation::draw(&config, EpochCursor::new(2, 3), 5);
        let all = draw(DataConfig::new().with_rotate90(true).with_scale_range([0.8, 1.25]).with_warp(0.03));
        assert_eq!(draw(DataConfig::new().with_rotate90(true)).quarter_turns, all.quarter_turns);
        assert_eq!(draw(DataConfig::new().with_scale_range([0.8, 1.25])).factor, all.factor);
        assert_eq!(draw(DataConfig::new().with_warp(0.03)).warp, all.warp);
        let off = draw(DataConfig::new());
        assert_eq!((off.factor, off.quarter_turns, off.warp), (1.0, 0, None));
    }
}
