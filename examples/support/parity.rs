//! The same computation on any device, and how far two devices are apart.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use pix2pix::data::Batch;
use pix2pix::{Backbone, Device, Dropout, Mode, Pix2PixConfig, Result, Statistics, Tensor, Trainer};

/// What one device computed; every vector is one tensor.
pub(crate) struct Outcome {
    /// The generator's output before any training.
    pub(crate) forward: Vec<f32>,
    /// The gradient of every parameter: of the discriminator under its loss, then of the generator under its own.
    pub(crate) gradients: Vec<Vec<f32>>,
    /// The losses of every step.
    pub(crate) losses: Vec<f32>,
    /// How far all steps together moved the parameters, as one vector.
    pub(crate) moved: Vec<f32>,
    /// Of one step, the first one left out.
    #[allow(dead_code, reason = "the test compares numbers alone")]
    pub(crate) milliseconds: f64,
}

/// The relative difference between two devices: |a − b| / |b| over a tensor, as Euclidean lengths; the greatest one
/// where there are several tensors.
pub(crate) struct Difference {
    pub(crate) forward: f64,
    pub(crate) gradients: f64,
    pub(crate) losses: f64,
    pub(crate) moved: f64,
}

/// The paper's recipe, but two levels less deep.
///
/// At 1×1 pixels, two pictures normalise to +1 and −1 whatever they are. The gradient before that is nothing but
/// rounding errors, which Adam makes as large as any other.
pub(crate) fn config(size: usize, base_channels: usize, seed: u64) -> Pix2PixConfig {
    let mut config = Pix2PixConfig::paper().with_size(size);
    if let Backbone::Unet { depth } = &mut config.generator.backbone {
        *depth = depth.saturating_sub(2).max(2);
    }
    config.generator.base_channels = base_channels;
    config.discriminator.base_channels = base_channels;
    config.training.seed = seed;
    config
}

impl Outcome {
    /// One forward pass, one backward pass of each network, and `steps` steps of training.
    pub(crate) fn of(config: &Pix2PixConfig, steps: usize, device: &Device) -> Result<Self> {
        let mut trainer = Trainer::new(config.clone(), device)?;
        let batch = batch(config, device);
        let (forward, gradients) = backward(config, &batch, device);
        let start = parameters(&trainer);

        let mut losses = Vec::new();
        let mut clock = Instant::now();
        for step in 0..steps {
            if step == 1 {
                clock = Instant::now();
            }
            let values = trainer.step(batch.clone()).read();
            losses.push(values.g_l1);
            losses.extend([values.g_gan, values.d_real, values.d_fake].into_iter().flatten());
        }
        let milliseconds = clock.elapsed().as_secs_f64() * 1000.0 / steps.saturating_sub(1).max(1) as f64;
        let moved = parameters(&trainer).iter().zip(&start).map(|(now, then)| now - then).collect();
        Ok(Self { forward, gradients, losses, moved, milliseconds })
    }

    /// How far this is from a reference.
    pub(crate) fn difference(&self, reference: &Self) -> Difference {
        let worst = |found: &[Vec<f32>], expected: &[Vec<f32>]| {
            let all = found.iter().zip(expected).map(|(found, expected)| distance(found, expected));
            // A NaN must not hide behind a maximum.
            all.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
        };
        Difference {
            forward: distance(&self.forward, &reference.forward),
            gradients: worst(&self.gradients, &reference.gradients),
            losses: distance(&self.losses, &reference.losses),
            moved: distance(&self.moved, &reference.moved),
        }
    }
}

fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "tensors of one shape");
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = squares(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let size = squares(&mut expected.iter().map(|v| f64::from(*v)));
    if apart == 0.0 { 0.0 } else { apart / size }
}

/// Two pictures of noise: unlike smooth ones they leave no channel nearly constant, whose normalisation would make
/// rounding errors large.
fn batch(config: &Pix2PixConfig, device: &Device) -> Batch {
    let size = config.data.crop_size;
    let picture = |channels: usize, seed: u32| {
        let mut state = seed;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 * 2.0 - 1.0
        };
        let values: Vec<f32> = (0..2 * channels * size * size).map(|_| noise()).collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([2, channels, size, size])
    };
    Batch { input: picture(config.data.input_channels, 1), target: picture(config.data.target_channels, 2) }
}

/// The generator's output, and all gradients of one step of each network, with the same dropout noise everywhere.
fn backward(config: &Pix2PixConfig, batch: &Batch, device: &Device) -> (Vec<f32>, Vec<Vec<f32>>) {
    let training = device.clone().autodiff();
    let generator = config.generator.init_seeded(1, &training);
    let discriminator = config.discriminator.init_seeded(2, &training);
    let (input, target) = (batch.input.clone().autodiff(), batch.target.clone().autodiff());
    let mode = Mode { statistics: Statistics::Batch, dropout: Dropout::Seeded(1) };
    let loss = config.loss.init();

    let output = generator.forward_with(input.clone(), mode);
    let real = discriminator.forward(input.clone(), target.clone());
    let fake = discriminator.forward(input.clone(), output.clone().detach());
    let mut gradients = collect(&discriminator, loss.discriminator(real, fake).total());
    let verdict = discriminator.clone().no_grad().forward(input, output.clone());
    gradients.extend(collect(&generator, loss.generator(Some(verdict), output.clone(), target).total()));
    (values(output), gradients)
}

fn collect(network: &impl Module, loss: Tensor<1>) -> Vec<Vec<f32>> {
    struct Collect(GradientsParams, Vec<Vec<f32>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.extend(self.0.remove::<D>(param.id).map(values));
        }
    }
    let mut collect = Collect(GradientsParams::from_grads(loss.backward(), network), Vec::new());
    network.visit(&mut collect);
    collect.1
}

fn parameters(trainer: &Trainer) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(param.val()));
        }
    }
    let mut collect = Collect(Vec::new());
    trainer.generator().visit(&mut collect);
    trainer.discriminator().visit(&mut collect);
    collect.0
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")
}
