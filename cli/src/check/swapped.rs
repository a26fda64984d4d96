//! Finds pairs whose halves lie the other way round than those of the other pairs.

use super::signature::{FEATURES, Signature};

/// The smallest number of pairs that shows what A and B usually look like.
const MIN_PAIRS: usize = 5;
/// A pair is swapped below this, where 1 is the median pair and −1 the same pair swapped.
const LIMIT: f32 = -0.35;

/// Returns the indices of swapped pairs; none if A and B look alike.
pub(crate) fn find(pairs: &[&Signature]) -> Vec<usize> {
    if pairs.len() < MIN_PAIRS {
        return vec![];
    }
    let differences: Vec<[f32; FEATURES]> = pairs
        .iter()
        .map(|pair| std::array::from_fn(|k| pair.halves[0].features[k] - pair.halves[1].features[k]))
        .collect();
    let medians: [f32; FEATURES] = std::array::from_fn(|k| median(differences.iter().map(|d| d[k])));
    let spreads: [f32; FEATURES] = std::array::from_fn(|k| {
        median(differences.iter().map(|d| (d[k] - medians[k]).abs())) * 1.4826 + 0.01
    });
    // A feature counts if it tells A from B in nearly all pairs.
    let weights: [f32; FEATURES] = std::array::from_fn(|k| {
        let separation = medians[k].abs() / spreads[k];
        if separation < 2.0 { 0.0 } else { separation.min(8.0) }
    });
    let total: f32 = weights.iter().sum();
    if total == 0.0 {
        return vec![];
    }
    let score = |d: &[f32; FEATURES]| -> f32 {
        (0..FEATURES)
            .filter(|k| weights[*k] > 0.0)
            .map(|k| weights[k] * (d[k] / medians[k]).clamp(-1.5, 1.5))
            .sum::<f32>()
            / total
    };
    (0..pairs.len()).filter(|at| score(&differences[*at]) < LIMIT).collect()
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}
