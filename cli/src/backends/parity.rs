//! A computation that is repeated on several devices, and the differences between their results.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use pix2pix::config::System;
use pix2pix::data::{Batch, Size};
use pix2pix::{
    Backbone, Condition, Device, DropoutMode, GanMode, Mode, Norm, Pix2PixConfig, PixelLoss, Result,
    Statistics, Tensor, Trainer, UpsampleKind,
};
use serde::Serialize;

/// Tensors by name.
type Named = BTreeMap<String, Vec<f32>>;

/// A gradient below this fraction of the largest is rounding noise: an instance norm cancels a bias before it, for
/// example. Adam would normalise it to full updates.
const NEGLIGIBLE: f64 = 1e-5;

/// The share of parameters whose change may differ by any amount. Where rounding decides the sign of a single value of
/// a gradient, Adam makes a whole step in either direction: one such value of 24,000 is a difference of 1.3e-2.
const OUTLIERS: f64 = 1e-3;

/// The results of one device.
#[derive(Clone)]
pub(crate) struct Outcome {
    /// The generator's output before any training.
    forward: Vec<f32>,
    /// The gradient of every parameter: of the discriminator under its loss, of the generator under its own.
    gradients: Named,
    /// The losses of every step.
    pub(crate) losses: Vec<f32>,
    /// The change of every parameter and running statistic over all steps.
    moved: Named,
}

/// The relative differences between two devices: |a − b| / |b| with Euclidean norms.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) forward: f64,
    /// The largest of all parameters.
    pub(crate) gradients: f64,
    pub(crate) losses: f64,
    /// That of the changes of all learned parameters together, without the [`OUTLIERS`].
    pub(crate) moved: f64,
    /// That of the changes of all running statistics together.
    pub(crate) statistics: f64,
}

/// Returns the paper's recipe with a U-Net of two levels less.
///
/// At 1×1 pixels, a norm maps any two values to +1 and −1, so their gradient is rounding noise, which Adam would
/// normalise to full updates.
pub(crate) fn config(size: usize, base_channels: usize, seed: u64) -> Pix2PixConfig {
    let mut config = Pix2PixConfig::paper().with_size(size).expect("a size for a U-Net");
    if let Backbone::Unet { depth } = &mut config.generator.backbone {
        *depth = depth.saturating_sub(2).max(2);
    }
    config.generator.base_channels = base_channels;
    config.discriminator.base_channels = base_channels;
    (config.training.seed, config.data.batch_size) = (seed, 2);
    config
}

/// Returns small networks with every layer and objective that [`config`] lacks.
#[allow(dead_code, reason = "the command compares only the usual network")]
pub(crate) fn variants() -> Vec<(&'static str, Pix2PixConfig)> {
    let config = |change: fn(&mut Pix2PixConfig)| {
        let mut config = config(32, 8, 0);
        change(&mut config);
        config
    };
    vec![
        (
            "ResNet, instance norm, least squares",
            config(|config| {
                config.generator.backbone = Backbone::Resnet { blocks: 2 };
                config.generator.norm = Norm::Instance { affine: false };
                config.discriminator.norm = Norm::Instance { affine: false };
                config.loss.gan = GanMode::LeastSquares;
            }),
        ),
        (
            "bilinear resizing, hinge",
            config(|config| {
                config.generator.upsample = UpsampleKind::BilinearConv;
                config.discriminator.layers = 2;
                config.loss.gan = GanMode::Hinge;
            }),
        ),
        (
            "nearest resizing, affine instance norm, single pixels",
            config(|config| {
                config.generator.upsample = UpsampleKind::NearestConv;
                config.generator.norm = Norm::Instance { affine: true };
                config.discriminator.layers = 0;
            }),
        ),
        (
            "encoder-decoder, no norm, no condition, L2, smoothed labels",
            config(|config| {
                config.generator.backbone = Backbone::EncoderDecoder { depth: 3 };
                // Without norms, narrow layers would shrink the output to the magnitude of tanh's rounding errors.
                (config.generator.base_channels, config.discriminator.base_channels) = (64, 64);
                config.generator.norm = Norm::None;
                config.discriminator.norm = Norm::None;
                config.discriminator.layers = 1;
                config.discriminator.condition = Condition::None;
                config.loss.pixel = PixelLoss::L2;
                config.loss.real_label = 0.9;
            }),
        ),
        ("GAN, two updates of D", {
            let mut config = config(|_| ()).with_system(System::Gan);
            config.training.discriminator_steps = 2;
            config
        }),
        ("DCGAN", {
            let mut config = config(|_| ()).with_system(System::Dcgan).with_size(32).expect("a power of two");
            config.data.batch_size = 4;
            config
        }),
        ("EBGAN with its pulling-away term", {
            let mut config = config(|_| ()).with_system(System::Ebgan);
            config.loss.pulling_away = 0.1;
            config
        }),
        (
            "spectral norm, two scales, projection, feature matching, LeCam, DiffAugment",
            config(|config| {
                let d = &mut config.discriminator;
                (d.norm, d.spectral, d.layers) = (Norm::None, true, 1);
                (d.scales, d.narrow_scales, d.condition) = (2, true, Condition::Projection);
                config.loss.gan = GanMode::Hinge;
                (config.loss.feature_weight, config.loss.l1_weight) = (10.0, 10.0);
                config.loss.lecam_weight = 0.3;
                config.training.discriminator_noise = 0.1;
                let augment = &mut config.training.diff_augment;
                (augment.color, augment.translation, augment.cutout) = (true, true, true);
            }),
        ),
        (
            "U-Net, 24×40 pixels, batch 4",
            config(|config| {
                config.generator.backbone = Backbone::Unet { depth: 3 };
                config.data.crop_size = Size { height: 24, width: 40 };
                config.data.load_size = config.data.crop_size;
                config.discriminator.layers = 1;
                config.data.batch_size = 4;
            }),
        ),
        (
            "ResNet, 20×36 pixels, batch 1",
            config(|config| {
                config.generator.backbone = Backbone::Resnet { blocks: 1 };
                config.data.crop_size = Size { height: 20, width: 36 };
                config.data.load_size = config.data.crop_size;
                config.discriminator.layers = 1;
                config.data.batch_size = 1;
            }),
        ),
    ]
}

impl Outcome {
    /// Computes one forward pass, one backward pass of each network, and `steps` training steps.
    pub(crate) fn of(config: &Pix2PixConfig, steps: usize, exact: bool, device: &Device) -> Result<Self> {
        let mut trainer = Trainer::new(config.clone(), device)?.with_exact_convolutions(exact);
        let batch = batch(config, device);
        let (forward, gradients) = backward(config, &batch, exact, device);
        let start = parameters(&trainer);

        let mut losses = Vec::new();
        for _ in 0..steps {
            let values = trainer.step(batch.clone()).read()?;
            losses.push(values.g_l1.expect("every step has it"));
            losses.extend([values.g_gan, values.d_real, values.d_fake].into_iter().flatten());
        }
        let moved = parameters(&trainer).into_iter().map(|(name, now)| {
            let values = now.iter().zip(&start[&name]).map(|(now, then)| now - then).collect();
            (name, values)
        });
        let moved = moved.collect();
        Ok(Self { forward, gradients, losses, moved })
    }

    /// Returns the differences from a reference.
    pub(crate) fn difference(&self, reference: &Self) -> Difference {
        let longest = reference.gradients.values().map(|gradient| length(gradient)).fold(0.0, f64::max);
        let is_negligible = |name: &String| {
            reference.gradients.get(name).is_some_and(|gradient| length(gradient) < NEGLIGIBLE * longest)
        };
        let gradients = reference.gradients.iter().map(|(name, expected)| {
            let found = &self.gradients[name];
            // A gradient that is negligible in the reference must be so here.
            if is_negligible(name) { length(found) / longest } else { distance(found, expected) }
        });
        let moved = |outcome: &Self, is_statistic: bool| {
            let chosen = |name: &String| name.contains("running_") == is_statistic && !is_negligible(name);
            let parts = outcome.moved.iter().filter(|(name, _)| chosen(name));
            parts.flat_map(|(_, values)| values.clone()).collect::<Vec<f32>>()
        };
        let moved = |is_statistic| (moved(self, is_statistic), moved(reference, is_statistic));
        let ((found, expected), (found_statistics, expected_statistics)) = (moved(false), moved(true));
        Difference {
            forward: distance_of_images(&self.forward, &reference.forward),
            // `max` ignores NaN, which must not go unnoticed.
            gradients: gradients
                .fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) }),
            losses: distance(&self.losses, &reference.losses),
            moved: distance_of_most(&found, &expected),
            statistics: distance(&found_statistics, &expected_statistics),
        }
    }
}

fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "tensors of one shape");
    let apart: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    let apart = length(&apart);
    if apart == 0.0 { 0.0 } else { apart / length(expected) }
}

/// Returns the relative difference without the [`OUTLIERS`].
fn distance_of_most(found: &[f32], expected: &[f32]) -> f64 {
    let apart = |i: usize| (found[i] - expected[i]).abs();
    let mut order: Vec<usize> = (0..expected.len()).collect();
    // NaN is the largest, so it is left out only if there is very little of it; the losses would show it.
    order.sort_unstable_by(|a, b| apart(*a).total_cmp(&apart(*b)));
    order.truncate(((1.0 - OUTLIERS) * expected.len() as f64).ceil() as usize);
    let chosen = |values: &[f32]| order.iter().map(|&i| values[i]).collect::<Vec<f32>>();
    distance(&chosen(found), &chosen(expected))
}

/// Returns the relative difference of images. For images with values below 0.1, the difference is relative to 0.1: some
/// backends compute tanh of small values with the rounding errors of large ones.
fn distance_of_images(found: &[f32], expected: &[f32]) -> f64 {
    let faintest = 0.1 * (expected.len() as f64).sqrt();
    distance(found, expected) * (length(expected) / faintest).min(1.0)
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Returns a batch of noise. Smooth images would give nearly constant channels, whose normalisation magnifies
/// rounding errors.
fn batch(config: &Pix2PixConfig, device: &Device) -> Batch {
    let (pairs, [height, width]) = (config.data.batch_size, config.data.crop_size.into());
    let image = |channels: usize, seed: u32| {
        let mut state = seed;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 * 2.0 - 1.0
        };
        let values: Vec<f32> = (0..pairs * channels * height * width).map(|_| noise()).collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([pairs, channels, height, width])
    };
    Batch { input: image(config.data.input_channels, 1), target: image(config.data.target_channels, 2) }
}

/// Returns the generator's output and the gradients of one step of each network, with equal dropout noise on all
/// devices.
fn backward(config: &Pix2PixConfig, batch: &Batch, exact: bool, device: &Device) -> (Vec<f32>, Named) {
    let training = device.clone().autodiff();
    let generator = config.generator.init_seeded(1, &training).with_exact_convolutions(exact);
    let discriminator = config.discriminator.init_seeded(2, &training).with_exact_convolutions(exact);
    let input = match config.generator.noise() {
        Some(values) => {
            let pairs = batch.input.dims()[0];
            batch.input.clone().flatten::<1>(0, 3).narrow(0, 0, pairs * values).reshape([pairs, values, 1, 1])
        }
        None => batch.input.clone(),
    };
    let (input, target) = (input.autodiff(), batch.target.clone().autodiff());
    let mode = Mode { statistics: Statistics::Batch, dropout: DropoutMode::Seeded(1) };
    let loss = config.loss.init();

    let output = generator.forward(input.clone(), mode);
    let real = discriminator.forward_scales(input.clone(), target.clone(), Mode::PAPER);
    let fake = discriminator.forward_scales(input.clone(), output.clone().detach(), Mode::PAPER);
    let grads =
        GradientsParams::from_grads(loss.discriminator(real, fake).total().backward(), &discriminator);
    let mut gradients = named("discriminator", &discriminator, Some(grads));
    let discriminator = discriminator.no_grad();
    let fake = discriminator.forward_features(input.clone(), output.clone(), Mode::PAPER);
    let features = loss.matches_features().then(|| {
        let real = discriminator.forward_features(input, target.clone(), Mode::PAPER);
        loss.feature_matching(&real, &fake)
    });
    let total = loss.generator(Some(fake), output.clone(), target).with_features(features).total();
    let grads = GradientsParams::from_grads(total.backward(), &generator);
    gradients.extend(named("generator", &generator, Some(grads)));
    (values(output), gradients)
}

/// Returns the parameters and running statistics of both networks.
fn parameters(trainer: &Trainer) -> Named {
    let mut parameters = named("generator", trainer.generator(), None);
    parameters.extend(named("discriminator", trainer.discriminator(), None));
    parameters
}

/// Returns a network's parameters by name, or its `gradients`.
fn named(network: &str, module: &impl Module, gradients: Option<GradientsParams>) -> Named {
    struct Collect {
        path: Vec<String>,
        gradients: Option<GradientsParams>,
        named: Named,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = match &mut self.gradients {
                Some(gradients) => gradients.remove::<D>(param.id),
                None => Some(param.val()),
            };
            self.named.extend(value.map(|value| (self.path.join("."), values(value))));
        }
    }
    let mut collect = Collect { path: vec![network.to_owned()], gradients, named: Named::new() };
    module.visit(&mut collect);
    collect.named
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")
}
