//! Structured distances of two batches of images: each joins pixels that L1 and L2 treat one by one.
//!
//! All of them are zero for equal images, and all but the SSIM are functions of the difference of the two images.

use std::f64::consts::TAU;

use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Int, Tensor};

use super::sums::mean;
use crate::metrics::unit_similarity_map;

/// A distance of two batches of equal shape, `[N, C, H, W]` in `[-1, 1]`; returns `[1]`.
pub(super) type Distance = fn(&Tensor<4>, &Tensor<4>) -> Tensor<1>;

/// The largest number of times that a pyramid halves the images.
const MAX_HALVINGS: usize = 5;

/// Returns the mean absolute value of the differences of neighbours of output − target, down plus across.
pub(super) fn gradient(output: &Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
    let difference = output.clone() - target.clone();
    let along = |axis: usize| {
        let neighbours = difference.dims()[axis] - 1;
        let part = |start| difference.clone().narrow(axis, start, neighbours);
        (neighbours > 0).then(|| mean((part(1) - part(0)).abs()))
    };
    match (along(2), along(3)) {
        (Some(down), Some(across)) => down + across,
        (Some(mean), None) | (None, Some(mean)) => mean,
        (None, None) => mean(difference) * 0.0, // single pixels have no neighbours
    }
}

/// Returns 1 − SSIM of images in `[0, 1]`, averaged over images and channels.
pub(super) fn dissimilarity(output: &Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
    -mean(unit_similarity_map(output.clone(), target.clone())) + 1.0
}

/// Returns the sum over the bands of a Laplacian pyramid of the mean absolute values of output − target.
pub(super) fn pyramid(output: &Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
    let mut finest = output.clone() - target.clone();
    let mut bands: Option<Tensor<1>> = None;
    for _ in 0..MAX_HALVINGS {
        let [_, _, height, width] = finest.dims();
        if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
            break;
        }
        let half = avg_pool2d(finest.clone(), AvgPoolOptions::new([2, 2]).with_stride([2, 2]));
        let band = mean((finest - doubled(half.clone())).abs());
        bands = Some(match bands {
            Some(sum) => sum + band,
            None => band,
        });
        finest = half;
    }
    let rest = mean(finest.abs());
    match bands {
        Some(sum) => sum + rest,
        None => rest,
    }
}

/// Enlarges to twice the size by nearest neighbours.
fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n * c, h, 1, w, 1]).expand([n * c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

/// Returns the focal frequency loss: the mean of w·|F|², where F is the orthonormal Fourier transform of
/// output − target, and w is |F| divided by its maximum in the channel, without gradient.
pub(super) fn frequency(output: &Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
    let [n, c, h, w] = output.dims();
    let difference = (output.clone() - target.clone()).reshape([n * c, h, w]);
    let power = power(difference); // [N·C, H, W]
    let magnitude = power.clone().detach().sqrt();
    let largest = magnitude.clone().reshape([n * c, 1, h * w]).max_dim(2);
    // A channel without a difference has no largest frequency; its loss is 0.
    let weight = magnitude / largest.clamp_min(f32::MIN_POSITIVE);
    mean((power * weight).reshape([n, c, h, w]))
}

/// Returns the squared magnitudes of the orthonormal Fourier transform of each map, `[M, H, W]` in and out.
fn power(x: Tensor<3>) -> Tensor<3> {
    let [_, h, w] = x.dims();
    let device = x.device();
    let ([cos_h, sin_h], [cos_w, sin_w]) = (waves(h, &device), waves(w, &device));
    // With e^(−iab) = cos ab − i·sin ab on each axis:
    let (even, odd) = (cos_h.matmul(x.clone()), sin_h.matmul(x));
    let real = even.clone().matmul(cos_w.clone()) - odd.clone().matmul(sin_w.clone());
    let imaginary = even.matmul(sin_w) + odd.matmul(cos_w);
    real.square() + imaginary.square()
}

/// Returns cos(2π·ab/size) and sin(2π·ab/size) in row a and column b, divided by √size, `[1, size, size]` each.
///
/// They are computed on the device, so that a step of training uploads nothing.
fn waves(size: usize, device: &Device) -> [Tensor<3>; 2] {
    let index = Tensor::<1, Int>::arange(0..size as i64, device);
    let product = index.clone().reshape([size, 1]) * index.reshape([1, size]);
    // The product is reduced as an integer: cos of a large f32 is inexact.
    let angle = product.remainder_scalar(size as i64).float() * (TAU / size as f64);
    let scale = 1.0 / (size as f64).sqrt();
    [angle.clone().cos(), angle.sin()].map(|wave| (wave * scale).reshape([1, size, size]))
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    /// Returns a tensor whose value i is sin(a·i + 0.3).
    fn wave(shape: [usize; 4], a: f64) -> Tensor<4> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (a * i as f64 + 0.3).sin() as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    /// `tests/golden/structured.py` prints the expected values, from float64.
    #[test]
    fn distances_agree_with_pytorch() {
        let cases: [(&str, Distance, [usize; 4], f64, f64); 8] = [
            ("gradient", gradient, [1, 1, 3, 3], 0.5, 1.129_216_346_714),
            ("gradient", gradient, [2, 3, 8, 12], 0.6, 1.690_756_500_845),
            ("SSIM", dissimilarity, [1, 1, 16, 16], 0.72, 1.621_710_480_217),
            ("SSIM", dissimilarity, [2, 3, 16, 20], 0.705, 1.014_900_587_512),
            ("pyramid", pyramid, [1, 1, 4, 4], 0.5, 1.068_826_266_144),
            ("pyramid", pyramid, [2, 3, 64, 128], 0.6, 1.215_626_906_174),
            ("frequency", frequency, [1, 1, 4, 4], 0.5, 0.649_805_410_840),
            ("frequency", frequency, [2, 3, 6, 10], 0.6, 0.863_687_887_157),
        ];
        for (name, distance, shape, other, expected) in cases {
            let found = distance(&wave(shape, 0.7), &wave(shape, other)).into_scalar::<f32>();
            let error = (f64::from(found) - expected).abs();
            assert!(error < 2e-6 * expected.max(1.0), "{name} of {shape:?}: {found} is not {expected}");
        }
    }

    #[test]
    fn without_its_weights_the_frequency_loss_is_the_mean_square() {
        // Parseval's theorem, on sides that are not powers of two.
        let shape = [2, 3, 6, 10];
        let difference = wave(shape, 0.7) - wave(shape, 0.5);
        let square = mean(difference.clone().square()).into_scalar::<f32>();
        let power = mean(power(difference.reshape([6, 6, 10])).reshape(shape)).into_scalar::<f32>();
        assert!((power / square - 1.0).abs() < 1e-5, "{power} is not {square}");
    }

    #[test]
    fn equal_images_have_no_distance_and_a_finite_gradient() {
        for distance in [gradient, dissimilarity, pyramid, frequency] as [Distance; 4] {
            for shape in [[2, 3, 16, 16], [1, 1, 1, 1], [1, 2, 1, 6]] {
                let output = wave(shape, 0.7).autodiff().require_grad();
                let loss = distance(&output, &wave(shape, 0.7).autodiff());
                let value = loss.clone().inner().into_scalar::<f32>();
                assert!(value.abs() < 1e-6, "{value} of {shape:?}");
                let grads = loss.backward();
                let grad = output.grad(&grads).unwrap().into_data().try_into_vec::<f32>().unwrap();
                assert!(grad.iter().all(|value| value.abs() < 1e-4), "{grad:?}");
            }
        }
    }

    #[test]
    fn a_pyramid_sees_a_shift_of_the_mean_once_and_a_gradient_never() {
        let target = wave([1, 1, 64, 64], 0.7);
        let brighter = target.clone() + 0.25;
        let sum = pyramid(&brighter, &target).into_scalar::<f32>();
        assert!((sum - 0.25).abs() < 1e-5, "{sum}");
        assert!(gradient(&brighter, &target).into_scalar::<f32>() < 1e-6);
    }
}
