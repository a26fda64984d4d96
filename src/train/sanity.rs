//! Stops a run whose numbers are no numbers any more, before it saves them.

use std::path::Path;

use super::{LossValues, Trainer, checkpoint, gradients};
use crate::{Error, Result};

/// Remembers the last losses that were finite.
#[derive(Debug, Default)]
pub(super) struct Sanity {
    last: Option<LossValues>,
}

impl Sanity {
    /// Refuses losses that are NaN or infinite.
    pub(super) fn check(&mut self, trainer: &Trainer, run: &Path, losses: LossValues) -> Result<()> {
        if !losses.is_finite() {
            return Err(self.diverged(trainer, run)?);
        }
        self.last = Some(losses);
        Ok(())
    }

    /// Refuses weights that are NaN or infinite: a step can ruin them with losses that were still finite.
    pub(super) fn check_weights(&self, trainer: &Trainer, run: &Path) -> Result<()> {
        if gradients::is_finite(trainer.generator()) && gradients::is_finite(trainer.discriminator()) {
            return Ok(());
        }
        Err(self.diverged(trainer, run)?)
    }

    fn diverged(&self, trainer: &Trainer, run: &Path) -> Result<Error> {
        let last = self.last.map_or_else(|| "none".to_owned(), |losses| losses.to_string());
        Ok(Error::Diverged { step: trainer.steps(), last, checkpoint: checkpoint::latest(run)? })
    }
}
