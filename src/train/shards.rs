//! Micro-batches and devices: the parts of a batch, each computed at once, shared out among the devices.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};

use super::losses::Losses;
use crate::data::Batch;
use crate::discriminator::Discriminator;
use crate::generator::Generator;
use crate::layers::Mode;

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
    // The device's own copy: its output of the first turn is differentiated in the second.
    generator: Generator,
    parts: Vec<Part>,
}

/// Pairs that are computed at once: the whole batch, or a micro-batch if memory is short.
pub(super) struct Part {
    input: Tensor<4>,
    target: Tensor<4>,
    /// The share of the batch's pairs.
    weight: f64,
    mode: Mode,
    /// Whether the output can stay in memory with its graph. The graphs of several parts together could not, so their
    /// outputs are computed again.
    is_alone: bool,
    output: Option<Tensor<4>>,
}

impl Part {
    /// Returns input and target, ready to be differentiated through.
    pub(super) fn pair(&self) -> [Tensor<4>; 2] {
        [&self.input, &self.target].map(|images| images.clone().autodiff())
    }

    /// Translates the input, for a network that learns while the generator does not.
    pub(super) fn fake(&mut self, generator: &Generator, input: Tensor<4>) -> Tensor<4> {
        if !self.is_alone {
            return generator.valid().forward(input.inner(), self.mode).autodiff();
        }
        let output = generator.forward(input, self.mode);
        self.output.insert(output).clone().detach()
    }

    /// Translates the input, for the generator to learn.
    pub(super) fn output(&mut self, generator: &Generator, input: Tensor<4>) -> Tensor<4> {
        self.output.take().unwrap_or_else(|| generator.forward(input, self.mode))
    }
}

impl Shards {
    /// Cuts a batch into at most `accumulate` parts for each device, with modes by the index of the part: the trainer's
    /// own `device` first, then the `others`.
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
            input,
            target,
            mode: mode(index as u64),
            is_alone: false,
            output: None,
        });
        let mut parts = parts.peekable();
        let own = of_one_device(parts.by_ref().take(accumulate).collect());
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
            let parts = of_one_device(moved.collect());
            let generator = trainable(generator.valid(), device);
            others.push(Shard { device: device.clone(), generator, parts });
        }
        Self { device: device.clone(), own, others }
    }

    /// Returns the gradients of the discriminator and the losses, as means over the batch: `turn` computes the loss of
    /// a part, if there is something to learn, and the losses to report.
    pub(super) fn discriminator_gradients(
        &mut self,
        networks: Networks,
        turn: impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        self.gradients(networks, |(_, discriminator)| discriminator, turn)
    }

    /// Returns the gradients of the generator and the losses, as means over the batch: `turn` computes the loss of a
    /// part and the losses to report.
    pub(super) fn generator_gradients(
        &mut self,
        networks: Networks,
        turn: impl Fn(&mut Part, Networks) -> (Tensor<1>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        let turn = |part: &mut Part, networks: Networks| {
            let (loss, losses) = turn(part, networks);
            (Some(loss), losses)
        };
        self.gradients(networks, |(generator, _)| generator, turn)
    }

    /// Computes the gradients of the `learner` on all devices at once, and adds them up on the trainer's.
    fn gradients<M: Module>(
        &mut self,
        networks: Networks,
        learner: for<'a> fn(Networks<'a>) -> &'a M,
        turn: impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses) + Sync,
    ) -> (GradientsParams, Losses) {
        let (own, turn) = (&mut self.own, &turn);
        let done = if self.others.is_empty() {
            vec![accumulated(own, networks, learner, turn)]
        } else {
            std::thread::scope(|scope| {
                let others = self.others.iter_mut().map(|Shard { device, generator, parts }| {
                    let discriminator = trainable(networks.1.valid(), device);
                    scope.spawn(move || accumulated(parts, (&*generator, &discriminator), learner, turn))
                });
                let others: Vec<_> = others.collect();
                let mut done = vec![accumulated(own, networks, learner, turn)];
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
            losses.add(found.to_device(&self.device), 1.0);
            sum.accumulate(network, if index == 0 { grads } else { grads.to_device(&self.device, network) });
        }
        (sum.grads(), losses)
    }
}

/// Marks the part that is the only one of its device.
fn of_one_device(mut parts: Vec<Part>) -> Vec<Part> {
    if let [part] = parts.as_mut_slice() {
        part.is_alone = true;
    }
    parts
}

/// Computes the parts of one device one after the other.
fn accumulated<M: Module>(
    parts: &mut [Part],
    networks: Networks,
    learner: for<'a> fn(Networks<'a>) -> &'a M,
    turn: &impl Fn(&mut Part, Networks) -> (Option<Tensor<1>>, Losses),
) -> (GradientsParams, Losses) {
    let network = learner(networks);
    let (mut sum, mut losses) = (GradientsAccumulator::new(), Losses::default());
    for part in parts {
        let (loss, found) = turn(part, networks);
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
