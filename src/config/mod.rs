//! The configuration of a run: one value, checked once and saved as JSON.

mod diff_augment;
mod size;
mod system;
mod training;

use std::path::Path;

use derive_setters::Setters;
pub use diff_augment::DiffAugment;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
pub use system::System;
pub use training::{Schedule, TrainingConfig};

pub use crate::discriminator::DiscriminatorKind;

use crate::data::{DataConfig, Labels, ResizeFilter, Size};
use crate::discriminator::DiscriminatorConfig;
use crate::error::{Error, Result};
use crate::generator::{Backbone, DropoutLayout, GeneratorConfig};
use crate::loss::Pix2PixLossConfig;

/// The configuration of a run: both networks, the loss, the data and the training.
///
/// | field | [`paper`](Self::paper) | [`pytorch`](Self::pytorch) |
/// |---|---|---|
/// | `generator.dropout_layout` | paper | pytorch |
/// | `data.resize_filter` | bilinear, as the Lua code | bicubic |
/// | `training.epochs` | 200 | 100 |
/// | `training.decay_epochs` | 0 | 100 |
/// | `training.decay_to_zero` | false | true |
///
/// Where the paper says nothing, `paper` follows its authors' Lua code, with two exceptions. Pairs are shuffled:
/// drawing them with replacement (`data.sampling`) leaves out a third of them in every epoch. Colours keep their order.
/// [`guide::pytorch`](crate::guide::pytorch) lists the other differences and why there is no setting for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[setters(prefix = "with_")]
#[non_exhaustive]
pub struct Pix2PixConfig {
    /// The generator.
    pub generator: GeneratorConfig,
    /// The discriminator.
    pub discriminator: DiscriminatorConfig,
    /// The weights of the objective.
    pub loss: Pix2PixLossConfig,
    /// Reading and augmentation of pairs.
    pub data: DataConfig,
    /// The schedule, the optimisers and the checkpoints.
    pub training: TrainingConfig,
}

impl Default for Pix2PixConfig {
    /// Returns the paper's recipe, as [`paper`](Self::paper) does.
    fn default() -> Self {
        Self::paper()
    }
}

impl Pix2PixConfig {
    /// Returns a configuration with these networks, and defaults for the other sections.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::{DiscriminatorConfig, GeneratorConfig, Pix2PixConfig};
    ///
    /// let config = Pix2PixConfig::new(GeneratorConfig::new(1, 3), DiscriminatorConfig::new(1, 3));
    /// assert!(config.validate().is_err()); // `data` has 3 input channels
    /// config.with_channels(1, 3).validate()?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn new(generator: GeneratorConfig, discriminator: DiscriminatorConfig) -> Self {
        let (loss, data, training) = (Pix2PixLossConfig::new(), DataConfig::new(), TrainingConfig::new());
        Self { generator, discriminator, loss, data, training }
    }

    /// Returns the paper's recipe (section 3 and appendix 6) for colour images of 256 pixels.
    ///
    /// # Examples
    /// ```
    /// let mut config = pix2pix::Pix2PixConfig::paper().with_size(128)?;
    /// config.training.epochs = 20;
    /// config.validate()?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn paper() -> Self {
        Self::new(GeneratorConfig::new(3, 3), DiscriminatorConfig::new(3, 3))
    }

    /// Returns the defaults of the PyTorch original for colour images of 256 pixels.
    ///
    /// # Examples
    /// ```
    /// let training = pix2pix::Pix2PixConfig::pytorch().training;
    /// assert_eq!((training.epochs, training.decay_epochs), (100, 100));
    /// ```
    pub fn pytorch() -> Self {
        let mut config = Self::paper();
        config.generator.dropout_layout = DropoutLayout::Pytorch;
        config.training.epochs = 100;
        config.training.decay_epochs = 100;
        config.training.decay_to_zero = true;
        config.data.resize_filter = ResizeFilter::Bicubic;
        config
    }

    /// Returns the same recipe for images of `size` pixels: the deepest U-Net that `size` allows, crops of `size`, and
    /// a load size in the paper's proportion, 286 to 256.
    ///
    /// A power of two up to 4096 gives a bottleneck of one pixel. Another size gets the largest depth whose power of two
    /// divides it; a size that is not square, the depth of the side that allows less.
    ///
    /// # Errors
    /// [`Error::Config`] if that gives a U-Net or an encoder-decoder that is too shallow to see the whole image: a side
    /// that is neither a power of two nor a multiple of 32. [`with_crop_size`](Self::with_crop_size) and
    /// [`with_depth`](Self::with_depth) set size and depth apart.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::{Backbone, Pix2PixConfig};
    ///
    /// let config = Pix2PixConfig::paper().with_size(128)?;
    /// assert_eq!(config.generator.backbone, Backbone::Unet { depth: 7 });
    /// let config = Pix2PixConfig::paper().with_size([128, 512])?;
    /// assert_eq!(config.generator.backbone, Backbone::Unet { depth: 7 });
    /// assert!(Pix2PixConfig::paper().with_size(300).is_err()); // 288 and 320 are good sizes
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn with_size(self, size: impl Into<Size>) -> Result<Self> {
        let size = size.into();
        let config = match self.generator.backbone {
            Backbone::Unet { .. } | Backbone::EncoderDecoder { .. } => {
                self.with_depth(size::deepest(size)?)?
            }
            Backbone::Dcgan { .. } => self.with_depth(size::depth_of_square(size)?)?,
            _ => self,
        };
        Ok(config.with_crop_size(size))
    }

    /// Sets the size of the crops, and the load size in the paper's proportion, 286 to 256; if the generator makes images
    /// of noise, to the same size. The depth of the generator stays as it is.
    #[must_use]
    pub fn with_crop_size(mut self, size: impl Into<Size>) -> Self {
        let size = size.into();
        let is_of_noise = self.generator.noise().is_some();
        let load = |side: usize| {
            let larger = usize::try_from(side as u128 * 286 / 256).unwrap_or(usize::MAX);
            if is_of_noise { side } else { larger }
        };
        self.data.crop_size = size;
        self.data.load_size = [load(size.height), load(size.width)].into();
        self
    }

    /// Sets the depth of the U-Net or the encoder-decoder.
    ///
    /// # Errors
    /// [`Error::Config`] if the generator is neither of them.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::Pix2PixConfig;
    ///
    /// let config = Pix2PixConfig::paper().with_crop_size([240, 320]).with_depth(4)?;
    /// config.validate()?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn with_depth(mut self, new: usize) -> Result<Self> {
        match &mut self.generator.backbone {
            Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } | Backbone::Dcgan { depth, .. } => {
                *depth = new
            }
            other => {
                let problem = format!(
                    "{other} has no depth (`--depth`); a U-Net, an encoder-decoder and a DCGAN have one"
                );
                return Err(Error::config("generator.backbone", problem));
            }
        }
        // DCGAN's discriminator halves the image as often as its generator doubles it.
        let is_dcgan = matches!(self.generator.backbone, Backbone::Dcgan { .. });
        if is_dcgan && self.discriminator.kind == DiscriminatorKind::Dcgan {
            self.discriminator.layers = new.saturating_sub(2);
        }
        Ok(self)
    }

    /// Sets the channels of the input and of the target in all sections.
    #[must_use]
    pub fn with_channels(mut self, input: usize, target: usize) -> Self {
        (self.generator.input_channels, self.generator.output_channels) = (input, target);
        (self.discriminator.input_channels, self.discriminator.output_channels) = (input, target);
        (self.data.input_channels, self.data.target_channels) = (input, target);
        self
    }

    /// Makes the input a label map with a channel for each class, and sets the channels of the input in all sections.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        let target = self.data.target_channels;
        let mut config = self.with_channels(labels.classes.len(), target);
        config.data.labels = Some(labels);
        config
    }

    /// Checks every field, and that the parts fit together.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<()> {
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
                let problem = format!(
                    "{value}, but the generator has {expected}; set both to one value (`with_channels`)"
                );
                return Err(Error::config(field, problem));
            }
        }
        size::check(generator, data.crop_size)?;
        self.check_system()?;
        if self.loss.gan_weight > 0.0 {
            size::check_patches(discriminator, data.crop_size)?;
        }
        if self.loss.gan_weight == 0.0 {
            let problem = "needs a discriminator, and loss.gan_weight is 0; set it above 0, or turn this off";
            for (field, is_on) in [
                ("training.discriminator_noise", self.training.discriminator_noise > 0.0),
                ("training.diff_augment", self.training.diff_augment.is_on()),
            ] {
                if is_on {
                    return Err(Error::config(field, problem));
                }
            }
        }
        Ok(())
    }

    /// Writes the configuration to a JSON file.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()).map_err(|error| Error::io(path, error))
    }

    /// Reads and checks a configuration; fields that the file omits have the paper's values.
    ///
    /// # Errors
    /// [`Error::Io`] if `path` cannot be read, or [`Error::Config`] with the file, the field, the line and the column
    /// if it is not JSON, names an unknown field, or a value is out of range.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let read = Self::from_json(&text).and_then(|config| config.validate().map(|()| config));
        read.map_err(|error| error.in_file(path))
    }

    /// Returns the configuration as JSON, one field per line, in alphabetical order.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", Value::Object(self.to_object()))
    }

    /// Returns the configuration as a JSON object.
    pub(crate) fn to_object(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            other => unreachable!("a configuration is an object of numbers and names, not {other:?}"),
        }
    }

    /// Reads a configuration from JSON without checking its values; fields that `text` omits have the paper's values.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, the line and the column if `text` is not JSON or names an unknown field.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config = read(&mut json)?;
        json.end().map_err(|error| Error::config(WHOLE, error.to_string()))?;
        Ok(config)
    }

    /// Returns this configuration with the fields of a JSON object replaced, and checks it.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is unknown, or a value is of the wrong type or out of range.
    ///
    /// # Examples
    /// ```
    /// let paper = pix2pix::Pix2PixConfig::paper();
    /// let config = paper.with_overrides(&serde_json::json!({ "loss": { "l1_weight": 10.0 } }))?;
    /// assert_eq!(config.loss.l1_weight, 10.0);
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn with_overrides(&self, overrides: &Value) -> Result<Self> {
        let mut tree = serde_json::to_value(self).expect("a configuration is numbers and names");
        let sections = overrides.as_object().ok_or_else(|| {
            Error::config(WHOLE, format!("{overrides} is not an object, for example {{\"loss\": {{}}}}"))
        })?;
        for (name, fields) in sections {
            match (tree.get_mut(name).and_then(Value::as_object_mut), fields) {
                (Some(section), Value::Object(fields)) => {
                    section.extend(fields.iter().map(|(field, value)| (current_name(field), value.clone())));
                }
                _ => tree[name] = fields.clone(), // which `read` refuses
            }
        }
        let config: Self = read(tree)?;
        config.validate()?;
        Ok(config)
    }
}

/// Returns the current name of a field that an earlier version named otherwise. A section with both names would be
/// refused.
fn current_name(field: &str) -> String {
    match field {
        "conditional" => "condition".to_owned(),
        "filter" => "resize_filter".to_owned(),
        _ => field.to_owned(),
    }
}

/// The name of the configuration in errors that do not concern a single field.
const WHOLE: &str = "configuration";

/// Reads a configuration. An error names the field, and for text the line and the column.
fn read<'de>(source: impl Deserializer<'de, Error = serde_json::Error>) -> Result<Pix2PixConfig> {
    serde_path_to_error::deserialize(source).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => WHOLE.to_owned(),
            path => path,
        };
        Error::config(field, error.into_inner().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::PixelLoss;

    #[test]
    fn overrides_may_use_the_names_of_earlier_versions() {
        let old =
            serde_json::json!({ "discriminator": { "conditional": false }, "data": { "filter": "bicubic" } });
        let config = Pix2PixConfig::paper().with_overrides(&old).unwrap();
        assert_eq!(config.discriminator.condition, crate::discriminator::Condition::None);
        assert_eq!(config.data.resize_filter, ResizeFilter::Bicubic);
    }

    /// Asserts that every field of a section differs from the paper's value. It destructures the section, so a new field
    /// does not compile until it is named here.
    macro_rules! assert_all_differ {
        ($config:ident.$section:ident, $type:ident { $($field:ident),* $(,)? } $(except $except:ident)?) => {
            let paper = Pix2PixConfig::paper().$section;
            let $type { $($field,)* $($except: _,)? } = $config.$section.clone();
            $(assert_ne!($field, paper.$field, "{}.{}", stringify!($section), stringify!($field));)*
        };
    }

    /// A new field belongs in the lists below and in `every_field.json`, which the program's tests read as well. If it
    /// changes a number, it also belongs in a test `every_setting_of_…_changes_…` in `tests/suite`.
    #[test]
    fn every_field_survives_json_and_overrides() {
        let text = include_str!("../../tests/support/every_field.json");
        let config = Pix2PixConfig::from_json(text).unwrap();
        let Pix2PixConfig { generator: _, discriminator: _, loss: _, data: _, training: _ } = &config;
        assert_all_differ!(
            config.generator,
            GeneratorConfig {
                input_channels,
                output_channels,
                backbone,
                base_channels,
                norm,
                dropout,
                dropout_layout,
                upsample,
                conv_bias,
            }
        );
        assert_all_differ!(
            config.discriminator,
            DiscriminatorConfig {
                input_channels,
                output_channels,
                layers,
                base_channels,
                norm,
                condition,
                spectral,
                scales,
                narrow_scales,
            } except kind
        );
        assert_all_differ!(
            config.loss,
            Pix2PixLossConfig {
                gan,
                gan_weight,
                discriminator_weight,
                pixel,
                l1_weight,
                real_label,
                gradient_weight,
                ssim_weight,
                pyramid_weight,
                frequency_weight,
                feature_weight,
                feature_matching,
                lecam_weight,
                lecam_decay,
                margin,
            } except pulling_away
        );
        assert_all_differ!(
            config.data,
            DataConfig {
                direction,
                input_channels,
                target_channels,
                labels,
                input_samples,
                target_samples,
                pages,
                layout,
                load_size,
                preprocess,
                image_size,
                resize_filter,
                target_resize_filter,
                crop_size,
                mirror,
                rotate90,
                scale_range,
                warp,
                sampling,
                batch_size,
                workers,
            }
        );
        assert_all_differ!(
            config.training,
            TrainingConfig {
                epochs,
                decay_epochs,
                decay_to_zero,
                learning_rate,
                beta_1,
                beta_2,
                seed,
                schedule,
                warmup_steps,
                discriminator_rate,
                discriminator_every,
                discriminator_noise,
                diff_augment,
                discriminator_steps,
                clip_norm,
                accumulate,
                ema_decay,
                ema_ramp,
                export_ema,
                gan_share_every,
                best_by,
                tensorboard,
                save_every,
                save_steps,
                keep,
            }
        );
        let fields: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(config.to_object()), fields);
        // The fields of an auto-encoder exclude some of the others.
        let auto_encoder = serde_json::json!({
            "discriminator": { "kind": "auto_encoder", "spectral": false, "scales": 1, "narrow_scales": false },
            "loss": { "gan": "energy", "pulling_away": 0.2 },
        });
        let other = config.with_overrides(&auto_encoder).unwrap();
        assert_eq!(
            (other.discriminator.kind, other.loss.pulling_away),
            (DiscriminatorKind::AutoEncoder, 0.2)
        );
        for config in [config, other] {
            assert_eq!(Pix2PixConfig::from_json(&config.to_json()).unwrap(), config);
            let fields = Value::Object(config.to_object());
            assert_eq!(Pix2PixConfig::paper().with_overrides(&fields).unwrap(), config);
        }
    }

    #[test]
    fn numbers_have_the_same_bits_after_json() {
        let mut config = Pix2PixConfig::paper();
        for index in 1..2000 {
            config.training.learning_rate = f64::from(index).sqrt() * 1e-4;
            assert_eq!(Pix2PixConfig::from_json(&config.to_json()).unwrap(), config);
        }
    }

    #[test]
    fn presets_are_valid_and_survive_json() {
        for config in
            [Pix2PixConfig::paper(), Pix2PixConfig::pytorch(), Pix2PixConfig::paper().with_size(64).unwrap()]
        {
            config.validate().unwrap();
            assert_eq!(Pix2PixConfig::from_json(&config.to_json()).unwrap(), config);
        }
        assert_ne!(Pix2PixConfig::paper(), Pix2PixConfig::pytorch());
    }

    #[test]
    fn missing_fields_keep_their_defaults() {
        let text = r#"{"loss": {"l1_weight": 10.0}, "generator": {"backbone": {"resnet": {"blocks": 6}}}}"#;
        let config = Pix2PixConfig::from_json(text).unwrap();
        assert_eq!(config.loss.l1_weight, 10.0);
        assert_eq!(config.generator.backbone, Backbone::Resnet { blocks: 6 });
        assert_eq!(config.data, Pix2PixConfig::paper().data);
        assert_eq!(Pix2PixConfig::from_json("{}").unwrap(), Pix2PixConfig::paper());
        let partly = Pix2PixConfig::from_json(r#"{"data": {"batch_size": 4}}"#).unwrap().data;
        assert_eq!(partly, Pix2PixConfig::paper().data.with_batch_size(4));
        let same = Pix2PixConfig::pytorch().with_overrides(&serde_json::json!({ "data": {} })).unwrap();
        assert_eq!(same, Pix2PixConfig::pytorch());
    }

    #[test]
    fn mistakes_in_json_name_the_field_the_line_and_the_column() {
        for (text, expected) in [
            (
                "{\n \"loss\": {\n  \"lambda\": 10}}",
                "loss.lambda: unknown field `lambda`, expected one of `gan`",
            ),
            (
                "{\"training\": {\"epochs\": -1}}",
                "training.epochs: invalid value: integer `-1`, expected usize",
            ),
            ("{\"training\": {\"schedule\": \"linar\"}}", "training.schedule: unknown variant `linar`"),
            ("{\"los\": {}}", "los: unknown field `los`"),
            ("{\"loss\": ", "loss: EOF while parsing a value"),
            ("no JSON", "configuration: expected ident"),
            ("{} {}", "configuration: trailing characters"),
            ("{\"generator\": {\"with\": 3}}", "unknown field `with`"),
        ] {
            let message = Pix2PixConfig::from_json(text).unwrap_err().to_string();
            let line = text.lines().count();
            assert!(
                message.contains(expected) && message.contains(&format!(" at line {line} column ")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_mistake_in_a_file_names_the_file_and_is_not_called_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (text, field) in [
            ("{\"loss\": {\"lambda\": 10}}", "loss.lambda"),
            ("{\"loss\": {\"l1_weight\": -10}}", "loss.l1_weight"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Pix2PixConfig::load(&path).unwrap_err();
            let message = error.to_string();
            assert!(
                matches!(&error, Error::Config { path: Some(file), field: named, .. } if *file == path && named == field),
                "{error:?}"
            );
            assert!(message.starts_with(&format!("{}: {field}: ", path.display())), "{message}");
            assert!(!message.contains("damaged"), "{message}");
        }
    }

    #[test]
    fn overrides_change_what_they_name() {
        let config = Pix2PixConfig::paper().with_loss(Pix2PixLossConfig::new().with_l1_weight(10.0));
        let changed = config.with_overrides(&serde_json::json!({"loss": {"pixel": "l2"}})).unwrap();
        assert_eq!((changed.loss.l1_weight, changed.loss.pixel), (10.0, PixelLoss::L2));
        for (overrides, expected) in [
            (serde_json::json!({"loss": {"l1_weight": -1.0}}), "loss.l1_weight: -1"),
            (serde_json::json!({"loss": {"lambda": 1.0}}), "loss.lambda: unknown field"),
            (serde_json::json!({"losses": {}}), "losses: unknown field"),
            (serde_json::json!({"loss": 3}), "loss: invalid type: integer `3`"),
            (serde_json::json!([1]), "configuration: [1] is not an object"),
        ] {
            let message = config.with_overrides(&overrides).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn sizes_that_make_the_u_net_shallow_are_refused_and_good_ones_named() {
        let message = |size| Pix2PixConfig::paper().with_size(size).unwrap_err().to_string();
        for (size, good) in [
            (300, "use 288 or 320 (`--size`)"),
            (250, "use 224 or 256"),
            (100, "use 96 or 128"),
            (48, "use 32 or 64"),
            (18, "use 16 or 32"),
            (0, "use 4 or 8"),
        ] {
            let message = message(size);
            let expected = format!("data.crop_size: {size} would make the U-Net too");
            assert!(message.starts_with(&expected) && message.contains(good), "{message}");
        }
        for (size, expected) in [(16, 4), (32, 5), (96, 5), (256, 8), (320, 6), (8192, 12)] {
            let config = Pix2PixConfig::paper().with_size(size).unwrap();
            assert_eq!(config.generator.backbone, Backbone::Unet { depth: expected });
            // The discriminator of the paper is too deep for 16 pixels.
            config.with_discriminator(DiscriminatorConfig::new(3, 3).with_layers(1)).validate().unwrap();
        }
        for (size, expected) in [([64, 128], 6), ([256, 512], 8), ([96, 320], 5), ([16, 64], 4)] {
            let config = Pix2PixConfig::paper().with_size(size).unwrap();
            assert_eq!(config.generator.backbone, Backbone::Unet { depth: expected });
            assert_eq!(config.data.load_size, size.map(|side: usize| side * 286 / 256).into());
            config.with_discriminator(DiscriminatorConfig::new(3, 3).with_layers(1)).validate().unwrap();
        }
        let message = Pix2PixConfig::paper().with_size([100, 256]).unwrap_err().to_string();
        assert!(message.contains("100x256 would") && message.contains("use 96x256 or 128x256"), "{message}");
        let mut resnet = Pix2PixConfig::paper();
        resnet.generator.backbone = Backbone::Resnet { blocks: 9 };
        assert_eq!(resnet.with_size(300).unwrap().data.load_size, 335.into());
    }

    #[test]
    fn sizes_that_the_depth_does_not_divide_name_the_nearest_ones_and_the_depth() {
        let message = |size: [usize; 2], depth| {
            let config = Pix2PixConfig::paper().with_crop_size(size).with_depth(depth).unwrap();
            config.validate().unwrap_err().to_string()
        };
        for (size, depth, expected) in [
            (
                [300, 300],
                8,
                "300 is not divisible by 256, which the generator needs; use 256 or 512 (`--size`), or a depth of at most 2",
            ),
            (
                [64, 80],
                5,
                "64x80 is not divisible by 32, which the generator needs; use 64 or 64x96 (`--size`), or a depth of at most 4",
            ),
            ([100, 40], 6, "use 128x64 (`--size`), or a depth of at most 2"),
            ([99, 99], 3, "use 96 or 104 (`--size`)"),
        ] {
            let message = message(size, depth);
            assert!(message.starts_with("data.crop_size: ") && message.contains(expected), "{message}");
        }
        assert!(!message([99, 99], 3).contains("--depth"));
        let mut resnet = Pix2PixConfig::paper();
        resnet.generator.backbone = Backbone::Resnet { blocks: 9 };
        let message = resnet.with_depth(5).unwrap_err().to_string();
        assert!(message.contains("generator.backbone: resnet:9 has no depth (`--depth`)"), "{message}");
    }

    #[test]
    fn sizes_below_a_patch_name_the_flags_and_the_largest_patch_that_fits() {
        let message = |size: usize, layers| {
            let mut config = Pix2PixConfig::paper().with_size(size).unwrap();
            config.discriminator.layers = layers;
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(
            message(16, 3),
            "discriminator.layers: 3 layers, patches of 70 pixels, leave no patch of an image of 16 pixels; use larger \
             images (`--size`), or 2 layers, patches of 34 pixels (`--patch 34`)"
        );
        let message = message(32, 6);
        assert!(message.contains("patches of 574 pixels") && message.contains("`--patch "), "{message}");
    }

    #[test]
    fn contradictions_name_the_field_the_value_and_the_rule() {
        let message = |change: fn(&mut Pix2PixConfig)| {
            let mut config = Pix2PixConfig::paper();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let crop =
            message(|config| (config.data.load_size, config.data.crop_size) = (500.into(), 400.into()));
        assert!(crop.contains("data.crop_size: 400 is not divisible by 256"), "{crop}");
        let channels = message(|config| config.data.input_channels = 1);
        assert!(channels.contains("data.input_channels: 1, but the generator has 3"), "{channels}");
        let layers = message(|config| config.discriminator.layers = 7);
        assert!(layers.contains("discriminator.layers: 7") && layers.contains("0 to 6"), "{layers}");
        let rate = message(|config| config.training.learning_rate = -1.0);
        assert!(rate.contains("training.learning_rate: -1"), "{rate}");
        let load = message(|config| config.data.load_size = 100.into());
        assert!(load.contains("data.load_size: 100 is below the crop size of 256"), "{load}");
    }
}
