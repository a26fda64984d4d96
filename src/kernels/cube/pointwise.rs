//! Activations, and the normalisation as an operation of burn.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::normalize::{normalize, normalize_backward};
use super::tensor::{buffer, empty, len, one_unit_each, tensor};
use crate::kernels::activation::Activation;
use crate::kernels::autodiff::{Pointwise, PointwiseGradients};

impl Pointwise for Cube {
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let x = buffer(x);
        let out = like(&x);
        let (count, dim) = one_unit_each(&x.client, len(&x));
        let (client, slope) = (x.client.clone(), activation.slope());
        activate_kernel::launch(
            &client,
            count,
            dim,
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            slope,
        );
        tensor(out)
    }

    fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = buffer(x);
        let out = like(&x);
        let (count, dim) = one_unit_each(&x.client, len(&x));
        let client = x.client.clone();
        tanh_kernel::launch(&client, count, dim, x.into_buffer_arg(), out.clone().into_buffer_arg());
        tensor(out)
    }

    fn normalize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [out, mean, variance] =
            normalize(&buffer(x), &buffer(scale), &buffer(shift), epsilon).map(tensor);
        (out, mean, variance)
    }
}

impl PointwiseGradients for Cube {
    fn activate_backward(
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (output, gradient) = (buffer(output), buffer(gradient));
        let out = like(&output);
        let (count, dim) = one_unit_each(&output.client, len(&output));
        activate_backward_kernel::launch(
            &output.client.clone(),
            count,
            dim,
            output.into_buffer_arg(),
            gradient.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            activation.slope(),
        );
        tensor(out)
    }

    fn tanh_backward(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let (output, gradient) = (buffer(output), buffer(gradient));
        let out = like(&output);
        let (count, dim) = one_unit_each(&output.client, len(&output));
        tanh_backward_kernel::launch(
            &output.client.clone(),
            count,
            dim,
            output.into_buffer_arg(),
            gradient.into_buffer_arg(),
            out.clone().into_buffer_arg(),
        );
        tensor(out)
    }

    fn normalize_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        statistics: [FloatTensor<Self>; 2],
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let statistics = statistics.map(buffer);
        normalize_backward(&buffer(x), &buffer(scale), &statistics, epsilon, &buffer(gradient)).map(tensor)
    }
}

/// Returns a new buffer of the same shape.
fn like(x: &CubeTensor) -> CubeTensor {
    let shape: [usize; 4] = x.meta.shape().dims();
    empty(x, shape)
}

#[cube(launch)]
fn activate_kernel(x: &[f32], out: &mut [f32], slope: f32) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let mut value = x[ABSOLUTE_POS];
    if value <= 0.0 {
        value *= slope;
    }
    out[ABSOLUTE_POS] = value;
}

#[cube(launch)]
fn activate_backward_kernel(output: &[f32], gradient: &[f32], out: &mut [f32], slope: f32) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let mut value = gradient[ABSOLUTE_POS];
    if output[ABSOLUTE_POS] <= 0.0 {
        value *= slope;
    }
    out[ABSOLUTE_POS] = value;
}

/// Some adapters compute tanh of large values as NaN, and that of small ones with the rounding errors of large ones. So
/// it is computed as on the CPU: by Lambert's continued fraction near zero, by e^2x elsewhere.
#[cube(launch)]
fn tanh_kernel(x: &[f32], out: &mut [f32]) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let value = x[ABSOLUTE_POS];
    let size = value.abs();
    // NaN, which is neither small nor large, stays NaN.
    let mut result = value;
    if size < 0.55 {
        let square = size * size;
        result = size * (10395.0 + square * (1260.0 + square * 21.0))
            / (10395.0 + square * (4725.0 + square * (210.0 + square)));
    } else if size >= 0.55 {
        // For x ≥ 10, tanh rounds to 1.
        result = 1.0 - 2.0 / ((2.0 * min(size, f32::new(10.0))).exp() + 1.0);
    }
    if value < 0.0 {
        result = -result;
    }
    out[ABSOLUTE_POS] = result;
}

#[cube(launch)]
fn tanh_backward_kernel(output: &[f32], gradient: &[f32], out: &mut [f32]) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let value = output[ABSOLUTE_POS];
    out[ABSOLUTE_POS] = gradient[ABSOLUTE_POS] * (1.0 - value * value);
}
