//! One pass over the data: its number and seed, and the order of pairs that they determine.

use std::fmt;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::config::Sampling;
use crate::rng::{ORDER, stream};

/// A position in training: an epoch, and the batch at which to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochCursor {
    /// The number of the epoch, counted from 1.
    pub number: usize,
    /// The seed. Order and augmentation depend only on it and on `number`.
    pub seed: u64,
    /// The number of batches to skip because an interrupted run has trained on them.
    pub first_batch: usize,
}

impl EpochCursor {
    /// Returns the beginning of an epoch.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::data::EpochCursor;
    ///
    /// let cursor = EpochCursor::new(1, 42).at_batch(100);
    /// assert_eq!((cursor.number, cursor.seed, cursor.first_batch), (1, 42, 100));
    /// ```
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        Self { number, seed, first_batch: 0 }
    }

    /// Sets the number of batches to skip.
    #[must_use]
    pub fn at_batch(mut self, first_batch: usize) -> Self {
        self.first_batch = first_batch;
        self
    }

    /// Returns the indices of the epoch's pairs in their order.
    pub(super) fn order(self, pairs: usize, sampling: Sampling) -> Vec<usize> {
        let mut random = stream(self.seed ^ ORDER, self.number as u64);
        let mut indices: Vec<usize> = (0..pairs).collect();
        match sampling {
            Sampling::Shuffled => indices.shuffle(&mut random),
            Sampling::WithReplacement => {
                indices.iter_mut().for_each(|index| *index = random.random_range(0..pairs));
            }
        }
        indices
    }
}

impl fmt::Display for EpochCursor {
    /// Writes the number of the epoch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
