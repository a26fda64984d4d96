//! The contents of a checkpoint as a value, and the files that hold them.

use std::io;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::loss_sums::LossSums;
use super::lossless_f64::LosslessF64;
use super::manifest::{self, Manifest};
use super::state::{Best, Progress, Provenance, State};
use super::{compat, layout, network};
use crate::config::Pix2PixConfig;
use crate::discriminator::Discriminator;
use crate::error::{CheckpointProblem, Error, Result};
use crate::files::{self, MAX_TEXT};
use crate::generator::Generator;
use crate::optim::Adam;
use crate::report::LogPosition;
use crate::transfer::{read_back, upload};

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";
pub(super) const GENERATOR: &str = "generator.bpk";
pub(super) const DISCRIMINATOR: &str = "discriminator.bpk";
const GENERATOR_OPTIMIZER: &str = "optimizer_g.bpk";
const DISCRIMINATOR_OPTIMIZER: &str = "optimizer_d.bpk";
pub(super) const EMA: &str = "average.bpk";
/// The files of every checkpoint. A run with an EMA adds [`EMA`].
const FILES: [&str; 6] =
    [CONFIG, STATE, GENERATOR, DISCRIMINATOR, GENERATOR_OPTIMIZER, DISCRIMINATOR_OPTIMIZER];

/// The state of a run at one step. Its tensors are shared with the trainer, not copied.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: Pix2PixConfig,
    /// The id of the run: see [`run_id`](super::run_id).
    pub(crate) run_id: String,
    pub(crate) progress: Progress,
    pub(crate) best: Option<Best>,
    pub(crate) sums: LossSums,
    /// The position in `metrics.jsonl` that belongs to the step, if it is known.
    pub(crate) log: Option<LogPosition>,
    pub(crate) generator: Generator,
    pub(crate) discriminator: Discriminator,
    pub(crate) generator_optimizer: Adam,
    pub(crate) discriminator_optimizer: Adam,
    pub(crate) ema: Option<Generator>,
    /// The averages of the discriminator's logits on real and on generated pairs, `[1]` each, with LeCam regularisation.
    pub(crate) logit_averages: Option<[Tensor<1>; 2]>,
}

impl Snapshot {
    /// Returns the generator that is exported: the EMA if `training.export_ema` is set.
    pub(crate) fn export_generator(&self) -> &Generator {
        match &self.ema {
            Some(ema) if self.config.training.export_ema => ema,
            _ => &self.generator,
        }
    }

    /// Returns the step of the best checkpoint.
    pub(super) fn best_step(&self) -> Option<u64> {
        self.best.map(|best| best.step)
    }

    /// Estimates the bytes that a save writes at most before it removes older files: the weights, two moments for each,
    /// the EMA, and the exported generator twice, as the newest and as the best.
    pub(crate) fn bytes(&self) -> u64 {
        let (generator, discriminator) = (self.generator.num_params(), self.discriminator.num_params());
        let emas = usize::from(self.ema.is_some());
        4 * (3 * (generator + discriminator) + (2 + emas) * generator) as u64
    }

    /// Writes all files into an empty folder, and the manifest last.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let mut manifest = Manifest::begin(folder);
        manifest.add(CONFIG, self.config.to_json().as_bytes())?;
        let state = State {
            run_id: self.run_id.clone(),
            progress: self.progress,
            best: self.best,
            sums: self.sums.clone(),
            log: self.log,
            logit_averages: self.logit_averages.clone().map(read).transpose()?,
            provenance: Provenance::of(self.generator.has_exact_convolutions()),
        };
        let state = serde_json::to_vec_pretty(&state).map_err(|error| Error::io(folder, error.into()))?;
        manifest.add(STATE, &state)?;
        manifest.add_packed(GENERATOR, &network::packed(&self.generator, folder)?)?;
        manifest.add_packed(DISCRIMINATOR, &network::packed(&self.discriminator, folder)?)?;
        manifest.add_packed(GENERATOR_OPTIMIZER, &self.generator_optimizer.packed(folder)?)?;
        manifest.add_packed(DISCRIMINATOR_OPTIMIZER, &self.discriminator_optimizer.packed(folder)?)?;
        if let Some(ema) = &self.ema {
            manifest.add_packed(EMA, &network::packed(ema, folder)?)?;
        }
        manifest.seal()
    }

    /// Reads the checkpoint in `folder`, with the settings of `config` instead of the saved ones if given, and lists
    /// the differences from the saved settings.
    ///
    /// Refuses a checkpoint that was moved here: one of another step than its name says, or of another run than
    /// `run_id`.
    pub(super) fn read(
        folder: &Path,
        run_id: Option<&str>,
        config: Option<&Pix2PixConfig>,
        device: &Device,
    ) -> Result<(Self, Vec<String>)> {
        let (state, saved, names) = read_start(folder, run_id)?;
        let mut config = config.unwrap_or(&saved).clone();
        // A fact about the data, which training records again: not a setting that could differ.
        config.data.image_size = config.data.image_size.or(saved.data.image_size);
        let changes = compat::check(&config, &saved, state.progress.is_inside_epoch(), folder)?;
        config.validate()?;
        crate::device::check(device)?;
        let changes = changes.into_iter().chain(state.provenance.changes()).collect();
        let has_ema = config.training.ema_decay.is_some() && names.iter().any(|name| name == EMA);
        Ok((Self::restore(folder, config, state, has_ema, device)?, changes))
    }

    /// Reads the networks, the optimisers and the EMA, if there is one, of the checkpoint in `folder`.
    fn restore(
        folder: &Path,
        config: Pix2PixConfig,
        state: State,
        has_ema: bool,
        device: &Device,
    ) -> Result<Self> {
        let file = |name| folder.join(name);
        let device = device.clone().without_autodiff();
        let training = device.clone().autodiff();
        let exact = state.provenance.exact();
        let generator = config.generator.init_seeded(0, &training).with_exact_convolutions(exact);
        let generator = network::load(generator, &file(GENERATOR))?;
        let discriminator = config.discriminator.init_seeded(0, &training).with_exact_convolutions(exact);
        let discriminator = network::load(discriminator, &file(DISCRIMINATOR))?;
        let was_updated = state.progress.step > 0;
        let new = || Adam::new(&config.training);
        let generator_optimizer = new().load(&file(GENERATOR_OPTIMIZER), &generator, was_updated, &device)?;
        let was_updated = was_updated && config.loss.gan_weight > 0.0;
        let discriminator_optimizer =
            new().load(&file(DISCRIMINATOR_OPTIMIZER), &discriminator, was_updated, &device)?;
        let ema = has_ema.then(|| network::load(generator.valid(), &file(EMA))).transpose()?;
        Ok(Self {
            best: state.best.filter(|best| best.is_by(config.training.best_by)),
            config,
            run_id: state.run_id,
            progress: state.progress,
            sums: state.sums,
            log: state.log,
            generator,
            discriminator,
            generator_optimizer,
            discriminator_optimizer,
            ema,
            logit_averages: state
                .logit_averages
                .map(|values| values.map(|value| upload(vec![value.0 as f32], [1], &device))),
        })
    }
}

/// Reads the averages of logits back.
fn read(averages: [Tensor<1>; 2]) -> Result<[LosslessF64; 2]> {
    let values = read_back(Tensor::cat(averages.into(), 0))?;
    Ok([0, 1].map(|index| LosslessF64(f64::from(values[index]))))
}

/// Verifies all files of the checkpoint in `folder`, of the run `run_id` if that is known, and reads its state and its
/// configuration. Also returns the names of its files.
pub(super) fn read_start(folder: &Path, run_id: Option<&str>) -> Result<(State, Pix2PixConfig, Vec<String>)> {
    let names = manifest::verify(folder, &FILES)?;
    Ok((read_state(folder, run_id)?, Pix2PixConfig::load(folder.join(CONFIG))?, names))
}

/// Reads `state.json`, and checks that its step is that of the folder's name, and its run is `run_id` if that is known.
fn read_state(folder: &Path, run_id: Option<&str>) -> Result<State> {
    let path = folder.join(STATE);
    let state = files::read(&path, MAX_TEXT).map_err(|error| Error::io(&path, error))?;
    let state: State = serde_json::from_slice(&state).map_err(|error| Error::corrupt(&path, error))?;
    let misplaced =
        |problem| Error::Checkpoint { path: path.clone(), problem: CheckpointProblem::Misplaced(problem) };
    if layout::step(folder) != Some(state.progress.step) {
        let step = state.progress.step;
        return Err(misplaced(format!(
            "it is of step {step}, but its folder names another step; rename the folder"
        )));
    }
    if let Some(run_id) = run_id.filter(|run_id| *run_id != state.run_id) {
        return Err(misplaced(format!(
            "it belongs to another run, {}, started with other settings, and the file .run names the run {run_id}; if \
             all checkpoints here are of one run, remove .run, otherwise move this checkpoint to its run",
            state.run_id
        )));
    }
    Ok(state)
}

/// Returns whether to try an earlier checkpoint: for damage and for errors of the disk, but not without permission to
/// read. In that case the checkpoint is intact, and its newest steps would be lost.
pub(super) fn concerns_this_checkpoint(error: &Error) -> bool {
    match error {
        Error::Checkpoint {
            problem: CheckpointProblem::Corrupt(_) | CheckpointProblem::Misplaced(_),
            ..
        } => true,
        Error::Io { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// Returns the error for a run without a checkpoint.
pub(crate) fn missing(run: &Path) -> Error {
    Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Missing }
}
