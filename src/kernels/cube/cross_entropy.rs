//! The cross-entropy of logits, the same for all, as one launch and one for its gradient; tensor operations take 26.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::sum::{UNITS, total};
use super::tensor::{buffer, empty, len, one_unit_each, tensor};
use crate::kernels::autodiff::{CrossEntropy, CrossEntropyGradient};

impl CrossEntropy for Cube {
    fn cross_entropy(logits: FloatTensor<Self>, target: f32) -> FloatTensor<Self> {
        let logits = buffer(logits);
        let out = empty(&logits, [1]);
        cross_entropy_kernel::launch(
            &logits.client.clone(),
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(UNITS),
            logits.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            target,
            UNITS as usize,
        );
        tensor(out)
    }
}

impl CrossEntropyGradient for Cube {
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        target: f32,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (logits, gradient) = (buffer(logits), buffer(gradient));
        let shape: [usize; 4] = logits.meta.shape().dims();
        let out = empty(&logits, shape);
        let (count, dim) = one_unit_each(&logits.client, len(&logits));
        cross_entropy_backward_kernel::launch(
            &logits.client.clone(),
            count,
            dim,
            logits.into_buffer_arg(),
            gradient.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            target,
        );
        tensor(out)
    }
}

#[cube(launch)]
fn cross_entropy_kernel(logits: &[f32], out: &mut [f32], target: f32, #[comptime] units: usize) {
    let mut sums = Shared::<[f32]>::new_slice(units);
    let unit = UNIT_POS as usize;
    let mut sum = f32::new(0.0);
    let mut index = unit;
    while index < logits.len() {
        let logit = logits[index];
        sum += max(logit, f32::new(0.0)) - logit * target + ((-logit.abs()).exp() + 1.0).ln();
        index += units;
    }
    let mean = total(&mut sums, sum, units) / f32::cast_from(logits.len());
    if unit == 0 {
        out[0] = mean;
    }
}

#[cube(launch)]
fn cross_entropy_backward_kernel(logits: &[f32], gradient: &[f32], out: &mut [f32], target: f32) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let logit = logits[ABSOLUTE_POS];
    // The logistic function, without overflow.
    let small = (-logit.abs()).exp();
    let mut probability = 1.0 / (1.0 + small);
    if logit < 0.0 {
        probability = small / (1.0 + small);
    }
    out[ABSOLUTE_POS] = gradient[0] * (probability - target) / f32::cast_from(out.len());
}
