//! One training step: first the discriminator's turn, then the generator's.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};

use super::adam::Adam;
use super::{Losses, Trainer, trainable};
use crate::data::Batch;
use crate::layers::Kept;
use crate::{Device, Discriminator, Generator, Mode, Pix2PixLoss, Tensor};

/// 2^64 divided by the golden ratio: spreads the seeds of successive steps.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Trainer {
    /// Trains both networks on one batch and tells the losses, which stay on the device until they are read.
    ///
    /// # Panics
    /// If the batch's channels or size do not suit the networks.
    pub fn step(&mut self, batch: Batch) -> Losses {
        if self.others.is_empty() {
            return Kept::default().among_workers(&batch.input.device(), || self.update_both(batch));
        }
        // A worker that waited for the other devices' threads would be missed by their kernels.
        self.update_both(batch)
    }

    fn update_both(&mut self, batch: Batch) -> Losses {
        let learning_rate = self.learning_rate();
        let mut losses = Losses::default();
        let mut shares = self.shares(batch);

        // 1. The discriminator learns to tell real pairs from fake ones.
        if self.loss.is_adversarial() {
            let training = &self.config.training;
            let is_its_turn = self.progress.step.is_multiple_of(training.discriminator_every as u64);
            let d_rate = learning_rate * training.discriminator_rate;
            let work = |share: &mut Share, g: &Generator, d: &Discriminator| {
                share.discriminate(g, d, &self.loss, is_its_turn)
            };
            let done = self.on_each(&mut shares, work);
            let grads = self.gathered(done, self.discriminator(), &mut losses);
            if is_its_turn {
                update(&mut self.discriminator, &mut self.discriminator_optimizer, d_rate, grads);
            }
        }

        // 2. The generator learns to fool the discriminator, which stands still, and to match the target.
        let work = |share: &mut Share, g: &Generator, d: &Discriminator| share.generate(g, d, &self.loss);
        let done = self.on_each(&mut shares, work);
        let grads = self.gathered(done, self.generator(), &mut losses);
        drop(shares);
        update(&mut self.generator, &mut self.generator_optimizer, learning_rate, grads);

        if let (Some(average), Some(generator)) = (&mut self.average, &self.generator) {
            average.follow(generator);
        }
        self.progress.step += 1;
        self.progress.batch += 1;
        losses
    }

    /// The batch in as many parts as the configuration says, or in fewer where it is smaller, for each device.
    fn shares(&self, Batch { input, target }: Batch) -> Vec<Share> {
        let pairs = input.dims()[0];
        let accumulate = self.config.training.accumulate;
        let size = pairs.div_ceil(accumulate * (1 + self.others.len())).max(1);
        let (inputs, targets) = if size >= pairs {
            (vec![input], vec![target])
        } else {
            (input.split(size, 0), target.split(size, 0))
        };
        let parts = inputs.into_iter().zip(targets).enumerate().map(|(index, (input, target))| Part {
            share: input.dims()[0] as f64 / pairs as f64,
            input,
            target,
            mode: self.mode(index as u64),
        });
        let mut parts = parts.peekable();
        let first = Share::new(None, parts.by_ref().take(accumulate).collect());
        let mut shares = vec![first];
        let mut others = self.others.iter();
        while parts.peek().is_some()
            && let Some(device) = others.next()
        {
            let parts = parts.by_ref().take(accumulate).map(|part| part.moved_to(device)).collect();
            shares.push(Share::new(Some(trainable(self.generator().valid(), device)), parts));
        }
        shares
    }

    /// Batch statistics, and noise that is a function of the seed, the step and the part.
    fn mode(&self, part: u64) -> Mode {
        let place = self.progress.step.wrapping_add(part << 48);
        Mode::PAPER.with_noise(self.seed().wrapping_add(place.wrapping_mul(GOLDEN)))
    }

    /// What `work` finds in each share, all at once: the first here, the others on their devices with copies of the
    /// networks.
    fn on_each<T: Send>(
        &self,
        shares: &mut [Share],
        work: impl Fn(&mut Share, &Generator, &Discriminator) -> T + Sync,
    ) -> Vec<T> {
        let (generator, discriminator) = (self.generator(), self.discriminator());
        let [first, others @ ..] = shares else { return vec![] };
        if others.is_empty() {
            return vec![work(first, generator, discriminator)];
        }
        std::thread::scope(|scope| {
            let others = others.iter_mut().zip(&self.others).map(|(share, device)| {
                let (work, discriminator) = (&work, trainable(discriminator.valid(), device));
                scope.spawn(move || {
                    // Its own, as its output is differentiated in the second turn.
                    let generator = share.generator.take();
                    let found = work(share, generator.as_ref().expect("made with the share"), &discriminator);
                    share.generator = generator;
                    found
                })
            });
            let others: Vec<_> = others.collect();
            let mut done = vec![work(first, generator, discriminator)];
            done.extend(others.into_iter().map(|other| match other.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            done
        })
    }

    /// The gradients of `network` added up on its own device, share by share, and the losses with them.
    fn gathered<M: Module>(
        &self,
        done: Vec<(GradientsParams, Losses)>,
        network: &M,
        losses: &mut Losses,
    ) -> GradientsParams {
        let mut sum = GradientsAccumulator::new();
        for (index, (grads, found)) in done.into_iter().enumerate() {
            let is_here = index == 0;
            losses.add_all(found, &self.device);
            sum.accumulate(network, if is_here { grads } else { grads.to_device(&self.device, network) });
        }
        sum.grads()
    }
}

/// What is computed at once: the whole batch, or a share of it where memory is short.
struct Part {
    input: Tensor<4>,
    target: Tensor<4>,
    share: f64,
    mode: Mode,
}

impl Part {
    fn moved_to(self, device: &Device) -> Self {
        Self { input: self.input.to_device(device), target: self.target.to_device(device), ..self }
    }
}

/// What one device does in a step, part by part.
struct Share {
    /// The device's own copy; the first share is done with the trainer's.
    generator: Option<Generator>,
    parts: Vec<Part>,
    /// The output of a single part with its graph, for the generator's turn. Of several parts, whose graphs would not
    /// fit into memory together, the outputs are computed again.
    kept: Option<Tensor<4>>,
}

impl Share {
    fn new(generator: Option<Generator>, parts: Vec<Part>) -> Self {
        Self { generator, parts, kept: None }
    }

    /// The discriminator's gradients, if it is its turn; `detach` keeps the generator out of them.
    fn discriminate(
        &mut self,
        generator: &Generator,
        discriminator: &Discriminator,
        loss: &Pix2PixLoss,
        is_its_turn: bool,
    ) -> (GradientsParams, Losses) {
        let (mut grads, mut losses) = (GradientsAccumulator::new(), Losses::default());
        for part in &self.parts {
            let (input, target) = (part.input.clone().autodiff(), part.target.clone().autodiff());
            let output = if self.parts.len() == 1 {
                let output = generator.forward(input.clone(), part.mode); // [N, C, H, W]
                self.kept = Some(output.clone());
                output.detach()
            } else {
                generator.valid().forward(part.input.clone(), part.mode).autodiff()
            };
            let fake = discriminator.forward(input.clone(), output, Mode::PAPER);
            let real = discriminator.forward(input, target, Mode::PAPER);
            losses.add_accuracy(loss.accuracy(real.clone(), fake.clone()), part.share);
            let d = loss.discriminator(real, fake);
            losses.add_discriminator(&d, part.share);
            if is_its_turn {
                accumulate(&mut grads, discriminator, d.total() * part.share);
            }
        }
        (grads.grads(), losses)
    }

    /// The generator's gradients.
    fn generate(
        &mut self,
        generator: &Generator,
        discriminator: &Discriminator,
        loss: &Pix2PixLoss,
    ) -> (GradientsParams, Losses) {
        let (mut grads, mut losses) = (GradientsAccumulator::new(), Losses::default());
        for Part { input, target, share, mode } in self.parts.drain(..) {
            let (input, target) = (input.autodiff(), target.autodiff());
            let again = || generator.forward(input.clone(), mode);
            let output = self.kept.take().unwrap_or_else(again);
            let verdict = loss.is_adversarial().then(|| {
                let judge = discriminator.clone().no_grad();
                judge.forward(input.clone(), output.clone(), Mode::PAPER)
            });
            let g = loss.generator(verdict, output, target);
            losses.add_generator(&g, share);
            accumulate(&mut grads, generator, g.total() * share);
        }
        (grads.grads(), losses)
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
        gradients_on(1, pairs, change)
    }

    fn gradients_on(devices: usize, pairs: usize, change: impl Fn(&mut TrainingConfig)) -> [Vec<f32>; 2] {
        let mut config = Pix2PixConfig::paper().with_size(32);
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        let norm = Norm::Instance { affine: true };
        (config.generator.norm, config.discriminator.norm, config.generator.dropout) = (norm, norm, 0.0);
        change(&mut config.training);
        let ramp = |scale: f32| {
            let values: Vec<f32> = (0..pairs * 3 * 32 * 32).map(|i| (i as f32 * scale).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([pairs, 3, 32, 32])
        };
        let others = vec![device::cpu(); devices - 1];
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap().also_on(&others);
        trainer.step(Batch { input: ramp(0.011), target: ramp(0.017) });
        [trainer.generator_optimizer.first_gradients(), trainer.discriminator_optimizer.first_gradients()]
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
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
