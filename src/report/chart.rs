//! Charts: draws the curves of a run as SVG coordinates, with a bounded number of points.

use std::collections::BTreeMap;
use std::ops::Range;

use super::record::Record;
use super::series::values;

/// The maximum number of points of a curve.
const MAX_POINTS: usize = 400;

/// The horizontal range of the curves, in the units of the chart's `viewBox`.
pub(super) const ACROSS: Range<f64> = 42.0..348.0;
/// The vertical range of the curves.
pub(super) const DOWN: Range<f64> = 8.0..150.0;

/// A step and a value.
pub(super) type Point = (f64, f64);

/// A chart in the units of its `viewBox`.
pub(super) struct Drawing {
    pub(super) curves: Vec<Curve>,
    /// The ticks of the values: coordinates and labels.
    pub(super) rows: Vec<(f64, String)>,
    /// The ticks of the steps: coordinates and labels.
    pub(super) columns: Vec<(f64, String)>,
    /// The number of values that are NaN or infinite. No curve contains them.
    pub(super) not_finite: usize,
}

/// A curve of a chart.
pub(super) struct Curve {
    pub(super) name: &'static str,
    /// The latest value.
    pub(super) latest: String,
    /// The coordinates of the values.
    pub(super) raw: String,
    /// The coordinates of the smoothed values.
    pub(super) smooth: String,
    /// The end of the smooth line.
    pub(super) end: Option<Point>,
}

/// Collects the values of all curves over steps, by curve.
pub(super) fn series(records: &[Record]) -> BTreeMap<&'static str, Vec<Point>> {
    let mut series = BTreeMap::<_, Vec<Point>>::new();
    for record in records {
        let step = record.position().0 as f64;
        for value in values(record) {
            if let Some(curve) = value.curve {
                series.entry(curve).or_default().push((step, value.number));
            }
        }
    }
    series
}

/// Draws the curves `names` in one chart from step 0 to `steps`; `None` if none of them has values.
pub(super) fn draw(
    series: &BTreeMap<&'static str, Vec<Point>>,
    names: &[&'static str],
    steps: u64,
) -> Option<Drawing> {
    let series = names.iter().filter_map(|name| {
        let values = series.get(name)?;
        let latest = number(values.last()?.1);
        let (finite, others) = values.iter().copied().partition::<Vec<_>, _>(|(_, value)| value.is_finite());
        Some((*name, latest, thinned(&finite), others.len()))
    });
    let series = series.collect::<Vec<_>>();
    if series.is_empty() {
        return None;
    }

    let steps = steps.max(1) as f64;
    let (low, high) = range(series.iter().flat_map(|(_, _, points, _)| points.iter().map(|point| point.1)));
    let unit = nice((high - low) / 4.0);
    let (low, high) = ((low / unit).floor() * unit, (high / unit).ceil() * unit);
    let x = |step: f64| ACROSS.start + step / steps * (ACROSS.end - ACROSS.start);
    let y = |value: f64| DOWN.end - (value - low) / (high - low) * (DOWN.end - DOWN.start);
    let line = |points: &[Point]| {
        let points = points.iter().map(|(step, value)| format!("{:.1},{:.1}", x(*step), y(*value)));
        points.collect::<Vec<_>>().join(" ")
    };
    Some(Drawing {
        rows: ticks(low, high, unit, y),
        columns: ticks(0.0, steps, nice(steps / 4.0).max(1.0), x),
        not_finite: series.iter().map(|(_, _, _, others)| others).sum(),
        curves: series
            .into_iter()
            .map(|(name, latest, points, _)| {
                let smooth = smooth(&points);
                let end = smooth.last().map(|(step, value)| (x(*step), y(*value)));
                Curve { name, latest, raw: line(&points), smooth: line(&smooth), end }
            })
            .collect(),
    })
}

/// Returns at most [`MAX_POINTS`] points: means of groups of neighbours.
fn thinned(points: &[Point]) -> Vec<Point> {
    points.chunks(points.len().div_ceil(MAX_POINTS).max(1)).map(mean).collect()
}

/// Returns the means over a sliding window. It is narrower at the ends, so that it stays symmetric.
fn smooth(points: &[Point]) -> Vec<Point> {
    let around = |i: usize| {
        let radius = (points.len() / 50).min(i).min(points.len() - 1 - i);
        (points[i].0, mean(&points[i - radius..=i + radius]).1)
    };
    (0..points.len()).map(around).collect()
}

/// Returns the mean of the points.
fn mean(points: &[Point]) -> Point {
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (x / points.len() as f64, y / points.len() as f64)
}

/// Returns the lowest and the highest value, or a range from 0 if the values do not differ.
fn range(values: impl Iterator<Item = f64>) -> Point {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if high - low > 1e-6 * low.abs().max(high.abs()) {
        return (low, high);
    }
    let from_zero = (low.min(0.0), high.max(0.0));
    if low > high || low == 0.0 { (0.0, 1.0) } else { from_zero }
}

/// Rounds `least` up to 1, 2 or 5 times a power of ten.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|n| *n >= least).unwrap_or(10.0 * power)
}

/// Returns the multiples of `unit` from `low` to `high`: their coordinates and their labels.
fn ticks(low: f64, high: f64, unit: f64, coordinate: impl Fn(f64) -> f64) -> Vec<(f64, String)> {
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
    (first..=last).map(|i| i as f64 * unit).map(|value| (coordinate(value), label(value))).collect()
}

/// Formats a number with four significant digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size @ 1e-3..1e5 => format!("{value:.*}", (3.0 - size.log10().floor()).max(0.0) as usize),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_few_digits() {
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
