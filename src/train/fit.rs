//! The whole training loop, built from [`Run`] and the trainer's public methods.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Event, Run, Trainer};
use crate::config::Schedule;
use crate::data::{Batch, BatchSource, EpochCursor};
use crate::error::{Error, Result};

impl Trainer {
    /// Trains the remaining epochs, and writes a run folder: checkpoints, the generator's weights, `metrics.jsonl`,
    /// samples of `val` after each epoch, and `index.html` with curves and images.
    ///
    /// Batches come from any [`BatchSource`], for instance a [`PairedFolder`](crate::data::PairedFolder). `watch`
    /// receives every event; if it returns [`ControlFlow::Break`], the run is saved and stops. The run is also saved
    /// after the last epoch, when its metric on `val` is the best so far, and at the intervals `training.save_every`
    /// and `training.save_steps`.
    ///
    /// A loop of your own can use the same parts: [`open_run`](Self::open_run), [`next_epoch`](Self::next_epoch),
    /// [`step`](Self::step), and the methods of [`Run`].
    ///
    /// # Errors
    /// - [`Error::Io`] or [`Error::Checkpoint`] before training, as in [`open_run`](Self::open_run)
    /// - [`Error::Config`] before training if `training.schedule` is `plateau` and there are no validation pairs
    /// - [`Error::Io`] or [`Error::Image`] if a pair cannot be read or a file cannot be written: the run is saved, and
    ///   can be resumed once the file is repaired
    /// - [`Error::Device`] if the device fails, for instance because the GPU was lost or is out of memory: the run is
    ///   saved if the device still returns the weights; the newest checkpoint stays as it is if not
    /// - [`Error::Unsaved`] if a save after another error fails as well
    /// - [`Error::Diverged`] if a loss or a weight is NaN or infinite: nothing is saved, so that no checkpoint holds it
    ///
    /// # Examples
    /// ```no_run
    /// use std::ops::ControlFlow;
    ///
    /// use pix2pix::{Pix2PixConfig, Trainer, data::PairedFolder, device};
    ///
    /// let config = Pix2PixConfig::paper();
    /// let train = PairedFolder::open("datasets/facades/train", &config.data)?;
    /// let mut trainer = Trainer::new(config, &device::best())?;
    /// trainer.fit(&train, None, "runs/facades", |_| ControlFlow::Continue(()))?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn fit<S: BatchSource + ?Sized>(
        &mut self,
        train: &S,
        val: Option<&S>,
        run: impl AsRef<Path>,
        mut watch: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if val.is_none() && matches!(self.config.training.schedule, Schedule::Plateau { .. }) {
            let problem =
                "plateau needs validation pairs, whose metric it watches; use another schedule, or name them";
            return Err(Error::config("training.schedule", problem));
        }
        if let Some(size) = train.image_size() {
            self.config.data.image_size = Some(size);
        }
        let mut run = self.open_run(run)?;
        for warning in run.warnings() {
            let _ = watch(Event::Warning(warning)); // the first step asks again whether to stop
        }
        run.add_fact("pairs", train.pairs());
        let first = self.steps();
        match self.fit_epochs(train, val, &mut run, &mut watch) {
            Err(cause) if !matches!(cause, Error::Diverged { .. }) && self.steps() > first => {
                Err(self.rescue(&mut run, cause))
            }
            done => done,
        }
    }

    /// Saves a run that `cause` has stopped, so that it can be resumed from here. Returns the error of `fit`.
    fn rescue(&mut self, run: &mut Run, cause: Error) -> Error {
        match run.save(self) {
            Ok(()) | Err(Error::Diverged { .. }) => cause,
            // A lost GPU does not return the weights either, and its remedy is the newest checkpoint.
            Err(Error::Device { .. }) if matches!(cause, Error::Device { .. }) => cause,
            // `cause` is itself a failed save: it is reported once.
            Err(rescue) if rescue.to_string() == cause.to_string() => cause,
            Err(rescue) => Error::Unsaved { cause: cause.into(), rescue: rescue.into() },
        }
    }

    /// Trains epoch by epoch.
    fn fit_epochs<S: BatchSource + ?Sized>(
        &mut self,
        train: &S,
        val: Option<&S>,
        run: &mut Run,
        watch: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.steps() == 0 && val.is_some() {
            // Metrics and samples of the untrained generator are the baseline.
            run.close_epoch(self, val)?;
        }
        while let Some(epoch) = self.next_epoch() {
            if self.fit_epoch(epoch, train, val, run, watch)?.is_break() {
                break;
            }
        }
        run.finish()
    }

    /// Trains one epoch, or the rest of it.
    fn fit_epoch<S: BatchSource + ?Sized>(
        &mut self,
        epoch: EpochCursor,
        train: &S,
        val: Option<&S>,
        run: &mut Run,
        watch: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let batches = train.batches(epoch, &self.device);
        let total = epoch.first_batch + batches.len();
        let has_records = val.is_some() || self.epoch_means().is_some();
        if epoch.first_batch == total && (run.is_closed(epoch.number) || !has_records) {
            return Ok(ControlFlow::Continue(())); // the checkpoint was saved at the end of this epoch
        }
        self.is_inside_epoch = true; // an error before the first step must not skip the epoch
        let mut flow = ControlFlow::Continue(());
        for batch in batches {
            flow = self.fit_batch(batch?, epoch, total, run, watch)?;
            if flow.is_break() {
                break;
            }
        }
        if self.progress.batch >= total {
            // Also if `watch` has stopped the run: its log has the same lines as that of an uninterrupted run.
            let metrics = run.close_epoch(self, val)?;
            if flow.is_continue() {
                flow = watch(Event::Epoch { epoch: epoch.number, metrics });
            }
        }
        if flow.is_break() && run.saved_step() != Some(self.steps()) {
            run.save(self)?;
        }
        Ok(flow)
    }

    /// Trains on one of the `total` batches of an epoch.
    fn fit_batch(
        &mut self,
        batch: Batch,
        epoch: EpochCursor,
        total: usize,
        run: &mut Run,
        watch: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let losses = self.step(batch);
        let mut flow = ControlFlow::Continue(());
        if let Some(advice) = run.record_step(self, &losses)? {
            flow = watch(Event::Advice(advice));
        }
        let batch = self.progress.batch;
        if flow.is_continue() {
            flow = watch(Event::Step { epoch: epoch.number, batch, batches: total, losses: &losses });
        }
        // At the end of an epoch, `close_epoch` decides whether to save.
        if flow.is_continue() && batch < total && run.is_save_due(self) {
            run.save(self)?;
        }
        Ok(flow)
    }
}
