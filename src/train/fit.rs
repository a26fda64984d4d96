//! The whole training loop with its report, for those who do not want to own it: nothing but the trainer's own verbs.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::advice::{Advice, Adviser};
use super::checkpoint::Best;
use super::lock::Lock;
use super::sanity::Sanity;
use super::{LossValues, Losses, Trainer, checkpoint};
use crate::data::PairedFolder;
use crate::metrics::Scores;
use crate::report::{Record, Report};
use crate::{Error, Result};

/// Steps between two lines of the metrics file.
const LOG_EVERY: u64 = 10;
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
    /// `watch` sees every event and may stop the run with [`ControlFlow::Break`]; the run is saved then, too.
    ///
    /// # Errors
    /// [`Error::Io`] if `run` cannot be written or has no room for a checkpoint, or [`Error::Checkpoint`] if another
    /// process trains in it or a run that is further lies there, found before training begins; [`Error::Io`] or
    /// [`Error::Image`] if a pair cannot be read: the run is saved then, and goes on once the file is mended.
    /// [`Error::Diverged`] if a loss or a weight is no number any more; nothing is saved then, so that all checkpoints
    /// are sound.
    pub fn fit(
        &mut self,
        train: &PairedFolder,
        val: Option<&PairedFolder>,
        run: impl AsRef<Path>,
        mut watch: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        let run = run.as_ref();
        let lock = checkpoint::claim(self, run)?;
        let mut report = Report::open(run, self.steps(), &title(run), self.facts(train))?;
        if self.config.training.tensorboard {
            report = report.with_tensorboard()?;
        }
        let start = self.steps();
        let done = self.fit_epochs(train, val, (run, &lock, &mut report), &mut watch);
        let is_mendable = matches!(&done, Err(error) if !matches!(error, Error::Diverged { .. }));
        let is_sound = || Sanity::default().check_weights(self, run).is_ok();
        if is_mendable && self.steps() > start && is_sound() {
            // Once the cause is mended the run can go on from here.
            report.sync()?;
            checkpoint::save(self, run, &lock)?;
        }
        done
    }

    fn fit_epochs(
        &mut self,
        train: &PairedFolder,
        val: Option<&PairedFolder>,
        (run, lock, report): (&Path, &Lock, &mut Report),
        watch: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.steps() == 0
            && let Some(val) = val
        {
            // The untrained generator: what all later scores and pictures are to be compared with.
            self.validate(val, 0, report)?;
        }
        let (mut sanity, mut adviser) = (Sanity::default(), Adviser::default());
        while let Some(epoch) = self.next_epoch() {
            let batches = train.batches(epoch, &self.device);
            let total = epoch.first_batch + batches.len();
            let is_scored = val.is_none() || report.is_validated(epoch.number);
            if total == epoch.first_batch && is_scored {
                continue; // saved at the end of this epoch
            }
            self.is_resumed = true; // until the epoch is done, it is the one to go on with
            let mut clock = Clock::start();
            let mut flow = ControlFlow::Continue(());
            for batch in batches {
                let batch = batch?;
                clock.count(batch.input.dims()[0]);
                let losses = self.step(batch);
                if self.steps().is_multiple_of(LOG_EVERY) {
                    let values = losses.read();
                    sanity.check(self, run, values)?;
                    report.record(self.line(values))?;
                    report.set_speed(clock.rate());
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
            }
            sanity.check_weights(self, run)?;
            // A run that stops inside an epoch leaves the same lines as one that does not.
            let is_whole = self.progress.batch >= total;
            let scores =
                val.filter(|_| is_whole).map(|val| self.validate(val, epoch.number, report)).transpose()?;
            if flow.is_continue() {
                flow = watch(Event::Epoch { epoch: epoch.number, scores });
            }
            let is_last = flow.is_break() || epoch.number >= self.epochs();
            if is_last || epoch.number.is_multiple_of(self.config.training.save_every) {
                self.compare(scores);
                report.sync()?;
                checkpoint::save(self, run, lock)?;
            }
            if flow.is_break() {
                break;
            }
            report.write_page(false)?;
            self.is_resumed = false;
        }
        // The last words, too, of a run that was killed before them.
        report.write_page(true)
    }

    /// Remembers the checkpoint that is about to be saved if its scores are the best so far.
    fn compare(&mut self, scores: Option<Scores>) {
        let metric = self.config.training.best_by;
        let Some(merit) = scores.map(|scores| metric.merit(&scores)) else { return };
        if self.best.is_none_or(|best| merit > best.merit) {
            self.best = Some(Best { step: self.steps(), metric, merit });
        }
    }

    fn validate(&self, val: &PairedFolder, epoch: usize, report: &mut Report) -> Result<Scores> {
        let scores = self.evaluate(val)?;
        let Scores { l1, psnr, ssim } = scores;
        let [l1, psnr, ssim] = [l1, psnr, ssim].map(|score| score as f32);
        report.record(Record::Validation { step: self.steps(), epoch, l1, psnr, ssim })?;
        report.sample(epoch, &self.strip(val, STRIP_PAIRS)?)?;
        report.write_page(false)?;
        Ok(scores)
    }

    fn line(&self, losses: LossValues) -> Record {
        let LossValues { g_gan, g_l1, d_real, d_fake, d_real_accuracy, d_fake_accuracy } = losses;
        Record::Step {
            step: self.steps(),
            epoch: self.progress.epoch,
            g_gan,
            g_l1,
            d_real,
            d_fake,
            learning_rate: self.learning_rate(),
            d_real_accuracy,
            d_fake_accuracy,
        }
    }

    fn facts(&self, train: &PairedFolder) -> Vec<(String, String)> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = format!("{} {}, {threads} threads", std::env::consts::OS, std::env::consts::ARCH);
        let mut facts = vec![
            ("pix2pix".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("machine".to_owned(), machine),
            ("device".to_owned(), self.devices()),
            ("pairs".to_owned(), train.len().to_string()),
            ("generator parameters".to_owned(), self.generator().parameter_count().to_string()),
        ];
        if let Ok(Value::Object(parts)) = serde_json::to_value(&self.config) {
            facts.extend(parts.into_iter().map(|(name, value)| (name, plain(&value))));
        }
        facts
    }

    fn devices(&self) -> String {
        let names = std::iter::once(&self.device).chain(&self.others).map(|device| format!("{device:?}"));
        names.collect::<Vec<_>>().join(", ")
    }
}

fn title(run: &Path) -> String {
    run.file_name().map_or_else(|| "pix2pix".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A setting for people to read: `batch_size 1 · crop_size 64`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", plain(value)));
            fields.collect::<Vec<_>>().join(" · ")
        }
        other => other.to_string(),
    }
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
