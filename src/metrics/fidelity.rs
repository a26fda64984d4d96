//! How close an output is to its target, pixel by pixel: L1, PSNR and SSIM of each image.

use std::fmt;

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::transfer::upload;

/// The width of `[-1, 1]`, the range of an image's values.
const RANGE: f64 = 2.0;

/// Side and standard deviation of SSIM's Gaussian window (Wang et al. 2004).
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// The means of the metrics over a set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean absolute difference of values in `[-1, 1]`, from 0 for equal images to 2: lower is better.
    pub l1: f64,
    /// Peak signal-to-noise ratio in decibels: higher is better.
    pub psnr: f64,
    /// Structural similarity, 1 for equal images: higher is better.
    pub ssim: f64,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L1 {:.4}  PSNR {:.2}  SSIM {:.4}", self.l1, self.psnr, self.ssim)
    }
}

/// One of the [`Metrics`], to choose the best checkpoint by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// [`Metrics::l1`]: lower is better.
    #[default]
    L1,
    /// [`Metrics::psnr`]: higher is better.
    Psnr,
    /// [`Metrics::ssim`]: higher is better.
    Ssim,
}

impl Metric {
    /// Returns the metric as a number that is higher for better images: L1 is negated.
    pub(crate) fn higher_is_better(self, metrics: &Metrics) -> f64 {
        match self {
            Self::L1 => -metrics.l1,
            Self::Psnr => metrics.psnr,
            Self::Ssim => metrics.ssim,
        }
    }
}

names::named!(Metric, "metric");

/// Returns the mean absolute difference of each image.
///
/// # Shapes
/// - `output`, `target`: `[N, C, H, W]` in `[-1, 1]`
/// - returns `[N]`
///
/// # Panics
/// If the shapes of `output` and `target` differ.
pub fn l1(output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_same_shape(&output, &target);
    per_image((output - target).abs())
}

/// Returns the peak signal-to-noise ratio of each image in decibels, which is infinite for equal images.
///
/// # Shapes
/// - `output`, `target`: `[N, C, H, W]` in `[-1, 1]`
/// - returns `[N]`
///
/// # Panics
/// If the shapes of `output` and `target` differ.
pub fn psnr(output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_same_shape(&output, &target);
    let error = per_image((output - target).square());
    (error.recip() * (RANGE * RANGE)).log() * (10.0 / std::f64::consts::LN_10)
}

/// Returns the structural similarity of each image, averaged over channels (Wang et al. 2004).
///
/// The Gaussian window is 11 pixels wide, or narrower in smaller images. There is no padding.
///
/// # Shapes
/// - `output`, `target`: `[N, C, H, W]` in `[-1, 1]`
/// - returns `[N]`
///
/// # Panics
/// If the shapes of `output` and `target` differ.
pub fn ssim(output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_same_shape(&output, &target);
    let [n, c, h, w] = output.dims();
    let single = |x: Tensor<4>| x.reshape([n * c, 1, h, w]);
    let (x, y) = (single(output), single(target));
    let mean_x = blur(x.clone());
    let mean_y = blur(y.clone());
    let var_x = blur(x.clone().square()) - mean_x.clone().square();
    let var_y = blur(y.clone().square()) - mean_y.clone().square();
    let covariance = blur(x * y) - mean_x.clone() * mean_y.clone();
    let [c1, c2] = [0.01, 0.03].map(|k| (k * RANGE) * (k * RANGE));
    let numerator = (mean_x.clone() * mean_y.clone() * 2.0 + c1) * (covariance * 2.0 + c2);
    let denominator = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2);
    let map = numerator / denominator; // [N·C, 1, H', W']
    let [_, _, h, w] = map.dims();
    per_image(map.reshape([n, c, h, w]))
}

/// Panics if the shapes differ. burn would broadcast an axis of 1.
fn assert_same_shape(output: &Tensor<4>, target: &Tensor<4>) {
    let (output, target) = (output.dims(), target.dims());
    assert_eq!(
        output, target,
        "`output` is {output:?}, but `target` is {target:?}; both must have the same shape"
    );
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

/// Averages the values of each image.
pub(super) fn per_image(x: Tensor<4>) -> Tensor<1> {
    let n = x.dims()[0];
    x.reshape([n as isize, -1]).mean_dim(1).reshape([n])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn metrics_agree_with_scikit_image() {
        // x = sin(0.37 i), y = 0.8 x + 0.1 cos(0.11 i); skimage.metrics 0.26 with data_range=2 and, for SSIM,
        // gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=0
        let cases = [
            ([1, 3, 16, 20], [0.134_839_31, 22.072_713, 0.947_346_6]),
            ([1, 1, 11, 13], [0.135_002_37, 22.048_582, 0.957_696_4]),
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
                [l1(x(), y()), psnr(x(), y()), ssim(x(), y())].map(|metric| metric.into_scalar::<f32>());
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4 * expected, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn names_are_those_in_json() {
        for metric in [Metric::L1, Metric::Psnr, Metric::Ssim] {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        let message = "mse".parse::<Metric>().unwrap_err().to_string();
        assert_eq!(
            message,
            "metric: `mse` cannot be used: unknown variant `mse`, expected one of `l1`, `psnr`, `ssim`"
        );
    }

    #[test]
    fn shapes_that_burn_would_broadcast_panic() {
        let (output, target) =
            (Tensor::zeros([8, 3, 4, 4], &device::cpu()), Tensor::zeros([1, 3, 4, 4], &device::cpu()));
        for metric in [l1, psnr, ssim] {
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
        let same = ssim(target.clone(), target).into_data().try_into_vec::<f32>().unwrap();
        assert!(same.iter().all(|ssim| (ssim - 1.0).abs() < 1e-6), "{same:?}");
    }
}
