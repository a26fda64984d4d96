//! Divides a batch into micro-batches, distributes them over the devices, and sums the gradients.

use std::sync::Mutex;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};

use super::losses::Losses;
use super::view::{Purpose, SPREAD, View};
use crate::data::Batch;
use crate::discriminator::{Discriminator, DiscriminatorOutput};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::layers::{DropoutMode, Mode};

/// Both networks of a trainer.
pub(super) type Networks<'a> = (&'a Generator, &'a Discriminator);

/// The parts of one batch, by device.
pub(super) struct Shards {
    device: Device,
    own: Vec<Part>,
    others: Vec<Shard>,
}

/// The parts that another device computes.
struct Shard {
    device: Device,
    /// The device's copy. It lasts for both updates, because the second differentiates the output of the first.
    generator: Generator,
    parts: Vec<Part>,
}

/// Pairs that are computed together: the whole batch, or a micro-batch to save memory.
pub(super) struct Part {
    /// The images to translate; noise if the generator takes none, with the channels of every turn.
    input: Tensor<4>,
    target: Tensor<4>,
    /// The index of the first pair in the batch.
    pub(super) first: usize,
    /// The values of a turn's noise, if the generator takes noise.
    noise: Option<usize>,
    /// The fraction of the batch's pairs that the part holds.
    weight: f64,
    mode: Mode,
    /// Whether this is the only part of its device. Only then the output stays in memory with its graph. The graphs of
    /// several parts would take too much memory, so their outputs are computed again for the second update.
    is_alone: bool,
    output: Option<Tensor<4>>,
}

impl Part {
    /// Returns clones of input and target that autodiff tracks, for a turn: an update of the discriminator, counted down
    /// to 0, whose noise is also that of the generator's update.
    pub(super) fn pair(&self, turn: usize) -> [Tensor<4>; 2] {
        let input = match self.noise {
            Some(values) => self.input.clone().narrow(1, turn * values, values),
            None => self.input.clone(),
        };
        [input, self.target.clone()].map(Tensor::autodiff)
    }

    /// Translates the input for the discriminator's update in a turn, without gradients for the generator.
    pub(super) fn fake(&mut self, generator: &Generator, input: Tensor<4>, turn: usize) -> Tensor<4> {
        if !self.is_alone || turn > 0 {
            return generator.valid().forward(input.inner(), self.mode_of(turn)).autodiff();
        }
        let output = generator.forward(input, self.mode);
        self.output.insert(output).clone().detach()
    }

    /// Returns the features of the real pairs as constants, for feature matching.
    pub(super) fn real_features(&self, discriminator: &Discriminator, view: View) -> DiscriminatorOutput {
        // Without gradients, so that it does not update running statistics either.
        let pair = [&self.input, &self.target].map(Tensor::clone);
        view.judged(&discriminator.valid(), Purpose::Generator, self.first, pair).autodiff()
    }

    /// Translates the input for the generator's update.
    pub(super) fn output(&mut self, generator: &Generator, input: Tensor<4>) -> Tensor<4> {
        self.output.take().unwrap_or_else(|| generator.forward(input, self.mode))
    }

    /// Returns the mode of a turn, each with its own dropout noise.
    fn mode_of(&self, turn: usize) -> Mode {
        match self.mode.dropout {
            DropoutMode::Seeded(seed) => {
                self.mode.with_noise(seed.wrapping_add((turn as u64).wrapping_mul(SPREAD)))
            }
            DropoutMode::Off | DropoutMode::Random => self.mode,
        }
    }
}

impl Shards {
    /// Divides a batch into at most `accumulate` parts for each device: first the trainer's own `device`, then the
    /// `others`. `mode` returns the mode of a part by its index.
    pub(super) fn new(
        Batch { input, target }: Batch,
        accumulate: usize,
        mode: impl Fn(u64) -> Mode,
        generator: &Generator,
        device: &Device,
        others: &[Device],
    ) -> Self {
        let pairs = input.dims()[0];
        let size = pairs.div_ceil(accumulate * (1 + others.len())).max(1);
        let (inputs, targets) = if size >= pairs {
            (vec![input], vec![target])
        } else {
            (input.split(size, 0), target.split(size, 0))
        };
        let parts = inputs.into_iter().zip(targets).enumerate().map(|(index, (input, target))| Part {
            weight: input.dims()[0] as f64 / pairs as f64,
            first: index * size,
            input,
            target,
            mode: mode(index as u64),
            noise: generator.config().noise(),
            is_alone: false,
            output: None,
        });
        let mut parts = parts.peekable();
        let own = marked_if_alone(parts.by_ref().take(accumulate).collect());
        let mut devices = others.iter();
        let mut others = vec![];
        while parts.peek().is_some()
            && let Some(device) = devices.next()
        {
            let moved = parts.by_ref().take(accumulate).map(|part| Part {
                input: part.input.to_device(device),
                target: part.target.to_device(device),
                ..part
            });
            let parts = marked_if_alone(moved.collect());
            let generator = trainable(generator.valid(), device);
            others.push(Shard { device: device.clone(), generator, parts });
        }
        Self { device: device.clone(), own, others }
    }

    /// Returns the gradients of the discriminator and the losses, as means over the batch. `compute` returns the loss
    /// of a part, or `None` for no gradients, and the losses to report.
    pub(super) fn discriminator_gradients(
        &mut self,
        networks: Networks,
        compute: impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        self.gradients(networks, |(_, discriminator)| discriminator, compute)
    }

    /// Returns the gradients of the generator and the losses, as means over the batch. `compute` returns the loss of a
    /// part and the losses to report.
    pub(super) fn generator_gradients(
        &mut self,
        networks: Networks,
        compute: impl Fn(&mut Part, Networks) -> (Tensor<1>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        let compute = |part: &mut Part, networks: Networks| {
            let (loss, losses) = compute(part, networks);
            (Some(loss), losses)
        };
        self.gradients(networks, |(generator, _)| generator, compute)
    }

    /// Computes the gradients of the network that `learner` selects, on all devices in parallel, and sums them on the
    /// trainer's device.
    fn gradients<M: Module>(
        &mut self,
        networks: Networks,
        learner: for<'a> fn(Networks<'a>) -> &'a M,
        compute: impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        let (own, compute) = (&mut self.own, &compute);
        let done = if self.others.is_empty() {
            vec![accumulated(own, networks, learner, compute)]
        } else {
            std::thread::scope(|scope| {
                let others = self.others.iter_mut().map(|Shard { device, generator, parts }| {
                    let discriminator = trainable(networks.1.valid(), device);
                    scope.spawn(move || accumulated(parts, (&*generator, &discriminator), learner, compute))
                });
                let others: Vec<_> = others.collect();
                let mut done = vec![accumulated(own, networks, learner, compute)];
                done.extend(others.into_iter().map(|other| match other.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                }));
                done
            })
        };
        let network = learner(networks);
        let (mut sum, mut losses) = (GradientsAccumulator::new(), Losses::default());
        for (index, (grads, found)) in done.into_iter().enumerate() {
            losses.add(found.moved_to(&self.device), 1.0);
            sum.accumulate(network, if index == 0 { grads } else { grads.to_device(&self.device, network) });
        }
        (sum.grads(), losses)
    }
}

/// Checks that the threads of a step can be started: one for each of `others` devices that gets a part of `pairs` pairs.
///
/// # Errors
/// [`Error::Argument`] with the system's reason.
pub(super) fn check_threads(others: usize, pairs: usize) -> Result<()> {
    // All of them are alive at once, as in a step: they wait until the last one has started.
    let gate = Mutex::new(());
    let wait = || drop(gate.lock());
    let started = std::thread::scope(|scope| {
        let _closed = gate.lock();
        let mut threads = 0..others.min(pairs.saturating_sub(1));
        threads.try_for_each(|_| std::thread::Builder::new().spawn_scoped(scope, wait).map(drop))
    });
    started.map_err(|error| {
        let problem = format!(
            "the threads of {others} more devices cannot start ({error}); use fewer devices, or allow more processes \
             (`ulimit -u`) or memory (`ulimit -v`)"
        );
        Error::argument("devices", problem)
    })
}

/// Sets `is_alone` if there is one part for the device.
fn marked_if_alone(mut parts: Vec<Part>) -> Vec<Part> {
    if let [part] = parts.as_mut_slice() {
        part.is_alone = true;
    }
    parts
}

/// Returns the sums of the gradients and of the losses of the parts of one device, computed one after the other.
fn accumulated<M: Module>(
    parts: &mut [Part],
    networks: Networks,
    learner: for<'a> fn(Networks<'a>) -> &'a M,
    compute: &impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses),
) -> (GradientsParams, Losses) {
    let network = learner(networks);
    let (mut sum, mut losses) = (GradientsAccumulator::new(), Losses::default());
    for part in parts {
        let (loss, found) = compute(part, networks);
        losses.add(found, part.weight);
        if let Some(loss) = loss {
            let grads = (loss * part.weight).backward();
            sum.accumulate(network, GradientsParams::from_grads(grads, network));
        }
    }
    (sum.grads(), losses)
}

/// Returns the network with gradients enabled, on `device`.
pub(super) fn trainable<M: Module>(network: M, device: &Device) -> M {
    network.fork(&device.clone().autodiff()).train().set_require_grad(true)
}
