//! The network that translates images: [`Generator`], with one of four backbones.

mod config;
mod dcgan;
mod footprint;
mod resnet;
pub(crate) mod tiled;
pub(crate) mod tiling;
mod unet;

use burn::module::Module;
use burn::tensor::{Device, Tensor, assert_shape};

use crate::device;
use crate::error::Result;
use crate::layers::{Arithmetic, Initializer, Mode, in_thread_pool, parameter_count};
use dcgan::Dcgan;
use resnet::ResNet;
use unet::UNet;

pub(crate) use config::MAX_DEPTH;
pub use config::{Backbone, DropoutLayout, GeneratorConfig};

impl GeneratorConfig {
    /// Creates a generator with new random weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a field is out of range, [`Error::Device`](crate::Error::Device) if
    /// [`device::check`] refuses the device.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, Mode, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let generator = GeneratorConfig::new(3, 3).with_base_channels(4).try_init(&device)?;
    /// let output = generator.forward(Tensor::zeros([1, 3, 256, 256], &device), Mode::PAPER);
    /// assert_eq!(output.dims(), [1, 3, 256, 256]);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn try_init(&self, device: &Device) -> Result<Generator> {
        self.try_init_seeded(crate::rng::fresh_seed(), device)
    }

    /// Creates a generator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Errors
    /// As [`try_init`](Self::try_init).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, device};
    ///
    /// let config = GeneratorConfig::new(3, 3).with_base_channels(4);
    /// let generator = config.try_init_seeded(7, &device::cpu())?;
    /// assert_eq!(generator.config(), &config);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn try_init_seeded(&self, seed: u64, device: &Device) -> Result<Generator> {
        self.validate()?;
        device::check(device)?;
        let init = &mut Initializer::new(seed, device);
        let network = match self.backbone {
            Backbone::Unet { depth } => Network::Unet(UNet::new(self, depth, true, init)),
            Backbone::EncoderDecoder { depth } => Network::Unet(UNet::new(self, depth, false, init)),
            Backbone::Resnet { blocks } => Network::Resnet(ResNet::new(self, blocks, init)),
            Backbone::Dcgan { depth, noise } => Network::Dcgan(Dcgan::new(self, depth, noise, init)),
        };
        Ok(Generator { network, config: self.clone(), exact: false })
    }

    /// Creates a generator with new random weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) returns an error.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, device};
    ///
    /// let generator = GeneratorConfig::new(3, 3).init(&device::cpu());
    /// assert_eq!(generator.parameter_count(), 54_413_955);
    /// # }
    /// ```
    pub fn init(&self, device: &Device) -> Generator {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Creates a generator whose weights are a function of `seed`, the same on every backend.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) returns an error.
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Generator {
        self.try_init_seeded(seed, device).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A network that translates images: `G(x, z)`, where dropout is the noise z.
///
/// Isola et al. 2017, section 3.2.1 <https://arxiv.org/abs/1611.07004>
#[derive(Module, Debug)]
pub struct Generator {
    network: Network,
    #[module(skip)]
    config: GeneratorConfig,
    exact: bool,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // there is one generator at a time
enum Network {
    Unet(UNet),
    Resnet(ResNet),
    Dcgan(Dcgan),
}

impl Generator {
    /// Returns the generator for images with other channels, and the names of the layers that are initialised anew, as
    /// a function of `seed`: the first if the input's channels differ, the last if the output's do. All other weights
    /// stay as they are.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the channels are out of range, [`Error::Device`](crate::Error::Device)
    /// if [`device::check`] refuses the device.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, device};
    ///
    /// let generator = GeneratorConfig::new(3, 3).with_base_channels(4).init(&device::cpu());
    /// let (generator, layers) = generator.with_channels(1, 3, 0, &device::cpu())?;
    /// assert_eq!(generator.config().input_channels, 1);
    /// assert_eq!(layers, ["encoder.0.conv"]);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn with_channels(
        mut self,
        input: usize,
        output: usize,
        seed: u64,
        device: &Device,
    ) -> Result<(Self, Vec<String>)> {
        let differ = [input != self.config.input_channels, output != self.config.output_channels];
        if differ == [false; 2] {
            return Ok((self, vec![]));
        }
        (self.config.input_channels, self.config.output_channels) = (input, output);
        let new = self.config.try_init_seeded(seed, device)?.network;
        let layers = match (&mut self.network, new) {
            (Network::Unet(network), Network::Unet(new)) => network.take_ends(new, differ),
            (Network::Resnet(network), Network::Resnet(new)) => network.take_ends(new, differ),
            (Network::Dcgan(network), Network::Dcgan(new)) if differ[1] => network.take_last(new),
            (Network::Dcgan(_), Network::Dcgan(_)) => vec![],
            _ => unreachable!("both have the same backbone"),
        };
        let exact = self.exact;
        Ok((self.with_exact_convolutions(exact), layers))
    }

    /// Translates a batch. `mode` sets the statistics of normalisation, and dropout.
    ///
    /// [`Mode::PAPER`] is the paper's procedure in training and at test time: batch statistics, and new noise at every
    /// call.
    ///
    /// # Shapes
    /// - `input`: `[N, input_channels, H, W]` in `[-1, 1]`; for [`Backbone::Dcgan`] noise from N(0, 1),
    ///   `[N, noise, 1, 1]`
    /// - returns `[N, output_channels, H, W]` in `[-1, 1]`; for [`Backbone::Dcgan`] of 2^depth pixels
    ///
    /// # Panics
    /// If the channels differ from the configuration, or H or W is not divisible by
    /// [`size_multiple`](GeneratorConfig::size_multiple) or is below [`min_size`](GeneratorConfig::min_size).
    /// [`Translator`](crate::Translator) pads images of any size.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GeneratorConfig, Mode, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let generator = GeneratorConfig::new(1, 2).with_base_channels(4).init(&device);
    /// let output = generator.forward(Tensor::zeros([1, 1, 256, 512], &device), Mode::IMAGE);
    /// assert_eq!(output.dims(), [1, 2, 256, 512]);
    /// # }
    /// ```
    pub fn forward(&self, input: Tensor<4>, mode: Mode) -> Tensor<4> {
        if let Some(noise) = self.config.noise() {
            assert_shape!(input, [_, noise, 1, 1]);
            return self.pass(input, mode);
        }
        let channels = self.config.input_channels;
        assert_shape!(input, [_, channels, ..]);
        let [_, _, height, width] = input.dims();
        let (multiple, minimum) = (self.config.size_multiple(), self.config.min_size());
        for (name, size) in [("height", height), ("width", width)] {
            assert!(
                size % multiple == 0 && size >= minimum,
                "{name} (={size}) must be divisible by {multiple} and at least {minimum}; use `Translator` to pad, or \
                 another depth"
            );
        }
        self.pass(input, mode)
    }

    /// Runs the network.
    fn pass(&self, input: Tensor<4>, mode: Mode) -> Tensor<4> {
        let device = input.device();
        let pass = || match &self.network {
            Network::Unet(network) => network.forward(input, mode.seeded()),
            Network::Resnet(network) => network.forward(input, mode.seeded()),
            Network::Dcgan(network) => network.forward(input, mode),
        };
        in_thread_pool(&device, pass)
    }

    /// Prepares for many passes without training: on the CPU, convolutions cache their transformed filters, so that all
    /// passes after the first are faster.
    ///
    /// For U-Net-256, the cache takes a third of the memory of the parameters. Clones share it; a generator whose
    /// weights are replaced starts with an empty cache. [`Translator`](crate::Translator) calls this method.
    #[must_use]
    pub fn for_inference(mut self) -> Self {
        self.change_arithmetic(&mut Arithmetic::with_cache);
        self
    }

    /// Computes convolutions on the CPU by their definition if `exact` is true. By default, Winograd's algorithm
    /// computes them with fewer multiplications where it is faster.
    ///
    /// The rounding errors of Winograd's algorithm are a few times larger, about 1e-6 of a value. Neither result
    /// depends on the number of threads.
    #[must_use]
    pub fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.exact = exact;
        self.change_arithmetic(&mut |arithmetic| arithmetic.with_exact(exact));
        self
    }

    /// Returns whether [`with_exact_convolutions`](Self::with_exact_convolutions) is on.
    pub fn has_exact_convolutions(&self) -> bool {
        self.exact
    }

    /// Replaces the arithmetic of every convolution.
    fn change_arithmetic(&mut self, change: &mut impl FnMut(Arithmetic) -> Arithmetic) {
        let change = &mut |arithmetic: &mut Arithmetic| *arithmetic = change(std::mem::take(arithmetic));
        match &mut self.network {
            Network::Unet(network) => network.each_arithmetic(change),
            Network::Resnet(network) => network.each_arithmetic(change),
            Network::Dcgan(network) => network.each_arithmetic(change),
        }
    }

    /// Returns a copy that tracks no gradients and does not share its running statistics.
    ///
    /// A plain clone of a generator in training shares both with the original.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.valid()
    }

    /// Returns the configuration that the generator was built with.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// Returns the number of learned values: 54 413 955 for the paper's U-Net.
    pub fn parameter_count(&self) -> usize {
        parameter_count(self)
    }
}
