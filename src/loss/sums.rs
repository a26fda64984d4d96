//! Sums and means over the values and scales of a discriminator's output.

use burn::tensor::Tensor;

use crate::discriminator::DiscriminatorOutput;

/// Returns the sum of a term over the scales.
pub(super) fn over_scales(output: DiscriminatorOutput, term: impl Fn(Tensor<4>) -> Tensor<1>) -> Tensor<1> {
    let terms = output.scales.into_iter().map(|scale| term(scale.logits));
    terms.reduce(|sum, term| sum + term).expect("a discriminator has a scale")
}

/// With this many values or more, a backend may split a sum among threads, so that its rounding depends on their
/// number.
const MIN_VALUES_BY_ROW: usize = 1 << 22;

/// Returns the mean of all values, `[1]`, the same to the last bit with any number of threads: large tensors are
/// averaged row by row first.
pub(super) fn mean(values: Tensor<4>) -> Tensor<1> {
    if values.shape().num_elements() < MIN_VALUES_BY_ROW {
        values.flatten::<1>(0, 3).mean()
    } else {
        values.mean_dim(3).mean_dim(2).mean()
    }
}
