//! Training: the generator against the discriminator, one batch at a time.

mod advice;
mod divergence;
mod ema;
mod evaluate;
mod event;
mod fit;
mod losses;
mod open_run;
mod schedule;
mod shards;
mod step;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;

pub use advice::Advice;
pub use event::Event;
pub use losses::Losses;
pub use open_run::Run;

use self::divergence::DivergenceCheck;
use self::ema::Ema;
use self::shards::Networks;
use crate::config::Pix2PixConfig;
use crate::data::Epoch;
use crate::device;
use crate::discriminator::Discriminator;
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::loss::Pix2PixLoss;
use crate::metrics::Scores;
use crate::optim::Adam;
use crate::report::{self, LogPosition, LossValues};
use crate::run::{self, Best, Found, LossSums, Progress, RunFolder, Skipped, Snapshot};

/// 2^64 divided by the golden ratio: spreads the seeds of successive steps.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const LOST: &str = "a panic during an update has lost a network; resume from the checkpoint";

/// Trains a generator against a discriminator, one batch at a time (Isola et al. 2017, section 3.3).
///
/// Each step updates the discriminator, which learns to tell real pairs from generated ones, and then the generator, which
/// learns to fool it and to match the target. Both networks live on the device that you name.
///
/// [`fit`](Self::fit) is the whole loop. In a loop of your own, [`open_run`](Self::open_run), [`Run::record_step`] and
/// [`Run::close_epoch`] do what it does: they lock the folder, detect divergence, record losses and scores, write the
/// report, and save the newest and the best checkpoints.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Pix2PixConfig, Result, Trainer, data::PairedFolder, device};
///
/// # fn main() -> Result<()> {
/// let device = device::best();
/// let config = Pix2PixConfig::paper();
/// let train = PairedFolder::open("datasets/facades/train", &config.data)?;
/// let val = PairedFolder::open("datasets/facades/val", &config.data)?;
///
/// // Resumes from the newest checkpoint, or starts a new run.
/// let mut trainer = Trainer::resume_or_new("runs/facades", config, &device)?;
/// let mut run = trainer.open_run("runs/facades")?;
/// while let Some(epoch) = trainer.next_epoch() {
///     for batch in train.batches(epoch, &device) {
///         let losses = trainer.step(batch?);
///         if let Some(advice) = run.record_step(&mut trainer, &losses)? {
///             println!("step {}: {advice}", trainer.steps());
///         }
///     }
///     if let Some(scores) = run.close_epoch(&mut trainer, Some(&val))? {
///         println!("epoch {epoch}  {scores}");
///     }
/// }
/// run.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct Trainer {
    config: Pix2PixConfig,
    loss: Pix2PixLoss,
    // Absent only during an update: it works in place on tensors without other owners.
    generator: Option<Generator>,
    discriminator: Option<Discriminator>,
    generator_optimizer: Adam,
    discriminator_optimizer: Adam,
    ema: Option<Ema>,
    progress: Progress,
    sums: LossSums,
    best: Option<Best>,
    // The step of the last save, and the lines of the log that belong to it.
    recorded: Option<(u64, LogPosition)>,
    // Which run it is, by the settings that it began with.
    run_id: String,
    // The folder in which this run may start again if it stopped before its first checkpoint.
    own_folder: Option<PathBuf>,
    // Whether the next epoch is the rest of the current one.
    is_inside_epoch: bool,
    skipped: Vec<Skipped>,
    config_changes: Vec<String>,
    device: Device,
    // The devices that share each batch with `device`.
    others: Vec<Device>,
}

// A trainer can move to another thread.
const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<Trainer>();
    assert_send::<Run>();
};

impl Trainer {
    /// Creates a trainer with new networks, whose weights are a function of the configuration's seed.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is out of range; [`Error::Device`] if the device computes wrongly.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{Pix2PixConfig, Trainer, device};
    ///
    /// let mut config = Pix2PixConfig::paper();
    /// (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
    /// let trainer = Trainer::new(config, &device::cpu())?;
    /// assert_eq!((trainer.steps(), trainer.epochs()), (0, 200));
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn new(config: Pix2PixConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        device::check(device)?;
        let training = device.clone().without_autodiff().autodiff();
        let seed = config.training.seed;
        let generator = config.generator.init_seeded(seed, &training);
        let discriminator = config.discriminator.init_seeded(seed ^ 1, &training);
        Ok(Self::assemble(config, generator, discriminator, device))
    }

    /// Creates a trainer that begins with the given networks, for instance imported ones; `config` must describe them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_networks(
        config: Pix2PixConfig,
        generator: Generator,
        discriminator: Discriminator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        device::check(device)?;
        let plain = device.clone().without_autodiff();
        let (generator, discriminator) = (trainable(generator, &plain), trainable(discriminator, &plain));
        Ok(Self::assemble(config, generator, discriminator, device))
    }

    /// Creates the trainer of a new run.
    fn assemble(
        config: Pix2PixConfig,
        generator: Generator,
        discriminator: Discriminator,
        device: &Device,
    ) -> Self {
        Self {
            loss: config.loss.init(),
            ema: config.training.ema_decay.map(|decay| Ema::new(decay, &generator)),
            generator: Some(generator),
            discriminator: Some(discriminator),
            generator_optimizer: Adam::new(&config.training),
            discriminator_optimizer: Adam::new(&config.training),
            progress: Progress::default(),
            sums: LossSums::default(),
            best: None,
            recorded: None,
            run_id: run::run_id(&config),
            own_folder: None,
            is_inside_epoch: false,
            skipped: vec![],
            config_changes: vec![],
            config,
            device: device.clone().without_autodiff(),
            others: vec![],
        }
    }

    /// Resumes the run in folder `run` from its newest intact checkpoint, or creates a trainer with new networks if nothing
    /// was saved.
    ///
    /// The training and data settings are those of `config`, so that a run can be prolonged;
    /// [`config_changes`](Self::config_changes) lists those that differ from the saved ones.
    /// [`skipped_checkpoints`](Self::skipped_checkpoints) lists the newer checkpoints that are damaged.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if networks, loss, direction or seed differ from the saved ones, the EMA would be dropped, or
    /// no checkpoint is intact; [`Error::Config`] or [`Error::Device`], as [`new`](Self::new).
    pub fn resume_or_new(run: impl AsRef<Path>, config: Pix2PixConfig, device: &Device) -> Result<Self> {
        let run = run.as_ref();
        match run::newest(run, Some(&config), device)? {
            Some(found) => Ok(Self::from_checkpoint(found, device)),
            None => Ok(Self { own_folder: Some(run.to_owned()), ..Self::new(config, device)? }),
        }
    }

    /// Resumes the run in folder `run` from its newest intact checkpoint, with its own settings.
    ///
    /// [`skipped_checkpoints`](Self::skipped_checkpoints) lists the newer checkpoints that are damaged.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no checkpoint, or none that is intact; [`Error::Device`], as [`new`](Self::new).
    pub fn resume(run: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let run = run.as_ref();
        let found = run::newest(run, None, device)?.ok_or_else(|| run::missing(run))?;
        Ok(Self::from_checkpoint(found, device))
    }

    /// Creates the trainer that a checkpoint holds.
    fn from_checkpoint(Found { snapshot, changes, skipped }: Found, device: &Device) -> Self {
        let Snapshot { config, run_id, progress, best, sums, log, .. } = snapshot;
        let ema = config.training.ema_decay.map(|decay| {
            // An EMA that the checkpoint does not have begins with the current weights.
            Ema::new(decay, snapshot.ema.as_ref().unwrap_or(&snapshot.generator))
        });
        Self {
            ema,
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

    /// Returns everything that a checkpoint holds, with the lines of the log that belong to it.
    fn snapshot(&self, log: Option<LogPosition>) -> Snapshot {
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
        }
    }

    /// Also trains on `others`: each batch is shared out evenly among the trainer's own device, which keeps networks and
    /// optimisers, and these.
    ///
    /// Each step is that of the whole batch, to rounding: the gradients are added up on the trainer's device, and all
    /// devices have the same weights. But batch normalisation sees the pairs of one device at a time, the running
    /// statistics are those of the first device, and the noise of dropout differs. An interrupted run ends with the same
    /// bits if the number of devices stays. A device may be named twice, or be the trainer's own, which is useful only for
    /// tests.
    ///
    /// `data.batch_size` should be a multiple of the number of devices: a batch of one occupies one of them.
    ///
    /// # Errors
    /// [`Error::Device`] if one of the devices computes wrongly.
    pub fn with_devices(mut self, others: &[Device]) -> Result<Self> {
        others.iter().try_for_each(device::check)?;
        self.others = others.iter().map(|device| device.clone().without_autodiff()).collect();
        Ok(self)
    }

    /// Lists why checkpoints newer than this trainer's could not be used, newest first, and whether `metrics.jsonl` is
    /// damaged. Each error names the file.
    ///
    /// Empty unless [`resume`](Self::resume) found damage. The first save renames these checkpoints to `damaged-…`.
    pub fn skipped_checkpoints(&self) -> impl Iterator<Item = &Error> {
        self.skipped.iter().map(|skipped| &skipped.error)
    }

    /// Lists what differs from the checkpoint that the trainer was resumed from, such as
    /// `training.clip_norm is none, was 1`: settings, the crate's version, exact arithmetic. Empty in a new run.
    pub fn config_changes(&self) -> &[String] {
        &self.config_changes
    }

    /// Saves a checkpoint for [`resume`](Self::resume), and the exported generator as `generator.safetensors`.
    ///
    /// The checkpoint appears whole or not at all. The newest ones are kept, as many as `training.keep` says, and the
    /// best. While the folder is open, use [`Run::save`], which also saves what is recorded.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written or its disk has no room; [`Error::Checkpoint`] if another process
    /// trains in it, or it holds another run, a later checkpoint, or results without checkpoints; [`Error::Diverged`] if a
    /// weight is NaN or infinite.
    pub fn save(&self, run: impl AsRef<Path>) -> Result<()> {
        let run = run.as_ref();
        let folder = self.lock(run)?;
        let (generator, discriminator) = self.networks();
        DivergenceCheck::default().check_weights(self.steps(), generator, discriminator, run)?;
        // Another folder has another log, or none.
        let log = self.recorded().filter(|position| report::verify(run, *position).is_ok());
        folder.save(&self.snapshot(log))
    }

    /// Locks a run folder for this run.
    fn lock(&self, run: &Path) -> Result<RunFolder> {
        let may_start_again = self.own_folder.as_deref() == Some(run);
        RunFolder::lock(run, &self.snapshot(None), &self.skipped, may_start_again)
    }

    /// Returns the next epoch to train, or the rest of the one that was interrupted; `None` once all are done.
    pub fn next_epoch(&mut self) -> Option<Epoch> {
        let is_rest = std::mem::take(&mut self.is_inside_epoch) && self.progress.epoch > 0;
        if !is_rest {
            if self.progress.epoch >= self.epochs() {
                return None;
            }
            self.progress.epoch += 1;
            self.progress.batch = 0;
            self.sums = LossSums::default();
        }
        Some(Epoch { number: self.progress.epoch, seed: self.seed(), first_batch: self.progress.batch })
    }

    /// Returns the learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate_of(self.progress.step)
    }

    /// Returns the learning rate of a step of the current epoch, counted from 0.
    fn learning_rate_of(&self, step: u64) -> f64 {
        schedule::learning_rate(&self.config.training, self.progress.epoch, step)
    }

    /// Changes the random numbers of dropout, order and augmentation from this step on; each `salt` above 0 gives others.
    /// For a second try after [`Error::Diverged`].
    pub fn reseed(&mut self, salt: u64) {
        self.progress.salt += salt;
    }

    /// Returns the step of the checkpoint with the best score on the validation pairs, if there were any.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|best| best.step)
    }

    /// Remembers this step as the best if no score so far is better. NaN is never the best.
    fn compare_with_best(&mut self, scores: &Scores) {
        let metric = self.config.training.best_by;
        let score = metric.merit(scores);
        let is_best = match self.best {
            None => !score.is_nan(),
            Some(best) => best.is_below(score),
        };
        if is_best {
            self.best = Some(Best::new(self.steps(), metric, score));
        }
    }

    /// Returns the mean losses of the current epoch, over the steps that a [`Run`] has recorded; `None` before the first.
    pub fn epoch_means(&self) -> Option<LossValues> {
        self.sums.means()
    }

    /// Returns the steps trained so far.
    pub fn steps(&self) -> u64 {
        self.progress.step
    }

    /// Returns the number of epochs of the whole run.
    pub fn epochs(&self) -> usize {
        self.config.training.epochs + self.config.training.decay_epochs
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Pix2PixConfig {
        &self.config
    }

    /// Returns the generator with its newest weights. Its parameters track gradients, and a clone shares its running
    /// statistics; [`Module::valid`] returns a copy without either.
    pub fn generator(&self) -> &Generator {
        self.generator.as_ref().expect(LOST)
    }

    /// Returns the generator that is exported, scored and shown: the EMA if `training.export_ema` is set.
    pub fn export_generator(&self) -> &Generator {
        match &self.ema {
            Some(ema) if self.config.training.export_ema => ema.generator(),
            _ => self.generator(),
        }
    }

    /// Returns the discriminator with its newest weights.
    pub fn discriminator(&self) -> &Discriminator {
        self.discriminator.as_ref().expect(LOST)
    }

    fn networks(&self) -> Networks<'_> {
        (self.generator(), self.discriminator())
    }

    /// Returns the lines of the log that belong to this step, if they are known.
    fn recorded(&self) -> Option<LogPosition> {
        self.recorded.filter(|(step, _)| *step == self.progress.step).map(|(_, position)| position)
    }

    /// Returns the seed of dropout, order and augmentation.
    fn seed(&self) -> u64 {
        let salt = self.progress.salt.wrapping_mul(GOLDEN).rotate_left(32);
        self.config.training.seed.wrapping_add(salt)
    }
}

/// Returns the network with gradients enabled, on `device`.
fn trainable<M: Module>(network: M, device: &Device) -> M {
    network.fork(&device.clone().autodiff()).train().set_require_grad(true)
}
