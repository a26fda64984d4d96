//! The page: curves as SVG, samples as data URIs, all in one file whose size is bounded however long the run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, codecs::jpeg::JpegEncoder};
use minijinja::{Environment, context, value::Serde};
use serde::Serialize;

use super::{Record, Report};
use crate::{Error, Result};

/// Points of a curve and strips on the page, at most.
const POINTS: usize = 400;
const STRIPS: usize = 12;

/// Pixels of the newest strip and of each earlier one, at most; as JPEG, noise takes 1.6 bytes each, photos less.
const NEWEST: usize = 700_000;
const EARLIER: usize = 100_000;

/// Where a chart draws its curves, in the units of the template's `viewBox`.
const ACROSS: Range<f64> = 42.0..348.0;
const DOWN: Range<f64> = 8.0..150.0;

/// The curves of each chart, by name; the template says what they mean.
const CHARTS: [&[&str]; 8] = [
    &["G_L1"],
    &["G_GAN"],
    &["D_real", "D_fake"],
    &["Accuracy on real", "Accuracy on fake"],
    &["Validation L1"],
    &["PSNR"],
    &["SSIM"],
    &["Learning rate"],
];

pub(super) fn value(record: &Record, name: &str) -> Option<f64> {
    match (record, name) {
        (Record::Step { g_l1, .. }, "G_L1") => Some(f64::from(*g_l1)),
        (Record::Step { g_gan, .. }, "G_GAN") => g_gan.map(f64::from),
        (Record::Step { d_real, .. }, "D_real") => d_real.map(f64::from),
        (Record::Step { d_fake, .. }, "D_fake") => d_fake.map(f64::from),
        (Record::Step { learning_rate, .. }, "Learning rate") => Some(*learning_rate),
        (Record::Step { d_real_accuracy, .. }, "Accuracy on real") => d_real_accuracy.map(f64::from),
        (Record::Step { d_fake_accuracy, .. }, "Accuracy on fake") => d_fake_accuracy.map(f64::from),
        (Record::Epoch { g_l1, .. }, "Mean G_L1") => Some(f64::from(*g_l1)),
        (Record::Epoch { g_gan, .. }, "Mean G_GAN") => g_gan.map(f64::from),
        (Record::Epoch { d_real, .. }, "Mean D_real") => d_real.map(f64::from),
        (Record::Epoch { d_fake, .. }, "Mean D_fake") => d_fake.map(f64::from),
        (Record::Validation { l1, .. }, "Validation L1") => Some(f64::from(*l1)),
        (Record::Validation { psnr, .. }, "PSNR") => Some(f64::from(*psnr)),
        (Record::Validation { ssim, .. }, "SSIM") => Some(f64::from(*ssim)),
        _ => None,
    }
}

/// The whole page.
pub(super) fn render(report: &Report, finished: bool) -> Result<String> {
    let Report { run, title, facts, records, .. } = report;
    let strips = Serde(strips(&run.join("samples"))?);
    let charts = Serde(CHARTS.iter().filter_map(|names| chart(records, names)).collect::<Vec<_>>());
    let (step, epoch) = records.last().map(Record::position).unzip();
    let speed = report.images_per_second.map(|speed| number(f64::from(speed)));
    let mut environment = Environment::new();
    environment
        .add_template("index.html.j2", include_str!("index.html.j2"))
        .and_then(|()| environment.get_template("index.html.j2"))
        .and_then(|page| page.render(context! { title, facts, finished, epoch, step, speed, charts, strips }))
        .map_err(|error| Error::io(&run.join("index.html"), io::Error::other(error)))
}

#[derive(Serialize)]
struct Chart {
    /// Name, latest value, raw line and smooth line.
    curves: Vec<(&'static str, String, String, String)>,
    /// Where the ticks are, and their labels.
    rows: Vec<(f64, String)>,
    columns: Vec<(f64, String)>,
    /// How many values are NaN or infinite, and so in no curve.
    not_finite: usize,
}

type Point = (f64, f64);

/// A chart of the named values over steps; none if there are no such values.
fn chart(records: &[Record], names: &[&'static str]) -> Option<Chart> {
    let series = names.iter().filter_map(|name| {
        let values =
            records.iter().filter_map(|record| Some((record.position().0 as f64, value(record, name)?)));
        let values = values.collect::<Vec<Point>>();
        let latest = number(values.last()?.1);
        let (finite, others) = values.into_iter().partition::<Vec<_>, _>(|(_, value)| value.is_finite());
        Some((*name, latest, thinned(&finite), others.len()))
    });
    let series = series.collect::<Vec<_>>();
    if series.is_empty() {
        return None;
    }

    let steps = records.iter().map(|record| record.position().0).max().unwrap_or(0).max(1) as f64;
    let (low, high) = range(series.iter().flat_map(|(_, _, points, _)| points.iter().map(|point| point.1)));
    let unit = nice((high - low) / 4.0);
    let (low, high) = ((low / unit).floor() * unit, (high / unit).ceil() * unit);
    let x = |step: f64| ACROSS.start + step / steps * (ACROSS.end - ACROSS.start);
    let y = |value: f64| DOWN.end - (value - low) / (high - low) * (DOWN.end - DOWN.start);
    let line = |points: &[Point]| {
        let points = points.iter().map(|(step, value)| format!("{:.1},{:.1}", x(*step), y(*value)));
        points.collect::<Vec<_>>().join(" ")
    };
    Some(Chart {
        rows: ticks(low, high, unit, y),
        columns: ticks(0.0, steps, nice(steps / 4.0).max(1.0), x),
        not_finite: series.iter().map(|(_, _, _, others)| others).sum(),
        curves: series
            .into_iter()
            .map(|(name, latest, points, _)| (name, latest, line(&points), line(&smooth(&points))))
            .collect(),
    })
}

/// Averages neighbours, so that at most [`POINTS`] are left.
fn thinned(points: &[Point]) -> Vec<Point> {
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Averages over a small window, narrower at the ends, where it would shift the curve otherwise.
fn smooth(points: &[Point]) -> Vec<Point> {
    let around = |i: usize| {
        let radius = (points.len() / 50).min(i).min(points.len() - 1 - i);
        (points[i].0, mean(&points[i - radius..=i + radius]).1)
    };
    (0..points.len()).map(around).collect()
}

fn mean(points: &[Point]) -> Point {
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (x / points.len() as f64, y / points.len() as f64)
}

/// Lowest and highest value, or a range from 0 where the values do not differ.
fn range(values: impl Iterator<Item = f64>) -> Point {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if high - low > 1e-6 * low.abs().max(high.abs()) {
        return (low, high);
    }
    let from_zero = (low.min(0.0), high.max(0.0));
    if low > high || low == 0.0 { (0.0, 1.0) } else { from_zero }
}

/// The next number up of the form 1, 2 or 5 times a power of ten.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|n| *n >= least).unwrap_or(10.0 * power)
}

/// The multiples of `unit` from `low` to `high`: where they are placed, and their labels.
fn ticks(low: f64, high: f64, unit: f64, place: impl Fn(f64) -> f64) -> Vec<(f64, String)> {
    let (size, suffix) = match unit {
        1e3..1e5 => (1e3, "k"),
        1e5..1e9 => (1e6, "M"),
        _ => (1.0, ""),
    };
    let decimals = (size / unit).log10().ceil().max(0.0) as usize;
    let label = |value: f64| match unit {
        _ if value == 0.0 => "0".to_owned(),
        1e-4..1e9 => format!("{:.decimals$}{suffix}", value / size),
        _ => format!("{value:.1e}").replace(".0e", "e"),
    };
    let (first, last) = ((low / unit).round() as i64, (high / unit + 1e-6).floor() as i64);
    (first..=last).map(|i| i as f64 * unit).map(|value| (place(value), label(value))).collect()
}

/// Four significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size @ 1e-3..1e5 => format!("{value:.*}", (3.0 - size.log10().floor()).max(0.0) as usize),
        _ => format!("{value:.2e}"),
    }
}

/// A strip as the page embeds it.
#[derive(Serialize)]
struct Strip {
    epoch: usize,
    file: String,
    data: String,
}

/// The files `epoch-0007.png` in `folder`, by epoch.
pub(super) fn samples(folder: &Path) -> Result<BTreeMap<usize, PathBuf>> {
    let mut samples = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("epoch-")?.strip_suffix(".png"));
        if let Some(epoch) = digits.and_then(|digits| digits.parse().ok()) {
            samples.insert(epoch, entry.path());
        }
    }
    Ok(samples)
}

/// Some of the samples in `folder`, the newest first, evenly chosen from the whole run.
fn strips(folder: &Path) -> Result<Vec<Strip>> {
    let samples = samples(folder)?.into_iter().collect::<Vec<_>>();
    let count = samples.len().min(STRIPS);
    let strip = |i: usize| {
        let (epoch, path) = &samples[i * (samples.len() - 1) / (count - 1).max(1)];
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let data = data_uri(path, if i + 1 == count { NEWEST } else { EARLIER })?;
        Ok(data.map(|data| Strip { epoch: *epoch, file, data }))
    };
    (0..count).rev().filter_map(|i| strip(i).transpose()).collect()
}

/// A PNG with no more bytes than `pixels` as it is, a larger one as a JPEG of so many pixels; none if it is no picture.
fn data_uri(path: &Path, pixels: usize) -> Result<Option<String>> {
    let png = fs::read(path).map_err(|error| Error::io(path, error))?;
    if png.len() <= pixels {
        return Ok(Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))));
    }
    let strip = image::load_from_memory_with_format(&png, ImageFormat::Png);
    let Ok(strip) = strip else { return Ok(None) };
    let width = (pixels as f64 * f64::from(strip.width()) / f64::from(strip.height())).sqrt();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85)
        .encode_image(&strip.thumbnail(width as u32, u32::MAX).to_rgb8())
        .map_err(|error| Error::image(path, error))?;
    Ok(Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        let labels = |low, high| {
            let unit = nice((high - low) / 4.0);
            ticks(low, high, unit, |value| value).into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(0.0, 80_000.0), ["0", "20k", "40k", "60k", "80k"]);
        assert_eq!(labels(0.0, 2e-4), ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]);
        assert_eq!(labels(-1.0, 1.0), ["-1.0", "-0.5", "0", "0.5", "1.0"]);
        assert_eq!(
            [0.0, 0.041_73, 15.376, 80_000.0, 2e-4].map(number),
            ["0", "0.04173", "15.38", "80000", "2.00e-4"]
        );
    }
}
