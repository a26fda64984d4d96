//! Advice from the losses of the discriminator: whether the networks are out of balance.

use crate::report::LossValues;

/// Below this loss the discriminator has nothing left to learn, and its gradients tell the generator little.
const WON: f32 = 0.02;
/// Above this loss it is far worse than guessing, whose loss is ln 2 (vanilla), 0.25 (least squares) or 1 (hinge).
const LOST: f32 = 4.0;
/// Reports in a row after which advice is given.
const REPORTS: usize = 30;

/// An imbalance between the networks. Its text is one line that says what to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// The discriminator tells real from generated pairs without errors.
    DiscriminatorHasWon,
    /// The discriminator is confident and wrong most of the time.
    DiscriminatorHasDiverged,
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DiscriminatorHasWon => {
                "the discriminator has won: its loss stays near 0; try fewer channels or a smaller patch for it, \
                 training.discriminator_rate below 1, or loss.real_label 0.9"
            }
            Self::DiscriminatorHasDiverged => {
                "the discriminator has diverged: its loss stays high; try a lower learning rate, \
                 training.clip_norm 1, or loss.gan least_squares"
            }
        })
    }
}

/// Watches the losses, and advises once each time that they have been out of balance for long.
#[derive(Debug, Default)]
pub(super) struct Adviser {
    suspicion: Option<Advice>,
    reports: usize,
}

impl Adviser {
    /// Takes the losses of a report into account, and returns advice if it is due.
    pub(super) fn look(&mut self, losses: &LossValues) -> Option<Advice> {
        let total = losses.d_real.zip(losses.d_fake).map(|(real, fake)| (real + fake) / 2.0);
        let suspicion = match total {
            Some(total) if total < WON => Some(Advice::DiscriminatorHasWon),
            Some(total) if total > LOST => Some(Advice::DiscriminatorHasDiverged),
            _ => None,
        };
        self.reports = if suspicion == self.suspicion { self.reports + 1 } else { 1 };
        self.suspicion = suspicion;
        suspicion.filter(|_| self.reports == REPORTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_advises_once_after_30_reports() {
        let losses = |d| LossValues { d_real: Some(d), d_fake: Some(d), ..LossValues::default() };
        let mut adviser = Adviser::default();
        let mut heard =
            |d, reports| (0..reports).filter_map(|_| adviser.look(&losses(d))).collect::<Vec<_>>();
        assert_eq!(heard(0.001, 29), []);
        assert_eq!(heard(0.5, 100), []);
        assert_eq!(heard(0.001, 100), [Advice::DiscriminatorHasWon]);
        assert_eq!(heard(9.0, 100), [Advice::DiscriminatorHasDiverged]);
        assert_eq!(heard(0.001, 100), [Advice::DiscriminatorHasWon]);
    }
}
