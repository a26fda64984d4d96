//! How close an output is to its target: the means of L1, PSNR and SSIM, and L1 and PSNR of each image.

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::names;

/// The width of `[-1, 1]`, the range of an image's values.
const RANGE: f64 = 2.0;

/// The means of the metrics over a set of images.
///
/// Files of earlier versions have a single `ssim`, which is read as [`ssim_signed`](Self::ssim_signed);
/// [`ssim_unit`](Self::ssim_unit) is then NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean absolute difference of values in `[-1, 1]`, from 0 for equal images to 2: lower is better.
    pub l1: f64,
    /// Peak signal-to-noise ratio in decibels: higher is better.
    pub psnr: f64,
    /// Structural similarity of images in `[0, 1]`, the SSIM of the literature, 1 for equal images: higher is better.
    #[serde(default = "unknown")]
    pub ssim_unit: f64,
    /// Structural similarity of values in `[-1, 1]`, 1 for equal images, to compare with earlier versions: higher is
    /// better.
    #[serde(alias = "ssim")]
    pub ssim_signed: f64,
}

/// Returns the value of a metric that a file of an earlier version lacks.
fn unknown() -> f64 {
    f64::NAN
}

impl fmt::Display for Metrics {
    /// Writes L1, PSNR and the SSIM of images in `[0, 1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L1 {:.4}  PSNR {:.2}  SSIM {:.4}", self.l1, self.psnr, self.ssim_unit)
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
    /// [`Metrics::ssim_unit`]: higher is better.
    SsimUnit,
    /// [`Metrics::ssim_signed`]: higher is better. Configurations of earlier versions call it `ssim`.
    #[serde(alias = "ssim")]
    SsimSigned,
}

impl Metric {
    /// Returns the metric as a number that is higher for better images: L1 is negated.
    pub(crate) fn higher_is_better(self, metrics: &Metrics) -> f64 {
        match self {
            Self::L1 => -metrics.l1,
            Self::Psnr => metrics.psnr,
            Self::SsimUnit => metrics.ssim_unit,
            Self::SsimSigned => metrics.ssim_signed,
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

/// Panics if the shapes differ. burn would broadcast an axis of 1.
pub(super) fn assert_same_shape(output: &Tensor<4>, target: &Tensor<4>) {
    let (output, target) = (output.dims(), target.dims());
    assert_eq!(
        output, target,
        "`output` is {output:?}, but `target` is {target:?}; both must have the same shape"
    );
}

/// Averages the values of each image.
pub(super) fn per_image(x: Tensor<4>) -> Tensor<1> {
    let n = x.dims()[0];
    x.reshape([n as isize, -1]).mean_dim(1).reshape([n])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::super::ssim::{ssim_signed, ssim_unit};
    use super::*;
    use crate::device;

    #[test]
    fn metrics_agree_with_scikit_image() {
        // x = sin(0.37 i), y = 0.8 x + 0.1 cos(0.11 i): `tests/golden/similarity.py`, scikit-image 0.26
        let cases = [
            ([1, 3, 16, 20], [0.134_839_317, 22.072_712_2, 0.968_956_647, 0.947_346_601]),
            ([1, 1, 11, 13], [0.135_002_383, 22.048_581_3, 0.978_180_215, 0.957_696_402]),
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
        let [bytes, signed] = [0.888_561_437, -0.021_965_854];
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
    fn the_ssim_of_earlier_versions_is_the_signed_one() {
        let old: Metrics = serde_json::from_str(r#"{"l1":0.25,"psnr":20.0,"ssim":0.5}"#).unwrap();
        assert!(old.ssim_unit.is_nan() && old.ssim_signed == 0.5);
        let new = Metrics { ssim_unit: 0.75, ..old };
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(text, r#"{"l1":0.25,"psnr":20.0,"ssim_unit":0.75,"ssim_signed":0.5}"#);
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), new);
        assert_eq!("ssim".parse::<Metric>().unwrap(), Metric::SsimSigned);
        assert_eq!(Metric::SsimUnit.higher_is_better(&new), 0.75);
        assert_eq!(Metric::SsimSigned.higher_is_better(&new), 0.5);
    }

    #[test]
    fn names_are_those_in_json() {
        for metric in [Metric::L1, Metric::Psnr, Metric::SsimUnit, Metric::SsimSigned] {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        let message = "mse".parse::<Metric>().unwrap_err().to_string();
        assert_eq!(
            message,
            "metric: `mse` cannot be used: unknown variant `mse`, expected one of `l1`, `psnr`, `ssim_unit`, \
             `ssim`, `ssim_signed`"
        );
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
