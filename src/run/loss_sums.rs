//! Running sums of the losses of the current epoch.

use serde::{Deserialize, Serialize};

use super::lossless_f64::LosslessF64;
use crate::report::{LossSet, LossValues};

/// Sums of the losses over the steps of the current epoch.
///
/// A checkpoint holds them, so that an interrupted epoch has the same means as one that was not interrupted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", from = "Stored")]
pub(crate) struct LossSums {
    steps: u64,
    sums: LossSet<Option<LosslessF64>>,
    /// The number of steps that had each loss: one that is not computed in every step has fewer.
    counts: LossSet<u64>,
}

/// The sums in `state.json`: an array in the order of the losses, shorter if the last ones have no sum or an earlier
/// version had fewer losses.
#[derive(Serialize, Deserialize)]
struct Stored {
    steps: u64,
    sums: Vec<Option<LosslessF64>>,
    /// The numbers of steps that had each loss, in the same order; left out if every loss with a sum was in every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<Vec<u64>>,
}

/// The number of sums that are always written, as an earlier version did.
const MIN_STORED: usize = 6;

impl From<LossSums> for Stored {
    fn from(LossSums { steps, sums, counts }: LossSums) -> Self {
        let mut sums: Vec<_> = sums.into_array().into();
        let counts = counts.into_array();
        let is_partial = sums.iter().zip(counts).any(|(sum, count)| sum.is_some() && count != steps);
        while sums.len() > MIN_STORED && sums.last() == Some(&None) {
            sums.pop();
        }
        Self { steps, counts: is_partial.then(|| counts[..sums.len()].into()), sums }
    }
}

impl From<Stored> for LossSums {
    fn from(Stored { steps, sums, counts }: Stored) -> Self {
        let mut counts = counts.unwrap_or_else(|| vec![steps; sums.len()]).into_iter();
        let mut sums = sums.into_iter();
        Self {
            steps,
            sums: LossSet::default().map(|_: ()| sums.next().flatten()),
            counts: LossSet::default().map(|_: ()| counts.next().unwrap_or_default()),
        }
    }
}

impl LossSums {
    /// Adds the losses of one step.
    pub(crate) fn add(&mut self, losses: &LossValues) {
        self.sums = self.sums.zip(*losses).map(|(sum, loss)| match loss {
            Some(loss) => Some(LosslessF64(sum.unwrap_or_default().0 + f64::from(loss))),
            None => sum,
        });
        self.counts = self.counts.zip(*losses).map(|(count, loss)| count + u64::from(loss.is_some()));
        self.steps += 1;
    }

    /// Returns the means, each over the steps that had the loss; `None` before the first step of the epoch.
    pub(crate) fn means(&self) -> Option<LossValues> {
        let mean = |sum: LosslessF64, count: u64| (sum.0 / count as f64) as f32;
        let means = || self.sums.zip(self.counts).map(|(sum, count)| Some(mean(sum?, count)));
        (self.steps > 0).then(means)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_earlier_versions_are_read() {
        let text = r#"{"steps":2,"sums":["1.5","30.25",null,null,null,null]}"#;
        let mut sums: LossSums = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&sums).unwrap(), text);
        sums.add(&LossValues { g_gan: Some(0.5), g_l1: Some(8.0), ..LossValues::default() });
        let means = sums.means().unwrap();
        assert_eq!((means.g_gan, means.g_l1, means.d_real), (Some(2.0 / 3.0), Some(12.75), None));
        let fewer: LossSums = serde_json::from_str(r#"{"steps":1,"sums":["1.5"]}"#).unwrap();
        assert_eq!(fewer.means().unwrap().named().collect::<Vec<_>>(), [("g_gan", 1.5)]);
        assert_eq!(LossSums::default().means(), None);
    }

    #[test]
    fn a_loss_of_some_steps_has_the_mean_of_these_steps_also_after_a_checkpoint() {
        let mut sums = LossSums::default();
        for (step, g_l1) in [1.0, 2.0, 3.0, 6.0].into_iter().enumerate() {
            let gan_share = (step % 2 == 0).then_some(0.25 + step as f32 / 4.0);
            sums.add(&LossValues { g_l1: Some(g_l1), gan_share, ..LossValues::default() });
            let text = serde_json::to_string(&sums).unwrap();
            assert_eq!(text.contains("counts"), step > 0, "{text}");
            let read: LossSums = serde_json::from_str(&text).unwrap();
            assert_eq!(read.means(), sums.means(), "{text}");
            sums = read;
        }
        let means = sums.means().unwrap();
        assert_eq!((means.g_l1, means.gan_share, means.g_gan), (Some(3.0), Some(0.5), None));
    }
}
