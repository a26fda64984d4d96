//! Kernels of our own for the CPU backends: convolutions above all, which are most of a step, normalisation,
//! activation and Adam.
//!
//! One set of kernels works on slices and serves every backend whose tensors lie in ordinary memory. A convolution
//! and a transposed convolution are one geometry seen from its two ends, so three functions (down, up, weight) are
//! the forward pass and both gradients of either.

mod direct;
mod filters;
mod geometry;
mod host;
mod map;
mod matmul;
mod method;
mod ops;
mod pointwise;
#[cfg(feature = "flex")]
mod pooled;
mod streamed;
mod winograd;
mod workspace;

use burn::backend::Dispatch;
use burn::tensor::DType;

use crate::{Tensor, device};
use geometry::Geometry;
use ops::{Convolve, Pointwise};

pub(crate) use filters::Filters;
pub(crate) use pointwise::Activation;

/// Whether the kernels can take a tensor; its partners must have its type and device, as for burn's operations.
pub(crate) fn supports(x: &Tensor<4>) -> bool {
    x.dtype() == DType::F32 && device::is_host(&x.device())
}

/// `x`, `[N, C, H, W]`, rectified, convolved with `weight`, `[O, C, kernel, kernel]`.
///
/// `slope` is what values of `x` below zero are multiplied by; 1 leaves it as it is.
pub(crate) fn convolve(
    x: Tensor<4>,
    slope: f32,
    weight: Tensor<4>,
    [stride, padding]: [usize; 2],
) -> Tensor<4> {
    let [pictures, channels, height, width] = x.dims();
    let [outputs, inputs, kernel, _] = weight.dims();
    assert_eq!(inputs, channels, "channels of the weight and of the map");
    let least = kernel.saturating_sub(2 * padding).max(1);
    assert!(
        pictures > 0 && height.min(width) >= least,
        "{height}×{width} pixels are less than a kernel of {kernel}"
    );
    let size = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    let small = [outputs, size(height), size(width)];
    let large = [channels, height, width];
    let geometry = Geometry { pictures, large, small, kernel, stride, padding };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Convolve>::down(x, weight, geometry, slope))
}

/// `x`, `[N, O, h, w]`, rectified, convolved by the transpose of `weight`, `[O, C, kernel, kernel]`, to `size` pixels.
///
/// With a `skip` its channels come before those of `x`, and both together are `O`.
pub(crate) fn convolve_transposed(
    skip: Option<Tensor<4>>,
    x: Tensor<4>,
    slope: f32,
    weight: Tensor<4>,
    [stride, padding]: [usize; 2],
    [height, width]: [usize; 2],
) -> Tensor<4> {
    let [pictures, own, small_height, small_width] = x.dims();
    let [inputs, channels, kernel, _] = weight.dims();
    let joined = own + skip.as_ref().map_or(0, |skip| skip.dims()[1]);
    assert!(pictures > 0 && inputs == joined, "{joined} channels of the map, {inputs} of the weight");
    let small = [inputs, small_height, small_width];
    let large = [channels, height, width];
    let geometry = Geometry { pictures, large, small, kernel, stride, padding };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match skip {
        Some(skip) => <Dispatch as Convolve>::up_joined(skip.into_dispatch(), x, weight, geometry, slope),
        None => <Dispatch as Convolve>::up(x, weight, geometry, slope),
    })
}

/// Applies an activation to every value.
pub(crate) fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Pointwise>::activate(x.into_dispatch(), activation))
}

/// `x`, `[N, C, H, W]`, normalised per channel, together with the means and biased variances, which have no gradient.
pub(crate) fn normalize(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = <Dispatch as Pointwise>::normalize(x, scale, shift, epsilon);
    (Tensor::from_dispatch(output), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}
