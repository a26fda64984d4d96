//! The events of a training run.

use super::{Advice, Losses};
use crate::metrics::Metrics;

/// What [`Trainer::fit`](crate::Trainer::fit) reports while it works.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
    #[non_exhaustive]
    Step {
        /// The epoch, counted from 1.
        epoch: usize,
        /// Batches of the epoch that are done.
        batch: usize,
        /// Batches of the whole epoch.
        batches: usize,
        /// The losses; reading them waits for the device.
        losses: &'a Losses,
    },
    /// The networks are out of balance.
    Advice(Advice),
    /// An epoch is done.
    #[non_exhaustive]
    Epoch {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The scores on the validation pairs, if there are any.
        scores: Option<Metrics>,
    },
}
