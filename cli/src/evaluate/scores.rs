//! The metrics of pairs, as lines and as JSON.

use anyhow::Result;
use pix2pix::Tensor;
use pix2pix::metrics::{self, Metrics};
use serde_json::{Value, json};

use crate::common;

/// The metrics of a pair.
pub(super) struct Row {
    /// The name of its file.
    pub(super) name: String,
    pub(super) metrics: Metrics,
    /// LPIPS, with `--lpips`.
    pub(super) lpips: Option<f64>,
}

impl Row {
    /// Returns the metrics with the name of the file as JSON; `lpips_name` is the name of LPIPS by the loaded network.
    pub(super) fn to_json(&self, lpips_name: Option<&'static str>) -> Value {
        let mut values = to_json(&self.metrics, lpips_name.zip(self.lpips));
        values["name"] = json!(self.name);
        values
    }
}

/// Returns metrics as JSON, with `others` by their names.
pub(super) fn to_json(metrics: &Metrics, others: impl IntoIterator<Item = (&'static str, f64)>) -> Value {
    let mut values = json!({
        "l1": number(metrics.l1),
        "psnr": number(metrics.psnr),
        "ssim_unit": number(metrics.ssim_unit),
        "ssim_signed": number(metrics.ssim_signed),
    });
    for (name, value) in others {
        values[name] = number(value);
    }
    values
}

/// Returns a metric as JSON, as text if it is NaN or infinite.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

/// Computes the metrics of one image.
pub(super) fn compute(output: &Tensor<4>, target: &Tensor<4>) -> Result<Metrics> {
    let number = |metric: fn(Tensor<4>, Tensor<4>) -> Tensor<1>| {
        anyhow::Ok(f64::from(common::values(metric(output.clone(), target.clone()))?[0]))
    };
    Ok(Metrics {
        l1: number(metrics::l1)?,
        psnr: number(metrics::psnr)?,
        ssim_unit: number(metrics::ssim_unit)?,
        ssim_signed: number(metrics::ssim_signed)?,
    })
}

/// Returns the means over all pairs.
pub(super) fn mean(rows: &[Row]) -> Metrics {
    let mean = |metric: fn(&Metrics) -> f64| {
        rows.iter().map(|row| metric(&row.metrics)).sum::<f64>() / rows.len() as f64
    };
    Metrics {
        l1: mean(|row| row.l1),
        psnr: mean(|row| row.psnr),
        ssim_unit: mean(|row| row.ssim_unit),
        ssim_signed: mean(|row| row.ssim_signed),
    }
}

/// Returns the line of a pair or of the means.
pub(super) fn line(name: &str, Metrics { l1, psnr, ssim_unit, .. }: &Metrics, lpips: Option<f64>) -> String {
    let lpips = lpips.map(|lpips| format!(" {lpips:>8.4}")).unwrap_or_default();
    format!("{name:<40} {l1:>8.4} {psnr:>8.2} {ssim_unit:>8.4}{lpips}")
}
