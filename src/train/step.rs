//! One training step: an update of the discriminator, then one of the generator.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::shards::Shards;
use super::{GOLDEN, Losses, Trainer};
use crate::data::{Batch, Preprocess, pad, padded_size};
use crate::layers::{Mode, in_thread_pool, noise};
use crate::optim::Adam;

impl Trainer {
    /// Trains both networks on one batch and returns the losses, which stay on the device until they are read. Reads
    /// nothing back from a GPU, so it does not wait for one; several devices exchange gradients.
    ///
    /// # Shapes
    /// - `batch.input`: `[N, C, H, W]` with the generator's input channels, in `[-1, 1]`
    /// - `batch.target`: `[N, C, H, W]` with the generator's output channels and the N, H and W of the input
    ///
    /// With [`Preprocess::None`], H and W may be any; images are padded by reflection to a size that the networks take,
    /// as in translation.
    ///
    /// # Panics
    /// If a shape differs from these, or H or W is not divisible by
    /// [`size_multiple`](crate::GeneratorConfig::size_multiple) or is below
    /// [`min_size`](crate::GeneratorConfig::min_size).
    pub fn step(&mut self, batch: Batch) -> Losses {
        let batch = match self.config.data.preprocess {
            Preprocess::None => self.padded(batch),
            _ => batch,
        };
        self.check_shapes(&batch);
        let batch = self.with_noise(batch);
        if self.others.is_empty() {
            let device = batch.input.device();
            return in_thread_pool(&device, || self.update_both(batch));
        }
        // Not inside the thread pool: this thread waits for the other devices' threads, whose kernels need all workers.
        self.update_both(batch)
    }

    /// Updates the discriminator, then the generator (section 3.3 of the paper). With `training.discriminator_steps`, the
    /// discriminator has several turns on the batch, each against images with new noise.
    fn update_both(&mut self, batch: Batch) -> Losses {
        let learning_rate = self.learning_rate();
        let loss = self.loss.clone();
        let mut losses = Losses::of_pairs(batch.input.dims()[0]);
        let mut shards = self.shards(batch);

        // 1. The generator translates; the discriminator learns to distinguish real from fake pairs.
        if loss.is_adversarial() {
            let learns = self.discriminator_learns();
            let turns = if learns { self.config.training.discriminator_steps } else { 1 };
            for turn in (0..turns).rev() {
                let (grads, found) =
                    shards.discriminator_gradients(self.networks(), |part, (generator, d)| {
                        let [input, target] = part.pair(turn); // [N, C, H, W]
                        let fake = part.fake(generator, input.clone(), turn); // [N, C, H, W]
                        let fake = d.forward(input.clone(), fake, Mode::PAPER); // [N, 1, H', W']
                        let real = d.forward(input, target, Mode::PAPER); // [N, 1, H', W']
                        let accuracy = loss.accuracy(real.clone(), fake.clone());
                        let d_loss = loss.discriminator(real, fake);
                        (learns.then(|| d_loss.total()), Losses::of_discriminator(&d_loss, accuracy))
                    });
                losses.add(found, 1.0 / turns as f64);
                if learns {
                    let rate = learning_rate * self.config.training.discriminator_rate;
                    update(&mut self.discriminator, &mut self.discriminator_optimizer, rate, grads);
                }
            }
        }

        // 2. The generator learns to fool the updated discriminator, and to match the target.
        let (grads, found) = shards.generator_gradients(self.networks(), |part, (generator, d)| {
            let [input, target] = part.pair(0);
            let output = part.output(generator, input.clone());
            let discriminate = || d.clone().no_grad().forward_with_codes(input, output.clone(), Mode::PAPER);
            let (fake, codes) = loss.is_adversarial().then(discriminate).unzip(); // [N, 1, H', W'], [N, C, h, w]
            let g_loss = loss.generator(fake, output, target);
            let g_loss = loss.with_pulling_away(g_loss, codes);
            (g_loss.total(), Losses::of_generator(&g_loss))
        });
        losses.add(found, 1.0);
        drop(shards); // frees the graphs, which hold the weights: the update then works in place
        update(&mut self.generator, &mut self.generator_optimizer, learning_rate, grads);

        if let (Some(ema), Some(generator)) = (&mut self.ema, &self.generator) {
            ema.update(generator);
        }
        self.progress.step += 1;
        self.progress.batch += 1;
        self.progress.is_closed = false;
        losses
    }

    /// Pads the images of a batch by reflection to a size that the networks take.
    fn padded(&self, Batch { input, target }: Batch) -> Batch {
        let pad = |images: Tensor<4>| {
            let [_, _, height, width] = images.dims();
            pad(images, self.padded_size([height, width]))
        };
        Batch { input: pad(input), target: pad(target) }
    }

    /// Rounds a size up to one that the networks take.
    pub(super) fn padded_size(&self, size: [usize; 2]) -> [usize; 2] {
        let config = &self.config.generator;
        padded_size(size, config.size_multiple(), config.min_size())
    }

    /// Replaces the input by noise if the generator takes no image: values for each update of the discriminator, side by
    /// side in the channels. They are drawn for the whole batch, so that they do not depend on its division.
    fn with_noise(&self, batch: Batch) -> Batch {
        let Some(values) = self.config.generator.noise() else { return batch };
        let shape = [batch.input.dims()[0], values * self.config.training.discriminator_steps];
        Batch { input: noise(shape, self.seed(), self.progress.step, &batch.input.device()), ..batch }
    }

    /// Panics if the shapes of a batch do not fit the generator.
    fn check_shapes(&self, batch: &Batch) {
        let config = &self.config.generator;
        let [pairs, _, height, width] = batch.input.dims();
        for (name, tensor, channels) in [
            ("input", &batch.input, config.input_channels),
            ("target", &batch.target, config.output_channels),
        ] {
            let (shape, expected) = (tensor.dims(), [pairs, channels, height, width]);
            assert!(
                shape == expected && pairs > 0,
                "`{name}` (={shape:?}) must have the shape {expected:?}: the generator's {channels} channels, and the \
                 same number of pairs, at least 1, and the same size in input and target"
            );
        }
        let (multiple, minimum) = (config.size_multiple(), config.min_size());
        assert!(
            [height, width].iter().all(|size| size.is_multiple_of(multiple) && *size >= minimum),
            "the batch's size (={height}×{width}) must be divisible by {multiple} and at least {minimum}, as the \
             generator needs"
        );
    }

    /// Returns whether this step updates the discriminator.
    fn discriminator_learns(&self) -> bool {
        self.progress.step.is_multiple_of(self.config.training.discriminator_every as u64)
    }

    /// Divides a batch into micro-batches for each device.
    fn shards(&self, batch: Batch) -> Shards {
        let (accumulate, mode) = (self.config.training.accumulate, |part| self.mode(part));
        Shards::new(batch, accumulate, mode, self.generator(), &self.device, &self.others)
    }

    /// Returns the mode of a part: batch statistics, and dropout noise seeded by the seed, the step and the part.
    fn mode(&self, part: u64) -> Mode {
        let position = self.progress.step.wrapping_add(part << 48);
        Mode::PAPER.with_noise(self.seed().wrapping_add(position.wrapping_mul(GOLDEN)))
    }
}

/// Updates one network, in place if nothing else holds its tensors.
fn update<M: Module>(network: &mut Option<M>, optimizer: &mut Adam, rate: f64, grads: GradientsParams) {
    if let Some(module) = network.take() {
        *network = Some(optimizer.step(rate, module, grads));
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::config::{Pix2PixConfig, TrainingConfig};
    use crate::device;
    use crate::layers::Norm;

    /// Returns the gradients of both networks in the first step on a batch of `pairs`.
    fn gradients(pairs: usize, change: impl Fn(&mut TrainingConfig)) -> [Vec<f32>; 2] {
        gradients_on(1, pairs, change)
    }

    fn gradients_on(devices: usize, pairs: usize, change: impl Fn(&mut TrainingConfig)) -> [Vec<f32>; 2] {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        let norm = Norm::Instance { affine: true };
        (config.generator.norm, config.discriminator.norm, config.generator.dropout) = (norm, norm, 0.0);
        change(&mut config.training);
        let ramp = |scale: f32| {
            let values: Vec<f32> = (0..pairs * 3 * 32 * 32).map(|i| (i as f32 * scale).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([pairs, 3, 32, 32])
        };
        let others = vec![device::cpu(); devices - 1];
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap().with_devices(&others).unwrap();
        trainer.step(Batch { input: ramp(0.011), target: ramp(0.017) });
        [trainer.generator_optimizer.first_gradients(), trainer.discriminator_optimizer.first_gradients()]
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn batches_of_other_shapes_panic_with_the_tensor_its_shape_and_the_rule() {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.loss.gan_weight) = (2, 0.0);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let mut message = |input: [usize; 4], target: [usize; 4]| {
            let [input, target] = [input, target].map(|shape| Tensor::zeros(shape, &device::cpu()));
            let step = std::panic::AssertUnwindSafe(|| drop(trainer.step(Batch { input, target })));
            let panic = std::panic::catch_unwind(step).unwrap_err();
            panic.downcast_ref::<String>().cloned().unwrap_or_default()
        };
        // Without the check, burn would silently broadcast the first three, as no discriminator sees them.
        for target in [[4, 1, 32, 32], [1, 3, 32, 32], [4, 3, 1, 32], [4, 4, 32, 32]] {
            let message = message([4, 3, 32, 32], target);
            let expected = format!("`target` (={target:?}) must have the shape [4, 3, 32, 32]");
            assert!(message.starts_with(&expected), "{message}");
        }
        let message_of_input = message([4, 1, 32, 32], [4, 3, 32, 32]);
        assert!(message_of_input.starts_with("`input` (=[4, 1, 32, 32])"), "{message_of_input}");
        let message_of_size = message([1, 3, 48, 32], [1, 3, 48, 32]);
        assert!(message_of_size.contains("(=48×32) must be divisible by 32"), "{message_of_size}");
    }

    #[test]
    fn parts_of_a_batch_have_the_gradients_of_the_whole() {
        for (devices, pairs, parts) in
            [(1, 2, 2), (1, 3, 2), (1, 5, 3), (2, 2, 1), (2, 5, 1), (3, 4, 1), (4, 2, 1), (2, 7, 2)]
        {
            let whole = gradients(pairs, |_| ());
            let parts = gradients_on(devices, pairs, |config| config.accumulate = parts);
            for (whole, parts) in whole.iter().zip(&parts) {
                let difference: Vec<f32> = whole.iter().zip(parts).map(|(a, b)| a - b).collect();
                let relative = norm(&difference) / norm(whole);
                assert!(
                    whole.len() > 1000 && relative < 1e-4,
                    "{pairs} pairs, {devices} devices: {relative}"
                );
            }
        }
        let (whole, alone) = (gradients(2, |_| ()), gradients(1, |_| ()));
        assert!(whole[0] != alone[0], "the second pair has no effect");
    }

    #[test]
    fn a_trainer_works_after_a_panic_inside_a_step() {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let mut step = |channels| {
            let [input, target] =
                [channels, 3].map(|channels| Tensor::zeros([1, channels, 32, 32], &device::cpu()));
            let step = std::panic::AssertUnwindSafe(|| trainer.step(Batch { input, target }).read().unwrap());
            std::panic::catch_unwind(step)
        };
        assert!(step(4).is_err());
        assert!(step(3).unwrap().is_finite());
    }

    #[test]
    fn gradients_above_the_limit_are_clipped_and_others_are_unchanged() {
        let free = gradients(1, |_| ());
        for limit in [0.01, 1e9] {
            let clipped = gradients(1, |config| config.clip_norm = Some(limit));
            for (free, clipped) in free.iter().zip(&clipped) {
                let expected = norm(free).min(limit);
                assert!((norm(clipped) / expected - 1.0).abs() < 1e-5, "{} of {expected}", norm(clipped));
                let scale = (expected / norm(free)) as f32;
                let largest = free.iter().fold(0f32, |most, value| most.max(value.abs())) * scale;
                let is_same = |(free, clipped): (&f32, &f32)| (free * scale - clipped).abs() < 1e-4 * largest;
                assert!(free.iter().zip(clipped).all(is_same), "the direction differs");
            }
        }
    }
}
