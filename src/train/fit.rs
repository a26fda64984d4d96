//! The whole training loop with its report, for those who do not want to own it: nothing but the trainer's own verbs.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use super::advice::{Advice, Adviser};
use super::exact::Exact;
use super::facts::title;
use super::lock::Lock;
use super::sanity::Sanity;
use super::state::Best;
use super::{LossValues, Losses, Trainer, checkpoint};
use crate::data::PairedFolder;
use crate::metrics::Scores;
use crate::report::{Place, Record, Report};
use crate::{Error, Result, device};

/// Steps between two lines of the metrics file.
const LOG_EVERY: u64 = 10;
/// How often the page is written within a long epoch.
const PAGE_EVERY: Duration = Duration::from_secs(60);
/// Pairs in a sample strip.
const STRIP_PAIRS: usize = 4;

/// What [`Trainer::fit`] tells while it works.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
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
    /// Something is wrong between the networks.
    Advice(Advice),
    /// An epoch is done.
    Epoch {
        /// The epoch, counted from 1.
        epoch: usize,
        /// Scores on the validation pairs, if there are any.
        scores: Option<Scores>,
    },
}

impl Trainer {
    /// Trains all epochs that are left, and leaves a run folder behind: checkpoints, the generator's weights,
    /// `metrics.jsonl`, sample strips of `val` after each epoch, and `index.html` with curves and pictures.
    ///
    /// `watch` sees every event and may stop the run with [`ControlFlow::Break`]; the run is saved then, too. So it is
    /// whenever its score on `val` is the best so far, and as often as `training.save_every` and `training.save_steps`
    /// say.
    ///
    /// # Errors
    /// [`Error::Io`] if `run` cannot be written or has no room for a checkpoint, or [`Error::Checkpoint`] if another
    /// process trains in it, or another run lies there, or one that is further, or results without checkpoints,
    /// found before training begins;
    /// [`Error::Io`] or [`Error::Image`] if a pair cannot be read: the run is saved then, and goes on once the file is
    /// mended; [`Error::Unsaved`] if that fails, too. [`Error::Diverged`] if a loss or a weight is no number any more;
    /// nothing is saved then, so that all checkpoints are sound.
    pub fn fit(
        &mut self,
        train: &PairedFolder,
        val: Option<&PairedFolder>,
        run: impl AsRef<Path>,
        mut watch: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        let run = run.as_ref();
        let lock = checkpoint::claim(self, run)?;
        self.own_folder = Some(run.to_owned());
        let place = Place { step: self.steps(), epoch: self.progress.epoch, recorded: self.recorded() };
        let mut report = Report::open(run, place, &title(run), self.facts(train))?;
        if self.config.training.tensorboard {
            report = report.with_tensorboard()?;
        }
        let mut run = Run { folder: run, lock, report, sanity: Sanity::default() };
        let done = self.fit_epochs(train, val, &mut run, &mut watch);
        match done {
            Err(cause) if !matches!(cause, Error::Diverged { .. }) && self.steps() > place.step => {
                // Once the cause is mended the run can go on from here.
                match self.keep(&mut run) {
                    Ok(()) | Err(Error::Diverged { .. }) => Err(cause),
                    // Saving was what had failed.
                    Err(rescue) if rescue.to_string() == cause.to_string() => Err(cause),
                    Err(rescue) => Err(Error::Unsaved { cause: cause.into(), rescue: rescue.into() }),
                }
            }
            done => done,
        }
    }

    fn fit_epochs(
        &mut self,
        train: &PairedFolder,
        val: Option<&PairedFolder>,
        run: &mut Run,
        watch: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.steps() == 0
            && let Some(val) = val
        {
            // The untrained generator: what all later scores and pictures are to be compared with.
            self.close(Some(val), 0, run)?;
            run.report.write_page(false)?;
        }
        let mut adviser = Adviser::default();
        let save_steps = self.config.training.save_steps;
        let is_free_to_read = device::is_host(&self.device);
        let mut page_written = Instant::now();
        while let Some(epoch) = self.next_epoch() {
            let batches = train.batches(epoch, &self.device);
            let total = epoch.first_batch + batches.len();
            let has_nothing_to_say = val.is_none() && self.means.read().is_none();
            if total == epoch.first_batch && (run.report.is_closed(epoch.number) || has_nothing_to_say) {
                continue; // saved at the end of this epoch
            }
            self.is_resumed = true; // until the epoch is done, it is the one to go on with
            let mut clock = Clock::start();
            let mut flow = ControlFlow::Continue(());
            for batch in batches {
                let batch = batch?;
                clock.count(batch.input.dims()[0]);
                let learning_rate = self.learning_rate();
                let losses = self.step(batch);
                run.sanity.note(self, losses.clone());
                let is_logged = self.steps().is_multiple_of(LOG_EVERY);
                if (is_logged || is_free_to_read)
                    && let Some(values) = run.sanity.settle(self, run.folder)?
                    && is_logged
                {
                    run.report.record(self.line(values, learning_rate))?;
                    run.report.set_speed(clock.rate());
                    if let Some(advice) = adviser.look(&values) {
                        flow = watch(Event::Advice(advice));
                    }
                }
                let (epoch, batch, batches) = (epoch.number, self.progress.batch, total);
                if flow.is_continue() {
                    flow = watch(Event::Step { epoch, batch, batches, losses: &losses });
                }
                if flow.is_break() {
                    break;
                }
                // The end of an epoch sees to itself.
                if batch < total && save_steps > 0 && self.steps().is_multiple_of(save_steps) {
                    self.keep(run)?;
                }
                if page_written.elapsed() > PAGE_EVERY {
                    run.report.write_page(false)?;
                    page_written = Instant::now();
                }
            }
            run.sanity.settle(self, run.folder)?;
            run.sanity.check_weights(self, run.folder)?;
            // A run that stops inside an epoch leaves the same lines as one that does not.
            let is_whole = self.progress.batch >= total;
            let scores = if is_whole { self.close(val, epoch.number, run)? } else { None };
            if flow.is_continue() {
                flow = watch(Event::Epoch { epoch: epoch.number, scores });
            }
            let is_last = flow.is_break() || epoch.number >= self.epochs();
            let is_best = scores.is_some() && self.best_step() == Some(self.steps());
            if is_last || is_best || epoch.number.is_multiple_of(self.config.training.save_every) {
                self.keep(run)?;
            }
            if flow.is_break() {
                break;
            }
            run.report.write_page(false)?;
            page_written = Instant::now();
            self.is_resumed = false;
        }
        // The last words, too, of a run that was killed before them.
        run.report.write_page(true)
    }

    /// Saves the run as it stands, if its numbers are sound.
    fn keep(&mut self, run: &mut Run) -> Result<()> {
        run.sanity.settle(self, run.folder)?;
        run.sanity.check_weights(self, run.folder)?;
        run.report.sync()?;
        self.recorded = Some((self.steps(), run.report.extent()));
        checkpoint::save(self, run.folder, &run.lock, self.recorded())
    }

    /// Scores the generator after an epoch, and records all there is to say about it.
    ///
    /// Whatever fails on the way, the epoch is either not closed, and will be closed again by the run that goes on, or
    /// its lines and the best score are known, and will be saved.
    fn close(&mut self, val: Option<&PairedFolder>, epoch: usize, run: &mut Run) -> Result<Option<Scores>> {
        let step = self.steps();
        let mut records = vec![];
        if let Some(LossValues { g_gan, g_l1, d_real, d_fake, d_real_accuracy, d_fake_accuracy }) =
            self.means.read()
        {
            records.push(Record::Epoch {
                step,
                epoch,
                g_gan,
                g_l1,
                d_real,
                d_fake,
                d_real_accuracy,
                d_fake_accuracy,
            });
        }
        let mut scores = None;
        if let Some(val) = val {
            let found = self.evaluate(val)?;
            run.report.sample(step, epoch, &self.strip(val, STRIP_PAIRS)?)?;
            let [l1, psnr, ssim] = [found.l1, found.psnr, found.ssim].map(|score| score as f32);
            records.push(Record::Validation { step, epoch, l1, psnr, ssim });
            if epoch > 0 {
                self.compare(&found);
            }
            scores = Some(found);
        }
        run.report.record_all(records)?;
        Ok(scores)
    }

    /// Remembers this step if its scores are the best so far; it will be saved.
    fn compare(&mut self, scores: &Scores) {
        let metric = self.config.training.best_by;
        let merit = Exact(metric.merit(scores));
        // What is no number is the best of nothing.
        let is_best = match self.best {
            None => !merit.0.is_nan(),
            Some(best) => merit > best.merit,
        };
        if is_best {
            self.best = Some(Best { step: self.steps(), metric, merit });
        }
    }

    fn line(&self, losses: LossValues, learning_rate: f64) -> Record {
        let LossValues { g_gan, g_l1, d_real, d_fake, d_real_accuracy, d_fake_accuracy } = losses;
        Record::Step {
            step: self.steps(),
            epoch: self.progress.epoch,
            g_gan,
            g_l1,
            d_real,
            d_fake,
            learning_rate,
            d_real_accuracy,
            d_fake_accuracy,
        }
    }
}

/// A run folder that is being written.
struct Run<'a> {
    folder: &'a Path,
    lock: Lock,
    report: Report,
    sanity: Sanity,
}

/// Counts images against time.
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

    fn rate(&self) -> f32 {
        self.images as f32 / self.since.elapsed().as_secs_f32().max(f32::EPSILON)
    }
}
