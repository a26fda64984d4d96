//! The curves of a run: the values of a record, and the charts that show them.

use super::losses::NAMES;
use super::record::Record;

/// A value of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    /// Its curve on the page, if it is drawn.
    pub(super) curve: Option<&'static str>,
    /// Its curve in TensorBoard, if it is written there.
    pub(super) tag: Option<&'static str>,
    pub(super) number: f64,
}

/// A chart on the page: the names of its curves, and a text that explains them.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) curves: Vec<&'static str>,
    pub(super) note: &'static str,
}

/// The charts of values that are not losses: curve, tag in TensorBoard, and text.
const OTHERS: [(&str, &str, &str); 5] = [
    (
        "Validation L1",
        "validation/L1",
        "The mean absolute difference of output and target on validation pairs. Lower is better.",
    ),
    (
        "PSNR",
        "validation/PSNR",
        "The peak signal-to-noise ratio on validation pairs, in decibels. Higher is better.",
    ),
    (
        "SSIM of images in [0, 1]",
        "validation/SSIM_unit",
        "The structural similarity on validation pairs as in the literature. Higher is better; 1 means equal.",
    ),
    (
        "SSIM of values in [-1, 1]",
        "validation/SSIM",
        "The structural similarity of earlier versions, which differs from the literature's. Higher is better.",
    ),
    ("Learning rate", "learning_rate", "The learning rate of G."),
];

/// Returns the values of a record.
pub(super) fn values(record: &Record) -> Vec<Value> {
    let other = |index: usize, number| {
        let (curve, tag, _) = OTHERS[index];
        Value { curve: Some(curve), tag: Some(tag), number }
    };
    match record {
        Record::Step { losses, learning_rate, .. } => {
            let losses = NAMES.iter().zip(losses.into_array()).filter_map(|(name, loss)| {
                Some(Value { curve: Some(name.label), tag: Some(name.tag), number: f64::from(loss?) })
            });
            losses.chain([other(4, *learning_rate)]).collect()
        }
        Record::Epoch { losses, .. } => {
            let losses = NAMES.iter().zip(losses.into_array()).filter_map(|(name, loss)| {
                Some(Value { curve: None, tag: name.mean_tag, number: f64::from(loss?) })
            });
            losses.collect()
        }
        Record::Validation { l1, psnr, ssim_unit, ssim_signed, .. } => {
            let metrics = [Some(*l1), Some(*psnr), *ssim_unit, Some(*ssim_signed)];
            let known = metrics.into_iter().enumerate();
            known.filter_map(|(index, metric)| Some(other(index, f64::from(metric?)))).collect()
        }
    }
}

/// Returns the charts in their order on the page.
pub(super) fn charts() -> Vec<Chart> {
    let mut charts: Vec<Chart> = vec![];
    for name in &NAMES {
        match (name.note, charts.last_mut()) {
            (None, Some(chart)) => chart.curves.push(name.label),
            (note, _) => {
                charts.push(Chart { curves: vec![name.label], note: note.unwrap_or_default() });
            }
        }
    }
    charts.extend(OTHERS.map(|(curve, _, note)| Chart { curves: vec![curve], note }));
    charts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::losses::{LossSet, LossValues};

    #[test]
    fn every_curve_has_a_chart_and_every_value_a_different_tag() {
        let losses = LossSet::default().map(|_: ()| Some(0.5));
        let step = Record::Step { step: 1, epoch: 1, losses, learning_rate: 0.1 };
        let epoch = Record::Epoch { step: 1, epoch: 1, losses };
        let validation = Record::Validation {
            step: 1,
            epoch: 1,
            l1: 0.1,
            psnr: 0.2,
            ssim_unit: Some(0.4),
            ssim_signed: 0.3,
        };
        let all = [step, epoch, validation].map(|record| values(&record)).concat();
        let drawn: Vec<&str> = charts().into_iter().flat_map(|chart| chart.curves).collect();
        let curves: Vec<&str> = all.iter().filter_map(|value| value.curve).collect();
        assert_eq!(curves.len(), drawn.len());
        assert!(curves.iter().all(|curve| drawn.contains(curve)), "{curves:?} {drawn:?}");
        let mut tags: Vec<&str> = all.iter().filter_map(|value| value.tag).collect();
        let count = tags.len();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), count, "{tags:?}");
        assert!(charts().iter().all(|chart| !chart.note.is_empty()));
        let none = Record::Epoch { step: 1, epoch: 1, losses: LossValues::default() };
        assert_eq!(values(&none), []);
    }
}
