//! Detects from the discriminator's losses that the networks are out of balance, and advises what to try.

use crate::report::LossValues;

/// Below this loss the discriminator hardly errs, and its gradients carry little information for the generator.
const WON_BELOW: f32 = 0.02;
/// Above this loss the discriminator is far worse than guessing: ln 2 (vanilla), 0.25 (least squares) or 1 (hinge).
const DIVERGED_ABOVE: f32 = 4.0;
/// Consecutive reports of an imbalance before advice is given.
const REPORTS: usize = 30;

/// An imbalance between the networks. `Display` writes one line with the remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// The discriminator distinguishes real from generated pairs almost without error.
    DiscriminatorHasWon,
    /// The discriminator is confident and wrong most of the time.
    DiscriminatorHasDiverged,
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DiscriminatorHasWon => {
                "the discriminator has won: its loss stays near 0; try fewer discriminator.base_channels or \
                 discriminator.layers, training.discriminator_rate below 1, or loss.real_label 0.9"
            }
            Self::DiscriminatorHasDiverged => {
                "the discriminator has diverged: its loss stays high; try a lower learning rate, \
                 training.clip_norm 1, or loss.gan least_squares"
            }
        })
    }
}

/// Watches the losses, and returns advice once for each long imbalance.
#[derive(Debug, Default)]
pub(super) struct Adviser {
    imbalance: Option<Advice>,
    reports: usize,
}

impl Adviser {
    /// Adds the losses of a report, which are sums over the discriminator's `scales`, and returns advice if [`REPORTS`]
    /// in a row show the same imbalance.
    pub(super) fn look(&mut self, losses: &LossValues, scales: usize) -> Option<Advice> {
        let total = losses.d_real.zip(losses.d_fake).map(|(real, fake)| (real + fake) / (2 * scales) as f32);
        let imbalance = match total {
            Some(total) if total < WON_BELOW => Some(Advice::DiscriminatorHasWon),
            Some(total) if total > DIVERGED_ABOVE => Some(Advice::DiscriminatorHasDiverged),
            _ => None,
        };
        self.reports = if imbalance == self.imbalance { self.reports + 1 } else { 1 };
        self.imbalance = imbalance;
        imbalance.filter(|_| self.reports == REPORTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_once_after_30_reports() {
        let losses = |d| LossValues { d_real: Some(d), d_fake: Some(d), ..LossValues::default() };
        for scales in 1..=3 {
            let mut adviser = Adviser::default();
            let mut advice = |d, reports| {
                (0..reports)
                    .filter_map(|_| adviser.look(&losses(scales as f32 * d), scales))
                    .collect::<Vec<_>>()
            };
            assert_eq!(advice(0.001, 29), []);
            assert_eq!(advice(0.5, 100), []);
            assert_eq!(advice(0.001, 100), [Advice::DiscriminatorHasWon]);
            assert_eq!(advice(9.0, 100), [Advice::DiscriminatorHasDiverged]);
            assert_eq!(advice(3.0, 100), []);
            assert_eq!(advice(0.001, 100), [Advice::DiscriminatorHasWon]);
        }
    }
}
