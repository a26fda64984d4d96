//! The kernels as functions of tensors.

use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};

use super::activation::Activation;
use super::autodiff::{Convolve, Pointwise};
use super::geometry::Geometry;
use super::options::Options;
#[cfg(feature = "_cube")]
use super::{
    adam::AdamRule,
    autodiff::{CrossEntropy, Dropout},
    cube::Update,
    noise::Noise,
};
use crate::device;

/// Returns whether the kernels support a tensor. The other operands must have its type and device, as in
/// burn's operations.
pub(crate) fn supports(x: &Tensor<4>) -> bool {
    let device = x.device();
    x.dtype() == DType::F32 && (device::is_host(&device) || device::is_cube(&device))
}

/// Applies an activation to `x` and convolves it with `weight`.
///
/// # Shapes
/// - `x`: `[N, C, H, W]`
/// - `weight`: `[O, C, kernel, kernel]`
/// - returns `[N, O, h, w]`
///
/// # Panics
/// If the channels differ, there is no image, or the padded map is smaller than the kernel.
pub(crate) fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    [stride, padding]: [usize; 2],
    options: Options<'_>,
) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let [outputs, inputs, kernel, _] = weight.dims();
    assert_eq!(inputs, channels, "the weight is for {inputs} channels, but the map has {channels}");
    let min_size = kernel.saturating_sub(2 * padding).max(1);
    assert!(
        images > 0 && height.min(width) >= min_size,
        "a map of {images} images of {height}×{width} pixels is too small for a kernel of {kernel} with padding {padding}"
    );
    let size = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    let small = [outputs, size(height), size(width)];
    let large = [channels, height, width];
    let geometry = Geometry { images, large, small, kernel, stride, padding };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Convolve>::down(x, weight, geometry, options))
}

/// Applies an activation to `x`, then the transposed convolution with `weight` to a map of `[H, W]` pixels.
///
/// # Shapes
/// - `skip` and `x`: `[N, .., h, w]`, with `O` channels together; those of `skip` come first
/// - `weight`: `[O, C, kernel, kernel]`
/// - returns `[N, C, H, W]`
///
/// # Panics
/// If the channels differ or there is no image.
pub(crate) fn convolve_transposed(
    skip: Option<Tensor<4>>,
    x: Tensor<4>,
    weight: Tensor<4>,
    [stride, padding]: [usize; 2],
    [height, width]: [usize; 2],
    options: Options<'_>,
) -> Tensor<4> {
    let [images, own, small_height, small_width] = x.dims();
    let [inputs, channels, kernel, _] = weight.dims();
    let found = own + skip.as_ref().map_or(0, |skip| skip.dims()[1]);
    assert!(images > 0, "a map needs at least one image");
    assert_eq!(inputs, found, "the weight is for {inputs} channels, but the map has {found}");
    let small = [inputs, small_height, small_width];
    let large = [channels, height, width];
    let geometry = Geometry { images, large, small, kernel, stride, padding };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match skip {
        Some(skip) => {
            <Dispatch as Convolve>::up_with_skip(skip.into_dispatch(), x, weight, geometry, options)
        }
        None => <Dispatch as Convolve>::up(x, weight, geometry, options),
    })
}

/// Applies an activation to every value.
pub(crate) fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Pointwise>::activate(x.into_dispatch(), activation))
}

/// Applies the hyperbolic tangent to every value.
pub(crate) fn tanh(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Pointwise>::tanh(x.into_dispatch()))
}

/// Normalises `x`, `[N, C, H, W]`, per channel; returns the output, and the means and biased variances, `[C]` each,
/// which have no gradient.
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

/// Returns the mean cross-entropy of `logits`, which have one `target`, `[1]`, on a GPU.
///
/// # Panics
/// If the device is not a GPU.
#[cfg(feature = "_cube")]
pub(crate) fn cross_entropy(logits: Tensor<4>, target: f32) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as CrossEntropy>::cross_entropy(logits.into_dispatch(), target))
}

/// Zeroes the values that the noise drops, and scales the others, on a GPU.
///
/// # Panics
/// If the device is not a GPU.
#[cfg(feature = "_cube")]
pub(crate) fn dropout(x: Tensor<4>, noise: Noise) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Dropout>::dropout(x.into_dispatch(), noise))
}

/// Returns a parameter and its two moments after an update of Adam on a GPU.
///
/// # Panics
/// If the device is not a GPU, or a tensor tracks gradients.
#[cfg(feature = "_cube")]
pub(crate) fn update_parameter(
    [value, first, second, gradient]: [Tensor<1>; 4],
    rule: AdamRule,
) -> [Tensor<1>; 3] {
    let [value, first, second, gradient] = [value, first, second, gradient].map(Tensor::into_dispatch);
    let (value, first, second) = <Dispatch as Update>::adam(value, first, second, gradient, rule);
    [value, first, second].map(Tensor::from_dispatch)
}

/// Returns the running mean and variance after they have moved towards those of a batch by the fraction `momentum`, on
/// a GPU. The variance of the batch is multiplied by `unbiased` first.
///
/// # Panics
/// If the device is not a GPU, or a tensor tracks gradients.
#[cfg(feature = "_cube")]
pub(crate) fn update_statistics(
    running: [Tensor<1>; 2],
    batch: [Tensor<1>; 2],
    momentum: f32,
    unbiased: f32,
) -> [Tensor<1>; 2] {
    let ([mean, variance], [batch_mean, batch_variance]) =
        (running.map(Tensor::into_dispatch), batch.map(Tensor::into_dispatch));
    let (mean, variance) = <Dispatch as Update>::running_statistics(
        mean,
        variance,
        batch_mean,
        batch_variance,
        momentum,
        unbiased,
    );
    [mean, variance].map(Tensor::from_dispatch)
}
