//! Training: the one place where both networks meet.

mod adam;
mod advice;
mod average;
mod changes;
mod checkpoint;
mod evaluate;
mod exact;
mod facts;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod faults;
mod fit;
mod folder;
mod gradients;
mod lock;
mod losses;
mod manifest;
mod means;
mod sanity;
mod schedule;
mod state;
mod step;

use std::path::Path;

use burn::module::Module;

pub use advice::Advice;
pub use fit::Event;
pub use losses::{LossValues, Losses};

use crate::config::{Pix2PixConfig, TrainingConfig};
use crate::data::{DataConfig, Epoch};
use crate::report::{self, Extent};
use crate::{Device, Discriminator, Error, Generator, Pix2PixLoss, Pix2PixLossConfig, Result, device};
use adam::Adam;
use average::Average;
use checkpoint::Damaged;
use means::Means;
use sanity::Sanity;
use state::{Best, Progress};

/// Trains a generator against a discriminator, one batch at a time (Isola et al. 2017, section 3.3).
///
/// Two Adams take turns: first the discriminator learns to tell real pairs from fake ones, then the generator learns
/// to fool it and to match the target. The networks live on the device that you name; gradients are no concern of
/// yours.
#[derive(Debug)]
pub struct Trainer {
    config: Pix2PixConfig,
    loss: Pix2PixLoss,
    // Absent only while their optimiser moves them: it works in place on what nobody else holds.
    generator: Option<Generator>,
    discriminator: Option<Discriminator>,
    generator_optimizer: Adam,
    discriminator_optimizer: Adam,
    average: Option<Average>,
    progress: Progress,
    means: Means,
    best: Option<Best>,
    // The step, and what was recorded then.
    recorded: Option<(u64, Extent)>,
    // Which run it is, by the settings that it began with.
    origin: String,
    is_resumed: bool,
    damaged: Vec<Damaged>,
    changes: Vec<String>,
    device: Device,
    // That share each batch with `device`.
    others: Vec<Device>,
}

impl Trainer {
    /// A trainer with new networks; their weights are a function of the configuration's seed.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is out of range; [`Error::Device`] if the device computes wrongly.
    pub fn new(config: Pix2PixConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        device::check(device)?;
        let device = device.clone().without_autodiff();
        let training = device.clone().autodiff();
        let seed = config.training.seed;
        let generator = config.generator.init_seeded(seed, &training);
        Ok(Self {
            loss: config.loss.init(),
            average: config.training.ema_decay.map(|decay| Average::new(decay, &generator)),
            generator: Some(generator),
            discriminator: Some(config.discriminator.init_seeded(seed ^ 1, &training)),
            generator_optimizer: Adam::new(&config.training),
            discriminator_optimizer: Adam::new(&config.training),
            progress: Progress::default(),
            means: Means::default(),
            best: None,
            recorded: None,
            origin: state::origin(&config),
            is_resumed: false,
            damaged: vec![],
            changes: vec![],
            config,
            device,
            others: vec![],
        })
    }

    /// Creates a trainer that begins with the given networks, for instance imported ones.
    ///
    /// # Errors
    /// [`Error::Config`] if the channels of the networks and of `data` differ, or as [`new`](Self::new).
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
        let mut trainer = Self::new(config, device)?;
        let generator = trainable(generator, &trainer.device);
        trainer.average = trainer.config.training.ema_decay.map(|decay| Average::new(decay, &generator));
        trainer.generator = Some(generator);
        trainer.discriminator = Some(trainable(discriminator, &trainer.device));
        Ok(trainer)
    }

    /// Goes on where the run in folder `run` was saved last, or starts afresh if nothing was.
    ///
    /// The training and data settings are those of `config`, so that a run can be prolonged; [`changes`](Self::changes)
    /// lists those that differ. A damaged checkpoint is passed over for the one before it; [`damaged`](Self::damaged)
    /// tells.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if networks, loss, direction or seed differ from the saved ones, an average is to be
    /// dropped, or no checkpoint is whole; [`Error::Config`] or [`Error::Device`], as [`new`](Self::new).
    pub fn resume_or_new(run: impl AsRef<Path>, config: Pix2PixConfig, device: &Device) -> Result<Self> {
        match checkpoint::newest(run.as_ref(), Some(&config), device)? {
            Some(trainer) => Ok(trainer),
            None => Self::new(config, device),
        }
    }

    /// Goes on where the run in folder `run` was saved last, with its own settings.
    ///
    /// A damaged checkpoint is passed over for the one before it; [`damaged`](Self::damaged) tells.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no checkpoint, or none that is whole; [`Error::Device`], as [`new`](Self::new).
    pub fn resume(run: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let run = run.as_ref();
        checkpoint::newest(run, None, device)?.ok_or_else(|| checkpoint::missing(run))
    }

    /// Trains on `others`, too, from now on: each batch is shared out evenly between the trainer's own device, which
    /// keeps networks and optimisers, and these.
    ///
    /// Each step is that of the whole batch, to rounding: the gradients are added up on the trainer's device, and every
    /// device computes with the same weights. But batch normalisation sees one share at a time, running statistics
    /// are those of the first, and dropout has other noise. A run ends with the same bits however it was interrupted if
    /// the number of devices stays. A device may be named twice, or be the trainer's own, which only helps to test.
    ///
    /// `data.batch_size` should be a multiple of the number of devices: a batch of one occupies one of them.
    ///
    /// # Panics
    /// If one of the devices computes wrongly; [`device::check`] says so politely.
    pub fn also_on(mut self, others: &[Device]) -> Self {
        if let Some(error) = others.iter().find_map(|other| device::check(other).err()) {
            panic!("{error}");
        }
        self.others = others.iter().map(|device| device.clone().without_autodiff()).collect();
        self
    }

    /// Why checkpoints newer than this trainer's could not be used, newest first, and whether `metrics.jsonl` is not
    /// what it was; each error names the file.
    ///
    /// Empty unless [`resume`](Self::resume) found damage. The first save renames the checkpoints to `damaged-…`.
    pub fn damaged(&self) -> impl Iterator<Item = &Error> {
        self.damaged.iter().map(|damaged| &damaged.error)
    }

    /// What differs from what the checkpoint was saved with, such as `training.clip_norm is none, was 1`: settings,
    /// the crate's version, exact arithmetic. Empty in a new run.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// Saves everything that [`resume`](Self::resume) needs, and the generator alone as `generator.safetensors`.
    ///
    /// The checkpoint appears whole or not at all; those before it are kept, as many as `training.keep` says.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written or its disk has no room; [`Error::Checkpoint`] if another process
    /// trains in it, or another run lies there, or one that is further; [`Error::Diverged`] if a weight is NaN or
    /// infinite.
    pub fn save(&self, run: impl AsRef<Path>) -> Result<()> {
        let run = run.as_ref();
        let lock = checkpoint::claim(self, run)?;
        Sanity::default().check_weights(self, run)?;
        // Another folder has other metrics, or none.
        let recorded = self.recorded().filter(|extent| report::verify(run, *extent).is_ok());
        checkpoint::save(self, run, &lock, recorded)
    }

    /// The next epoch to train, or the rest of the one that was interrupted; `None` once all are done.
    pub fn next_epoch(&mut self) -> Option<Epoch> {
        let goes_on = std::mem::take(&mut self.is_resumed) && self.progress.epoch > 0;
        if !goes_on {
            if self.progress.epoch >= self.epochs() {
                return None;
            }
            self.progress.epoch += 1;
            self.progress.batch = 0;
            self.means = Means::default();
        }
        Some(Epoch { number: self.progress.epoch, seed: self.seed(), first_batch: self.progress.batch })
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        schedule::learning_rate(&self.config.training, self.progress.epoch, self.progress.step)
    }

    /// Leaves the path that led here: noise, order and augmentation differ from now on, with every `number` above 0 in
    /// another way. For a second try after [`Error::Diverged`].
    pub fn detour(&mut self, number: u64) {
        self.progress.detours += number;
    }

    /// The step of the checkpoint with the best score on the validation pairs, if [`fit`](Self::fit) had any.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|best| best.step)
    }

    /// Batches trained so far.
    pub fn steps(&self) -> u64 {
        self.progress.step
    }

    /// The epochs of the whole run.
    pub fn epochs(&self) -> usize {
        self.config.training.epochs + self.config.training.decay_epochs
    }

    /// The configuration.
    pub fn config(&self) -> &Pix2PixConfig {
        &self.config
    }

    /// The generator as it stands. Its parameters track gradients, and a clone shares its running statistics;
    /// [`Generator::detached`] gives a copy without either.
    pub fn generator(&self) -> &Generator {
        self.generator.as_ref().expect("present between updates")
    }

    /// Returns the generator that is exported, and gives up the rest of the trainer.
    pub fn into_generator(self) -> Generator {
        self.exported().detached()
    }

    /// The generator that is exported, scored and shown: the average of its weights if `training.export_ema` says so.
    pub fn exported(&self) -> &Generator {
        match &self.average {
            Some(average) if self.config.training.export_ema => average.generator(),
            _ => self.generator(),
        }
    }

    /// The discriminator as it stands.
    pub fn discriminator(&self) -> &Discriminator {
        self.discriminator.as_ref().expect("present between updates")
    }

    /// How much was recorded when this step was done.
    fn recorded(&self) -> Option<Extent> {
        self.recorded.filter(|(step, _)| *step == self.progress.step).map(|(_, extent)| extent)
    }

    /// The seed of noise, order and augmentation.
    fn seed(&self) -> u64 {
        let detour = self.progress.detours.wrapping_mul(step::GOLDEN).rotate_left(32);
        self.config.training.seed.wrapping_add(detour)
    }
}

/// The network with gradients enabled, on `device`.
fn trainable<M: Module>(network: M, device: &Device) -> M {
    network.fork(&device.clone().autodiff()).train().set_require_grad(true)
}
