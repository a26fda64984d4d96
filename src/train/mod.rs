//! Training: the generator against the discriminator, one batch at a time.

mod advice;
mod checkpoint;
mod divergence;
mod ema;
mod evaluate;
mod event;
mod fit;
mod gan_share;
mod logit_averages;
mod losses;
mod memory;
mod open_run;
mod schedule;
mod shards;
mod step;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests;
mod view;

use std::path::PathBuf;

use burn::tensor::Device;

pub use advice::Advice;
pub use event::Event;
pub use losses::Losses;
pub use open_run::Run;

use self::ema::Ema;
use self::logit_averages::LogitAverages;
use self::shards::{Networks, trainable};
use crate::config::{Pix2PixConfig, Schedule, TrainingConfig};
use crate::data::{DataConfig, EpochCursor};
use crate::device;
use crate::discriminator::Discriminator;
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::loss::{Pix2PixLoss, Pix2PixLossConfig};
use crate::metrics::Metrics;
use crate::optim::Adam;
use crate::report::{LogPosition, LossValues};
use crate::rng;
use crate::run::{self, Best, LossSums, Progress, Skipped};

/// 2^64 divided by the golden ratio: spreads the seeds of successive steps.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const LOST: &str = "a panic during an update has lost a network; resume from the checkpoint";

/// Trains a generator against a discriminator, one batch at a time (Isola et al. 2017, section 3.3).
///
/// Each step updates the discriminator, which learns to tell real pairs from generated ones, and then the generator,
/// which learns to fool it and to match the target.
///
/// [`fit`](Self::fit) is the whole loop. A loop of your own calls [`open_run`](Self::open_run), [`Run::record_step`]
/// and [`Run::close_epoch`]: they lock the folder, detect divergence, record losses and metrics, write the report, and
/// save the newest and the best checkpoints.
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
///     if let Some(metrics) = run.close_epoch(&mut trainer, Some(&val))? {
///         println!("epoch {epoch}  {metrics}");
///     }
/// }
/// run.finish()
/// # }
/// ```
#[derive(Debug)]
pub struct Trainer {
    config: Pix2PixConfig,
    loss: Pix2PixLoss,
    /// `None` only during an update, which works in place on tensors without other owners.
    generator: Option<Generator>,
    discriminator: Option<Discriminator>,
    generator_optimizer: Adam,
    discriminator_optimizer: Adam,
    ema: Option<Ema>,
    /// Present with LeCam regularisation.
    logit_averages: Option<LogitAverages>,
    progress: Progress,
    sums: LossSums,
    best: Option<Best>,
    /// The step of the last save, and the position in the log that belongs to it.
    recorded: Option<(u64, LogPosition)>,
    /// A checksum of the settings that the run started with.
    run_id: String,
    /// The folder in which this run may start over if it stopped before its first checkpoint.
    own_folder: Option<PathBuf>,
    /// Whether `next_epoch` returns the rest of the current epoch.
    is_inside_epoch: bool,
    skipped: Vec<Skipped>,
    config_changes: Vec<String>,
    device: Device,
    /// The devices that share each batch with `device`.
    others: Vec<Device>,
}

// Both can move to another thread.
const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<Trainer>();
    assert_send::<Run>();
};

/// Checks that the loss allows batches to be computed in parts, if there are parts.
///
/// # Errors
/// [`Error::Config`] with the setting that divides batches.
fn check_parts(config: &Pix2PixConfig, devices: usize) -> Result<()> {
    let accumulate = config.training.accumulate;
    let Some([field, needs, remedy]) = config.loss.of_whole_batches() else { return Ok(()) };
    if accumulate == 1 && devices == 1 {
        return Ok(());
    }
    let problem = format!(
        "{needs}, and {accumulate} micro-batches on {devices} devices divide it; use {remedy}, or one micro-batch and one \
         device (`--accumulate 1 --devices 1`)"
    );
    Err(Error::config(field, problem))
}

impl Trainer {
    /// Creates a trainer with new networks; `training.seed` determines their initial weights.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is out of range; [`Error::Memory`] if a step needs more memory than there
    /// is; [`Error::Device`] if the device computes wrongly.
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
        check_parts(&config, 1)?;
        memory::check(&config, 1, device)?;
        device::check(device)?;
        let training = device.clone().without_autodiff().autodiff();
        let [generator_seed, discriminator_seed] = rng::network_seeds(config.training.seed);
        let generator = config.generator.init_seeded(generator_seed, &training);
        let discriminator = config.discriminator.init_seeded(discriminator_seed, &training);
        Ok(Self::assemble(config, generator, discriminator, device))
    }

    /// Creates a trainer that starts from the given networks, for instance imported ones.
    ///
    /// # Errors
    /// [`Error::Config`] if the channels of the networks and of `data` differ, or as in [`new`](Self::new).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{Pix2PixConfig, Trainer, device};
    ///
    /// let (mut config, device) = (Pix2PixConfig::paper(), device::cpu());
    /// (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
    /// let generator = config.generator.init_seeded(1, &device);
    /// let discriminator = config.discriminator.init_seeded(2, &device);
    /// let (loss, data, training) = (config.loss, config.data, config.training);
    /// let trainer = Trainer::from_networks(generator, discriminator, loss, data, training, &device)?;
    /// assert_eq!(trainer.config().generator.base_channels, 2);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn from_networks(
        generator: Generator,
        discriminator: Discriminator,
        loss: Pix2PixLossConfig,
        data: DataConfig,
        training: TrainingConfig,
        device: &Device,
    ) -> Result<Self> {
        let config = Pix2PixConfig {
            generator: generator.config().clone(),
            discriminator: discriminator.config().clone(),
            loss,
            data,
            training,
        };
        config.validate()?;
        check_parts(&config, 1)?;
        memory::check(&config, 1, device)?;
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
            ema: config.training.ema_decay.map(|decay| Ema::new(decay, config.training.ema_ramp, &generator)),
            logit_averages: (config.loss.lecam_weight > 0.0)
                .then(|| LogitAverages::new(config.loss.lecam_decay, None)),
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

    /// Also trains on `others`: each batch is divided evenly between them and the trainer's own device, which holds the
    /// networks and the optimisers.
    ///
    /// A step equals one on the whole batch up to rounding, because the gradients are summed on the trainer's device
    /// and all devices have the same weights. There are three exceptions: batch normalisation uses the statistics of
    /// the pairs on each device, the running statistics are those of the first device, and the dropout noise differs.
    /// An interrupted run ends with the same bits if the number of devices stays the same. A device may be listed
    /// twice, or be the trainer's own, but only tests need that.
    ///
    /// `data.batch_size` should be a multiple of the number of devices: a batch of one pair uses only one of them.
    ///
    /// # Errors
    /// [`Error::Device`] if one of the devices computes wrongly; [`Error::Config`] if a term of the objective needs the
    /// whole batch; [`Error::Memory`], as in [`new`](Self::new); [`Error::Argument`] if the threads of the devices cannot
    /// start.
    pub fn with_devices(mut self, others: &[Device]) -> Result<Self> {
        check_parts(&self.config, 1 + others.len())?;
        others.iter().try_for_each(device::check)?;
        memory::check(&self.config, 1 + others.len(), &self.device)?;
        shards::check_threads(others.len(), self.config.data.batch_size)?;
        self.others = others.iter().map(|device| device.clone().without_autodiff()).collect();
        Ok(self)
    }

    /// Computes convolutions on the CPU by their definition if `exact`; see
    /// [`Generator::with_exact_convolutions`]. A checkpoint records it, and a resumed run continues with it.
    #[must_use]
    pub fn with_exact_convolutions(mut self, exact: bool) -> Self {
        let was = self.has_exact_convolutions();
        if self.is_inside_epoch && exact != was {
            self.config_changes.push(format!("exact arithmetic is {exact}, was {was}"));
        }
        self.generator = self.generator.map(|generator| generator.with_exact_convolutions(exact));
        self.discriminator =
            self.discriminator.map(|discriminator| discriminator.with_exact_convolutions(exact));
        self.ema = self.ema.map(|ema| ema.with_exact_convolutions(exact));
        self
    }

    /// Returns whether [`with_exact_convolutions`](Self::with_exact_convolutions) is on.
    pub fn has_exact_convolutions(&self) -> bool {
        self.generator().has_exact_convolutions() && self.discriminator().has_exact_convolutions()
    }

    /// Returns the next epoch to train, or the rest of the one that was interrupted; `None` once all are done.
    pub fn next_epoch(&mut self) -> Option<EpochCursor> {
        let is_rest =
            std::mem::take(&mut self.is_inside_epoch) && self.progress.epoch > 0 && !self.progress.is_closed;
        if !is_rest {
            if self.progress.epoch >= self.epochs() {
                return None;
            }
            self.progress.epoch += 1;
            (self.progress.batch, self.progress.is_closed) = (0, false);
            self.sums = LossSums::default();
        }
        Some(EpochCursor::new(self.progress.epoch, self.seed()).at_batch(self.progress.batch))
    }

    /// Returns the learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate_of(self.progress.step)
    }

    /// Returns the learning rate of a step of the current epoch, counted from 0.
    fn learning_rate_of(&self, step: u64) -> f64 {
        let reductions = self.progress.plateau.reductions;
        schedule::learning_rate(&self.config.training, self.progress.epoch, step, reductions)
    }

    /// Changes the random stream of dropout, order and augmentation from this step on; each non-zero `salt` gives a
    /// different one. Use it to try again after [`Error::Diverged`].
    pub fn reseed(&mut self, salt: u64) {
        self.progress.salt += salt;
    }

    /// Returns the step of the checkpoint with the best metric on the validation pairs, if there is one.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|best| best.step)
    }

    /// Records this step as the best if its metric is better than all before, and counts its epoch for the schedule
    /// `plateau`. NaN never becomes the best.
    fn compare_with_best(&mut self, metrics: &Metrics) {
        let metric = self.config.training.best_by;
        let value = metric.higher_is_better(metrics);
        let is_best = match self.best {
            None => !value.is_nan(),
            Some(best) => best.is_below(value),
        };
        if is_best {
            self.best = Some(Best::new(self.steps(), metric, value));
        }
        if let Schedule::Plateau { patience, .. } = self.config.training.schedule {
            self.progress.plateau.count(value, patience);
        }
    }

    /// Returns the mean losses of the current epoch, over the steps that a [`Run`] has recorded; `None` if it has
    /// recorded none.
    pub fn epoch_means(&self) -> Option<LossValues> {
        self.sums.means()
    }

    /// Returns the number of steps trained so far.
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

    /// Returns the generator with its current weights. Its parameters track gradients, and a clone shares its running
    /// statistics; [`Generator::detached`] returns a copy without either.
    pub fn generator(&self) -> &Generator {
        self.generator.as_ref().expect(LOST)
    }

    /// Consumes the trainer, and returns the generator that is exported, without gradients.
    pub fn into_generator(self) -> Generator {
        self.export_generator().detached()
    }

    /// Returns the generator that is exported, evaluated and shown in samples: the EMA if `training.export_ema` is set.
    pub fn export_generator(&self) -> &Generator {
        match &self.ema {
            Some(ema) if self.config.training.export_ema => ema.generator(),
            _ => self.generator(),
        }
    }

    /// Returns the discriminator with its current weights.
    pub fn discriminator(&self) -> &Discriminator {
        self.discriminator.as_ref().expect(LOST)
    }

    fn networks(&self) -> Networks<'_> {
        (self.generator(), self.discriminator())
    }

    /// Returns the seed of dropout, order and augmentation.
    fn seed(&self) -> u64 {
        let salt = self.progress.salt.wrapping_mul(GOLDEN).rotate_left(32);
        self.config.training.seed.wrapping_add(salt)
    }
}
