//! Structural similarity (SSIM, Wang et al. 2004).

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::fidelity::{assert_same_shape, per_image};
use crate::transfer::upload;

/// Side and standard deviation of the Gaussian window.
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// Returns the structural similarity of each image in the unit range `[0, 1]`, averaged over channels: the SSIM of the
/// literature.
///
/// The values are moved from `[-1, 1]` to `[0, 1]` first. The result equals scikit-image's `structural_similarity` of
/// images in `[0, 1]` with `data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False`, and of 8-bit
/// images with `data_range=255`. The Gaussian window is 11 pixels wide, or narrower in smaller images. There is no
/// padding.
///
/// # Shapes
/// - `output`, `target`: `[N, C, H, W]` in `[-1, 1]`
/// - returns `[N]`, at most 1
///
/// # Panics
/// If the shapes of `output` and `target` differ.
///
/// # Examples
/// ```
/// # #[cfg(feature = "flex")] {
/// use pix2pix::{Tensor, device, metrics};
///
/// let image = || Tensor::<4>::ones([1, 3, 16, 16], &device::cpu()) * 0.5;
/// let ssim = metrics::ssim_unit(image(), image()).into_scalar::<f32>();
/// assert!((ssim - 1.0).abs() < 1e-6);
/// # }
/// ```
pub fn ssim_unit(output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_same_shape(&output, &target);
    let shape = output.dims();
    per_image_and_channel(unit_similarity_map(output, target), shape)
}

/// Returns the structural similarity of each image, computed on the signed values in `[-1, 1]`, averaged over channels.
///
/// It is not the SSIM of the literature, because the term that compares the means of two windows depends on where zero
/// lies: here it is the middle grey. [`ssim_unit`] can be compared with published numbers. This one can be compared
/// with files of earlier versions, which call it `ssim`. The result equals scikit-image's `structural_similarity` of
/// images in `[-1, 1]` with `data_range=2` and the settings of [`ssim_unit`].
///
/// # Shapes
/// - `output`, `target`: `[N, C, H, W]` in `[-1, 1]`
/// - returns `[N]`, at most 1
///
/// # Panics
/// If the shapes of `output` and `target` differ.
pub fn ssim_signed(output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_same_shape(&output, &target);
    let shape = output.dims();
    per_image_and_channel(similarity_map(output, target, 2.0), shape)
}

/// Returns the structural similarity at each place of the window and in each channel, `[N·C, 1, H', W']`, of images
/// that are moved from `[-1, 1]` to `[0, 1]`. The gradient flows to both.
pub(crate) fn unit_similarity_map(output: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
    let unit = |x: Tensor<4>| (x + 1.0) / 2.0;
    similarity_map(unit(output), unit(target), 1.0)
}

/// Averages a map of `[N·C, 1, H', W']` over the channels and places of each image, `[N]`.
fn per_image_and_channel(map: Tensor<4>, [n, c, _, _]: [usize; 4]) -> Tensor<1> {
    let [_, _, h, w] = map.dims();
    per_image(map.reshape([n, c, h, w]))
}

/// Returns the structural similarity at each place of the window and in each channel, `[N·C, 1, H', W']`, of values in
/// a range of this width.
fn similarity_map(output: Tensor<4>, target: Tensor<4>, range: f64) -> Tensor<4> {
    let [n, c, h, w] = output.dims();
    let single = |x: Tensor<4>| x.reshape([n * c, 1, h, w]);
    let (x, y) = (single(output), single(target));
    let mean_x = blur(x.clone());
    let mean_y = blur(y.clone());
    let var_x = blur(x.clone().square()) - mean_x.clone().square();
    let var_y = blur(y.clone().square()) - mean_y.clone().square();
    let covariance = blur(x * y) - mean_x.clone() * mean_y.clone();
    let [c1, c2] = [0.01, 0.03].map(|k| (k * range) * (k * range));
    let numerator = (mean_x.clone() * mean_y.clone() * 2.0 + c1) * (covariance * 2.0 + c2);
    let denominator = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2);
    numerator / denominator
}

/// Blurs with a Gaussian window, one axis after the other, without padding.
fn blur(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let side = |size: usize| WINDOW.min(size - (size + 1) % 2);
    let (rows, columns) = (gaussian(side(h)), gaussian(side(w)));
    let device = x.device();
    let kernel = |values: Vec<f32>, shape: [usize; 4]| upload(values, shape, &device);
    let (height, width) = (rows.len(), columns.len());
    let options = || ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    let x = conv2d(x, kernel(rows, [1, 1, height, 1]), None, options());
    conv2d(x, kernel(columns, [1, 1, 1, width]), None, options())
}

/// Returns a Gaussian window whose sum is 1.
fn gaussian(side: usize) -> Vec<f32> {
    let middle = (side / 2) as f64;
    let weight = |i: usize| (-((i as f64 - middle) / SIGMA).powi(2) / 2.0).exp();
    let total: f64 = (0..side).map(weight).sum();
    (0..side).map(|i| (weight(i) / total) as f32).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;
    use crate::metrics::fidelity::{l1, psnr};

    #[test]
    fn metrics_agree_with_scikit_image() {
        // x = sin(0.37 i), y = 0.8 x + 0.1 cos(0.11 i): `tests/golden/similarity.py`, scikit-image 0.26
        let cases = [
            ([1, 3, 16, 20], [0.134_839_31, 22.072_712, 0.968_956_65, 0.947_346_6]),
            ([1, 1, 11, 13], [0.135_002_39, 22.048_582, 0.978_180_2, 0.957_696_4]),
        ];
        for (shape, expected) in cases {
            let count = shape.iter().product::<usize>();
            let tensor = |value: fn(f32) -> f32| {
                let values: Vec<f32> = (0..count).map(|i| value(i as f32)).collect();
                Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
            };
            let x = || tensor(|i| (i * 0.37).sin());
            let y = || tensor(|i| (i * 0.37).sin() * 0.8 + (i * 0.11).cos() * 0.1);
            let found =
                [l1, psnr, ssim_unit, ssim_signed].map(|metric| metric(x(), y()).into_scalar::<f32>());
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * expected, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn ssim_of_images_in_the_unit_range_is_that_of_bytes() {
        // Middle greys and the same 30 % darker: `tests/golden/similarity.py`
        let [bytes, signed] = [0.888_561_4, -0.021_965_854];
        let level = |i: usize| (96 + (i / 24 * 7 + i % 24 * 5) % 64) as u32;
        let image = |level: &dyn Fn(usize) -> u32| {
            let values: Vec<f32> = (0..24 * 24).map(|i| level(i) as f32 / 127.5 - 1.0).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([1, 1, 24, 24])
        };
        let (x, y) = (image(&level), image(&|i| level(i) * 7 / 10));
        let found = [ssim_unit, ssim_signed].map(|ssim| ssim(x.clone(), y.clone()).into_scalar::<f32>());
        assert!((found[0] - bytes).abs() < 1e-5 && (found[1] - signed).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn shapes_that_burn_would_broadcast_panic() {
        let (output, target) =
            (Tensor::zeros([8, 3, 4, 4], &device::cpu()), Tensor::zeros([1, 3, 4, 4], &device::cpu()));
        for metric in [l1, psnr, ssim_unit, ssim_signed] {
            let (output, target) = (output.clone(), target.clone());
            let panic = std::panic::catch_unwind(|| metric(output, target)).expect_err("it broadcasts");
            let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(message.contains("`output` is [8, 3, 4, 4], but `target` is [1, 3, 4, 4]"), "{message}");
        }
    }

    #[test]
    fn each_image_of_a_batch_has_its_own_metrics() {
        let device = device::cpu();
        let target =
            Tensor::cat(vec![Tensor::zeros([1, 1, 4, 4], &device), Tensor::ones([1, 1, 4, 4], &device)], 0);
        let errors = l1(Tensor::zeros([2, 1, 4, 4], &device), target.clone());
        assert_eq!(errors.into_data().try_into_vec::<f32>().unwrap(), [0.0, 1.0]);
        let same = ssim_unit(target.clone(), target).into_data().try_into_vec::<f32>().unwrap();
        assert!(same.iter().all(|ssim| (ssim - 1.0).abs() < 1e-6), "{same:?}");
    }
}
