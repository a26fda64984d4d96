//! Dropout, which the paper also applies at inference as the noise z (section 3.1).

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::mode::{DropoutMode, Mode};
use crate::rng::{fresh_seed, stream};
use crate::transfer::upload;
#[cfg(feature = "_cube")]
use crate::{device, kernels};

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
/// The mask is a function of (seed, `layer`), so that the noise is the same on every backend and with any number of
/// threads. GPUs compute it; for other devices it is drawn on the host. If `x` is a tile at `position`, it gets that part
/// of the whole map's mask.
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
    #[cfg(feature = "_cube")]
    if kernels::supports(&x) && device::is_cube(&x.device()) {
        let TilePosition { start, whole } =
            position.unwrap_or(TilePosition { start: [0; 2], whole: [shape[2], shape[3]] });
        return kernels::dropout(x, noise(&rng, layer, probability, scale, start, whole));
    }
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

/// Returns the noise that the host draws from `rng`, as a function of positions.
#[cfg(feature = "_cube")]
fn noise(
    rng: &ChaCha8Rng,
    layer: usize,
    probability: f64,
    scale: f32,
    start: [usize; 2],
    whole: [usize; 2],
) -> kernels::Noise {
    let seed = rng.get_seed();
    let word = |index: usize| [0, 1, 2, 3].map(|byte| seed[4 * index + byte]);
    let key = [0, 1, 2, 3, 4, 5, 6, 7].map(|index| u32::from_le_bytes(word(index)));
    // As in `rand`, which compares a number of 64 bits with the probability.
    let threshold = (probability * 2.0f64.powi(64)) as u64;
    kernels::Noise { key, stream: layer as u32, threshold, scale, start, whole }
}

#[cfg(all(test, feature = "flex", feature = "wgpu"))]
mod gpu_tests {
    use burn::tensor::{Device, DeviceKind};

    use super::*;

    #[test]
    fn a_gpu_drops_the_values_that_the_host_drops() {
        for (probability, position) in
            [(0.5, None), (0.3, Some(TilePosition { start: [4, 3], whole: [20, 17] })), (1e-12, None)]
        {
            let mode = Mode::PAPER.with_noise(77);
            let drop = |device: &Device| {
                dropout(Tensor::ones([2, 3, 11, 7], device), probability, 2, mode, position).into_data()
            };
            assert_eq!(drop(&crate::device::cpu()), drop(&Device::wgpu(DeviceKind::DefaultDevice)));
        }
    }
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
