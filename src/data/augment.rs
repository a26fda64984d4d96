//! The random crop and mirror that both images of a pair share (appendix 6.2).

use rand::RngExt;

use super::config::{DataConfig, Size};
use crate::raster::PlanarImage;
use crate::rng::{JITTER, stream};

/// A random crop of a resized image, mirrored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jitter {
    left: usize,
    top: usize,
    size: Size,
    mirrored: bool,
}

impl Jitter {
    /// Draws the crop and mirror of pair `index` in `epoch`. They depend only on these and on the seed.
    pub(super) fn draw(config: &DataConfig, seed: u64, epoch: usize, index: usize) -> Self {
        let mut rng = stream(seed ^ JITTER, ((epoch as u64) << 32) | index as u64);
        let (load, crop) = (config.load_size, config.crop_size);
        Self {
            left: rng.random_range(0..=load.width - crop.width),
            top: rng.random_range(0..=load.height - crop.height),
            size: crop,
            mirrored: config.mirror && rng.random_bool(0.5),
        }
    }

    /// Crops and mirrors an image of the load size. `window` returns its window at `[top, left]` of height and width.
    pub(super) fn apply(self, window: impl FnOnce([usize; 2], [usize; 2]) -> PlanarImage) -> PlanarImage {
        let crop = window([self.top, self.left], self.size.into());
        if self.mirrored { crop.mirrored() } else { crop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_function_of_seed_epoch_and_index() {
        let config = DataConfig::new();
        let draw = |seed, epoch, index| Jitter::draw(&config, seed, epoch, index);
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
        let config = DataConfig::new().with_load_size([20, 40]).with_crop_size([16, 30]);
        let all: Vec<Jitter> = (0..200).map(|index| Jitter::draw(&config, 0, 1, index)).collect();
        assert!(all.iter().all(|jitter| jitter.left <= 10 && jitter.top <= 4));
        assert!(all.iter().any(|jitter| jitter.left == 10) && all.iter().any(|jitter| jitter.top == 4));
        let image = PlanarImage::new(vec![0.5; 800], [1, 20, 40]);
        assert_eq!(
            all[0].apply(|[top, left], size| image.window([top as isize, left as isize], size)).shape(),
            [1, 16, 30]
        );
    }
}
