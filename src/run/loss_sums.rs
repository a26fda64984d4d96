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
}

/// The number of losses that a file always has: those of the first versions.
const FIRST_LOSSES: usize = 6;

/// The sums in `state.json`: an array in the order of the losses, shorter if an earlier version had fewer losses.
#[derive(Serialize, Deserialize)]
struct Stored {
    steps: u64,
    sums: Vec<Option<LosslessF64>>,
}

impl From<LossSums> for Stored {
    fn from(sums: LossSums) -> Self {
        let mut values: Vec<_> = sums.sums.into_array().into();
        // Without the newer losses, the file is the same as that of an earlier version.
        while values.len() > FIRST_LOSSES && values.last().is_some_and(Option::is_none) {
            values.pop();
        }
        Self { steps: sums.steps, sums: values }
    }
}

impl From<Stored> for LossSums {
    fn from(stored: Stored) -> Self {
        let mut sums = stored.sums.into_iter();
        Self { steps: stored.steps, sums: LossSet::default().map(|_: ()| sums.next().flatten()) }
    }
}

impl LossSums {
    /// Adds the losses of one step.
    pub(crate) fn add(&mut self, losses: &LossValues) {
        self.sums = self.sums.zip(*losses).map(|(sum, loss)| match loss {
            Some(loss) => Some(LosslessF64(sum.unwrap_or_default().0 + f64::from(loss))),
            None => sum,
        });
        self.steps += 1;
    }

    /// Returns the means; `None` before the first step of the epoch.
    pub(crate) fn means(&self) -> Option<LossValues> {
        let mean = |sum: LosslessF64| (sum.0 / self.steps as f64) as f32;
        (self.steps > 0).then(|| self.sums.map(|sum| sum.map(mean)))
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
}
