//! Detects divergence: stops training when a loss or a weight is NaN or infinite, before anything is saved.

use std::path::Path;

use crate::discriminator::Discriminator;
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::report::LossValues;
use crate::{optim, run};

/// Checks losses and weights, and remembers the last finite losses.
#[derive(Debug, Default)]
pub(super) struct DivergenceCheck {
    last: Option<LossValues>,
}

impl DivergenceCheck {
    /// Refuses losses of `step` that are NaN or infinite.
    pub(super) fn check_losses(&mut self, step: u64, losses: &LossValues, run: &Path) -> Result<()> {
        if !losses.is_finite() {
            return Err(self.diverged(step, run)?);
        }
        self.last = Some(*losses);
        Ok(())
    }

    /// Refuses weights that are NaN or infinite after `step`: a step with finite losses can still produce them.
    pub(super) fn check_weights(
        &self,
        step: u64,
        generator: &Generator,
        discriminator: &Discriminator,
        run: &Path,
    ) -> Result<()> {
        if optim::is_finite(generator)? && optim::is_finite(discriminator)? {
            return Ok(());
        }
        Err(self.diverged(step, run)?)
    }

    /// Returns the error for divergence at `step`, with the newest checkpoint of the run.
    fn diverged(&self, step: u64, run: &Path) -> Result<Error> {
        let last = self.last.map_or_else(|| "none".to_owned(), |losses| losses.to_string());
        Ok(Error::Diverged { step, last, checkpoint: run::latest(run)? })
    }
}
