//! Convolutions of our own for the CPU backends, where burn's are the larger part of a step.
//!
//! One set of kernels works on slices and serves every backend whose tensors lie in ordinary memory. A convolution
//! and a transposed convolution are one geometry seen from its two ends, so three functions (down, up, weight) are
//! the forward pass and both gradients of either.

mod direct;
mod extension;
mod geometry;
mod host;
mod matmul;
mod method;
mod winograd;
mod workspace;

use burn::backend::Dispatch;
use burn::tensor::DType;

use crate::{Tensor, device};
use extension::Convolve;
use geometry::Geometry;

pub(crate) use workspace::recycle;

/// Whether [`convolve`] and [`convolve_transposed`] can take these tensors.
pub(crate) fn supports(x: &Tensor<4>, weight: &Tensor<4>) -> bool {
    x.dtype() == DType::F32 && weight.dtype() == DType::F32 && device::is_host(&x.device())
}

/// `x`, `[N, C, H, W]`, convolved with `weight`, `[O, C, kernel, kernel]`.
pub(crate) fn convolve(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let [pictures, channels, height, width] = x.dims();
    let [outputs, _, kernel, _] = weight.dims();
    let size = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    let small = [outputs, size(height), size(width)];
    let large = [channels, height, width];
    let geometry = Geometry { pictures, large, small, kernel, stride, padding };
    Tensor::from_dispatch(<Dispatch as Convolve>::down(x.into_dispatch(), weight.into_dispatch(), geometry))
}

/// `x`, `[N, O, h, w]`, convolved by the transpose of `weight`, `[O, C, kernel, kernel]`, to `size` pixels.
pub(crate) fn convolve_transposed(
    x: Tensor<4>,
    weight: Tensor<4>,
    [stride, padding]: [usize; 2],
    [height, width]: [usize; 2],
) -> Tensor<4> {
    let [pictures, inputs, small_height, small_width] = x.dims();
    let [_, channels, kernel, _] = weight.dims();
    let small = [inputs, small_height, small_width];
    let large = [channels, height, width];
    let geometry = Geometry { pictures, large, small, kernel, stride, padding };
    Tensor::from_dispatch(<Dispatch as Convolve>::up(x.into_dispatch(), weight.into_dispatch(), geometry))
}
