//! The whole configuration of a run, as one value that is checked once and saved as JSON.

use std::path::Path;

use burn::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{DataConfig, ResizeFilter};
use crate::metrics::Metric;
use crate::{Backbone, DiscriminatorConfig, DropoutLayout, Error, GeneratorConfig, Pix2PixLossConfig};

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
/// | `save_every` | 5 | epochs between two checkpoints of [`fit`](crate::Trainer::fit) | 1– | – / 5 |
/// | `keep` | 2 | newest checkpoints that stay | 1– | |
#[derive(Config, Debug, PartialEq)]
pub struct TrainingConfig {
    /// Epochs at the full learning rate.
    #[config(default = 200)]
    pub epochs: usize,
    /// Epochs of linear decay after them.
    #[config(default = 0)]
    pub decay_epochs: usize,
    /// Whether decay begins an epoch early and ends at zero, so that the last epoch trains nothing.
    #[config(default = false)]
    pub decay_to_zero: bool,
    /// Learning rate of both Adams.
    #[config(default = 2e-4)]
    pub learning_rate: f64,
    /// Adam's decay rate of the first moment.
    #[config(default = 0.5)]
    pub beta_1: f64,
    /// Adam's decay rate of the second moment.
    #[config(default = 0.999)]
    pub beta_2: f64,
    /// Seed of weights, order, augmentation and dropout.
    #[config(default = 0)]
    pub seed: u64,
    /// Shape of the learning rate over the epochs.
    #[config(default = "Schedule::Linear")]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises to its full height.
    #[config(default = 0)]
    pub warmup_steps: u64,
    /// Factor of the discriminator's learning rate.
    #[config(default = 1.0)]
    pub discriminator_rate: f64,
    /// The discriminator moves in the first of every so many steps.
    #[config(default = 1)]
    pub discriminator_every: usize,
    /// Longest gradient of a network, over all its parameters together; longer ones are shortened to it.
    pub clip_norm: Option<f64>,
    /// Parts that a batch is computed in, one after the other; gradients are averaged over them.
    #[config(default = 1)]
    pub accumulate: usize,
    /// Weight of the past in an exponential moving average of the generator's weights; there is none without.
    pub ema_decay: Option<f64>,
    /// Whether `generator.safetensors`, scores and samples are the average's.
    #[config(default = false)]
    pub export_ema: bool,
    /// The score on the validation pairs by which the best checkpoint is kept.
    #[config(default = "Metric::L1")]
    pub best_by: Metric,
    /// Epochs between two checkpoints.
    #[config(default = 5)]
    pub save_every: usize,
    /// Newest checkpoints that stay; with one alone, nothing is left to go back to when it is damaged.
    #[config(default = 2)]
    pub keep: usize,
}

impl TrainingConfig {
    fn validate(&self) -> crate::Result<()> {
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

/// Everything about a run: both networks, the loss, the data and the training.
///
/// | knob | [`paper`](Self::paper) | [`pytorch`](Self::pytorch) |
/// |---|---|---|
/// | `generator.dropout_layout` | paper | pytorch |
/// | `data.filter` | bilinear, as the Lua code | bicubic |
/// | `training.epochs` | 200 | 100 |
/// | `training.decay_epochs` | 0 | 100 |
/// | `training.decay_to_zero` | false | true |
#[derive(Config, Debug, PartialEq)]
pub struct Pix2PixConfig {
    /// The network that translates.
    pub generator: GeneratorConfig,
    /// The network that judges.
    pub discriminator: DiscriminatorConfig,
    /// The objective.
    #[config(default = "Pix2PixLossConfig::new()")]
    pub loss: Pix2PixLossConfig,
    /// How pairs are read.
    #[config(default = "DataConfig::new()")]
    pub data: DataConfig,
    /// How long and how fast to train.
    #[config(default = "TrainingConfig::new()")]
    pub training: TrainingConfig,
}

impl Pix2PixConfig {
    /// The paper's recipe (section 3 and appendix 6) for colour pictures of 256 pixels.
    pub fn paper() -> Self {
        let mut config = Self::new(GeneratorConfig::new(3, 3), DiscriminatorConfig::new(3, 3));
        config.data.filter = ResizeFilter::Bilinear;
        config
    }

    /// The defaults of the PyTorch original for colour pictures of 256 pixels.
    pub fn pytorch() -> Self {
        let mut config = Self::paper();
        config.generator.dropout_layout = DropoutLayout::Pytorch;
        config.training.epochs = 100;
        config.training.decay_epochs = 100;
        config.training.decay_to_zero = true;
        config.data.filter = ResizeFilter::Bicubic;
        config
    }

    /// The same recipe for pictures of `size` pixels: the U-Net's depth such that the bottleneck is one pixel, crops of
    /// `size`, and a load size in the paper's proportion, 286 to 256.
    ///
    /// A size that is no power of two keeps the largest depth that divides it.
    pub fn with_size(mut self, size: usize) -> Self {
        let deepest = (size.trailing_zeros() as usize).clamp(2, 12);
        if let Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } = &mut self.generator.backbone {
            *depth = deepest;
        }
        self.data.crop_size = size;
        self.data.load_size = size * 286 / 256;
        self
    }

    /// Sets the channels of the condition and of the target everywhere.
    pub fn with_channels(mut self, input: usize, target: usize) -> Self {
        (self.generator.input_channels, self.generator.output_channels) = (input, target);
        (self.discriminator.input_channels, self.discriminator.output_channels) = (input, target);
        (self.data.input_channels, self.data.target_channels) = (input, target);
        self
    }

    /// Checks every field, and that the parts fit together.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> crate::Result<()> {
        self.generator.validate()?;
        self.discriminator.validate()?;
        self.loss.validate()?;
        self.data.validate()?;
        self.training.validate()?;
        let (generator, discriminator, data) = (&self.generator, &self.discriminator, &self.data);
        for (field, value, expected) in [
            ("data.input_channels", data.input_channels, generator.input_channels),
            ("data.target_channels", data.target_channels, generator.output_channels),
            ("discriminator.input_channels", discriminator.input_channels, generator.input_channels),
            ("discriminator.output_channels", discriminator.output_channels, generator.output_channels),
        ] {
            if value != expected {
                let problem =
                    format!("{value}, but the generator has {expected}; set both alike (`with_channels`)");
                return Err(Error::config(field, problem));
            }
        }
        let (size, multiple) = (data.crop_size, generator.multiple());
        if !size.is_multiple_of(multiple) {
            let problem = format!(
                "{size} is not divisible by {multiple}, which the generator needs; use a multiple or a smaller depth"
            );
            return Err(Error::config("data.crop_size", problem));
        }
        if size < self.generator.smallest() {
            let problem =
                format!("{size} is too small for the generator; use at least {}", self.generator.smallest());
            return Err(Error::config("data.crop_size", problem));
        }
        if self.loss.gan_weight > 0.0 && self.discriminator.map_size([size; 2]).is_none() {
            let problem =
                format!("{} layers leave no patch of a picture of {size} pixels", discriminator.layers);
            return Err(Error::config("discriminator.layers", problem));
        }
        Ok(())
    }

    /// Writes the configuration as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> crate::Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()).map_err(|error| Error::io(path, error))
    }

    /// Reads a configuration; fields that the file leaves out keep the paper's values.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` cannot be read, [`Error::Checkpoint`] if it is not such JSON or names an unknown field,
    /// [`Error::Config`] if a value is out of range.
    pub fn load(path: impl AsRef<Path>) -> crate::Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let config = Self::from_json(&text).map_err(|problem| Error::corrupt(path, problem))?;
        config.validate()?;
        Ok(config)
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self).unwrap_or(Value::Null))
    }

    pub(crate) fn from_json(text: &str) -> std::result::Result<Self, String> {
        let given = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut tree = serde_json::to_value(Self::paper()).map_err(|error| error.to_string())?;
        overlay(&mut tree, given, "")?;
        serde_json::from_value(tree).map_err(|error| error.to_string())
    }
}

/// Lays the given fields over the defaults; a field that the defaults do not have is a spelling mistake.
fn overlay(defaults: &mut Value, given: Value, path: &str) -> Result<(), String> {
    // An enum with content (a backbone, a norm) is one value: its variants' fields are not to be mixed.
    let is_struct = |value: &Value| value.as_object().is_some_and(|fields| fields.len() > 1);
    match (defaults, given) {
        (Value::Object(fields), Value::Object(given)) if path.is_empty() || fields.len() > 1 => {
            for (name, value) in given {
                let path = format!("{path}.{name}");
                let path = path.trim_start_matches('.');
                let field = fields.get_mut(&name).ok_or_else(|| format!("unknown field `{path}`"))?;
                overlay(field, value, path)?;
            }
            Ok(())
        }
        (defaults, given) if is_struct(defaults) => {
            Err(format!("`{path}` is {given}, but has fields of its own"))
        }
        (defaults, given) => {
            *defaults = given;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for config in [Pix2PixConfig::paper(), Pix2PixConfig::pytorch(), Pix2PixConfig::paper().with_size(64)]
        {
            config.validate().unwrap();
            assert_eq!(Pix2PixConfig::from_json(&config.to_json()).unwrap(), config);
        }
        assert_ne!(Pix2PixConfig::paper(), Pix2PixConfig::pytorch());
    }

    #[test]
    fn missing_fields_keep_their_defaults_and_unknown_ones_are_refused() {
        let text = r#"{"loss": {"l1_weight": 10.0}, "generator": {"backbone": {"resnet": {"blocks": 6}}}}"#;
        let config = Pix2PixConfig::from_json(text).unwrap();
        assert_eq!(config.loss.l1_weight, 10.0);
        assert_eq!(config.generator.backbone, Backbone::Resnet { blocks: 6 });
        assert_eq!(config.data, Pix2PixConfig::paper().data);
        let problem = Pix2PixConfig::from_json(r#"{"loss": {"lambda": 10.0}}"#).unwrap_err();
        assert_eq!(problem, "unknown field `loss.lambda`");
    }

    #[test]
    fn contradictions_name_the_field_the_value_and_the_rule() {
        let message = |change: fn(&mut Pix2PixConfig)| {
            let mut config = Pix2PixConfig::paper();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let crop = message(|config| (config.data.load_size, config.data.crop_size) = (500, 400));
        assert!(crop.contains("data.crop_size: 400 is not divisible by 256"), "{crop}");
        let channels = message(|config| config.data.input_channels = 1);
        assert!(channels.contains("data.input_channels: 1, but the generator has 3"), "{channels}");
        let layers = message(|config| config.discriminator.layers = 7);
        assert!(layers.contains("discriminator.layers: 7") && layers.contains("0 to 6"), "{layers}");
        let rate = message(|config| config.training.learning_rate = -1.0);
        assert!(rate.contains("training.learning_rate: -1"), "{rate}");
        let load = message(|config| config.data.load_size = 100);
        assert!(load.contains("data.load_size: 100 is below the crop size of 256"), "{load}");
    }
}
