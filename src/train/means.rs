//! The mean losses of an epoch, whose sums go into checkpoints, so that interruptions do not show in them.

use serde::{Deserialize, Serialize};

use super::LossValues;
use super::exact::Exact;

/// Sums over the steps of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    steps: u64,
    sums: [Option<Exact>; 6],
}

impl Means {
    /// Counts the losses of one more step.
    pub(super) fn add(&mut self, losses: &LossValues) {
        let LossValues { g_gan, g_l1, d_real, d_fake, d_real_accuracy, d_fake_accuracy } = *losses;
        let values = [g_gan, Some(g_l1), d_real, d_fake, d_real_accuracy, d_fake_accuracy];
        for (sum, value) in self.sums.iter_mut().zip(values) {
            if let Some(value) = value {
                *sum = Some(Exact(sum.unwrap_or_default().0 + f64::from(value)));
            }
        }
        self.steps += 1;
    }

    /// The means; none before the first step.
    pub(super) fn read(&self) -> Option<LossValues> {
        let mean = |sum: Exact| (sum.0 / self.steps as f64) as f32;
        let [g_gan, g_l1, d_real, d_fake, d_real_accuracy, d_fake_accuracy] =
            self.sums.map(|sum| sum.map(mean));
        Some(LossValues { g_gan, g_l1: g_l1?, d_real, d_fake, d_real_accuracy, d_fake_accuracy })
    }
}
