//! The network that tells real images from generated ones: [`Discriminator`], a PatchGAN (Isola et al. 2017, section
//! 3.2.2).

mod auto_encoder;
mod config;
mod kind;

use burn::module::Module;
use burn::tensor::{Device, Tensor, assert_shape};

use crate::device;
use crate::error::Result;
use crate::layers::{
    Activation, Conv, Initializer, Mode, NormLayer, channels_at, normalised, parameter_count,
};
use auto_encoder::{Decoder, energies};

pub use config::{Condition, DiscriminatorConfig};
pub use kind::DiscriminatorKind;

impl DiscriminatorConfig {
    /// Creates a discriminator with new random weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a field is out of range, [`Error::Device`](crate::Error::Device) if
    /// [`device::check`] refuses the device.
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
        let mut from = match self.condition {
            Condition::Input => self.input_channels + self.output_channels,
            Condition::None => self.output_channels,
        };
        let layers = self.geometry().into_iter().enumerate().map(|(index, geometry)| {
            let is_last = self.is_last(index);
            let to = if is_last { 1 } else { channels_at(self.base_channels, index) };
            // The PyTorch original's rule: the outer layers of a PatchGAN always have a bias, the last layer of a
            // PixelGAN has none. DCGAN's have none.
            let is_outer = index == 0 || (is_last && self.layers != 0);
            let is_outer = is_outer && self.kind != DiscriminatorKind::Dcgan;
            let conv = Conv::new([from, to], geometry, is_outer || self.norm.conv_bias(), init);
            let has_norm = index != 0 && !is_last;
            from = to;
            PatchLayer {
                conv,
                norm: if has_norm { self.norm.init(to, init) } else { None },
                activates: index != 0,
            }
        });
        let layers = layers.collect();
        let decoder = (self.kind == DiscriminatorKind::AutoEncoder).then(|| Decoder::new(self, init));
        Ok(Discriminator { layers, decoder, config: self.clone(), exact: false })
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
}

/// A network that classifies every overlapping patch of an image as real or fake (PatchGAN), or another
/// [kind](DiscriminatorKind) of it.
///
/// Isola et al. 2017, section 3.2.2 <https://arxiv.org/abs/1611.07004>
#[derive(Module, Debug)]
pub struct Discriminator {
    /// All convolutions, or those of the encoder.
    layers: Vec<PatchLayer>,
    /// The second half of an auto-encoder.
    decoder: Option<Decoder>,
    #[module(skip)]
    config: DiscriminatorConfig,
    exact: bool,
}

impl Discriminator {
    /// Returns the discriminator for images with other channels, and the names of the layers that are initialised anew,
    /// as a function of `seed`: the first if it sees another number of channels, and the last of an auto-encoder if it
    /// reconstructs another number. All other weights stay as they are.
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
        let mut names = vec!["layers.0.conv".to_owned()];
        if let Some((decoder, new)) = self.decoder.as_mut().zip(new.decoder)
            && before.output_channels != output
        {
            names.extend(decoder.take_last(new));
        }
        let exact = self.exact;
        Ok((self.with_exact_convolutions(exact), names))
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
    /// If the channels differ from the configuration, the image is too small for a single patch, or the cells of an
    /// auto-encoder do not divide it.
    pub fn forward(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> Tensor<4> {
        self.forward_with_codes(input, image, mode).0
    }

    /// Returns the logits, as [`forward`](Self::forward), and the outputs of the last layer before a decoder: the codes of
    /// an auto-encoder, `[N, C, H', W']`. The other kinds have no codes, and return the logits twice.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_with_codes(
        &self,
        input: Tensor<4>,
        image: Tensor<4>,
        mode: Mode,
    ) -> (Tensor<4>, Tensor<4>) {
        let [input_channels, output_channels] = [self.config.input_channels, self.config.output_channels];
        assert_shape!(image, [_, output_channels, ..]);
        let seen = match self.config.condition {
            Condition::Input => {
                assert_shape!(input, [_, input_channels, ..]);
                Tensor::cat(vec![input, image.clone()], 1)
            }
            Condition::None => image.clone(),
        };
        let codes = self.layers.iter().fold(seen, |x, layer| layer.forward(x, mode));
        let Some(decoder) = &self.decoder else { return (codes.clone(), codes) };
        let ([_, _, height, width], cell) = (image.dims(), self.config.cell());
        assert!(
            height % cell == 0 && width % cell == 0,
            "the image's size (={height}×{width}) must be divisible by {cell}, the side of the auto-encoder's cells"
        );
        let reconstruction = decoder.forward(codes.clone(), mode);
        (-energies(image, reconstruction, cell), codes)
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
        if let Some(decoder) = &mut self.decoder {
            decoder.set_exact(exact);
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
