//! Dropout that also works at inference: the paper's noise z (section 3.1).

use burn::tensor::TensorData;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Dropout, Mode};
use crate::Tensor;
use crate::rng::{fresh_seed, stream};

/// Words of the random stream that one value of a mask takes.
const WORDS: u128 = 2;

/// Where a piece of a map lies in the map of the whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The piece's first row and column.
    pub(crate) start: [usize; 2],
    /// Height and width of the whole map.
    pub(crate) whole: [usize; 2],
}

impl Place {
    /// The same place in a map of `factor` times the resolution.
    pub(crate) fn times(self, factor: usize) -> Self {
        Self { start: self.start.map(|at| at * factor), whole: self.whole.map(|size| size * factor) }
    }
}

/// Zeroes each value of `x` with `probability` and scales the others to keep the mean, unless `mode` has dropout off.
///
/// The mask is drawn on the host from (seed, `layer`): dropout acts on small maps only, and noise that is the same on
/// every backend and in every thread is worth more than the upload it costs. `place` says which part of a picture's
/// mask is meant if `x` is not the whole map.
pub(crate) fn dropout(
    x: Tensor<4>,
    probability: f64,
    layer: usize,
    mode: Mode,
    place: Option<Place>,
) -> Tensor<4> {
    let seed = match mode.dropout {
        Dropout::Off => return x,
        Dropout::Seeded(seed) => seed,
        Dropout::Random => fresh_seed(),
    };
    if probability == 0.0 {
        return x;
    }
    let mut rng = stream(seed, layer as u64);
    let kept = 1.0 / (1.0 - probability) as f32;
    let shape = x.dims();
    let draw = |rng: &mut ChaCha8Rng| if rng.random_bool(probability) { 0.0 } else { kept };
    let mut mask = Vec::with_capacity(shape.iter().product());
    match place {
        None => mask.extend((0..shape.iter().product()).map(|_| draw(&mut rng))),
        Some(Place { start: [top, left], whole: [whole_height, whole_width] }) => {
            let [pictures, channels, height, width] = shape;
            for plane in 0..pictures * channels {
                for y in top..top + height {
                    let index = (plane * whole_height + y) * whole_width + left;
                    rng.set_word_pos(WORDS * index as u128);
                    mask.extend((0..width).map(|_| draw(&mut rng)));
                }
            }
        }
    }
    x.clone() * Tensor::from_data(TensorData::new(mask, shape), &x.device())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_its_part_of_the_whole_noise() {
        let x = Tensor::ones([1, 3, 10, 14], &crate::device::cpu());
        let mode = Mode::PAPER.with_noise(5);
        let whole = dropout(x.clone(), 0.3, 2, mode, None).slice([0..1, 0..3, 4..9, 3..11]);
        let place = Place { start: [4, 3], whole: [10, 14] };
        let piece = dropout(x.slice([0..1, 0..3, 4..9, 3..11]), 0.3, 2, mode, Some(place));
        assert_eq!(piece.into_data(), whole.into_data());
    }
}
