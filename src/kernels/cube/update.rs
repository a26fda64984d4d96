//! Updates of what a network remembers: Adam's of a parameter, and that of a running statistic.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, backend_extension};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::tensor::{buffer, empty, len, one_unit_each, tensor};
use crate::kernels::adam::AdamRule;

/// Updates that are one kernel each on a GPU.
#[backend_extension(Cube: cfg(feature = "_cube"))]
pub(crate) trait Update: Backend {
    /// Returns a parameter and its two moments after an update; a buffer without other owners is overwritten.
    fn adam(
        value: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Returns the running mean and variance, moved towards those of a batch by the fraction `momentum`. The variance
    /// of the batch is multiplied by `unbiased` first.
    fn running_statistics(
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        batch_mean: FloatTensor<Self>,
        batch_variance: FloatTensor<Self>,
        momentum: f32,
        unbiased: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Update for Cube {
    fn adam(
        value: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [value, first, second] = [value, first, second].map(|tensor| writable(buffer(tensor)));
        let gradient = buffer(gradient);
        let (count, dim) = one_unit_each(&gradient.client, len(&gradient));
        adam_kernel::launch(
            &gradient.client.clone(),
            count,
            dim,
            value.clone().into_buffer_arg(),
            first.clone().into_buffer_arg(),
            second.clone().into_buffer_arg(),
            gradient.into_buffer_arg(),
            rule.beta_1,
            rule.beta_2,
            rule.step_size,
            rule.epsilon,
            rule.gradient_scale,
        );
        (tensor(value), tensor(first), tensor(second))
    }

    fn running_statistics(
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        batch_mean: FloatTensor<Self>,
        batch_variance: FloatTensor<Self>,
        momentum: f32,
        unbiased: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [mean, variance] = [buffer(mean), buffer(variance)];
        let channels = len(&mean);
        let [new_mean, new_variance] = [empty(&mean, [channels]), empty(&mean, [channels])];
        let (count, dim) = one_unit_each(&mean.client, channels);
        running_statistics_kernel::launch(
            &mean.client.clone(),
            count,
            dim,
            mean.into_buffer_arg(),
            variance.into_buffer_arg(),
            buffer(batch_mean).into_buffer_arg(),
            buffer(batch_variance).into_buffer_arg(),
            new_mean.clone().into_buffer_arg(),
            new_variance.clone().into_buffer_arg(),
            momentum,
            unbiased,
        );
        (tensor(new_mean), tensor(new_variance))
    }
}

/// Returns a buffer that nothing else reads.
fn writable(buffer: CubeTensor) -> CubeTensor {
    if buffer.can_mut() { buffer } else { buffer.copy() }
}

/// Moves 28 bytes a value: it reads four and writes three.
#[cube(launch)]
fn adam_kernel(
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    beta_1: f32,
    beta_2: f32,
    step_size: f32,
    epsilon: f32,
    gradient_scale: f32,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let slope = gradient_scale * gradient[ABSOLUTE_POS];
    let mean = beta_1 * first[ABSOLUTE_POS] + (1.0 - beta_1) * slope;
    let square = beta_2 * second[ABSOLUTE_POS] + (1.0 - beta_2) * slope * slope;
    first[ABSOLUTE_POS] = mean;
    second[ABSOLUTE_POS] = square;
    value[ABSOLUTE_POS] -= step_size * mean / (square.sqrt() + epsilon);
}

#[cube(launch)]
fn running_statistics_kernel(
    mean: &[f32],
    variance: &[f32],
    batch_mean: &[f32],
    batch_variance: &[f32],
    new_mean: &mut [f32],
    new_variance: &mut [f32],
    momentum: f32,
    unbiased: f32,
) {
    if ABSOLUTE_POS >= mean.len() {
        terminate!();
    }
    let kept = 1.0 - momentum;
    new_mean[ABSOLUTE_POS] = mean[ABSOLUTE_POS] * kept + batch_mean[ABSOLUTE_POS] * momentum;
    let newest = batch_variance[ABSOLUTE_POS] * unbiased;
    new_variance[ABSOLUTE_POS] = variance[ABSOLUTE_POS] * kept + newest * momentum;
}
