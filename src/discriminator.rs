//! The network that tells real images from generated ones: [`Discriminator`], a PatchGAN (Isola et al. 2017, section
//! 3.2.2).

use burn::module::Module;
use burn::tensor::{Device, Tensor, assert_shape};
use derive_setters::Setters;
use serde::{Deserialize, Deserializer, Serialize};

use crate::device;
use crate::error::{Error, Result};
use crate::layers::{
    Activation, Conv, Footprint, Initializer, MAX_CHANNELS, Mode, Norm, NormLayer, channels_at, normalised,
    parameter_count,
};
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

/// The configuration of a [`Discriminator`].
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `input_channels` | 3 | channels of the generator's input | 1–4096 | 3 |
/// | `output_channels` | 3 | channels of the judged image | 1–4096 | 3 |
/// | `layers` | 3 | layers with stride 2; 0 is the PixelGAN | 0–6 | 3 |
/// | `base_channels` | 64 | channels of the first layer | 1–4096 | 64 |
/// | `norm` | batch | normalisation | | batch |
/// | `condition` | input | whether it sees the generator's input (cGAN) or not (GAN) | | input |
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
        }
    }
}

/// Returns the kernel, stride and padding of every layer, in order.
fn geometry(layers: usize) -> Vec<[usize; 3]> {
    match layers {
        0 => vec![[1, 1, 0]; 3],
        _ => [vec![[4, 2, 1]; layers], vec![[4, 1, 1]; 2]].concat(),
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

    /// Creates a discriminator with new random weights.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is out of range, [`Error::Device`] if [`device::check`] refuses the device.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{DiscriminatorConfig, Mode, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let discriminator = DiscriminatorConfig::new(3, 3).with_base_channels(4).try_init(&device)?;
    /// let image = || Tensor::zeros([1, 3, 256, 256], &device);
    /// let logits = discriminator.forward(image(), image(), Mode::PAPER);
    /// assert_eq!(logits.dims(), [1, 1, 30, 30]);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn try_init(&self, device: &Device) -> Result<Discriminator> {
        self.try_init_seeded(crate::rng::fresh_seed(), device)
    }

    /// Creates a discriminator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Errors
    /// As [`try_init`](Self::try_init).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{DiscriminatorConfig, device};
    ///
    /// let config = DiscriminatorConfig::new(3, 3).with_base_channels(4);
    /// let discriminator = config.try_init_seeded(7, &device::cpu())?;
    /// assert_eq!(discriminator.config(), &config);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn try_init_seeded(&self, seed: u64, device: &Device) -> Result<Discriminator> {
        self.validate()?;
        device::check(device)?;
        let init = &mut Initializer::new(seed, device);
        let geometry = geometry(self.layers);
        let last = geometry.len() - 1;
        let mut from = match self.condition {
            Condition::Input => self.input_channels + self.output_channels,
            Condition::None => self.output_channels,
        };
        let layers = geometry.into_iter().enumerate().map(|(index, geometry)| {
            let to = if index == last { 1 } else { channels_at(self.base_channels, index) };
            // The PyTorch original's rule: the outer layers of a PatchGAN always have a bias, the last layer of a
            // PixelGAN has none.
            let is_outer = index == 0 || (index == last && self.layers != 0);
            let conv = Conv::new([from, to], geometry, is_outer || self.norm.conv_bias(), init);
            let has_norm = index != 0 && index != last;
            from = to;
            PatchLayer {
                conv,
                norm: if has_norm { self.norm.init(to, init) } else { None },
                activates: index != 0,
            }
        });
        let layers = layers.collect();
        Ok(Discriminator { layers, config: self.clone(), exact: false })
    }

    /// Creates a discriminator with new random weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) returns an error.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{DiscriminatorConfig, device};
    ///
    /// let discriminator = DiscriminatorConfig::new(3, 3).init(&device::cpu());
    /// assert_eq!(discriminator.parameter_count(), 2_768_705);
    /// # }
    /// ```
    pub fn init(&self, device: &Device) -> Discriminator {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Creates a discriminator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) returns an error.
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Discriminator {
        self.try_init_seeded(seed, device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the side of the square of pixels that one logit depends on.
    pub fn receptive_field(&self) -> usize {
        geometry(self.layers).iter().rev().fold(1, |field, [kernel, stride, _]| (field - 1) * stride + kernel)
    }

    /// Returns the height and width of the logits for an image of `[height, width]`, or `None` if the image is too
    /// small.
    pub fn patch_map_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let shrink = |size: usize| {
            geometry(self.layers).iter().try_fold(size, |size, [kernel, stride, padding]| {
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
        let geometry = geometry(self.layers);
        for (index, [kernel, stride, padding]) in geometry.iter().copied().enumerate() {
            let is_last = index + 1 == geometry.len();
            let output = if is_last { 1 } else { channels_at(self.base_channels, index) };
            size = size.map(|side| (side + 2 * padding).saturating_sub(kernel) / stride + 1);
            sum.add([input, output, kernel], size);
            input = output;
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
        Ok(())
    }
}

/// A network that classifies every overlapping patch of an image as real or fake (PatchGAN).
///
/// Isola et al. 2017, section 3.2.2 <https://arxiv.org/abs/1611.07004>
#[derive(Module, Debug)]
pub struct Discriminator {
    layers: Vec<PatchLayer>,
    #[module(skip)]
    config: DiscriminatorConfig,
    exact: bool,
}

impl Discriminator {
    /// Returns the discriminator for images with other channels, and the names of the layers that are initialised anew,
    /// as a function of `seed`: the first if it sees another number of channels. All other weights stay as they are.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the channels are out of range, [`Error::Device`](crate::Error::Device)
    /// if [`device::check`] refuses the device.
    pub fn with_channels(
        mut self,
        input: usize,
        output: usize,
        seed: u64,
        device: &Device,
    ) -> Result<(Self, Vec<String>)> {
        let seen = |config: &DiscriminatorConfig| match config.condition {
            Condition::Input => config.input_channels + config.output_channels,
            Condition::None => config.output_channels,
        };
        // The same number, divided otherwise, is of other images, too.
        let before = self.config.clone();
        (self.config.input_channels, self.config.output_channels) = (input, output);
        let is_conditional = self.config.condition == Condition::Input;
        if seen(&before) == seen(&self.config) && (!is_conditional || before.input_channels == input) {
            return Ok((self, vec![]));
        }
        let mut new = self.config.try_init_seeded(seed, device)?;
        self.layers[0] = new.layers.swap_remove(0);
        let exact = self.exact;
        Ok((self.with_exact_convolutions(exact), vec!["layers.0.conv".to_owned()]))
    }

    /// Returns one logit for every patch of `image`, given the generator's `input`. [`Condition::None`] ignores
    /// `input`.
    ///
    /// Batch normalisation uses the statistics of the batch, so pass real and fake images in two calls. `mode` only
    /// affects normalisation: a discriminator has no dropout.
    ///
    /// # Shapes
    /// - `input`: `[N, input_channels, H, W]` in `[-1, 1]`
    /// - `image`: `[N, output_channels, H, W]` in `[-1, 1]`, a target or an output of the generator
    /// - returns `[N, 1, H', W']`, logits, of the size [`DiscriminatorConfig::patch_map_size`]
    ///
    /// # Panics
    /// If the channels differ from the configuration, or the image is too small for a single patch.
    pub fn forward(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> Tensor<4> {
        let [input_channels, output_channels] = [self.config.input_channels, self.config.output_channels];
        assert_shape!(input, [_, input_channels, ..]);
        assert_shape!(image, [_, output_channels, ..]);
        let seen = match self.config.condition {
            Condition::Input => Tensor::cat(vec![input, image], 1),
            Condition::None => image,
        };
        self.layers.iter().fold(seen, |x, layer| layer.forward(x, mode))
    }

    /// Computes convolutions on the CPU by their definition if `exact` is true; see
    /// [`Generator::with_exact_convolutions`](crate::Generator::with_exact_convolutions).
    #[must_use]
    pub fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.exact = exact;
        for layer in &mut self.layers {
            let arithmetic = layer.conv.arithmetic_mut();
            *arithmetic = std::mem::take(arithmetic).with_exact(exact);
        }
        self
    }

    /// Returns whether [`with_exact_convolutions`](Self::with_exact_convolutions) is on.
    pub fn has_exact_convolutions(&self) -> bool {
        self.exact
    }

    /// Returns a copy that tracks no gradients and does not share its running statistics.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.valid()
    }

    /// Returns the configuration that the discriminator was built with.
    pub fn config(&self) -> &DiscriminatorConfig {
        &self.config
    }

    /// Returns the number of learned values: 2 768 705 for the paper's 70×70 PatchGAN.
    pub fn parameter_count(&self) -> usize {
        parameter_count(self)
    }
}

/// A layer: LeakyReLU of the previous layer's output, convolution, normalisation.
#[derive(Module, Debug)]
struct PatchLayer {
    conv: Conv,
    norm: Option<NormLayer>,
    activates: bool,
}

impl PatchLayer {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let activation = if self.activates { Activation::LeakyRelu } else { Activation::Linear };
        normalised(&self.norm, self.conv.forward_activated(x, activation), mode)
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
