//! Finds pairs with equal pixels, and pairs of `val` that nearly repeat one of `train`.

use std::collections::HashMap;

use super::signature::{Half, Signature};

/// The largest number of different bits of the perceptual hashes of both halves together.
const MAX_BITS: u32 = 12;
/// The largest mean difference of the reduced images, in levels.
const MAX_DIFFERENCE: f32 = 5.0;

/// Returns groups of pairs with equal pixels in both halves, by index.
pub(crate) fn equal(pairs: &[&Signature]) -> Vec<Vec<usize>> {
    let mut groups: HashMap<[u64; 2], Vec<usize>> = HashMap::new();
    for (at, pair) in pairs.iter().enumerate() {
        groups.entry([pair.halves[0].exact, pair.halves[1].exact]).or_default().push(at);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    groups
}

/// Returns the indices of pairs of `train` and of `val` that are equal or nearly so.
pub(crate) fn near(train: &[&Signature], val: &[&Signature]) -> Vec<[usize; 2]> {
    let find = |pair: &Signature| train.iter().position(|other| is_near(pair, other));
    val.iter().enumerate().filter_map(|(at, pair)| Some([find(pair)?, at])).collect()
}

fn is_near(a: &Signature, b: &Signature) -> bool {
    let bits = |side: usize| (a.halves[side].perceptual ^ b.halves[side].perceptual).count_ones();
    // Of constant halves every hash is equal, so the reduced images decide.
    bits(0) + bits(1) <= MAX_BITS
        && (0..2).all(|side| difference(&a.halves[side], &b.halves[side]) <= MAX_DIFFERENCE)
}

/// Returns the mean difference of the reduced images.
fn difference(a: &Half, b: &Half) -> f32 {
    let sum: u32 = a.small.iter().zip(&b.small).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    sum as f32 / a.small.len().max(1) as f32
}
