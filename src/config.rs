//! The whole configuration of a run, as one value that is checked once and saved as JSON.

mod training;

use std::path::Path;

use burn::config::Config;
use serde_json::Value;
pub use training::{Schedule, TrainingConfig};

use crate::data::{DataConfig, ResizeFilter};
use crate::{Backbone, DiscriminatorConfig, DropoutLayout, Error, GeneratorConfig, Pix2PixLossConfig};

/// Everything about a run: both networks, the loss, the data and the training.
///
/// | knob | [`paper`](Self::paper) | [`pytorch`](Self::pytorch) |
/// |---|---|---|
/// | `generator.dropout_layout` | paper | pytorch |
/// | `data.filter` | bilinear, as the Lua code | bicubic |
/// | `training.epochs` | 200 | 100 |
/// | `training.decay_epochs` | 0 | 100 |
/// | `training.decay_to_zero` | false | true |
///
/// Where the paper says nothing, `paper` follows its authors' Lua code, but for two things: pairs are shuffled, since
/// drawing them with replacement (`data.sampling`) leaves out a third of them in every epoch, and colours keep their
/// order. [`pytorch`](crate::guide::pytorch) lists what else differs, and why that is no knob.
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
        let (size, multiple) = (data.crop_size, generator.size_multiple());
        if !size.is_multiple_of(multiple) {
            let problem = format!(
                "{size} is not divisible by {multiple}, which the generator needs; use a multiple or a smaller depth"
            );
            return Err(Error::config("data.crop_size", problem));
        }
        if size < self.generator.min_size() {
            let problem =
                format!("{size} is too small for the generator; use at least {}", self.generator.min_size());
            return Err(Error::config("data.crop_size", problem));
        }
        if self.loss.gan_weight > 0.0 && self.discriminator.patch_map_size([size; 2]).is_none() {
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

    /// This configuration with the fields that a JSON object names set to its values, for instance
    /// `{"loss": {"l1_weight": 10.0}}`.
    ///
    /// # Errors
    /// [`Error::Config`] if it is no JSON, names an unknown field, or a value is out of range.
    pub fn changed(&self, json: &str) -> crate::Result<Self> {
        let config = self.overlaid(json).map_err(|problem| Error::config("configuration", problem))?;
        config.validate()?;
        Ok(config)
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self).unwrap_or(Value::Null))
    }

    pub(crate) fn from_json(text: &str) -> std::result::Result<Self, String> {
        Self::paper().overlaid(text)
    }

    fn overlaid(&self, json: &str) -> std::result::Result<Self, String> {
        let given = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut tree = serde_json::to_value(self).map_err(|error| error.to_string())?;
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
                // The name of the field in version 0.1.
                let name = if path == "discriminator.conditional" { "condition".to_owned() } else { name };
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
    use crate::PixelLoss;

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
        let changed = config.changed(r#"{"loss": {"pixel": "l2"}}"#).unwrap();
        assert_eq!((changed.loss.l1_weight, changed.loss.pixel), (10.0, PixelLoss::L2));
        let problem = config.changed(r#"{"loss": {"l1_weight": -1.0}}"#).unwrap_err().to_string();
        assert!(problem.contains("loss.l1_weight: -1"), "{problem}");
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
