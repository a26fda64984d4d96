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
    use super::*;

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
}
