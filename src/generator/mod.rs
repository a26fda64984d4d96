//! The network that translates: [`Generator`], over one of three backbones.

mod resnet;
mod tiled;
mod unet;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::assert_shape;
use serde::{Deserialize, Serialize};

use crate::layers::{Initializer, Kept, MOST_CHANNELS, Mode, Norm, UpsampleKind, parameter_count};
use crate::{Device, Error, Tensor, device};

use resnet::ResNet;
pub(crate) use tiled::{Cut, Layer, Piece};
pub use unet::DropoutLayout;
use unet::UNet;

/// More residual blocks than any network has.
const MOST_BLOCKS: usize = 1000;

/// The shape of a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// Encoder and decoder joined by skip connections; the paper's choice.
    Unet {
        /// Half-resolution steps: 8 for 256 pixels, 7 for 128, 6 for 64.
        depth: usize,
    },
    /// The same without skip connections, which the paper compares with.
    EncoderDecoder {
        /// Half-resolution steps: 8 for 256 pixels, 7 for 128, 6 for 64.
        depth: usize,
    },
    /// Residual blocks at a quarter of the resolution, the PyTorch original's alternative.
    Resnet {
        /// Residual blocks: 9 or 6 in the original.
        blocks: usize,
    },
}

/// What a [`Generator`] is made of.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `input_channels` | – | channels of the condition | 1–4096 | 3 |
/// | `output_channels` | – | channels of the generated image | 1–4096 | 3 |
/// | `backbone` | U-Net of depth 8 | shape of the network | depth 2–12, blocks 0–1000 | U-Net 8 |
/// | `base_channels` | 64 | channels of the first layer | 1–4096 | 64 |
/// | `norm` | batch | normalisation | | batch |
/// | `dropout` | 0.5 | probability of a zero | 0 ≤ p < 1 | 0.5 |
/// | `dropout_layout` | paper | which decoder blocks have dropout | | differ |
/// | `upsample` | transpose | how the decoder doubles the resolution | | transpose |
#[derive(Config, Debug, PartialEq)]
pub struct GeneratorConfig {
    /// Channels of the condition.
    pub input_channels: usize,
    /// Channels of the generated image.
    pub output_channels: usize,
    /// Shape of the network.
    #[config(default = "Backbone::Unet { depth: 8 }")]
    pub backbone: Backbone,
    /// Channels of the first layer.
    #[config(default = 64)]
    pub base_channels: usize,
    /// Normalisation after the convolutions.
    #[config(default = "Norm::Batch")]
    pub norm: Norm,
    /// Probability with which dropout zeroes a value.
    #[config(default = 0.5)]
    pub dropout: f64,
    /// Which decoder blocks of a U-Net have dropout.
    #[config(default = "DropoutLayout::Paper")]
    pub dropout_layout: DropoutLayout,
    /// How a U-Net's decoder doubles the resolution.
    #[config(default = "UpsampleKind::Transpose")]
    pub upsample: UpsampleKind,
}

impl GeneratorConfig {
    /// Builds a generator with new random weights.
    ///
    /// # Panics
    /// If the configuration is out of range, or the device computes wrongly; [`validate`](Self::validate) and
    /// [`device::check`] say so politely.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let generator = GeneratorConfig::new(3, 3).with_base_channels(4).init(&device);
    /// let output = generator.forward(Tensor::zeros([1, 3, 256, 256], &device));
    /// assert_eq!(output.dims(), [1, 3, 256, 256]);
    /// # }
    /// ```
    pub fn init(&self, device: &Device) -> Generator {
        self.init_seeded(crate::random::fresh_seed(), device)
    }

    /// Builds a generator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Panics
    /// As [`init`](Self::init).
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Generator {
        if let Err(error) = self.validate().and_then(|()| device::check(device)) {
            panic!("{error}");
        }
        let init = &mut Initializer::new(seed, device);
        let network = match self.backbone {
            Backbone::Unet { depth } => Network::Unet(UNet::new(self, depth, true, init)),
            Backbone::EncoderDecoder { depth } => Network::Unet(UNet::new(self, depth, false, init)),
            Backbone::Resnet { blocks } => Network::Resnet(ResNet::new(self, blocks, init)),
        };
        Generator { network, config: self.clone(), kept: Kept::default() }
    }

    /// The number of pixels that must divide a picture's height and width: 2^depth.
    pub fn multiple(&self) -> usize {
        match self.backbone {
            Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } => 1 << depth,
            Backbone::Resnet { .. } => 4,
        }
    }

    /// The fewest pixels of a picture's height and width.
    pub(crate) fn smallest(&self) -> usize {
        match self.backbone {
            // Residual blocks mirror the border of maps of a quarter of the size, which takes two pixels.
            Backbone::Resnet { .. } => 2 * self.multiple(),
            _ => self.multiple(),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> crate::Result<()> {
        let positive = [
            ("generator.input_channels", self.input_channels),
            ("generator.output_channels", self.output_channels),
            ("generator.base_channels", self.base_channels),
        ];
        for (field, value) in positive {
            if !(1..=MOST_CHANNELS).contains(&value) {
                return Err(Error::config(
                    field,
                    format!("{value} is out of range; use 1 to {MOST_CHANNELS}"),
                ));
            }
        }
        if let Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } = self.backbone
            && !(2..=12).contains(&depth)
        {
            return Err(Error::config(
                "generator.backbone",
                format!("depth {depth} is out of range; use 2 to 12, for instance 8 for 256 pixels"),
            ));
        }
        if let Backbone::Resnet { blocks } = self.backbone
            && blocks > MOST_BLOCKS
        {
            let problem = format!("{blocks} blocks are out of range; use up to {MOST_BLOCKS}");
            return Err(Error::config("generator.backbone", problem));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config(
                "generator.dropout",
                format!("{} is not a probability below 1", self.dropout),
            ));
        }
        Ok(())
    }
}

/// Translates images: `G(x, z)`, with dropout as the noise z.
///
/// Isola et al. 2017, section 3.2.1 <https://arxiv.org/abs/1611.07004>
#[derive(Module, Debug)]
pub struct Generator {
    network: Network,
    #[module(skip)]
    config: GeneratorConfig,
    #[module(skip)]
    kept: Kept,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one generator at a time
enum Network {
    Unet(UNet),
    Resnet(ResNet),
}

impl Generator {
    /// Translates a batch the paper's way, [`Mode::PAPER`]: batch statistics, and other noise at every call.
    ///
    /// # Shapes
    /// - `input`: `[N, input_channels, H, W]`, the condition, in `[-1, 1]`
    /// - returns `[N, output_channels, H, W]` in `[-1, 1]`
    ///
    /// # Panics
    /// If the channels differ from the configuration, or H or W is not divisible by
    /// [`multiple`](GeneratorConfig::multiple). [`Translator`](crate::Translator) pads pictures of any size.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_with(input, Mode::PAPER)
    }

    /// Translates a batch with normalisation and dropout as `mode` says; shapes and panics as [`forward`](Self::forward).
    pub fn forward_with(&self, input: Tensor<4>, mode: Mode) -> Tensor<4> {
        let channels = self.config.input_channels;
        assert_shape!(input, [_, channels, ..]);
        let [_, _, height, width] = input.dims();
        let multiple = self.config.multiple();
        for (name, size) in [("height", height), ("width", width)] {
            assert!(
                size % multiple == 0 && size > 0,
                "{name} (={size}) must be divisible by {multiple}; use `Translator` to pad, or another depth"
            );
        }
        let device = input.device();
        let pass = || match &self.network {
            Network::Unet(network) => network.forward(input, mode.settled()),
            Network::Resnet(network) => network.forward(input, mode.settled()),
        };
        // Training changes the weights after every pass.
        let kept = if device.is_autodiff() { &Kept::default() } else { &self.kept };
        kept.among_workers(&device, pass)
    }

    /// Prepares for many passes without training: on the CPU, what convolutions compute from their weights alone is kept
    /// from the first pass on, so that the next ones are faster.
    ///
    /// Takes a third of the parameters' memory more, for U-Net-256. Clones share it. [`Translator`](crate::Translator)
    /// does this by itself.
    pub fn for_inference(mut self) -> Self {
        self.kept.begin();
        self
    }

    /// The number of learned values: 54 413 955 for the paper's U-Net.
    pub fn parameter_count(&self) -> usize {
        parameter_count(self)
    }

    /// The number of pixels that must divide a picture's height and width.
    pub fn multiple(&self) -> usize {
        self.config.multiple()
    }

    /// Returns the configuration that the generator was built with.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }
}
