//! One training step: first the discriminator's turn, then the generator's.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};

use super::adam::Adam;
use super::{Losses, Trainer};
use crate::data::Batch;
use crate::{Mode, Tensor, device};

/// 2^64 divided by the golden ratio: spreads the seeds of successive steps.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is computed at once: the whole batch, or a share of it where memory is short.
struct Part {
    input: Tensor<4>,
    target: Tensor<4>,
    share: f64,
    mode: Mode,
}

impl Trainer {
    /// Trains both networks on one batch and tells the losses, which stay on the device until they are read.
    ///
    /// # Panics
    /// If the batch's channels or size do not suit the networks.
    pub fn step(&mut self, batch: Batch) -> Losses {
        device::among_workers(&batch.input.device(), || self.update_both(batch))
    }

    fn update_both(&mut self, batch: Batch) -> Losses {
        let learning_rate = self.learning_rate();
        let mut losses = Losses::default();
        let mut parts = self.parts(batch);
        // One part keeps its output and graph for the generator's turn. Of several, whose graphs would not fit into
        // memory together, the outputs are computed again.
        let is_whole = parts.len() == 1;
        let mut kept = None;

        // 1. The discriminator learns to tell real pairs from fake ones; `detach` keeps the generator out of it.
        let training = &self.config.training;
        let is_its_turn = self.progress.step.is_multiple_of(training.discriminator_every as u64);
        let d_rate = learning_rate * training.discriminator_rate;
        let mut grads = GradientsAccumulator::new();
        for part in &parts {
            let output = if is_whole {
                let output = self.generator().forward_with(part.input.clone(), part.mode); // [N, C, H, W]
                kept = Some(output.clone());
                output.detach()
            } else if self.loss.is_adversarial() {
                self.generator().valid().forward_with(part.input.clone().inner(), part.mode).autodiff()
            } else {
                continue;
            };
            if self.loss.is_adversarial() {
                let fake = self.discriminator().forward(part.input.clone(), output);
                let real = self.discriminator().forward(part.input.clone(), part.target.clone());
                losses.add_accuracy(self.loss.accuracy(real.clone(), fake.clone()), part.share);
                let d = self.loss.discriminator(real, fake);
                losses.add_discriminator(&d, part.share);
                if is_its_turn {
                    accumulate(&mut grads, self.discriminator(), d.total() * part.share);
                }
            }
        }
        if self.loss.is_adversarial() && is_its_turn {
            update(&mut self.discriminator, &mut self.discriminator_optimizer, d_rate, grads.grads());
        }

        // 2. The generator learns to fool the discriminator, which stands still, and to match the target.
        let mut grads = GradientsAccumulator::new();
        for Part { input, target, share, mode } in parts.drain(..) {
            let again = || self.generator().forward_with(input.clone(), mode);
            let output = kept.take().unwrap_or_else(again);
            let verdict = self.loss.is_adversarial().then(|| {
                let judge = self.discriminator().clone().no_grad();
                judge.forward(input.clone(), output.clone())
            });
            let g = self.loss.generator(verdict, output, target);
            losses.add_generator(&g, share);
            accumulate(&mut grads, self.generator(), g.total() * share);
        }
        update(&mut self.generator, &mut self.generator_optimizer, learning_rate, grads.grads());

        if let (Some(average), Some(generator)) = (&mut self.average, &self.generator) {
            average.follow(generator);
        }
        self.progress.step += 1;
        self.progress.batch += 1;
        losses
    }

    /// The batch in as many parts as the configuration says, or in fewer where it is smaller.
    fn parts(&self, Batch { input, target }: Batch) -> Vec<Part> {
        let pairs = input.dims()[0];
        let size = pairs.div_ceil(self.config.training.accumulate).max(1);
        if size >= pairs {
            let (input, target) = (input.autodiff(), target.autodiff());
            return vec![Part { input, target, share: 1.0, mode: self.mode(0) }];
        }
        let parts = input.split(size, 0).into_iter().zip(target.split(size, 0)).enumerate();
        let part = |(index, (input, target)): (usize, (Tensor<4>, Tensor<4>))| Part {
            share: input.dims()[0] as f64 / pairs as f64,
            input: input.autodiff(),
            target: target.autodiff(),
            mode: self.mode(index as u64),
        };
        parts.map(part).collect()
    }

    /// Batch statistics, and noise that is a function of the seed, the step and the part.
    fn mode(&self, part: u64) -> Mode {
        let place = self.progress.step.wrapping_add(part << 48);
        Mode::PAPER.with_noise(self.seed().wrapping_add(place.wrapping_mul(GOLDEN)))
    }
}

fn accumulate<M: Module>(grads: &mut GradientsAccumulator<M>, network: &M, loss: Tensor<1>) {
    grads.accumulate(network, GradientsParams::from_grads(loss.backward(), network));
}

/// Moves one network along its gradients.
fn update<M: Module>(network: &mut Option<M>, optimizer: &mut Adam, rate: f64, grads: GradientsParams) {
    if let Some(module) = network.take() {
        *network = Some(optimizer.step(rate, module, grads));
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Norm, Pix2PixConfig, TrainingConfig, device};

    /// The gradients of both networks in the first step on a batch of `pairs`.
    fn gradients(pairs: usize, change: impl Fn(&mut TrainingConfig)) -> [Vec<f32>; 2] {
        let mut config = Pix2PixConfig::paper().with_size(32);
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        let norm = Norm::Instance { affine: true };
        (config.generator.norm, config.discriminator.norm, config.generator.dropout) = (norm, norm, 0.0);
        change(&mut config.training);
        let ramp = |scale: f32| {
            let values: Vec<f32> = (0..pairs * 3 * 32 * 32).map(|i| (i as f32 * scale).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([pairs, 3, 32, 32])
        };
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        trainer.step(Batch { input: ramp(0.011), target: ramp(0.017) });
        [trainer.generator_optimizer.first_gradients(), trainer.discriminator_optimizer.first_gradients()]
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn parts_of_a_batch_have_the_gradients_of_the_whole() {
        for (pairs, parts) in [(2, 2), (3, 2), (5, 3)] {
            let whole = gradients(pairs, |_| ());
            let parts = gradients(pairs, |config| config.accumulate = parts);
            for (whole, parts) in whole.iter().zip(&parts) {
                let difference: Vec<f32> = whole.iter().zip(parts).map(|(a, b)| a - b).collect();
                let relative = norm(&difference) / norm(whole);
                assert!(whole.len() > 1000 && relative < 1e-4, "{pairs} pairs: {relative}");
            }
        }
        let (whole, alone) = (gradients(2, |_| ()), gradients(1, |_| ()));
        assert!(whole[0] != alone[0], "the second pair counts");
    }

    #[test]
    fn long_gradients_are_shortened_to_the_limit_and_short_ones_left() {
        let free = gradients(1, |_| ());
        for limit in [0.01, 1e9] {
            let clipped = gradients(1, |config| config.clip_norm = Some(limit));
            for (free, clipped) in free.iter().zip(&clipped) {
                let expected = norm(free).min(limit);
                assert!((norm(clipped) / expected - 1.0).abs() < 1e-5, "{} of {expected}", norm(clipped));
                let scale = (expected / norm(free)) as f32;
                let largest = free.iter().fold(0f32, |most, value| most.max(value.abs())) * scale;
                let is_same = |(free, clipped): (&f32, &f32)| (free * scale - clipped).abs() < 1e-4 * largest;
                assert!(free.iter().zip(clipped).all(is_same), "the direction stays");
            }
        }
    }
}
