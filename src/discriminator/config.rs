//! The configuration of a discriminator: [`DiscriminatorConfig`].

use derive_setters::Setters;
use serde::{Deserialize, Deserializer, Serialize};

use super::kind::DiscriminatorKind;
use crate::error::{Error, Result};
use crate::json::{is_off, is_one};
use crate::layers::{Footprint, MAX_CHANNELS, Norm, channels_at};
use crate::names::named;

/// How a discriminator sees the generator's input besides the image that it judges. As text it is `input`, `projection`
/// or `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The generator's input: D(x, y), the paper's conditional GAN.
    #[default]
    Input,
    /// The input by projection (Miyato & Koyama 2018): the layers see the image alone, and the inner product of a
    /// patch's last features and V times the mean of the input over its cell is added to its logit. V is learned. Suits
    /// label maps: the mean of a channel is then the area of its class.
    Projection,
    /// Nothing: D(y), the unconditional GAN of the paper's ablation.
    None,
}

named!(Condition, "condition");

impl<'de> Deserialize<'de> for Condition {
    /// Reads the names, and the booleans of version 0.1's field `conditional`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a condition is \"input\", \"projection\" or \"none\"")]
        enum Written {
            Name(Name),
            Boolean(bool),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Name {
            Input,
            Projection,
            None,
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Name(Name::Input) | Written::Boolean(true) => Self::Input,
            Written::Name(Name::Projection) => Self::Projection,
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
/// | `condition` | input | how it sees the generator's input (cGAN), or that it does not (GAN) | | input |
/// | `spectral` | false | spectral normalisation of all convolutions; with `norm` none or instance without scale | | false |
/// | `scales` | 1 | discriminators, each at half the resolution of the one before | 1–3 | 1 |
/// | `narrow_scales` | false | half the channels at each coarser scale | | – |
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
    /// How it sees the generator's input besides the judged image.
    #[serde(alias = "conditional")]
    pub condition: Condition,
    /// Whether the weight of every convolution is divided by its largest singular value, as one power iteration in each
    /// training step estimates it (Miyato et al. 2018). It bounds how steep the logits are. A norm with a learned scale
    /// would undo the bound, so [`Norm::Batch`] and affine instance normalisation are refused. With [`Norm::None`], all
    /// convolutions have biases, unlike without spectral normalisation.
    #[serde(skip_serializing_if = "is_off")]
    pub spectral: bool,
    /// The number of discriminators with weights of their own, each of which sees the pair at half the resolution of the
    /// one before (Wang et al. 2018, section 3.2). The losses of all scales are added.
    #[serde(skip_serializing_if = "is_one")]
    pub scales: usize,
    /// Whether each coarser scale has half the channels of the one before (Zhu et al. 2017, BicycleGAN) instead of as
    /// many (Wang et al. 2018, pix2pixHD).
    #[serde(skip_serializing_if = "is_off")]
    pub narrow_scales: bool,
    /// The architecture. DCGAN's and an auto-encoder have at least one layer with stride 2, one scale, no projection and
    /// no spectral normalisation.
    #[serde(skip_serializing_if = "is_off")]
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
            spectral: false,
            scales: 1,
            narrow_scales: false,
            kind: DiscriminatorKind::Patch,
        }
    }
}

/// Returns the size of an image of `[height, width]` at a scale, counted from 0, the finest.
fn coarse(size: [usize; 2], scale: usize) -> [usize; 2] {
    size.map(|side| (0..scale).fold(side, |side, _| side.div_ceil(2)))
}

impl DiscriminatorConfig {
    /// The largest number of layers with stride 2.
    pub const MAX_LAYERS: usize = 6;

    /// The largest number of scales.
    pub const MAX_SCALES: usize = 3;

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

    /// Returns the height and width of the finest scale's logits for an image of `[height, width]`, or `None` if the
    /// image is too small for one of the scales.
    pub fn patch_map_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let mut sizes = (0..self.scales).map(|scale| self.scale_map_size(coarse(size, scale)));
        sizes.try_fold(None, |finest, size| Some(finest.or(Some(size?)))).flatten()
    }

    /// Returns the height and width of the logits of a scale that sees an image of `[height, width]`.
    fn scale_map_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let shrink = |size: usize| {
            self.geometry().iter().try_fold(size, |size, [kernel, stride, padding]| {
                Some((size + 2 * padding).checked_sub(*kernel)? / stride + 1)
            })
        };
        Some([shrink(size[0])?, shrink(size[1])?])
    }

    /// Returns whether a norm has no learned scale, which would undo spectral normalisation.
    fn is_bounded(norm: Norm) -> bool {
        matches!(norm, Norm::None | Norm::Instance { affine: false })
    }

    /// Returns the channels of what it sees.
    pub(super) fn seen_channels(&self) -> usize {
        match self.condition {
            Condition::Input => self.input_channels + self.output_channels,
            Condition::Projection | Condition::None => self.output_channels,
        }
    }

    /// Returns the channels of the first layer of a scale, counted from 0, the finest.
    pub(super) fn base_channels_at(&self, scale: usize) -> usize {
        if self.narrow_scales { self.base_channels >> scale } else { self.base_channels }
    }

    /// Returns the size of the discriminator for images of this height and width.
    pub(crate) fn footprint(&self, size: [usize; 2]) -> Footprint {
        let mut sum = Footprint::default();
        for scale in 0..self.scales {
            let (mut input, mut size) = (self.seen_channels(), coarse(size, scale));
            for (index, [kernel, stride, padding]) in self.geometry().into_iter().enumerate() {
                let output =
                    if self.is_last(index) { 1 } else { channels_at(self.base_channels_at(scale), index) };
                size = size.map(|side| (side + 2 * padding).saturating_sub(kernel) / stride + 1);
                sum.add([input, output, kernel], size);
                input = output;
            }
        }
        if self.kind == DiscriminatorKind::AutoEncoder {
            let mut size = size.map(|side| side >> self.layers);
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
        if !(1..=Self::MAX_SCALES).contains(&self.scales) {
            let problem = format!("{} is out of range; use 1 to {}", self.scales, Self::MAX_SCALES);
            return Err(Error::config("discriminator.scales", problem));
        }
        if self.base_channels_at(self.scales - 1) == 0 {
            let problem = format!(
                "true leaves scale {} of {} base channels without a channel; use at least {} base channels, or false",
                self.scales,
                self.base_channels,
                1 << (self.scales - 1)
            );
            return Err(Error::config("discriminator.narrow_scales", problem));
        }
        if self.spectral && !Self::is_bounded(self.norm) {
            let problem = format!(
                "true bounds nothing with discriminator.norm {}, whose learned scale undoes it; use norm none or instance",
                self.norm
            );
            return Err(Error::config("discriminator.spectral", problem));
        }
        if self.kind != DiscriminatorKind::Patch {
            let kind = self.kind;
            if self.layers == 0 {
                let problem = format!("0 is out of range for the kind {kind}; use at least 1");
                return Err(Error::config("discriminator.layers", problem));
            }
            for (field, is_used, value) in [
                ("discriminator.scales", self.scales > 1, self.scales.to_string()),
                ("discriminator.spectral", self.spectral, "true".to_owned()),
                (
                    "discriminator.condition",
                    self.condition == Condition::Projection,
                    self.condition.to_string(),
                ),
            ] {
                if is_used {
                    let problem = format!("{value} needs discriminator.kind patch, and it is {kind}");
                    return Err(Error::config(field, problem));
                }
            }
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
        assert!(message.contains(r#""input", "projection" or "none""#), "{message}");
        for condition in [Condition::Input, Condition::Projection, Condition::None] {
            assert_eq!(condition.to_string().parse::<Condition>().unwrap(), condition);
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(json, format!("\"{condition}\""));
        }
        let message = "both".parse::<Condition>().unwrap_err().to_string();
        assert_eq!(
            message,
            r#"condition: `both` cannot be used: a condition is "input", "projection" or "none""#
        );
    }
}
