//! One training step: an update of the discriminator, then one of the generator.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::gan_share::gan_share;
use super::shards::Shards;
use super::view::{Purpose, View};
use super::{GOLDEN, Losses, Trainer};
use crate::config::TrainingConfig;
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
        let view = self.view();

        // 1. The generator translates; the discriminator learns to distinguish real from fake pairs.
        if loss.is_adversarial() {
            let learns = self.discriminator_learns();
            let turns = if learns { self.config.training.discriminator_steps } else { 1 };
            for turn in (0..turns).rev() {
                self.discriminator().power_iteration();
                let (view, averages) = (view.of_turn(turn), self.logit_averages.clone());
                let (grads, found) =
                    shards.discriminator_gradients(self.networks(), |part, (generator, d)| {
                        let [input, target] = part.pair(turn); // [N, C, H, W]
                        let fake = part.fake(generator, input.clone(), turn); // [N, C, H, W]
                        let fake = view.judged(d, Purpose::Fake, part.first, [input.clone(), fake]); // [N, 1, H', W'], by scale
                        let real = view.judged(d, Purpose::Real, part.first, [input, target]);
                        let lecam = averages.as_ref().and_then(|averages| averages.term(&loss, &real, &fake));
                        let d_loss = loss.discriminator(real.clone(), fake.clone()).with_lecam(lecam);
                        (
                            learns.then(|| d_loss.total()),
                            Losses::of_discriminator(&loss, &d_loss, [&real, &fake]),
                        )
                    });
                if let (Some(averages), Some(logits)) = (&mut self.logit_averages, found.logits()) {
                    averages.update(logits);
                }
                losses.add(found, 1.0 / turns as f64);
                if learns {
                    let rate = learning_rate * self.config.training.discriminator_rate;
                    update(&mut self.discriminator, &mut self.discriminator_optimizer, rate, grads);
                }
            }
        }

        // 2. The generator learns to fool the updated discriminator, and to match the target.
        let measures_share = self.gan_share_is_due();
        let (grads, found) = shards.generator_gradients(self.networks(), |part, (generator, d)| {
            let [input, target] = part.pair(0);
            let output = part.output(generator, input.clone());
            let share = measures_share.then(|| gan_share(&loss, d, [&input, &output, &target])).flatten();
            let pair = [input, output.clone()];
            let discriminate = || view.judged(&d.clone().no_grad(), Purpose::Generator, part.first, pair);
            let fake = loss.is_adversarial().then(discriminate); // [N, 1, H', W'], by scale
            let codes = fake.as_ref().and_then(|fake| fake.scales[0].codes.clone()); // [N, C, h, w]
            let real = loss.matches_features().then(|| part.real_features(d, view));
            let features = real.zip(fake.as_ref()).map(|(real, fake)| loss.feature_matching(&real, fake));
            let g_loss = loss.generator(fake, output, target).with_features(features);
            let g_loss = loss.with_pulling_away(g_loss, codes);
            (g_loss.total(), Losses::of_generator(&g_loss).with_gan_share(share))
        });
        losses.add(found, 1.0);
        drop(shards); // frees the graphs, which hold the weights: the update then works in place
        update(&mut self.generator, &mut self.generator_optimizer, learning_rate, grads);

        if let (Some(ema), Some(generator)) = (&mut self.ema, &self.generator) {
            ema.update(generator, self.progress.step);
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

    /// Returns whether this step computes the adversary's share of the generator's gradient.
    fn gan_share_is_due(&self) -> bool {
        let every = self.config.training.gan_share_every;
        every > 0 && (self.progress.step + 1).is_multiple_of(every) && self.loss.is_adversarial()
    }

    /// Returns what the discriminator sees in this step.
    fn view(&self) -> View {
        let TrainingConfig { diff_augment, discriminator_noise, .. } = self.config.training;
        View {
            augment: diff_augment,
            noise: discriminator_noise,
            keeps_features: self.loss.matches_features(),
            seed: self.seed(),
            step: self.progress.step,
        }
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
    use crate::config::{DiffAugment, Pix2PixConfig, TrainingConfig};
    use crate::device;
    use crate::discriminator::Condition;
    use crate::layers::Norm;
    use crate::loss::FeatureMatching;

    /// Returns the gradients of both networks in the first step on a batch of `pairs`.
    fn gradients(pairs: usize, change: impl Fn(&mut TrainingConfig)) -> [Vec<f32>; 2] {
        gradients_on(1, pairs, |config| change(&mut config.training))
    }

    fn gradients_on(devices: usize, pairs: usize, change: impl Fn(&mut Pix2PixConfig)) -> [Vec<f32>; 2] {
        let trainer = after_a_step(devices, pairs, change);
        [trainer.generator_optimizer.first_gradients(), trainer.discriminator_optimizer.first_gradients()]
    }

    fn after_a_step(devices: usize, pairs: usize, change: impl Fn(&mut Pix2PixConfig)) -> Trainer {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        let norm = Norm::Instance { affine: true };
        (config.generator.norm, config.discriminator.norm, config.generator.dropout) = (norm, norm, 0.0);
        (config.loss.gradient_weight, config.loss.ssim_weight) = (10.0, 10.0);
        (config.loss.pyramid_weight, config.loss.frequency_weight) = (10.0, 10.0);
        change(&mut config);
        let ramp = |scale: f32| {
            let values: Vec<f32> = (0..pairs * 3 * 32 * 32).map(|i| (i as f32 * scale).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([pairs, 3, 32, 32])
        };
        let others = vec![device::cpu(); devices - 1];
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap().with_devices(&others).unwrap();
        trainer.step(Batch { input: ramp(0.011), target: ramp(0.017) });
        trainer
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
            let parts = gradients_on(devices, pairs, |config| config.training.accumulate = parts);
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
    fn parts_have_the_gradients_of_the_whole_with_every_option_of_the_discriminator() {
        let change = |config: &mut Pix2PixConfig| {
            let d = &mut config.discriminator;
            (d.layers, d.norm, d.spectral, d.scales) = (1, Norm::None, true, 2);
            d.condition = Condition::Projection;
            (config.loss.feature_weight, config.loss.l1_weight) = (10.0, 10.0);
            config.loss.lecam_weight = 0.3;
            config.training.diff_augment = DiffAugment { color: true, translation: true, cutout: true };
            config.training.discriminator_noise = 0.1;
        };
        let whole = gradients_on(1, 3, change);
        for (devices, parts) in [(1, 2), (1, 3), (2, 1), (3, 1)] {
            let parts = gradients_on(devices, 3, |config| {
                change(config);
                config.training.accumulate = parts;
            });
            for (whole, parts) in whole.iter().zip(&parts) {
                let difference: Vec<f32> = whole.iter().zip(parts).map(|(a, b)| a - b).collect();
                let relative = norm(&difference) / norm(whole);
                assert!(whole.len() > 1000 && relative < 1e-4, "{devices} devices: {relative}");
            }
        }
    }

    #[test]
    fn parts_have_the_averages_of_logits_of_the_whole() {
        let averages = |devices, parts| {
            let trainer = after_a_step(devices, 3, |config| {
                (config.loss.lecam_weight, config.training.accumulate) = (0.3, parts);
            });
            let values = trainer.logit_averages.unwrap().values().unwrap();
            values.map(|value| value.into_scalar::<f32>())
        };
        let whole = averages(1, 1);
        assert!(whole[0] != whole[1] && whole != [0.0; 2]);
        for (devices, parts) in [(1, 2), (2, 1)] {
            for (part, whole) in averages(devices, parts).into_iter().zip(whole) {
                assert!((part - whole).abs() < 1e-5 * whole.abs().max(1e-2), "{part} is not {whole}");
            }
        }
    }

    #[test]
    fn statistics_of_features_refuse_parts_of_a_batch() {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
        config.loss.feature_weight = 1.0;
        config.loss.feature_matching = FeatureMatching::Statistics;
        let trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
        let message = trainer.with_devices(&[device::cpu()]).unwrap_err().to_string();
        assert!(message.contains("1 micro-batches on 2 devices divide it; use aligned"), "{message}");
        config.training.accumulate = 2;
        let message = Trainer::new(config.clone(), &device::cpu()).unwrap_err().to_string();
        assert!(
            message.contains("loss.feature_matching: statistics needs the means over the whole"),
            "{message}"
        );
        assert!(message.contains("2 micro-batches on 1 devices divide it"), "{message}");
        config.loss.feature_matching = FeatureMatching::Aligned;
        Trainer::new(config, &device::cpu()).unwrap();
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
