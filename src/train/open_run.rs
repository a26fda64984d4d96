//! An open run folder: lock, report, divergence check, epoch means, best checkpoint and advice in one value.

use std::path::Path;
use std::time::{Duration, Instant};

use super::advice::{Advice, Adviser};
use super::divergence::DivergenceCheck;
use super::{Losses, Trainer};
use crate::data::BatchSource;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::report::{self, LossValues, Record, Report, ResumePoint};
use crate::run::RunFolder;

/// Steps between two lines of `metrics.jsonl`.
const LOG_EVERY: u64 = 10;
/// The minimum time between two updates of the page within an epoch.
const PAGE_EVERY: Duration = Duration::from_secs(60);
/// The number of pairs in a sample.
const SAMPLE_PAIRS: usize = 4;

/// An open run folder, locked until this value is dropped. [`Trainer::open_run`] creates it.
///
/// [`Trainer::fit`] is built from it. In a loop of your own, call [`record_step`](Self::record_step) after each step
/// and [`close_epoch`](Self::close_epoch) after each epoch; [`Trainer`] shows the loop.
#[derive(Debug)]
pub struct Run {
    folder: RunFolder,
    report: Report,
    run_id: String,
    divergence: DivergenceCheck,
    adviser: Adviser,
    /// Steps whose losses are not read back yet.
    unread: Vec<(u64, Losses)>,
    saved_step: Option<u64>,
    clock: Clock,
    page_written: Instant,
}

impl Trainer {
    /// Opens `folder` for this run: creates it if absent, locks it, and opens its report at the current step.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the folder cannot be written or has no room for a checkpoint;
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if another process trains in it, or it holds another run, a
    /// later checkpoint of this run, or results without checkpoints.
    pub fn open_run(&mut self, folder: impl AsRef<Path>) -> Result<Run> {
        let path = folder.as_ref();
        let mut folder = self.lock(path)?;
        if self.steps() > 0 {
            folder.restore_exports(&self.snapshot(None))?;
        }
        self.own_folder = Some(path.to_owned());
        let point = ResumePoint { step: self.steps(), epoch: self.progress.epoch, recorded: self.recorded() };
        let mut report = Report::open(path, point, &report::title(path), self.facts())?;
        if self.config.training.tensorboard {
            report = report.with_tensorboard()?;
        }
        Ok(Run {
            folder,
            report,
            run_id: self.run_id.clone(),
            divergence: DivergenceCheck::default(),
            adviser: Adviser::default(),
            unread: vec![],
            saved_step: None,
            clock: Clock::start(),
            page_written: Instant::now(),
        })
    }

    /// Returns the rows of the table about the run on the page.
    fn facts(&self) -> Vec<(String, String)> {
        let devices = std::iter::once(&self.device).chain(&self.others);
        let devices = devices.map(|device| format!("{device:?}")).collect::<Vec<_>>().join(", ");
        let settings = serde_json::to_value(&self.config).expect("a configuration is numbers and names");
        report::facts(devices, self.generator().parameter_count(), settings)
    }
}

impl Run {
    /// Returns what the user should know about the folder: that its file system has no locks, and which files were
    /// missing or damaged and are written anew.
    pub fn warnings(&self) -> &[String] {
        self.folder.warnings()
    }

    /// Adds a row to the table about the run on the page.
    pub fn add_fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.report.add_fact(name, value);
    }

    /// Records the losses of the trainer's last step: adds them to the means of the epoch, checks them for divergence,
    /// writes those of every tenth step to `metrics.jsonl`, and updates the page once a minute. Returns advice if the
    /// networks are out of balance.
    ///
    /// On the CPU losses are read in every step. On other devices they are read in every tenth step, because reading
    /// waits for the device.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) if a loss is NaN or infinite; [`Error::Io`](crate::Error::Io) if a
    /// file cannot be written; [`Error::Device`](crate::Error::Device) if the device fails.
    ///
    /// # Panics
    /// If a trainer of another run has opened this folder.
    pub fn record_step(&mut self, trainer: &mut Trainer, losses: &Losses) -> Result<Option<Advice>> {
        self.assert_is_of(trainer);
        trainer.is_inside_epoch = true;
        let step = trainer.steps();
        self.clock.count(losses.pairs());
        self.unread.push((step, losses.clone()));
        let (mut advice, is_logged) = (None, step.is_multiple_of(LOG_EVERY));
        if is_logged || crate::device::is_host(&trainer.device) {
            let newest = self.read_losses(trainer)?;
            if let Some(losses) = newest.filter(|_| is_logged) {
                self.report.set_speed(self.clock.rate());
                let scales = trainer.config().discriminator.scales;
                advice = self.adviser.look(&losses, scales).filter(|_| trainer.loss.has_logits());
            }
        }
        if self.page_written.elapsed() > PAGE_EVERY {
            self.write_page()?;
        }
        Ok(advice)
    }

    /// Closes the trainer's epoch: records its mean losses, the metrics on `val` and a sample, and saves if the epoch
    /// is the last, has the best metric so far, or is divisible by `training.save_every`. Before the first step it
    /// records the metrics of the untrained generator. Records nothing if the epoch is closed already.
    ///
    /// Returns the metrics on `val` that it recorded, if any.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) if a loss or a weight is NaN or infinite;
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read or a file
    /// cannot be written; [`Error::Device`](crate::Error::Device) if the device fails.
    ///
    /// # Panics
    /// If a trainer of another run has opened this folder.
    pub fn close_epoch<S: BatchSource + ?Sized>(
        &mut self,
        trainer: &mut Trainer,
        val: Option<&S>,
    ) -> Result<Option<Metrics>> {
        self.check(trainer)?;
        let epoch = if trainer.steps() == 0 { 0 } else { trainer.progress.epoch };
        let mut scores = None;
        if !self.report.is_closed(epoch) {
            // If this fails, either the epoch is not closed and the resumed run closes it, or its lines and the best
            // metric are in memory and `fit` saves them.
            let recorded = self.record_epoch(trainer, val, epoch);
            trainer.progress.is_closed = epoch > 0 && self.report.is_closed(epoch);
            scores = recorded?;
            let is_best = scores.is_some() && trainer.best_step() == Some(trainer.steps());
            let is_last = epoch >= trainer.epochs();
            if epoch > 0 && (is_last || is_best || epoch.is_multiple_of(trainer.config.training.save_every)) {
                self.save(trainer)?;
            }
        }
        self.write_page()?;
        self.clock = Clock::start();
        if epoch > 0 {
            trainer.is_inside_epoch = false;
        }
        Ok(scores)
    }

    /// Records the mean losses and the metrics of an epoch, and updates the best.
    fn record_epoch<S: BatchSource + ?Sized>(
        &mut self,
        trainer: &mut Trainer,
        val: Option<&S>,
        epoch: usize,
    ) -> Result<Option<Metrics>> {
        let step = trainer.steps();
        let means = trainer.epoch_means().map(|losses| Record::Epoch { step, epoch, losses });
        let mut records: Vec<Record> = means.into_iter().collect();
        let mut scores = None;
        if trainer.makes_images_of_noise() {
            self.report.sample(step, epoch, &trainer.noise_grid(SAMPLE_PAIRS)?)?;
        } else if let Some(val) = val {
            let found = trainer.evaluate(val)?;
            self.report.sample(step, epoch, &trainer.sample_grid(val, SAMPLE_PAIRS)?)?;
            let [l1, psnr] = [found.l1, found.psnr].map(|value| value as f32);
            let [ssim_unit, ssim_signed] = [found.ssim_unit, found.ssim_signed].map(|value| value as f32);
            let ssim_unit = Some(ssim_unit);
            records.push(Record::Validation { step, epoch, l1, psnr, ssim_unit, ssim_signed });
            if epoch > 0 {
                trainer.compare_with_best(&found);
            }
            scores = Some(found);
        }
        self.report.record_all(records)?;
        Ok(scores)
    }

    /// Returns whether mean losses or metrics of `epoch` are recorded.
    pub fn is_closed(&self, epoch: usize) -> bool {
        self.report.is_closed(epoch)
    }

    /// Returns whether the current step is a multiple of `training.save_steps`; false if that is 0.
    pub fn is_save_due(&self, trainer: &Trainer) -> bool {
        let save_steps = trainer.config.training.save_steps;
        save_steps > 0 && trainer.steps().is_multiple_of(save_steps)
    }

    /// Returns the step of the last checkpoint saved since the folder was opened.
    pub fn saved_step(&self) -> Option<u64> {
        self.saved_step
    }

    /// Saves a checkpoint and the exported generator, after checking that losses and weights are finite.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if the folder was renamed, or another run has replaced its lock;
    /// [`Error::Diverged`](crate::Error::Diverged) if a loss or a weight is NaN or infinite;
    /// [`Error::Io`](crate::Error::Io) if a file cannot be written; [`Error::Device`](crate::Error::Device) if the
    /// device fails. The checkpoints before stay as they are.
    ///
    /// # Panics
    /// If a trainer of another run has opened this folder.
    pub fn save(&mut self, trainer: &mut Trainer) -> Result<()> {
        self.check(trainer)?;
        self.report.sync()?;
        trainer.recorded = Some((trainer.steps(), self.report.position()));
        self.folder.save(&trainer.snapshot(trainer.recorded()))?;
        self.saved_step = Some(trainer.steps());
        Ok(())
    }

    /// Marks the run as finished on its page.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the page cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.folder.check()?;
        self.report.write_page(true)
    }

    /// Checks that the folder still belongs to this run, and all losses and weights for NaN and infinity.
    fn check(&mut self, trainer: &mut Trainer) -> Result<()> {
        self.assert_is_of(trainer);
        self.folder.check()?;
        self.read_losses(trainer)?;
        let (generator, discriminator) = trainer.networks();
        self.divergence.check_weights(trainer.steps(), generator, discriminator, self.folder.path())
    }

    /// Reads all unread losses in one transfer, checks them, adds them to the sums of the epoch, and logs those of every
    /// tenth step and of those that measure the adversary's share. Returns the newest that were read.
    fn read_losses(&mut self, trainer: &mut Trainer) -> Result<Option<LossValues>> {
        let (steps, losses): (Vec<u64>, Vec<Losses>) = self.unread.iter().cloned().unzip();
        let read = Losses::read_all(&losses)?; // if it fails, they stay unread, and the next call reads them
        self.unread.clear();
        let (mut newest, mut records) = (None, vec![]);
        for (step, losses) in steps.into_iter().zip(read) {
            self.divergence.check_losses(step, &losses, self.folder.path())?;
            trainer.sums.add(&losses);
            if step.is_multiple_of(LOG_EVERY) || losses.gan_share.is_some() {
                let (epoch, learning_rate) = (trainer.progress.epoch, trainer.learning_rate_of(step - 1));
                records.push(Record::Step { step, epoch, losses, learning_rate });
            }
            newest = Some(losses);
        }
        if !records.is_empty() {
            self.report.record_all(records)?;
        }
        Ok(newest)
    }

    fn write_page(&mut self) -> Result<()> {
        self.folder.check()?;
        self.page_written = Instant::now();
        self.report.write_page(false)
    }

    /// Panics if `trainer` belongs to another run.
    fn assert_is_of(&self, trainer: &Trainer) {
        assert!(self.run_id == trainer.run_id, "the run folder was opened by a trainer of another run");
    }
}

/// Measures the training speed.
#[derive(Debug)]
struct Clock {
    since: Instant,
    images: usize,
}

impl Clock {
    fn start() -> Self {
        Self { since: Instant::now(), images: 0 }
    }

    fn count(&mut self, images: usize) {
        self.images += images;
    }

    /// Returns the number of images per second.
    fn rate(&self) -> f32 {
        self.images as f32 / self.since.elapsed().as_secs_f32().max(f32::EPSILON)
    }
}
