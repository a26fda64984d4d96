//! Worker threads that read batches ahead, so that training does not wait for files.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use burn::tensor::Device;

use super::pair::{Batch, Pair};
use crate::error::Result;

/// The number of batches that each worker keeps ready.
const READ_AHEAD: usize = 2;

/// The batches of one pass over a [`PairedFolder`](super::PairedFolder).
#[derive(Debug)]
pub struct Batches {
    plan: Arc<Plan>,
    next: usize,
    /// Worker w reads batches w, w + workers, w + 2·workers … into its own queue. This fixes the order and bounds the
    /// memory.
    queues: Vec<Receiver<Result<Vec<Pair>>>>,
    workers: Vec<JoinHandle<()>>,
    device: Device,
}

/// The pairs to read, their order, and the function that reads them.
pub(super) struct Plan {
    /// The indices of the pairs in their order.
    pub(super) indices: Vec<usize>,
    pub(super) batch_size: usize,
    /// Reads the pair of an index.
    pub(super) read: Box<dyn Fn(usize) -> Result<Pair> + Send + Sync>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("indices", &self.indices)
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

impl Plan {
    fn len(&self) -> usize {
        self.indices.len().div_ceil(self.batch_size)
    }

    fn read(&self, batch: usize) -> Result<Vec<Pair>> {
        let indices = self.indices.iter().skip(batch * self.batch_size).take(self.batch_size);
        indices.map(|index| (self.read)(*index)).collect()
    }
}

impl Batches {
    /// Starts `workers` threads that read from batch `first` on.
    pub(super) fn new(plan: Plan, first: usize, workers: usize, device: &Device) -> Self {
        let plan = Arc::new(plan);
        let count = workers.min(plan.len().saturating_sub(first));
        let (queues, workers): (_, Vec<_>) =
            (0..count).map(|worker| start(plan.clone(), first + worker, count)).unzip();
        let workers = workers.into_iter().flatten().collect();
        // Images belong on the plain device; a training step enables gradients where it needs them.
        Self { plan, next: first, queues, workers, device: device.clone().without_autodiff() }
    }
}

/// Starts a worker that reads every `step`-th batch, beginning with `first`. If the system allows no more threads, its
/// queue is closed, and [`Batches::next`] reads these batches.
fn start(
    plan: Arc<Plan>,
    first: usize,
    step: usize,
) -> (Receiver<Result<Vec<Pair>>>, Option<JoinHandle<()>>) {
    let (sender, receiver) = sync_channel(READ_AHEAD);
    let worker = std::thread::Builder::new().spawn(move || {
        for batch in (first..plan.len()).step_by(step) {
            if sender.send(plan.read(batch)).is_err() {
                break; // the iterator was dropped
            }
        }
    });
    (receiver, worker.ok())
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.plan.len() {
            return None;
        }
        // The queues take turns in the order of their workers, so batches arrive in the order of the plan.
        let read = match self.queues.len() {
            0 => self.plan.read(self.next),
            _ => {
                self.queues.rotate_left(1);
                let queue = self.queues.last()?;
                // If a worker panicked or could not start, this thread reads the batch.
                queue.recv().unwrap_or_else(|_| self.plan.read(self.next))
            }
        };
        self.next += 1;
        Some(read.map(|pairs| Batch::stack(pairs, &self.device)))
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
            let _ = worker.join(); // after a panic, `next` reads the missing batches itself
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::device;
    use crate::raster::PlanarImage;
    use crate::transfer::read_back;

    #[test]
    fn a_batch_whose_worker_panicked_is_read_again() {
        let panics = AtomicUsize::new(1);
        let read = move |index: usize| {
            if index == 2 && panics.swap(0, Ordering::Relaxed) > 0 {
                panic!("this panic belongs to the test");
            }
            let image = PlanarImage::new(vec![index as f32], [1, 1, 1]);
            Ok(Pair { input: image.clone(), target: image })
        };
        let plan = Plan { indices: (0..6).collect(), batch_size: 1, read: Box::new(read) };
        let batches = Batches::new(plan, 0, 2, &device::cpu());
        let read: Vec<f32> = batches.flat_map(|batch| read_back(batch.unwrap().input).unwrap()).collect();
        assert_eq!(read, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
