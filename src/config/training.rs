//! The schedule, the optimisers and the checkpoints of a run.

use derive_setters::Setters;
use serde::{Deserialize, Serialize};

use super::diff_augment::DiffAugment;
use crate::error::{Error, Result};
use crate::json::{is_off, is_one};
use crate::metrics::Metric;
use crate::names::named;

/// The largest number of epochs.
const MAX_EPOCHS: usize = 1_000_000_000;

/// The largest number of updates of the discriminator in a step.
const MAX_DISCRIMINATOR_STEPS: usize = 1024;

/// The learning rate over the epochs.
///
/// The shapes are those of PyTorch's schedulers, with these differences from the PyTorch original, which steps its
/// scheduler before an epoch, where PyTorch steps it after one:
/// - `Step` multiplies after each `every` epochs, as `StepLR` does. The original's epoch `e` has the rate that epoch
///   `e + 1` has here.
/// - `Cosine` begins after `epochs` constant epochs and never reaches zero. With `epochs` 0 and `decay_epochs` n − 1 it
///   has the rates of the original's `CosineAnnealingLR(T_max = n)` in epochs 1 to n − 1; in epoch n that rate is zero.
/// - `Plateau` looks at the metric on the validation pairs, as `ReduceLROnPlateau` does. The original passes it a
///   constant instead.
///
/// `Display` and `FromStr` use the JSON: `linear`, `cosine`, or `{"step":{"every":50,"factor":0.5}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Constant for `epochs`, then falls linearly for `decay_epochs`.
    #[default]
    Linear,
    /// Constant for `epochs`, then falls along half a cosine wave for `decay_epochs`.
    Cosine,
    /// Multiplied by `factor` after every `every` epochs.
    Step {
        /// Epochs between two multiplications.
        every: usize,
        /// The factor, from 0 to 1.
        factor: f64,
    },
    /// Multiplied by `factor` after more than `patience` epochs in which the metric
    /// [`best_by`](TrainingConfig::best_by) on the validation pairs did not improve by at least 1 % of its best value.
    Plateau {
        /// Epochs without improvement before a reduction.
        patience: usize,
        /// The factor, from 0 to 1.
        factor: f64,
    },
}

named!(Schedule, "schedule");

/// The schedule, the optimisers and the checkpoints of a run.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `epochs` | 200 | epochs at the full learning rate | ≥ 0 | 200 / 100 |
/// | `decay_epochs` | 0 | epochs of decay after them, as `schedule` sets | ≥ 0 | 0 / 100 |
/// | `decay_to_zero` | false | whether the decay ends at zero, so that its last epoch trains nothing | | – / true |
/// | `learning_rate` | 0.0002 | learning rate of both networks | > 0 | 0.0002 |
/// | `beta_1` | 0.5 | Adam's decay rate of the first moment | 0 ≤ β < 1 | 0.5 |
/// | `beta_2` | 0.999 | Adam's decay rate of the second moment | 0 ≤ β < 1 | 0.999 |
/// | `seed` | 0 | seed of weights, order, augmentation and dropout | | – |
/// | `schedule` | linear | linear decay, cosine decay, decay in steps or on a plateau | | linear |
/// | `warmup_steps` | 0 | steps in which the learning rate rises from 0 | ≥ 0 | |
/// | `discriminator_rate` | 1 | factor of the discriminator's learning rate | > 0 | 1 |
/// | `discriminator_every` | 1 | update the discriminator only every `n`-th step | ≥ 1 | 1 |
/// | `discriminator_noise` | 0 | standard deviation of noise in the images that the discriminator sees | 0–1 | 0 |
/// | `diff_augment` | none | augmentation of what the discriminator sees | | none |
/// | `discriminator_steps` | 1 | updates of the discriminator in a step that updates it, on the step's batch | 1–1024 | 1 |
/// | `clip_norm` | none | maximum norm of a network's gradient | > 0 | none |
/// | `accumulate` | 1 | micro-batches of a batch: less memory, more time | ≥ 1 | 1 |
/// | `ema_decay` | none | decay of an EMA of the generator's weights | 0 ≤ d < 1 | none |
/// | `ema_ramp` | false | whether the EMA's decay rises to `ema_decay` from 0.1 in the first step | | |
/// | `export_ema` | false | whether the EMA is exported, evaluated and shown | | |
/// | `gan_share_every` | 0 | steps between two measurements of the adversary's share of the gradient; 0 for none | ≥ 0 | |
/// | `best_by` | l1 | metric on `val/` that selects the best checkpoint | | |
/// | `tensorboard` | false | whether event files for TensorBoard are written | | |
/// | `save_every` | 5 | epochs between two checkpoints of [`fit`](crate::Trainer::fit) | ≥ 1 | – / 5 |
/// | `save_steps` | 0 | steps between two checkpoints within an epoch; 0 saves only at the ends of epochs | ≥ 0 | – / 5000 |
/// | `keep` | 2 | number of newest checkpoints to keep | ≥ 1 | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[setters(prefix = "with_")]
#[non_exhaustive]
pub struct TrainingConfig {
    /// Epochs at the full learning rate.
    pub epochs: usize,
    /// Epochs of decay after them, as [`schedule`](Self::schedule) sets.
    pub decay_epochs: usize,
    /// Whether the decay begins an epoch early and ends at zero, so that the last epoch trains nothing.
    pub decay_to_zero: bool,
    /// Learning rate of both networks.
    pub learning_rate: f64,
    /// Adam's decay rate of the first moment.
    pub beta_1: f64,
    /// Adam's decay rate of the second moment.
    pub beta_2: f64,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// The learning rate over the epochs.
    pub schedule: Schedule,
    /// Steps in which the learning rate rises linearly to its full value.
    pub warmup_steps: u64,
    /// Factor of the discriminator's learning rate.
    pub discriminator_rate: f64,
    /// The number of steps from one update of the discriminator to the next; the first step updates it.
    pub discriminator_every: usize,
    /// The standard deviation of Gaussian noise that is added to every image that the discriminator sees in training, real
    /// or generated, in units of the range `[-1, 1]`. It hides fine differences (Salimans et al. 2016, in the code).
    #[serde(skip_serializing_if = "is_off")]
    pub discriminator_noise: f64,
    /// Random changes of every pair that the discriminator sees in training, for few pairs.
    #[serde(skip_serializing_if = "is_off")]
    pub diff_augment: DiffAugment,
    /// The number k of updates of the discriminator in a step that updates it (Goodfellow et al. 2014, algorithm 1). All
    /// use the step's batch, so that a step is one batch, whatever k is; the noise of the generator is new for each.
    #[serde(skip_serializing_if = "is_one")]
    pub discriminator_steps: usize,
    /// Maximum norm of the gradient of a network, over all its parameters; a longer gradient is scaled down to it.
    pub clip_norm: Option<f64>,
    /// Micro-batches of a batch, computed one after the other; gradients are averaged over them.
    pub accumulate: usize,
    /// Decay of an exponential moving average (EMA) of the generator's weights; `None` for no EMA.
    pub ema_decay: Option<f64>,
    /// Whether the decay of the EMA after `t` steps, counted from 0, is the lower of [`ema_decay`](Self::ema_decay) and
    /// (1 + t)/(10 + t), so that the EMA soon forgets the random initial weights. Without it, an EMA of decay 0.999
    /// still holds 9 % of them after 2,400 steps.
    #[serde(skip_serializing_if = "is_off")]
    pub ema_ramp: bool,
    /// Whether `generator.safetensors`, metrics and samples come from the EMA.
    pub export_ema: bool,
    /// Steps between two measurements of [`gan_share`](crate::report::LossSet::gan_share), the adversary's share of the
    /// generator's gradient, which changes nothing in the training; 0 for none. A measurement costs a pass of the
    /// discriminator forwards and backwards.
    #[serde(skip_serializing_if = "is_off")]
    pub gan_share_every: u64,
    /// The metric on the validation pairs that selects the best checkpoint.
    pub best_by: Metric,
    /// Whether [`fit`](crate::Trainer::fit) writes event files for TensorBoard.
    pub tensorboard: bool,
    /// Epochs between two checkpoints.
    pub save_every: usize,
    /// Steps between two checkpoints within an epoch, for long epochs; 0 saves only at the ends of epochs.
    pub save_steps: u64,
    /// The number of newest checkpoints to keep; with 1, a damaged checkpoint has no replacement.
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
            discriminator_noise: 0.0,
            diff_augment: DiffAugment::default(),
            discriminator_steps: 1,
            clip_norm: None,
            accumulate: 1,
            ema_decay: None,
            ema_ramp: false,
            export_ema: false,
            gan_share_every: 0,
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
    ///
    /// # Examples
    /// ```
    /// use pix2pix::config::TrainingConfig;
    ///
    /// let training = TrainingConfig::new().with_epochs(100).with_decay_epochs(100);
    /// assert_eq!((training.learning_rate, training.beta_1), (2e-4, 0.5));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks every field.
    pub(super) fn validate(&self) -> Result<()> {
        self.validate_counts()?;
        for (field, value) in [
            ("training.learning_rate", self.learning_rate),
            ("training.discriminator_rate", self.discriminator_rate),
            ("training.clip_norm", self.clip_norm.unwrap_or(1.0)),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(field, format!("{value} is not a number above 0")));
            }
        }
        if let Schedule::Step { every, factor } = self.schedule
            && (every == 0 || !(0.0..=1.0).contains(&factor))
        {
            let problem = format!(
                "a step every {every} epochs by the factor {factor} is out of range; use every ≥ 1 and 0 ≤ factor ≤ 1"
            );
            return Err(Error::config("training.schedule", problem));
        }
        if let Schedule::Plateau { factor, .. } = self.schedule
            && !(0.0..=1.0).contains(&factor)
        {
            let problem = format!("a plateau's factor of {factor} is out of range; use 0 to 1");
            return Err(Error::config("training.schedule", problem));
        }
        if !(0.0..=1.0).contains(&self.discriminator_noise) {
            let problem = format!("{} is out of range; use 0 to 1", self.discriminator_noise);
            return Err(Error::config("training.discriminator_noise", problem));
        }
        for (field, needs_ema) in
            [("training.export_ema", self.export_ema), ("training.ema_ramp", self.ema_ramp)]
        {
            if needs_ema && self.ema_decay.is_none() {
                let problem =
                    "true needs an EMA; set training.ema_decay (`--ema-decay`), for instance to 0.999";
                return Err(Error::config(field, problem));
            }
        }
        for (field, beta) in [
            ("training.beta_1", self.beta_1),
            ("training.beta_2", self.beta_2),
            ("training.ema_decay", self.ema_decay.unwrap_or_default()),
        ] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::config(
                    field,
                    format!("{beta} is out of range; use at least 0 and less than 1"),
                ));
            }
        }
        Ok(())
    }

    /// Checks the numbers of epochs, steps, micro-batches and checkpoints.
    fn validate_counts(&self) -> Result<()> {
        if self.epochs == 0 && self.decay_epochs == 0 {
            return Err(Error::config(
                "training.epochs",
                "0 trains nothing because training.decay_epochs is 0, too; set one of them to at least 1",
            ));
        }
        for (field, value) in [("training.epochs", self.epochs), ("training.decay_epochs", self.decay_epochs)]
        {
            if value > MAX_EPOCHS {
                return Err(Error::config(
                    field,
                    format!("{value} is out of range; use at most {MAX_EPOCHS}"),
                ));
            }
        }
        for (field, value) in [
            ("training.save_every", self.save_every),
            ("training.keep", self.keep),
            ("training.discriminator_every", self.discriminator_every),
            ("training.discriminator_steps", self.discriminator_steps),
            ("training.accumulate", self.accumulate),
        ] {
            if value == 0 {
                return Err(Error::config(field, "0 is out of range; use at least 1"));
            }
        }
        if self.discriminator_steps > MAX_DISCRIMINATOR_STEPS {
            let problem =
                format!("{} is out of range; use 1 to {MAX_DISCRIMINATOR_STEPS}", self.discriminator_steps);
            return Err(Error::config("training.discriminator_steps", problem));
        }
        Ok(())
    }
}
