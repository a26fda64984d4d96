//! Worker threads that read ahead, so that the trainer never waits.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use burn::tensor::TensorData;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::{Batch, Epoch, Pair, PairedFolder, Sampling};
use crate::random::stream;
use crate::{Device, Result, Tensor};

/// Batches that each worker keeps ready.
const AHEAD: usize = 2;

/// Keeps the random numbers of the order apart from those of augmentation.
const ORDER: u64 = 0x006f_7264_6572;

/// In which order, and how, pairs are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// A random order, augmented.
    Shuffled(Epoch),
    /// The order of names, as they are.
    ByName,
}

/// The batches of one pass over a [`PairedFolder`].
#[derive(Debug)]
pub struct Batches {
    plan: Arc<Plan>,
    next: usize,
    /// Worker w reads batches w, w + workers, w + 2·workers …, each into a queue of its own: the order is fixed and
    /// what is read ahead is bounded.
    queues: Vec<Receiver<Result<Pair>>>,
    workers: Vec<JoinHandle<()>>,
    device: Device,
}

#[derive(Debug)]
struct Plan {
    folder: PairedFolder,
    order: Order,
    indices: Vec<usize>,
}

impl Plan {
    fn len(&self) -> usize {
        self.indices.len().div_ceil(self.folder.config().batch_size)
    }

    /// The numbers of a batch, one pair after the other.
    fn read(&self, batch: usize) -> Result<Pair> {
        let size = self.folder.config().batch_size;
        let indices = self.indices.iter().skip(batch * size).take(size);
        let pair = |&index| match self.order {
            Order::Shuffled(epoch) => self.folder.augmented(index, epoch),
            Order::ByName => self.folder.pair(index),
        };
        let mut batch = Pair { input: vec![], target: vec![] };
        for pair in indices.map(pair) {
            let Pair { input, target } = pair?;
            if batch.input.is_empty() {
                batch = Pair { input, target }; // alone as a rule, and then never copied
            } else {
                batch.input.extend(input);
                batch.target.extend(target);
            }
        }
        Ok(batch)
    }
}

impl Batches {
    pub(super) fn new(folder: PairedFolder, order: Order, device: &Device) -> Self {
        let mut indices: Vec<usize> = (0..folder.len()).collect();
        let mut first = 0;
        if let Order::Shuffled(epoch) = order {
            let mut random = stream(epoch.seed ^ ORDER, epoch.number as u64);
            let all = indices.len();
            match folder.config().sampling {
                Sampling::Shuffled => indices.shuffle(&mut random),
                Sampling::WithReplacement => {
                    indices.iter_mut().for_each(|index| *index = random.random_range(0..all))
                }
            }
            first = epoch.first_batch;
        }
        let count = folder.config().workers;
        let plan = Arc::new(Plan { folder, order, indices });
        let count = count.min(plan.len().saturating_sub(first));
        let (queues, workers) = (0..count).map(|worker| start(plan.clone(), first + worker, count)).unzip();
        // Images belong on the plain device; a training step enables gradients where it needs them.
        Self { plan, next: first, queues, workers, device: device.clone().without_autodiff() }
    }

    fn batch(&self, Pair { input, target }: Pair) -> Batch {
        let config = self.plan.folder.config();
        let tensor = |channels: usize, values: Vec<f32>| {
            let pairs = values.len() / (channels * config.crop_size.pow(2));
            let shape = [pairs, channels, config.crop_size, config.crop_size];
            Tensor::from_data(TensorData::new(values, shape), &self.device)
        };
        Batch { input: tensor(config.input_channels, input), target: tensor(config.target_channels, target) }
    }
}

fn start(plan: Arc<Plan>, first: usize, step: usize) -> (Receiver<Result<Pair>>, JoinHandle<()>) {
    let (sender, receiver) = sync_channel(AHEAD);
    let worker = std::thread::spawn(move || {
        for batch in (first..plan.len()).step_by(step) {
            if sender.send(plan.read(batch)).is_err() {
                break; // nobody waits any more
            }
        }
    });
    (receiver, worker)
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.plan.len() {
            return None;
        }
        // Queues are served in the order in which they were started, from the first batch on.
        let read = match self.queues.len() {
            // No workers were asked for.
            0 => self.plan.read(self.next),
            _ => {
                self.queues.rotate_left(1);
                let queue = self.queues.last()?;
                // A worker that died has left its batch to us.
                queue.recv().unwrap_or_else(|_| self.plan.read(self.next))
            }
        };
        self.next += 1;
        Some(read.map(|numbers| self.batch(numbers)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // a worker's panic was already answered by reading again
        }
    }
}
