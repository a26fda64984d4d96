//! The network that tells real images from generated ones: [`Discriminator`], a PatchGAN (Isola et al. 2017, section
//! 3.2.2).

mod auto_encoder;
mod config;
mod kind;
mod output;
mod patch;
mod projection;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests;

use burn::module::Module;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, assert_shape};

use crate::device;
use crate::error::Result;
use crate::layers::{Initializer, Mode, parameter_count};
use auto_encoder::Decoder;
use patch::{PatchLayer, PatchNet};
use projection::Projection;

pub use config::{Condition, DiscriminatorConfig};
pub use kind::DiscriminatorKind;
pub use output::{DiscriminatorOutput, ScaleOutput};

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
        let mut net = |scale| PatchNet {
            layers: patch::layers(self, scale, init),
            projection: Projection::new(self, scale, init),
        };
        let PatchNet { layers, projection } = net(0);
        let coarser = (1..self.scales).map(net).collect();
        let decoder = (self.kind == DiscriminatorKind::AutoEncoder).then(|| Decoder::new(self, init));
        Ok(Discriminator { layers, projection, coarser, decoder, config: self.clone(), exact: false })
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
    /// The finest scale; of an auto-encoder, the encoder.
    layers: Vec<PatchLayer>,
    projection: Option<Projection>,
    /// The other scales, finest first.
    coarser: Vec<PatchNet>,
    /// The second half of an auto-encoder.
    decoder: Option<Decoder>,
    #[module(skip)]
    config: DiscriminatorConfig,
    exact: bool,
}

impl Discriminator {
    /// Returns the discriminator for images with other channels, and the names of the layers that are initialised anew,
    /// as a function of `seed`: in each scale the first if it sees another number of channels, the projection of the
    /// condition if the input has another number, and the last of an auto-encoder if it reconstructs another number. All
    /// other weights stay as they are.
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
        let before = self.config.clone();
        (self.config.input_channels, self.config.output_channels) = (input, output);
        let has_other_input = before.input_channels != input;
        // The same number, divided otherwise, is of other images, too.
        let has_other_first = before.seen_channels() != self.config.seen_channels()
            || (self.config.condition == Condition::Input && has_other_input);
        let has_other_projection = self.config.condition == Condition::Projection && has_other_input;
        if !has_other_first && !has_other_projection {
            return Ok((self, vec![]));
        }
        let mut new = self.config.try_init_seeded(seed, device)?;
        let mut names = vec![];
        let new_decoder = new.decoder.take();
        let coarser = self.coarser.iter_mut().map(|net| (&mut net.layers, &mut net.projection));
        let nets = std::iter::once((&mut self.layers, &mut self.projection)).chain(coarser);
        let news = new.coarser.into_iter().map(|net| (net.layers, net.projection));
        let news = std::iter::once((new.layers, new.projection)).chain(news);
        for (scale, ((layers, projection), (mut new_layers, new_projection))) in nets.zip(news).enumerate() {
            let prefix = if scale == 0 { String::new() } else { format!("coarser.{}.", scale - 1) };
            if has_other_first {
                layers[0] = new_layers.swap_remove(0);
                names.push(format!("{prefix}layers.0.conv"));
            }
            if has_other_projection {
                *projection = new_projection;
                names.push(format!("{prefix}projection.conv"));
            }
        }
        if let Some((decoder, new)) = self.decoder.as_mut().zip(new_decoder)
            && before.output_channels != output
        {
            names.extend(decoder.take_last(new));
        }
        let exact = self.exact;
        Ok((self.with_exact_convolutions(exact), names))
    }

    /// Returns one logit for every patch of `image`, given the generator's `input`, at the finest scale.
    /// [`Condition::None`] ignores `input`.
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
        let seen = self.seen(input, image);
        self.forward_scale(0, seen, mode, false).logits
    }

    /// Returns the logits of all scales: those of [`forward`](Self::forward) first, then those of the coarser scales,
    /// each on the means over 3×3 pixels of what the scale before sees, at every second pixel.
    ///
    /// # Shapes
    /// As those of [`forward`](Self::forward); the logits of a coarser scale are those of an image of half the size,
    /// rounded up.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), for every scale.
    pub fn forward_scales(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> DiscriminatorOutput {
        self.forward_all(input, image, mode, false)
    }

    /// Returns the logits of all scales as [`forward_scales`](Self::forward_scales), and the features of all blocks
    /// before them, for feature matching.
    ///
    /// # Shapes
    /// As those of [`forward_scales`](Self::forward_scales); the features of block `i` are `[N, C, h, w]` with the
    /// channels and the size of its convolution's output.
    ///
    /// # Panics
    /// As [`forward_scales`](Self::forward_scales).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{DiscriminatorConfig, Mode, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let config = DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(1).with_scales(2);
    /// let discriminator = config.try_init(&device)?;
    /// let image = || Tensor::zeros([1, 3, 64, 64], &device);
    /// let output = discriminator.forward_features(image(), image(), Mode::PAPER);
    /// assert_eq!(output.scales[0].features[0].dims(), [1, 4, 32, 32]);
    /// assert_eq!(output.scales[1].features[0].dims(), [1, 4, 16, 16]);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn forward_features(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> DiscriminatorOutput {
        self.forward_all(input, image, mode, true)
    }

    fn forward_all(
        &self,
        input: Tensor<4>,
        image: Tensor<4>,
        mode: Mode,
        keeps_features: bool,
    ) -> DiscriminatorOutput {
        let mut seen = vec![self.seen(input, image)];
        for scale in 0..self.coarser.len() {
            seen.push(seen[scale].clone().halved());
        }
        let outputs = seen
            .into_iter()
            .enumerate()
            .map(|(scale, seen)| self.forward_scale(scale, seen, mode, keeps_features));
        DiscriminatorOutput { scales: outputs.collect() }
    }

    /// Returns the output of scale number `scale` for what it sees.
    fn forward_scale(&self, scale: usize, seen: Seen, mode: Mode, keeps_features: bool) -> ScaleOutput {
        let (layers, projection) = match scale {
            0 => (&self.layers, &self.projection),
            _ => (&self.coarser[scale - 1].layers, &self.coarser[scale - 1].projection),
        };
        let halvings = self.config.layers;
        let project = projection
            .as_ref()
            .zip(seen.condition)
            .map(|(projection, condition)| move |features| projection.forward(features, condition, halvings));
        let output = patch::forward(layers, project, seen.images, mode, keeps_features);
        match (&self.decoder, seen.judged) {
            (Some(decoder), Some(image)) => decoder.judge(output, image, self.config.cell(), mode),
            _ => output,
        }
    }

    /// Returns what the finest scale sees of a batch of pairs.
    fn seen(&self, input: Tensor<4>, image: Tensor<4>) -> Seen {
        let [input_channels, output_channels] = [self.config.input_channels, self.config.output_channels];
        assert_shape!(image, [_, output_channels, ..]);
        let judged = self.decoder.is_some().then(|| image.clone());
        let (images, condition) = match self.config.condition {
            Condition::Input => {
                assert_shape!(input, [_, input_channels, ..]);
                (Tensor::cat(vec![input, image], 1), None)
            }
            Condition::Projection => {
                assert_shape!(input, [_, input_channels, ..]);
                (image, Some(input))
            }
            Condition::None => (image, None),
        };
        Seen { images, condition, judged }
    }

    /// Moves the estimates of the largest singular values one power iteration on, in this discriminator and in all its
    /// clones; without [`spectral`](DiscriminatorConfig::spectral), it does nothing. Training does so once in each step,
    /// so that a step has the same result in one part or in several. Forward passes use the estimates as they are.
    pub fn power_iteration(&self) {
        let coarser = self.coarser.iter().flat_map(|net| &net.layers);
        self.layers.iter().chain(coarser).for_each(PatchLayer::power_iteration);
        let coarser = self.coarser.iter().flat_map(|net| &net.projection);
        self.projection.iter().chain(coarser).for_each(Projection::power_iteration);
    }

    /// Computes convolutions on the CPU by their definition if `exact` is true; see
    /// [`Generator::with_exact_convolutions`](crate::Generator::with_exact_convolutions).
    #[must_use]
    pub fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.exact = exact;
        let nets = self.coarser.iter_mut().map(|net| (&mut net.layers, &mut net.projection));
        for (layers, projection) in nets.chain([(&mut self.layers, &mut self.projection)]) {
            let convolutions = layers.iter_mut().map(|layer| &mut layer.conv);
            for conv in convolutions.chain(projection.iter_mut().map(Projection::conv_mut)) {
                let arithmetic = conv.arithmetic_mut();
                *arithmetic = std::mem::take(arithmetic).with_exact(exact);
            }
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

/// What one scale sees of a batch of pairs.
#[derive(Clone)]
struct Seen {
    /// The input of its first layer.
    images: Tensor<4>,
    /// The condition that it projects, if it does.
    condition: Option<Tensor<4>>,
    /// The judged image, if an auto-encoder reconstructs it.
    judged: Option<Tensor<4>>,
}

impl Seen {
    /// Returns what the next coarser scale sees.
    fn halved(self) -> Self {
        Self {
            images: halved(self.images),
            condition: self.condition.map(halved),
            judged: self.judged.map(halved),
        }
    }
}

/// Returns the means over 3×3 pixels at every second pixel. Padding does not count in the means (Wang et al. 2018, section
/// 3.2).
fn halved(images: Tensor<4>) -> Tensor<4> {
    let options = AvgPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    avg_pool2d(images, options.with_count_include_pad(false))
}
