//! The configuration of a discriminator: [`DiscriminatorConfig`].

use derive_setters::Setters;
use serde::{Deserialize, Deserializer, Serialize};

use super::kind::DiscriminatorKind;
use crate::error::{Error, Result};
use crate::layers::{Footprint, MAX_CHANNELS, Norm, channels_at};
use crate::names::named;

/// Whether a discriminator sees the generator's input besides the image that it judges. As text it is `input` or
/// `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The generator's input: D(x, y), the paper's conditional GAN.
    #[default]
    Input,
    /// Nothing: D(y), the unconditional GAN of the paper's ablation.
    None,
}

named!(Condition, "condition");

impl<'de> Deserialize<'de> for Condition {
    /// Reads `"input"` and `"none"`, and the booleans of version 0.1's field `conditional`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a condition is \"input\" or \"none\"")]
        enum Written {
            Name(Name),
            Boolean(bool),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Name {
            Input,
            None,
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Name(Name::Input) | Written::Boolean(true) => Self::Input,
            Written::Name(Name::None) | Written::Boolean(false) => Self::None,
        })
    }
}

/// The configuration of a [`Discriminator`](super::Discriminator).
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `input_channels` | 3 | channels of the generator's input | 1–4096 | 3 |
/// | `output_channels` | 3 | channels of the judged image | 1–4096 | 3 |
/// | `layers` | 3 | layers with stride 2; 0 is the PixelGAN | 0–6 | 3 |
/// | `base_channels` | 64 | channels of the first layer | 1–4096 | 64 |
/// | `norm` | batch | normalisation | | batch |
/// | `condition` | input | whether it sees the generator's input (cGAN) or not (GAN) | | input |
/// | `kind` | patch | architecture: PatchGAN, DCGAN's or auto-encoder | | patch |
///
/// The receptive field of one logit in pixels, by `layers`: 1, 16, 34, 70, 142, 286, 574.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[setters(prefix = "with_")]
pub struct DiscriminatorConfig {
    /// The channels of the generator's input.
    pub input_channels: usize,
    /// The channels of the judged image.
    pub output_channels: usize,
    /// The layers with stride 2: 3 for 70×70 patches, 0 for single pixels.
    pub layers: usize,
    /// The channels of the first layer.
    pub base_channels: usize,
    /// The normalisation after all convolutions except the first and the last.
    pub norm: Norm,
    /// Whether it sees the generator's input besides the judged image.
    #[serde(alias = "conditional")]
    pub condition: Condition,
    /// The architecture. DCGAN's and an auto-encoder have at least one layer with stride 2.
    #[serde(skip_serializing_if = "DiscriminatorKind::is_patch")]
    pub kind: DiscriminatorKind,
}

impl Default for DiscriminatorConfig {
    /// Returns the paper's 70×70 PatchGAN for RGB images.
    fn default() -> Self {
        Self {
            input_channels: 3,
            output_channels: 3,
            layers: 3,
            base_channels: 64,
            norm: Norm::Batch,
            condition: Condition::Input,
            kind: DiscriminatorKind::Patch,
        }
    }
}

impl DiscriminatorConfig {
    /// The largest number of layers with stride 2.
    pub const MAX_LAYERS: usize = 6;

    /// Creates the configuration of the paper's PatchGAN for images with these channels.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::DiscriminatorConfig;
    ///
    /// assert_eq!(DiscriminatorConfig::new(3, 3).receptive_field(), 70);
    /// assert_eq!(DiscriminatorConfig::new(3, 3).with_layers(5).receptive_field(), 286);
    /// ```
    pub fn new(input_channels: usize, output_channels: usize) -> Self {
        Self { input_channels, output_channels, ..Self::default() }
    }

    /// Returns the side of the square of pixels that one logit depends on.
    pub fn receptive_field(&self) -> usize {
        // The pixels of an auto-encoder's cell are decoded from three positions of the code in each direction.
        let seen = if self.kind == DiscriminatorKind::AutoEncoder { 3 } else { 1 };
        self.geometry().iter().rev().fold(seen, |field, [kernel, stride, _]| (field - 1) * stride + kernel)
    }

    /// Returns the side of the cells of an auto-encoder in pixels.
    pub(crate) fn cell(&self) -> usize {
        1 << self.layers
    }

    /// Returns the kernel, stride and padding of every convolution before a decoder, in order.
    pub(super) fn geometry(&self) -> Vec<[usize; 3]> {
        self.kind.geometry(self.layers)
    }

    /// Returns whether convolution `index` returns the logits.
    pub(super) fn is_last(&self, index: usize) -> bool {
        self.kind != DiscriminatorKind::AutoEncoder && index + 1 == self.geometry().len()
    }

    /// Returns the height and width of the logits for an image of `[height, width]`, or `None` if the image is too
    /// small.
    pub fn patch_map_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let shrink = |size: usize| {
            self.geometry().iter().try_fold(size, |size, [kernel, stride, padding]| {
                Some((size + 2 * padding).checked_sub(*kernel)? / stride + 1)
            })
        };
        Some([shrink(size[0])?, shrink(size[1])?])
    }

    /// Returns the size of the discriminator for images of this height and width.
    pub(crate) fn footprint(&self, mut size: [usize; 2]) -> Footprint {
        let mut sum = Footprint::default();
        let mut input = self.output_channels;
        if self.condition == Condition::Input {
            input += self.input_channels;
        }
        for (index, [kernel, stride, padding]) in self.geometry().into_iter().enumerate() {
            let output = if self.is_last(index) { 1 } else { channels_at(self.base_channels, index) };
            size = size.map(|side| (side + 2 * padding).saturating_sub(kernel) / stride + 1);
            sum.add([input, output, kernel], size);
            input = output;
        }
        if self.kind == DiscriminatorKind::AutoEncoder {
            for level in (0..self.layers).rev() {
                let output = if level == 0 {
                    self.output_channels
                } else {
                    channels_at(self.base_channels, level - 1)
                };
                size = size.map(|side| 2 * side);
                sum.add([channels_at(self.base_channels, level), output, 4], size);
            }
        }
        sum
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<()> {
        let channels = [
            ("discriminator.input_channels", self.input_channels),
            ("discriminator.output_channels", self.output_channels),
            ("discriminator.base_channels", self.base_channels),
        ];
        for (field, value) in channels {
            if !(1..=MAX_CHANNELS).contains(&value) {
                let problem = format!("{value} is out of range; use 1 to {MAX_CHANNELS}");
                return Err(Error::config(field, problem));
            }
        }
        if self.layers > Self::MAX_LAYERS {
            let problem = format!("{} is out of range; use 0 to {}", self.layers, Self::MAX_LAYERS);
            return Err(Error::config("discriminator.layers", problem));
        }
        if self.layers == 0 && self.kind != DiscriminatorKind::Patch {
            let problem = format!("0 is out of range for the kind {}; use at least 1", self.kind);
            return Err(Error::config("discriminator.layers", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_by_name_and_from_booleans_of_old_files() {
        let read = |json: &str| serde_json::from_str::<DiscriminatorConfig>(json).map(|c| c.condition);
        assert_eq!(read(r#"{"condition": "input"}"#).unwrap(), Condition::Input);
        assert_eq!(read(r#"{"condition": "none"}"#).unwrap(), Condition::None);
        assert_eq!(read(r#"{"conditional": true}"#).unwrap(), Condition::Input);
        assert_eq!(read(r#"{"conditional": false}"#).unwrap(), Condition::None);
        assert_eq!(read("{}").unwrap(), Condition::Input);
        let message = read(r#"{"condition": "output"}"#).unwrap_err().to_string();
        assert!(message.contains(r#""input" or "none""#), "{message}");
        for condition in [Condition::Input, Condition::None] {
            assert_eq!(condition.to_string().parse::<Condition>().unwrap(), condition);
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(json, format!("\"{condition}\""));
        }
        let message = "both".parse::<Condition>().unwrap_err().to_string();
        assert_eq!(message, r#"condition: `both` cannot be used: a condition is "input" or "none""#);
    }
}
