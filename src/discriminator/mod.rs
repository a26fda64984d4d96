//! The network that tells real images from generated ones: [`Discriminator`], a PatchGAN (Isola et al. 2017, section
//! 3.2.2).

mod config;
mod output;
mod patch;

use burn::module::Module;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, assert_shape};

use crate::device;
use crate::error::Result;
use crate::layers::{Initializer, Mode, parameter_count};
use patch::{PatchLayer, PatchNet};

pub use config::{Condition, DiscriminatorConfig};
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
        let layers = patch::layers(self, 0, init);
        let coarser = (1..self.scales).map(|scale| PatchNet { layers: patch::layers(self, scale, init) });
        let coarser = coarser.collect();
        Ok(Discriminator { layers, coarser, config: self.clone(), exact: false })
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

/// A network that classifies every overlapping patch of an image as real or fake (PatchGAN).
///
/// Isola et al. 2017, section 3.2.2 <https://arxiv.org/abs/1611.07004>
#[derive(Module, Debug)]
pub struct Discriminator {
    /// The finest scale.
    layers: Vec<PatchLayer>,
    /// The other scales, finest first.
    coarser: Vec<PatchNet>,
    #[module(skip)]
    config: DiscriminatorConfig,
    exact: bool,
}

impl Discriminator {
    /// Returns the discriminator for images with other channels, and the names of the layers that are initialised anew,
    /// as a function of `seed`: the first of each scale if it sees another number of channels. All other weights stay as
    /// they are.
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
        // The same number, divided otherwise, is of other images, too.
        let before = self.config.clone();
        (self.config.input_channels, self.config.output_channels) = (input, output);
        let is_conditional = self.config.condition == Condition::Input;
        if before.seen_channels() == self.config.seen_channels()
            && (!is_conditional || before.input_channels == input)
        {
            return Ok((self, vec![]));
        }
        let mut new = self.config.try_init_seeded(seed, device)?;
        self.layers[0] = new.layers.swap_remove(0);
        let mut names = vec!["layers.0.conv".to_owned()];
        for (scale, (coarser, mut new)) in self.coarser.iter_mut().zip(new.coarser).enumerate() {
            coarser.layers[0] = new.layers.swap_remove(0);
            names.push(format!("coarser.{scale}.layers.0.conv"));
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
    /// If the channels differ from the configuration, or the image is too small for a single patch.
    pub fn forward(&self, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> Tensor<4> {
        patch::forward(&self.layers, self.seen(input, image), mode, false).logits
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
            seen.push(halved(seen[scale].clone()));
        }
        let scales = std::iter::once(&self.layers).chain(self.coarser.iter().map(|net| &net.layers));
        let outputs =
            scales.zip(seen).map(|(layers, seen)| patch::forward(layers, seen, mode, keeps_features));
        DiscriminatorOutput { scales: outputs.collect() }
    }

    /// Returns what the finest scale sees of a batch of pairs.
    fn seen(&self, input: Tensor<4>, image: Tensor<4>) -> Tensor<4> {
        let [input_channels, output_channels] = [self.config.input_channels, self.config.output_channels];
        assert_shape!(input, [_, input_channels, ..]);
        assert_shape!(image, [_, output_channels, ..]);
        match self.config.condition {
            Condition::Input => Tensor::cat(vec![input, image], 1),
            Condition::None => image,
        }
    }

    /// Moves the estimates of the largest singular values one power iteration on, in this discriminator and in all its
    /// clones; without [`spectral`](DiscriminatorConfig::spectral), it does nothing. Training does so once in each step,
    /// so that a step has the same result in one part or in several. Forward passes use the estimates as they are.
    pub fn power_iteration(&self) {
        let coarser = self.coarser.iter().flat_map(|net| &net.layers);
        self.layers.iter().chain(coarser).for_each(PatchLayer::power_iteration);
    }

    /// Computes convolutions on the CPU by their definition if `exact` is true; see
    /// [`Generator::with_exact_convolutions`](crate::Generator::with_exact_convolutions).
    #[must_use]
    pub fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.exact = exact;
        let coarser = self.coarser.iter_mut().flat_map(|net| &mut net.layers);
        for layer in self.layers.iter_mut().chain(coarser) {
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

/// Returns what the next coarser scale sees: means over 3×3 pixels at every second pixel. Padding does not count in the
/// means (Wang et al. 2018, section 3.2).
fn halved(seen: Tensor<4>) -> Tensor<4> {
    let options = AvgPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    avg_pool2d(seen, options.with_count_include_pad(false))
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::layers::Norm;

    /// Returns sin(scale·i + 0.3) over the flat index.
    fn waves(shape: [usize; 4], scale: f32) -> Tensor<4> {
        let values: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| (scale * i as f32 + 0.3).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn pair() -> [Tensor<4>; 2] {
        [waves([2, 3, 64, 64], 0.013), waves([2, 3, 64, 64], 0.017)]
    }

    fn config() -> DiscriminatorConfig {
        DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(1)
    }

    /// Values of PyTorch's `AvgPool2d(3, 2, 1, count_include_pad=False)` in float64.
    #[test]
    fn coarser_scales_see_means_without_padding() {
        let found = values(halved(waves([1, 1, 4, 4], 0.7)));
        let expected = [0.141_678_49, 0.005_959_385, 0.009_188_688, -0.211_415_32];
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{found:?}"
        );
        // A constant stays constant up to the border, also for odd sizes.
        let constant = halved(Tensor::full([1, 2, 5, 7], 0.25, &device::cpu()));
        assert_eq!(constant.dims(), [1, 2, 3, 4]);
        assert!(values(constant).iter().all(|value| (value - 0.25).abs() < 1e-7));
    }

    #[test]
    fn scales_are_discriminators_of_their_own_on_smaller_images() {
        let several = config().with_scales(3).init_seeded(1, &device::cpu());
        let [input, image] = pair();
        let output = several.forward_scales(input.clone(), image.clone(), Mode::PAPER);
        let dims: Vec<_> = output.scales.iter().map(|scale| scale.logits.dims()).collect();
        assert_eq!(dims, [[2, 1, 30, 30], [2, 1, 14, 14], [2, 1, 6, 6]]);
        assert!(output.scales.iter().all(|scale| scale.features.is_empty()));
        let finest = values(several.forward(input.clone(), image.clone(), Mode::PAPER));
        assert!(values(output.scales[0].logits.clone()) == finest);
        // The finest scale does not depend on the others.
        let single = config().init_seeded(1, &device::cpu());
        assert!(values(single.forward(input.clone(), image.clone(), Mode::PAPER)) == finest);

        let mut coarse = single.clone();
        coarse.layers = several.coarser[1].layers.clone();
        let [input, image] = [input, image].map(|images| halved(halved(images)));
        let expected = values(coarse.forward(input, image, Mode::PAPER));
        for (found, expected) in values(output.scales[2].logits.clone()).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        assert_eq!(several.parameter_count(), 3 * single.parameter_count());
    }

    #[test]
    fn narrow_scales_halve_the_channels() {
        let count = |config: DiscriminatorConfig| config.init_seeded(1, &device::cpu()).parameter_count();
        let narrow = count(config().with_scales(3).with_narrow_scales(true));
        assert_eq!(
            narrow,
            [4, 2, 1].map(|base| count(config().with_base_channels(base))).iter().sum::<usize>()
        );
        let message = |config: DiscriminatorConfig| config.validate().unwrap_err().to_string();
        let too_narrow = config().with_base_channels(3).with_scales(3).with_narrow_scales(true);
        let expected =
            "discriminator.narrow_scales: true leaves scale 3 of 3 base channels without a channel";
        assert!(message(too_narrow.clone()).contains(expected), "{}", message(too_narrow));
        for scales in [0, 4] {
            let message = message(config().with_scales(scales));
            assert!(message.contains(&format!("discriminator.scales: {scales} is out of range; use 1 to 3")));
        }
    }

    #[test]
    fn an_image_must_be_large_enough_for_every_scale() {
        assert_eq!(config().patch_map_size([16, 16]), Some([6, 6]));
        assert_eq!(config().with_scales(2).patch_map_size([16, 16]), Some([6, 6]));
        assert_eq!(config().with_scales(3).patch_map_size([16, 15]), None);
        assert_eq!(config().with_scales(0).patch_map_size([16, 16]), None);
    }

    #[test]
    fn features_are_the_blocks_outputs_after_their_activations() {
        let norm = Norm::Instance { affine: false };
        for (norm, spectral) in [(Norm::Batch, false), (Norm::None, false), (norm, true), (Norm::None, true)]
        {
            let config = config().with_norm(norm).with_spectral(spectral).with_scales(2).with_layers(2);
            let discriminator = config.init_seeded(1, &device::cpu());
            let [input, image] = pair();
            let plain = discriminator.forward_scales(input.clone(), image.clone(), Mode::PAPER);
            let output = discriminator.forward_features(input.clone(), image.clone(), Mode::PAPER);
            for (plain, scale) in plain.scales.iter().zip(&output.scales) {
                assert!(
                    values(plain.logits.clone()) == values(scale.logits.clone()),
                    "features change the logits"
                );
                assert_eq!(scale.features.len(), 3);
            }
            // LeakyReLU after the layer before is what the next layer sees.
            let features = &output.scales[0].features;
            let mut x = patch::forward(
                &discriminator.layers[..1],
                discriminator.seen(input, image),
                Mode::PAPER,
                false,
            );
            for (index, feature) in features.iter().enumerate() {
                let expected = burn::tensor::activation::leaky_relu(x.logits.clone(), 0.2);
                let difference = (feature.clone() - expected).abs().max().into_scalar::<f32>();
                assert!(difference < 1e-6, "feature {index} differs by {difference}");
                x = patch::forward(
                    &discriminator.layers[index + 1..=index + 1],
                    x.logits,
                    Mode::PAPER,
                    false,
                );
            }
        }
    }

    #[test]
    fn spectral_normalisation_bounds_the_slope_and_keeps_all_biases() {
        let bare = config().with_norm(Norm::None);
        let spectral = bare.clone().with_spectral(true);
        let count = |config: &DiscriminatorConfig| config.init_seeded(1, &device::cpu()).parameter_count();
        // The bias of the only inner layer, of 8 channels. The estimates are not learned.
        assert_eq!(count(&spectral), count(&bare) + 8);
        let pixel = |config: &DiscriminatorConfig| count(&config.clone().with_layers(0));
        assert_eq!(pixel(&spectral), pixel(&bare) + 8 + 1);

        // A 1×1 convolution has the slope of its matrix, so three of them and LeakyReLU have a slope of at most 1.
        let discriminator = spectral.clone().with_layers(0).init_seeded(3, &device::cpu());
        (0..100).for_each(|_| discriminator.power_iteration());
        let [input, image] = pair();
        let logits = |image: Tensor<4>| discriminator.forward(input.clone(), image, Mode::PAPER);
        let other = image.clone() + waves([2, 3, 64, 64], 0.9) * 0.1;
        let length = |difference: Tensor<4>| difference.square().sum_dim(1).sqrt();
        let slope = (logits(image.clone()) - logits(other.clone())).abs() / length(image - other);
        let steepest = slope.max().into_scalar::<f32>();
        assert!(steepest <= 1.000_1 && steepest > 1e-3, "{steepest}");

        for norm in [Norm::Batch, Norm::Instance { affine: true }] {
            let message = spectral.clone().with_norm(norm).validate().unwrap_err().to_string();
            let expected =
                format!("discriminator.spectral: true bounds nothing with discriminator.norm {norm}");
            assert!(message.contains(&expected), "{message}");
        }
    }

    #[test]
    fn forward_passes_leave_the_estimates_alone_and_iterations_move_them() {
        let config = config().with_norm(Norm::None).with_spectral(true).with_scales(2);
        let discriminator = config.init_seeded(3, &device::cpu());
        let logits = || {
            let [input, image] = pair();
            let output = discriminator.forward_scales(input, image, Mode::PAPER);
            output.scales.into_iter().map(|scale| values(scale.logits)).collect::<Vec<_>>()
        };
        let before = logits();
        assert!(logits() == before);
        let copy = discriminator.detached();
        discriminator.power_iteration();
        let after = logits();
        assert!(after.iter().zip(&before).all(|(after, before)| after != before));
        let [input, image] = pair();
        assert!(
            values(copy.forward(input, image, Mode::PAPER)) == before[0],
            "a detached copy shares nothing"
        );
    }
}
