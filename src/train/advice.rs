//! What the losses of a discriminator tell about the balance between the networks.

use super::LossValues;

/// Below this the discriminator has nothing left to learn, and tells the generator little.
const WON: f32 = 0.02;
/// Above this it is further off than guessing would be, which is ln 2 or 1.
const LOST: f32 = 4.0;
/// Reports in a row that make it no accident.
const REPORTS: usize = 30;

/// What may be wrong between the networks; as text, one line that says what to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// The discriminator tells real from fake without fail.
    DiscriminatorHasWon,
    /// The discriminator is wrong most of the time, and surely so.
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

/// Watches the losses, and speaks once each time that things have gone wrong for long.
#[derive(Debug, Default)]
pub(super) struct Adviser {
    suspicion: Option<Advice>,
    reports: usize,
}

impl Adviser {
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
    fn it_speaks_once_after_long() {
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
