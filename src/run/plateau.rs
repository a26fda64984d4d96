//! Detects that a metric no longer improves.

use serde::{Deserialize, Serialize};

use super::lossless_f64::LosslessF64;

/// The part of its best value by which a metric must improve.
const THRESHOLD: f64 = 0.01;

/// The state of a schedule that waits for a plateau, as PyTorch's `ReduceLROnPlateau` keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plateau {
    best: Option<LosslessF64>,
    /// Epochs without improvement since the best one or the last reduction.
    waited: usize,
    pub(crate) reductions: u32,
}

impl Plateau {
    /// Returns whether no epoch has been counted.
    pub(super) fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Counts an epoch with this value of the metric, of which higher is better. NaN is not an improvement.
    pub(crate) fn count(&mut self, value: f64, patience: usize) {
        let is_better = self.best.is_none_or(|LosslessF64(best)| value > best + THRESHOLD * best.abs())
            && !value.is_nan();
        if is_better {
            (self.best, self.waited) = (Some(LosslessF64(value)), 0);
            return;
        }
        self.waited += 1;
        if self.waited > patience {
            self.waited = 0;
            self.reductions = self.reductions.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the reductions after each epoch.
    fn reductions(values: &[f64], patience: usize) -> Vec<u32> {
        let mut plateau = Plateau::default();
        let after = values.iter().map(|value| {
            plateau.count(*value, patience);
            plateau.reductions
        });
        after.collect()
    }

    #[test]
    fn the_rate_is_reduced_after_more_than_patience_epochs_without_improvement() {
        // A loss, negated: 0.5, then less than 1 % better, then better.
        let losses = [-0.5, -0.499, -0.5, -0.6, -0.4, -0.4, -0.4, -0.4, -0.4, -0.4];
        assert_eq!(reductions(&losses, 2), [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]);
        // PSNR: higher is better.
        assert_eq!(reductions(&[20.0, 20.1, 20.3, 20.4, 21.0], 0), [0, 1, 1, 2, 2]);
        assert_eq!(reductions(&[f64::NAN, 1.0, f64::NAN, f64::NAN], 1), [0, 0, 0, 1]);
    }

    #[test]
    fn the_state_survives_json() {
        let mut plateau = Plateau::default();
        assert!(plateau.is_new());
        plateau.count(0.1 + 0.2, 3);
        plateau.count(0.0, 3);
        let text = serde_json::to_string(&plateau).unwrap();
        assert_eq!(serde_json::from_str::<Plateau>(&text).unwrap(), plateau);
    }
}
