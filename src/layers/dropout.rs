//! Dropout, which the paper also applies at inference as the noise z (section 3.1).

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::mode::{DropoutMode, Mode};
use crate::rng::{fresh_seed, stream};
use crate::transfer::upload;

/// The number of words of the random stream that one value of a mask uses.
const WORDS: u128 = 2;

/// The position of a tile of a feature map in the map of the whole image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TilePosition {
    /// The first row and column of the tile.
    pub(crate) start: [usize; 2],
    /// The height and width of the whole map.
    pub(crate) whole: [usize; 2],
}

impl TilePosition {
    /// Returns the same position in a map of `factor` times the resolution.
    pub(crate) fn times(self, factor: usize) -> Self {
        Self { start: self.start.map(|at| at * factor), whole: self.whole.map(|size| size * factor) }
    }
}

/// Zeroes each value of `x` with `probability` and scales the others to keep the mean, unless `mode` turns dropout off.
///
/// The mask is drawn on the host from (seed, `layer`), so that the noise is the same on every backend and with any
/// number of threads. Dropout acts on small maps only, so the upload costs little. If `x` is a tile at
/// `position`, it gets that part of the whole map's mask.
pub(crate) fn dropout(
    x: Tensor<4>,
    probability: f64,
    layer: usize,
    mode: Mode,
    position: Option<TilePosition>,
) -> Tensor<4> {
    let seed = match mode.dropout {
        DropoutMode::Off => return x,
        DropoutMode::Seeded(seed) => seed,
        DropoutMode::Random => fresh_seed(),
    };
    if probability == 0.0 {
        return x;
    }
    let mut rng = stream(seed, layer as u64);
    let scale = 1.0 / (1.0 - probability) as f32;
    let shape = x.dims();
    let draw = |rng: &mut ChaCha8Rng| if rng.random_bool(probability) { 0.0 } else { scale };
    let mut mask = Vec::with_capacity(shape.iter().product());
    match position {
        None => mask.extend((0..shape.iter().product()).map(|_| draw(&mut rng))),
        Some(TilePosition { start: [top, left], whole: [whole_height, whole_width] }) => {
            let [images, channels, height, width] = shape;
            for plane in 0..images * channels {
                for y in top..top + height {
                    let index = (plane * whole_height + y) * whole_width + left;
                    rng.set_word_pos(WORDS * index as u128);
                    mask.extend((0..width).map(|_| draw(&mut rng)));
                }
            }
        }
    }
    x.clone() * upload(mask, shape, &x.device())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn a_tile_gets_its_part_of_the_whole_maps_mask() {
        let x = Tensor::ones([1, 3, 10, 14], &crate::device::cpu());
        let mode = Mode::PAPER.with_noise(5);
        let whole = dropout(x.clone(), 0.3, 2, mode, None).slice([0..1, 0..3, 4..9, 3..11]);
        let position = TilePosition { start: [4, 3], whole: [10, 14] };
        let tile = dropout(x.slice([0..1, 0..3, 4..9, 3..11]), 0.3, 2, mode, Some(position));
        assert_eq!(tile.into_data(), whole.into_data());
    }
}
