//! The network that judges: [`Discriminator`], a PatchGAN (Isola et al. 2017, section 3.2.2).

use burn::config::Config;
use burn::module::Module;
use burn::tensor::assert_shape;

use crate::layers::{
    Activation, Conv, Initializer, MAX_CHANNELS, Mode, Norm, NormLayer, channels_at, parameter_count,
};
use crate::{Device, Error, Tensor, device};

/// What a [`Discriminator`] is made of.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `input_channels` | – | channels of the condition | 1–4096 | 3 |
/// | `output_channels` | – | channels of the judged image | 1–4096 | 3 |
/// | `layers` | 3 | half-resolution layers; 0 is the PixelGAN | 0–6 | 3 |
/// | `base_channels` | 64 | channels of the first layer | 1–4096 | 64 |
/// | `norm` | batch | normalisation | | batch |
/// | `conditional` | true | whether it sees the condition (cGAN) or not (GAN) | | true |
///
/// The pixels that one logit sees, by `layers`: 1, 16, 34, 70, 142, 286, 574.
#[derive(Config, Debug, PartialEq)]
pub struct DiscriminatorConfig {
    /// Channels of the condition.
    pub input_channels: usize,
    /// Channels of the judged image.
    pub output_channels: usize,
    /// Half-resolution layers; 3 for 70×70 patches, 0 for single pixels.
    #[config(default = 3)]
    pub layers: usize,
    /// Channels of the first layer.
    #[config(default = 64)]
    pub base_channels: usize,
    /// Normalisation after the convolutions but the first and the last.
    #[config(default = "Norm::Batch")]
    pub norm: Norm,
    /// Whether it sees the condition (cGAN) or the image alone (GAN).
    #[config(default = true)]
    pub conditional: bool,
}

/// Kernel, stride and padding of every layer in order.
fn geometry(layers: usize) -> Vec<[usize; 3]> {
    match layers {
        0 => vec![[1, 1, 0]; 3],
        _ => [vec![[4, 2, 1]; layers], vec![[4, 1, 1]; 2]].concat(),
    }
}

impl DiscriminatorConfig {
    /// The deepest PatchGAN on offer.
    pub const MAX_LAYERS: usize = 6;

    /// Builds a discriminator with new random weights.
    ///
    /// # Panics
    /// If the configuration is out of range, or the device computes wrongly; [`validate`](Self::validate) and
    /// [`device::check`] say so politely.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{DiscriminatorConfig, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let config = DiscriminatorConfig::new(3, 3).with_base_channels(4);
    /// assert_eq!(config.receptive_field(), 70);
    /// let image = || Tensor::zeros([1, 3, 256, 256], &device);
    /// let logits = config.init(&device).forward(image(), image());
    /// assert_eq!(logits.dims(), [1, 1, 30, 30]);
    /// # }
    /// ```
    pub fn init(&self, device: &Device) -> Discriminator {
        self.init_seeded(crate::rng::fresh_seed(), device)
    }

    /// Builds a discriminator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Panics
    /// As [`init`](Self::init).
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Discriminator {
        if let Err(error) = self.validate().and_then(|()| device::check(device)) {
            panic!("{error}");
        }
        let init = &mut Initializer::new(seed, device);
        let geometry = geometry(self.layers);
        let last = geometry.len() - 1;
        let mut from = self.output_channels + if self.conditional { self.input_channels } else { 0 };
        let layers = geometry.into_iter().enumerate().map(|(index, geometry)| {
            let to = if index == last { 1 } else { channels_at(self.base_channels, index) };
            // The PyTorch original's rule: a PatchGAN's outer layers always have a bias, a PixelGAN's last has not.
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
        Discriminator { layers, config: self.clone(), exact: false }
    }

    /// The side of the square of pixels that one logit depends on.
    pub fn receptive_field(&self) -> usize {
        geometry(self.layers).iter().rev().fold(1, |field, [kernel, stride, _]| (field - 1) * stride + kernel)
    }

    /// The size of the patch map for a picture of `[height, width]`, or `None` if the picture is too small.
    pub fn map_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let shrink = |size: usize| {
            geometry(self.layers).iter().try_fold(size, |size, [kernel, stride, padding]| {
                Some((size + 2 * padding).checked_sub(*kernel)? / stride + 1)
            })
        };
        Some([shrink(size[0])?, shrink(size[1])?])
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> crate::Result<()> {
        let positive = [
            ("discriminator.input_channels", self.input_channels),
            ("discriminator.output_channels", self.output_channels),
            ("discriminator.base_channels", self.base_channels),
        ];
        for (field, value) in positive {
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

/// Judges every overlapping patch of an image as real or fake (PatchGAN).
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
    /// Scores every patch of `image` given the condition `input`; an unconditional one does not look at `input`.
    ///
    /// Batch normalisation uses the statistics of the batch, so judge real and fake images in two calls.
    ///
    /// # Shapes
    /// - `input`: `[N, input_channels, H, W]`, the condition, in `[-1, 1]`
    /// - `image`: `[N, output_channels, H, W]`, a target or a generated image, in `[-1, 1]`
    /// - returns `[N, 1, H', W']`, logits, with the size that [`DiscriminatorConfig::map_size`] tells
    ///
    /// # Panics
    /// If the channels differ from the configuration, or the picture is too small for a single patch.
    pub fn forward(&self, input: Tensor<4>, image: Tensor<4>) -> Tensor<4> {
        self.forward_with(input, image, Mode::PAPER)
    }

    /// The same with normalisation as `mode` says; a discriminator has no dropout.
    pub fn forward_with(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> Tensor<4> {
        let [input_channels, output_channels] = [self.config.input_channels, self.config.output_channels];
        assert_shape!(input, [_, input_channels, ..]);
        assert_shape!(image, [_, output_channels, ..]);
        let seen = if self.config.conditional { Tensor::cat(vec![input, image], 1) } else { image };
        self.layers.iter().fold(seen, |x, layer| layer.forward(x, mode))
    }

    /// Computes convolutions on the CPU by their definition if `exact`; see
    /// [`Generator::with_exact_convolutions`](crate::Generator::with_exact_convolutions).
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

    /// The number of learned values: 2 768 705 for the paper's 70×70 PatchGAN.
    pub fn parameter_count(&self) -> usize {
        parameter_count(self)
    }

    /// Returns the configuration that the discriminator was built with.
    pub fn config(&self) -> &DiscriminatorConfig {
        &self.config
    }
}

/// LeakyReLU of the layer before, convolution, normalisation.
#[derive(Module, Debug)]
struct PatchLayer {
    conv: Conv,
    norm: Option<NormLayer>,
    activates: bool,
}

impl PatchLayer {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let activation = if self.activates { Activation::LeakyRelu } else { Activation::Linear };
        let x = self.conv.forward_activated(x, activation);
        match &self.norm {
            Some(norm) => norm.forward(x, mode),
            None => x,
        }
    }
}
