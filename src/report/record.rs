//! Records, the lines of `metrics.jsonl`.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::losses::{LossValues, null_as_nan};

/// One line of `metrics.jsonl`.
///
/// JSON has neither NaN nor infinity: both are written as `null` and read back as NaN. A loss that the objective does
/// not have is left out.
#[derive(Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// The losses of one training step.
    #[non_exhaustive]
    Step {
        /// The number of training steps so far.
        step: u64,
        /// The epoch that the step belongs to.
        epoch: usize,
        /// The losses.
        #[serde(flatten)]
        losses: LossValues,
        /// The learning rate of the generator.
        #[serde(deserialize_with = "null_as_nan")]
        learning_rate: f64,
    },
    /// The mean losses over the steps of an epoch.
    #[non_exhaustive]
    Epoch {
        /// The number of training steps so far.
        step: u64,
        /// The epoch that has ended.
        epoch: usize,
        /// The mean losses.
        #[serde(flatten)]
        losses: LossValues,
    },
    /// The mean metrics on the validation pairs.
    #[non_exhaustive]
    Validation {
        /// The number of training steps so far.
        step: u64,
        /// The epoch that has ended; 0 for the untrained generator.
        epoch: usize,
        /// The mean absolute difference of output and target.
        #[serde(deserialize_with = "null_as_nan")]
        l1: f32,
        /// The peak signal-to-noise ratio (PSNR) in decibels.
        #[serde(deserialize_with = "null_as_nan")]
        psnr: f32,
        /// The structural similarity (SSIM) of images in `[0, 1]`, at most 1; `None` in records of earlier versions.
        #[serde(default)]
        ssim_unit: Option<f32>,
        /// The SSIM of values in `[-1, 1]`, at most 1. Earlier versions call it `ssim`.
        #[serde(alias = "ssim", deserialize_with = "null_as_nan")]
        ssim_signed: f32,
    },
}

impl Record {
    /// Returns the step and the epoch of the record.
    pub(super) fn position(&self) -> (u64, usize) {
        match self {
            Self::Step { step, epoch, .. }
            | Self::Epoch { step, epoch, .. }
            | Self::Validation { step, epoch, .. } => (*step, *epoch),
        }
    }

    /// Returns the epoch that the record closes; `None` for that of a single step.
    pub(super) fn closes(&self) -> Option<usize> {
        match self {
            Self::Step { .. } => None,
            Self::Epoch { epoch, .. } | Self::Validation { epoch, .. } => Some(*epoch),
        }
    }

    /// Returns the record as a line of `metrics.jsonl`.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("numbers and names are JSON");
        line.push(b'\n');
        line
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let kind = match self {
            Self::Step { .. } => "step",
            Self::Epoch { .. } => "epoch",
            Self::Validation { .. } => "validation",
        };
        map.serialize_entry("kind", kind)?;
        let (step, epoch) = self.position();
        map.serialize_entry("step", &step)?;
        map.serialize_entry("epoch", &epoch)?;
        match self {
            Self::Step { losses, learning_rate, .. } => {
                // The fields have the order of earlier versions, so that a resumed run has one format.
                let is_accuracy = |(name, _): &(&str, f32)| name.ends_with("_accuracy");
                losses
                    .named()
                    .filter(|loss| !is_accuracy(loss))
                    .try_for_each(|(name, loss)| map.serialize_entry(name, &loss))?;
                map.serialize_entry("learning_rate", learning_rate)?;
                losses
                    .named()
                    .filter(is_accuracy)
                    .try_for_each(|(name, loss)| map.serialize_entry(name, &loss))?;
            }
            Self::Epoch { losses, .. } => {
                losses.named().try_for_each(|(name, loss)| map.serialize_entry(name, &loss))?;
            }
            Self::Validation { l1, psnr, ssim_unit, ssim_signed, .. } => {
                map.serialize_entry("l1", l1)?;
                map.serialize_entry("psnr", psnr)?;
                if let Some(ssim) = ssim_unit {
                    map.serialize_entry("ssim_unit", ssim)?;
                }
                map.serialize_entry("ssim_signed", ssim_signed)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ssim_of_earlier_versions_is_read_as_the_signed_one() {
        let old = br#"{"kind":"validation","step":4,"epoch":2,"l1":0.25,"psnr":null,"ssim":0.5}"#;
        let Record::Validation { psnr, ssim_unit, ssim_signed, .. } = serde_json::from_slice(old).unwrap()
        else {
            panic!("another kind")
        };
        assert!(psnr.is_nan() && ssim_unit.is_none() && ssim_signed == 0.5);
        let new = Record::Validation {
            step: 4,
            epoch: 2,
            l1: 0.25,
            psnr: 20.0,
            ssim_unit: Some(0.75),
            ssim_signed: 0.5,
        };
        let line = String::from_utf8(new.line()).unwrap();
        assert!(line.ends_with("\"ssim_unit\":0.75,\"ssim_signed\":0.5}\n"), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), new);
    }
}
