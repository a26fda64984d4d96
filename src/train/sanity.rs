//! Stops a run whose numbers are no numbers any more, before it saves them.

use std::path::Path;

use super::{LossValues, Losses, Trainer, folder, gradients};
use crate::{Error, Result};

/// Remembers the losses that nobody has looked at yet, and the last that were finite.
#[derive(Debug, Default)]
pub(super) struct Sanity {
    pending: Vec<(u64, Losses)>,
    last: Option<LossValues>,
}

impl Sanity {
    /// Keeps the losses of the step that is just done, which stay on the device.
    pub(super) fn note(&mut self, trainer: &Trainer, losses: Losses) {
        self.pending.push((trainer.steps(), losses));
    }

    /// Reads all losses since the last time, in one transfer, counts them for the epoch's means, and tells the newest.
    ///
    /// Refuses losses that are NaN or infinite, and names the first step that had any.
    pub(super) fn settle(&mut self, trainer: &mut Trainer, run: &Path) -> Result<Option<LossValues>> {
        let (steps, losses): (Vec<u64>, Vec<Losses>) = self.pending.drain(..).unzip();
        for (step, values) in steps.into_iter().zip(Losses::read_all(&losses)) {
            if !values.is_finite() {
                return Err(self.diverged(step, run)?);
            }
            trainer.means.add(&values);
            self.last = Some(values);
        }
        Ok(self.last)
    }

    /// Refuses weights that are NaN or infinite: a step can ruin them with losses that were still finite.
    pub(super) fn check_weights(&self, trainer: &Trainer, run: &Path) -> Result<()> {
        if gradients::is_finite(trainer.generator()) && gradients::is_finite(trainer.discriminator()) {
            return Ok(());
        }
        Err(self.diverged(trainer.steps(), run)?)
    }

    fn diverged(&self, step: u64, run: &Path) -> Result<Error> {
        let last = self.last.map_or_else(|| "none".to_owned(), |losses| losses.to_string());
        Ok(Error::Diverged { step, last, checkpoint: folder::latest(run)? })
    }
}
