//! What is recorded: the lines of `metrics.jsonl`.

use serde::{Deserialize, Deserializer, Serialize};

/// One line of `metrics.jsonl`.
///
/// JSON has no NaN and no infinity: both are written as `null` and read back as NaN. A loss that does not exist,
/// because the run has no discriminator, is left out instead.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The losses of one training step, or their means since the record before.
    Step {
        /// Training steps so far.
        step: u64,
        /// The epoch that the step belongs to.
        epoch: usize,
        /// G's adversarial loss.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        g_gan: Option<f32>,
        /// G's L1 loss, times its weight λ.
        #[serde(deserialize_with = "null_as_nan")]
        g_l1: f32,
        /// D's loss on real pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real: Option<f32>,
        /// D's loss on generated pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake: Option<f32>,
        /// The optimisers' step size.
        #[serde(deserialize_with = "null_as_nan")]
        learning_rate: f64,
        /// The share of patches of real pairs that D takes for real.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real_accuracy: Option<f32>,
        /// The share of patches of generated pairs that D takes for generated.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake_accuracy: Option<f32>,
    },
    /// The mean losses of all steps of an epoch.
    Epoch {
        /// Training steps so far.
        step: u64,
        /// The epoch that has just ended.
        epoch: usize,
        /// G's adversarial loss.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        g_gan: Option<f32>,
        /// G's L1 loss, times its weight λ.
        #[serde(deserialize_with = "null_as_nan")]
        g_l1: f32,
        /// D's loss on real pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real: Option<f32>,
        /// D's loss on generated pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake: Option<f32>,
        /// The share of patches of real pairs that D takes for real.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real_accuracy: Option<f32>,
        /// The share of patches of generated pairs that D takes for generated.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake_accuracy: Option<f32>,
    },
    /// Mean scores on the validation pairs.
    Validation {
        /// Training steps so far.
        step: u64,
        /// The epoch that has just ended.
        epoch: usize,
        /// Mean absolute difference.
        #[serde(deserialize_with = "null_as_nan")]
        l1: f32,
        /// Peak signal-to-noise ratio in decibels.
        #[serde(deserialize_with = "null_as_nan")]
        psnr: f32,
        /// Structural similarity.
        #[serde(deserialize_with = "null_as_nan")]
        ssim: f32,
    },
}

impl Record {
    /// Its step and its epoch.
    pub(super) fn position(&self) -> (u64, usize) {
        match self {
            Self::Step { step, epoch, .. }
            | Self::Epoch { step, epoch, .. }
            | Self::Validation { step, epoch, .. } => (*step, *epoch),
        }
    }

    /// The epoch that it closes; `None` for a single step.
    pub(super) fn closes(&self) -> Option<usize> {
        match self {
            Self::Step { .. } => None,
            Self::Epoch { epoch, .. } | Self::Validation { epoch, .. } => Some(*epoch),
        }
    }

    /// Itself as `metrics.jsonl` has it.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("numbers and names are JSON");
        line.push(b'\n');
        line
    }
}

fn null_as_nan<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(|| T::from(f32::NAN)))
}
