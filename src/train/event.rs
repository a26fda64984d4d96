//! The events of a training run.

use super::{Advice, Losses};
use crate::metrics::Metrics;

/// An event of [`Trainer::fit`](crate::Trainer::fit), which passes it to `watch`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
    #[non_exhaustive]
    Step {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The number of batches of the epoch that are done.
        batch: usize,
        /// The number of batches of the whole epoch.
        batches: usize,
        /// The losses of the step; reading them waits for the device. `watch` may ignore the error of a lost GPU, because
        /// `fit` then returns it.
        losses: &'a Losses,
    },
    /// Something that the user should know before training: see [`Run::warnings`](crate::train::Run::warnings).
    Warning(&'a str),
    /// The networks are out of balance.
    Advice(Advice),
    /// An epoch is done.
    #[non_exhaustive]
    Epoch {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The metrics on the validation pairs; `None` without validation pairs.
        metrics: Option<Metrics>,
    },
}
