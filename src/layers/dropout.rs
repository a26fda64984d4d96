//! Dropout that also works at inference: the paper's noise z (section 3.1).

use burn::tensor::TensorData;
use rand::RngExt;

use super::{Dropout, Mode};
use crate::Tensor;
use crate::random::{fresh_seed, stream};

/// Zeroes each value of `x` with `probability` and scales the others to keep the mean, unless `mode` has dropout off.
///
/// The mask is drawn on the host from (seed, `layer`): dropout acts on small maps only, and noise that is the same on
/// every backend and in every thread is worth more than the upload it costs.
pub(crate) fn dropout(x: Tensor<4>, probability: f64, layer: usize, mode: Mode) -> Tensor<4> {
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
    let mask: Vec<f32> =
        (0..shape.iter().product()).map(|_| if rng.random_bool(probability) { 0.0 } else { kept }).collect();
    x.clone() * Tensor::from_data(TensorData::new(mask, shape), &x.device())
}
