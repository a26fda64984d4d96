//! Saves a trainer in a checkpoint, and resumes it from one.

use std::path::Path;

use burn::tensor::Device;

use super::Trainer;
use super::divergence::DivergenceCheck;
use super::ema::Ema;
use super::logit_averages::LogitAverages;
use crate::config::Pix2PixConfig;
use crate::error::{Error, Result};
use crate::report::{self, LogPosition};
use crate::run::{self, Found, RunFolder, Snapshot};

impl Trainer {
    /// Resumes the run in folder `run` from its newest intact checkpoint, or creates a trainer with new networks if
    /// nothing was saved.
    ///
    /// The training and data settings are those of `config`, so that a run can be extended, for instance with more
    /// epochs; [`config_changes`](Self::config_changes) lists those that differ from the saved ones.
    /// [`skipped_checkpoints`](Self::skipped_checkpoints) lists the newer checkpoints that are damaged.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if networks, loss, direction or seed differ from the saved ones, the batch size differs
    /// within an epoch, the EMA would be dropped, or no checkpoint is intact; [`Error::Config`] or [`Error::Device`], as in [`new`](Self::new).
    ///
    /// # Examples
    /// ```no_run
    /// use pix2pix::{Pix2PixConfig, Trainer, device};
    ///
    /// let mut config = Pix2PixConfig::paper();
    /// config.training.epochs = 400;
    /// let trainer = Trainer::resume_or_new("runs/facades", config, &device::best())?;
    /// for change in trainer.config_changes() {
    ///     println!("{change}"); // training.epochs: 200 in the run, 400 given
    /// }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn resume_or_new(run: impl AsRef<Path>, config: Pix2PixConfig, device: &Device) -> Result<Self> {
        let run = run.as_ref();
        config.validate()?;
        super::check_parts(&config, 1)?;
        super::memory::check(&config, 1, device)?;
        match run::newest(run, Some(&config), device)? {
            Some(found) => Ok(Self::from_checkpoint(found, device)),
            None => Ok(Self { own_folder: Some(run.to_owned()), ..Self::new(config, device)? }),
        }
    }

    /// Resumes the run in folder `run` from its newest intact checkpoint, with the saved settings.
    ///
    /// [`skipped_checkpoints`](Self::skipped_checkpoints) lists the newer checkpoints that are damaged.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no checkpoint, or none is intact; [`Error::Device`], as in
    /// [`new`](Self::new).
    ///
    /// # Examples
    /// ```no_run
    /// use pix2pix::{Trainer, device};
    ///
    /// let trainer = Trainer::resume("runs/facades", &device::best())?;
    /// println!("{} steps are trained", trainer.steps());
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn resume(run: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let run = run.as_ref();
        let found = run::newest(run, None, device)?.ok_or_else(|| run::missing(run))?;
        Ok(Self::from_checkpoint(found, device))
    }

    /// Creates a trainer in the state of a checkpoint.
    fn from_checkpoint(Found { snapshot, changes, skipped }: Found, device: &Device) -> Self {
        let Snapshot { config, run_id, progress, best, sums, log, .. } = snapshot;
        let ema = config.training.ema_decay.map(|decay| {
            // Without an EMA in the checkpoint, the EMA starts from the current weights.
            let newest = snapshot.ema.as_ref().unwrap_or(&snapshot.generator);
            Ema::new(decay, config.training.ema_ramp, newest)
        });
        let logit_averages = (config.loss.lecam_weight > 0.0)
            .then(|| LogitAverages::new(config.loss.lecam_decay, snapshot.logit_averages));
        Self {
            ema,
            logit_averages,
            generator_optimizer: snapshot.generator_optimizer,
            discriminator_optimizer: snapshot.discriminator_optimizer,
            progress,
            sums,
            best,
            recorded: log.map(|position| (progress.step, position)),
            run_id,
            is_inside_epoch: true,
            skipped,
            config_changes: changes,
            ..Self::assemble(config, snapshot.generator, snapshot.discriminator, device)
        }
    }

    /// Returns the contents of a checkpoint; `log` is the part of `metrics.jsonl` that belongs to it.
    pub(super) fn snapshot(&self, log: Option<LogPosition>) -> Snapshot {
        Snapshot {
            config: self.config.clone(),
            run_id: self.run_id.clone(),
            progress: self.progress,
            best: self.best,
            sums: self.sums.clone(),
            log,
            generator: self.generator().clone(),
            discriminator: self.discriminator().clone(),
            generator_optimizer: self.generator_optimizer.clone(),
            discriminator_optimizer: self.discriminator_optimizer.clone(),
            ema: self.ema.as_ref().map(|ema| ema.generator().clone()),
            logit_averages: self.logit_averages.as_ref().and_then(LogitAverages::values),
        }
    }

    /// Lists the errors of the checkpoints that are newer than this trainer's but could not be read, newest first, and
    /// of a damaged `metrics.jsonl`. Each error names the file.
    ///
    /// Empty unless [`resume`](Self::resume) found damage. The first save renames these checkpoints to `damaged-…`,
    /// `unreadable-…` or, if they are intact but of another run or step, `misplaced-…`.
    pub fn skipped_checkpoints(&self) -> impl Iterator<Item = &Error> {
        self.skipped.iter().map(|skipped| &skipped.error)
    }

    /// Lists the differences from the checkpoint that the trainer was resumed from: settings, the crate's version, and
    /// exact arithmetic, for example `training.clip_norm: 1.0 in the run, none given`. Empty in a new run.
    pub fn config_changes(&self) -> &[String] {
        &self.config_changes
    }

    /// Saves a checkpoint for [`resume`](Self::resume), and the exported generator as `generator.safetensors`.
    ///
    /// The checkpoint appears atomically. The newest `training.keep` checkpoints and the best one are kept. While a
    /// [`Run`](super::Run) has the folder open, use [`Run::save`](super::Run::save), which also saves the position in
    /// `metrics.jsonl`.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written or its disk has no room; [`Error::Checkpoint`] if another process
    /// trains in it, or it holds another run, a later checkpoint, or results without checkpoints; [`Error::Diverged`]
    /// if a weight is NaN or infinite; [`Error::Device`] if the device fails.
    pub fn save(&self, run: impl AsRef<Path>) -> Result<()> {
        let run = run.as_ref();
        let folder = self.lock(run)?;
        let (generator, discriminator) = self.networks();
        DivergenceCheck::default().check_weights(self.steps(), generator, discriminator, run)?;
        // Another folder has a different log, or none.
        let log = self.recorded().filter(|position| report::verify(run, *position).is_ok());
        folder.save(&self.snapshot(log))
    }

    /// Locks a run folder for this run.
    pub(super) fn lock(&self, run: &Path) -> Result<RunFolder> {
        let may_start_again = self.own_folder.as_deref() == Some(run);
        RunFolder::lock(run, &self.snapshot(None), &self.skipped, may_start_again)
    }

    /// Returns the position in the log that belongs to this step, if it is known.
    pub(super) fn recorded(&self) -> Option<LogPosition> {
        self.recorded.filter(|(step, _)| *step == self.progress.step).map(|(_, position)| position)
    }
}
