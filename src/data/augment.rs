//! The random crop and mirror that both pictures of a pair share (appendix 6.2).

use rand::RngExt;

use super::DataConfig;
use crate::random::stream;
use crate::raster::Planes;

/// Keeps the random numbers of augmentation apart from those of the order.
const JITTER: u64 = 0x6a69_7474_6572;

/// A square cut out of a resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jitter {
    left: usize,
    top: usize,
    size: usize,
    mirrored: bool,
}

impl Jitter {
    /// The crop and mirror of sample `index` in `epoch`: a function of these and the seed alone.
    pub(super) fn draw(config: &DataConfig, seed: u64, epoch: usize, index: usize) -> Self {
        let mut rng = stream(seed ^ JITTER, ((epoch as u64) << 32) | index as u64);
        let room = config.load_size - config.crop_size;
        Self {
            left: rng.random_range(0..=room),
            top: rng.random_range(0..=room),
            size: config.crop_size,
            mirrored: config.mirror && rng.random_bool(0.5),
        }
    }

    /// The square cut out of a picture that was resized before.
    pub(super) fn apply(self, picture: &Planes) -> Planes {
        let cut = picture.window([self.top as isize, self.left as isize], [self.size; 2]);
        if self.mirrored { cut.mirrored() } else { cut }
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
}
