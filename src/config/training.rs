//! How long and how fast to train.

use derive_setters::Setters;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::metrics::Metric;

/// The shape of the learning rate over the epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Constant for `epochs`, then falling evenly for `decay_epochs`.
    #[default]
    Linear,
    /// Constant for `epochs`, then falling as half a cosine wave for `decay_epochs`.
    Cosine,
    /// Multiplied by `factor` after every `every` epochs.
    Step {
        /// Epochs from one fall to the next.
        every: usize,
        /// What is left after a fall.
        factor: f64,
    },
}

/// How long and how fast to train.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `epochs` | 200 | epochs at the full learning rate | 0– | 200 / 100 |
/// | `decay_epochs` | 0 | epochs of linear decay after them | 0– | 0 / 100 |
/// | `decay_to_zero` | false | whether the decay ends at zero, wasting its last epoch | | – / true |
/// | `learning_rate` | 0.0002 | of both Adams | > 0 | 0.0002 |
/// | `beta_1` | 0.5 | Adam's first decay rate | 0 ≤ β < 1 | 0.5 |
/// | `beta_2` | 0.999 | Adam's second decay rate | 0 ≤ β < 1 | 0.999 |
/// | `seed` | 0 | of weights, order, augmentation and dropout | | – |
/// | `schedule` | linear | shape of the learning rate: linear or cosine decay, or falls in steps | | linear |
/// | `warmup_steps` | 0 | steps in which the learning rate rises from 0 | 0– | |
/// | `discriminator_rate` | 1 | factor of the discriminator's learning rate | > 0 | 1 |
/// | `discriminator_every` | 1 | steps from one move of the discriminator to the next | 1– | 1 |
/// | `clip_norm` | none | longest gradient of a network, all parameters together | > 0 | none |
/// | `accumulate` | 1 | parts that a batch is computed in, for less memory and more time | 1– | 1 |
/// | `ema_decay` | none | weight of the past in a moving average of the generator | 0 ≤ d < 1 | none |
/// | `export_ema` | false | whether the average is what is exported, scored and shown | | |
/// | `best_by` | l1 | score on `val/` by which the best checkpoint is kept | | |
/// | `tensorboard` | false | whether event files for TensorBoard are written | | |
/// | `save_every` | 5 | epochs between two checkpoints of [`fit`](crate::Trainer::fit) | 1– | – / 5 |
/// | `save_steps` | 0 | steps between two checkpoints within an epoch; 0 saves at the ends of epochs alone | 0– | – / 5000 |
/// | `keep` | 2 | newest checkpoints that stay | 1– | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[setters(prefix = "with_")]
#[non_exhaustive]
pub struct TrainingConfig {
    /// Epochs at the full learning rate.
    pub epochs: usize,
    /// Epochs of linear decay after them.
    pub decay_epochs: usize,
    /// Whether decay begins an epoch early and ends at zero, so that the last epoch trains nothing.
    pub decay_to_zero: bool,
    /// Learning rate of both Adams.
    pub learning_rate: f64,
    /// Adam's decay rate of the first moment.
    pub beta_1: f64,
    /// Adam's decay rate of the second moment.
    pub beta_2: f64,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// Shape of the learning rate over the epochs.
    pub schedule: Schedule,
    /// Steps in which the learning rate rises to its full height.
    pub warmup_steps: u64,
    /// Factor of the discriminator's learning rate.
    pub discriminator_rate: f64,
    /// The discriminator moves in the first of every so many steps.
    pub discriminator_every: usize,
    /// Longest gradient of a network, over all its parameters together; longer ones are shortened to it.
    pub clip_norm: Option<f64>,
    /// Parts that a batch is computed in, one after the other; gradients are averaged over them.
    pub accumulate: usize,
    /// Weight of the past in an exponential moving average of the generator's weights; there is none without.
    pub ema_decay: Option<f64>,
    /// Whether `generator.safetensors`, scores and samples are the average's.
    pub export_ema: bool,
    /// The score on the validation pairs by which the best checkpoint is kept.
    pub best_by: Metric,
    /// Whether [`fit`](crate::Trainer::fit) writes event files for TensorBoard.
    pub tensorboard: bool,
    /// Epochs between two checkpoints.
    pub save_every: usize,
    /// Steps between two checkpoints within an epoch, for long ones; 0 for none.
    pub save_steps: u64,
    /// Newest checkpoints that stay; with one alone, nothing is left to go back to when it is damaged.
    pub keep: usize,
}

impl Default for TrainingConfig {
    /// Returns the paper's recipe.
    fn default() -> Self {
        Self {
            epochs: 200,
            decay_epochs: 0,
            decay_to_zero: false,
            learning_rate: 2e-4,
            beta_1: 0.5,
            beta_2: 0.999,
            seed: 0,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            discriminator_rate: 1.0,
            discriminator_every: 1,
            clip_norm: None,
            accumulate: 1,
            ema_decay: None,
            export_ema: false,
            best_by: Metric::L1,
            tensorboard: false,
            save_every: 5,
            save_steps: 0,
            keep: 2,
        }
    }
}

impl TrainingConfig {
    /// Returns the paper's recipe, as [`default`](Self::default) does.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn validate(&self) -> crate::Result<()> {
        if self.epochs + self.decay_epochs == 0 {
            return Err(Error::config(
                "training.epochs",
                "is 0 as is training.decay_epochs; train for at least 1",
            ));
        }
        for (field, value) in [
            ("training.save_every", self.save_every),
            ("training.keep", self.keep),
            ("training.discriminator_every", self.discriminator_every),
            ("training.accumulate", self.accumulate),
        ] {
            if value == 0 {
                return Err(Error::config(field, "is 0; it must be at least 1"));
            }
        }
        for (field, value) in [
            ("training.learning_rate", self.learning_rate),
            ("training.discriminator_rate", self.discriminator_rate),
            ("training.clip_norm", self.clip_norm.unwrap_or(1.0)),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(field, format!("{value} must be above 0")));
            }
        }
        if let Schedule::Step { every, factor } = self.schedule
            && (every == 0 || !(0.0..=1.0).contains(&factor))
        {
            let problem = format!("every {every} must be at least 1, factor {factor} between 0 and 1");
            return Err(Error::config("training.schedule", problem));
        }
        if self.export_ema && self.ema_decay.is_none() {
            let problem = "is true, but there is no average; set training.ema_decay, for instance to 0.999";
            return Err(Error::config("training.export_ema", problem));
        }
        for (field, beta) in [
            ("training.beta_1", self.beta_1),
            ("training.beta_2", self.beta_2),
            ("training.ema_decay", self.ema_decay.unwrap_or_default()),
        ] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::config(field, format!("{beta} must be at least 0 and below 1")));
            }
        }
        Ok(())
    }
}
