//! Checkpoints: a folder with everything a run needs to go on, which appears whole or not at all, and is believed only
//! if its manifest agrees.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;

use super::adam::Adam;
use super::average::Average;
use super::folder::{CHECKPOINTS, DAMAGED, UNFINISHED, name, remove};
use super::lock::Lock;
use super::manifest::{self, Manifest};
use super::state::{Maker, State};
use super::{Trainer, changes, folder};
use crate::config::Pix2PixConfig;
use crate::error::CheckpointProblem;
use crate::report::{self, Extent};
use crate::weights::{self, BEST_FILE, GENERATOR_FILE};
use crate::{Device, Error, Result, files};

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";
const GENERATOR: &str = "generator.bpk";
const DISCRIMINATOR: &str = "discriminator.bpk";
const GENERATOR_OPTIMIZER: &str = "optimizer_g.bpk";
const DISCRIMINATOR_OPTIMIZER: &str = "optimizer_d.bpk";
const AVERAGE: &str = "average.bpk";
/// What every checkpoint has; the average is there only if there is one.
const FILES: [&str; 6] =
    [CONFIG, STATE, GENERATOR, DISCRIMINATOR, GENERATOR_OPTIMIZER, DISCRIMINATOR_OPTIMIZER];

/// The trainer that the newest whole checkpoint of a run holds, with the settings of `config` if there are any; none
/// if nothing was saved.
///
/// Checkpoints that cannot be used are passed over, and the trainer remembers the reasons.
pub(super) fn newest(run: &Path, config: Option<&Pix2PixConfig>, device: &Device) -> Result<Option<Trainer>> {
    let origin = folder::origin(run);
    let mut damaged = Vec::new();
    for folder in folder::all(run)?.into_iter().rev() {
        match load(&folder, origin.as_deref(), config, device) {
            Ok(trainer) => {
                // The weights are sound even where the curves that led to them are not.
                if let Some(extent) = trainer.recorded()
                    && let Err(error) = report::verify(run, extent)
                {
                    damaged.push(Damaged { folder: run.to_owned(), error });
                }
                return Ok(Some(Trainer { damaged, ..trainer }));
            }
            Err(error) if is_of_this_folder(&error) => damaged.push(Damaged { folder, error }),
            Err(error) => return Err(error),
        }
    }
    // With nothing to fall back on, the newest is the one to mend.
    damaged.into_iter().next().map_or(Ok(None), |newest| Err(newest.error))
}

/// Whether another checkpoint may be better: damage, also of the disk, but no lack of permission, which would be
/// mended and then have lost the newest steps.
fn is_of_this_folder(error: &Error) -> bool {
    match error {
        Error::Checkpoint { problem: CheckpointProblem::Corrupt(_), .. } => true,
        Error::Io { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub(super) struct Damaged {
    folder: PathBuf,
    pub(super) error: Error,
}

/// The error for a run without any checkpoint.
pub(super) fn missing(run: &Path) -> Error {
    Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Missing }
}

/// Takes the run's folder for `trainer` alone, for as long as the lock lives, and clears it of what cannot be used.
///
/// A folder whose run is further is refused: its checkpoints would outlive, and win over, the new ones. So is a disk
/// without room for a checkpoint: better now than after the first epochs.
pub(super) fn claim(trainer: &Trainer, run: &Path) -> Result<Lock> {
    fs::create_dir_all(run).map_err(|error| Error::io(run, error))?;
    let lock = Lock::take(run)?;
    let folder = run.join(CHECKPOINTS);
    // A process that was killed while it saved could not clear up.
    for unfinished in folder::entries(&folder, UNFINISHED)? {
        remove(&unfinished)?;
    }
    for Damaged { folder: old, .. } in &trainer.damaged {
        let new = folder.join(format!("{DAMAGED}{}", name(old)));
        if old.starts_with(&folder) && old.exists() {
            if new.exists() {
                remove(&new)?;
            }
            files::rename(old, &new)?;
        }
    }
    let refuse = |problem| Err(Error::Checkpoint { path: run.to_owned(), problem });
    let newest = folder::latest(run)?.and_then(|newest| folder::step(&newest));
    if let Some(steps) = newest.filter(|steps| *steps > trainer.progress.step) {
        return refuse(CheckpointProblem::Further { steps });
    }
    let is_this_run = folder::origin(run).as_ref() == Some(&trainer.origin);
    // A run that stopped before its first checkpoint starts again, but only if the caller asked for that.
    let starts_again = is_this_run && (trainer.steps() > 0 || trainer.own_folder.as_deref() == Some(run));
    if newest.is_none() && !starts_again && folder::has_results(run) {
        return refuse(CheckpointProblem::Results);
    }
    if !is_this_run {
        if newest.is_some() && folder::origin(run).is_some() {
            return refuse(CheckpointProblem::Foreign);
        }
        folder::set_origin(run, &trainer.origin)?;
    }
    prune(trainer, run)?;
    files::require_space(run, bytes(trainer))?;
    Ok(lock)
}

/// About what a save writes before it removes anything: weights, both moments of each, and the exported generator.
fn bytes(trainer: &Trainer) -> u64 {
    let (generator, discriminator) = (trainer.generator().num_params(), trainer.discriminator().num_params());
    let averages = usize::from(trainer.average.is_some());
    4 * (3 * (generator + discriminator) + (1 + averages) * generator) as u64
}

/// Saves into a folder that `claim` has taken: all files first, then the manifest, and the name that counts last.
///
/// `recorded` is how much of the folder's metrics belongs to the checkpoint, where there are any.
pub(super) fn save(trainer: &Trainer, run: &Path, _: &Lock, recorded: Option<Extent>) -> Result<()> {
    let folder = run.join(CHECKPOINTS);
    fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let scratch = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&folder);
    let scratch = scratch.map_err(|error| Error::io(&folder, error))?;
    write(trainer, scratch.path(), recorded)?;

    // These before the checkpoint: when a kill comes between, the run that goes on writes them anew.
    let config = trainer.config.to_json();
    files::write_atomically(&run.join(CONFIG), config.as_bytes())?;
    weights::save(trainer.exported(), &config, &run.join(GENERATOR_FILE))?;
    if trainer.best_step() == Some(trainer.steps()) {
        weights::save(trainer.exported(), &config, &run.join(BEST_FILE))?;
    }

    let [place, replaced] = folder::place(run, trainer.progress.step);
    if place.exists() {
        if replaced.exists() {
            remove(&replaced)?;
        }
        files::rename(&place, &replaced)?;
    }
    files::rename(scratch.path(), &place)?;
    let _ = scratch.keep(); // it has another name now
    files::sync_folder(&folder)?;
    if replaced.exists() {
        remove(&replaced)?;
    }
    prune(trainer, run)
}

/// Removes all checkpoints but the newest and the best.
fn prune(trainer: &Trainer, run: &Path) -> Result<()> {
    let is_best = |path: &&PathBuf| folder::step(path) == trainer.best_step();
    let checkpoints = folder::all(run)?;
    let mut old = checkpoints.iter().rev().skip(trainer.config.training.keep);
    old.try_for_each(|old| if is_best(&old) { Ok(()) } else { remove(old) })
}

/// Writes all files, and the manifest last.
fn write(trainer: &Trainer, folder: &Path, recorded: Option<Extent>) -> Result<()> {
    let mut manifest = Manifest::begin(folder);
    manifest.add(CONFIG, trainer.config.to_json().as_bytes())?;
    let state = State {
        run: trainer.origin.clone(),
        progress: trainer.progress,
        best: trainer.best,
        means: trainer.means.clone(),
        metrics: recorded,
        maker: Maker::this(),
    };
    let state = serde_json::to_vec_pretty(&state).map_err(|error| Error::io(folder, error.into()))?;
    manifest.add(STATE, &state)?;
    manifest.add(GENERATOR, &record(trainer.generator(), folder)?)?;
    manifest.add(DISCRIMINATOR, &record(trainer.discriminator(), folder)?)?;
    for (name, optimizer) in [
        (GENERATOR_OPTIMIZER, &trainer.generator_optimizer),
        (DISCRIMINATOR_OPTIMIZER, &trainer.discriminator_optimizer),
    ] {
        manifest
            .add(name, &optimizer.to_bytes().map_err(|error| Error::io(folder, io::Error::other(error)))?)?;
    }
    if let Some(average) = &trainer.average {
        manifest.add(AVERAGE, &record(average.generator(), folder)?)?;
    }
    manifest.seal()
}

fn record<M: Module>(network: &M, folder: &Path) -> Result<Bytes> {
    network.clone().into_record().into_bytes().map_err(|error| Error::io(folder, io::Error::other(error)))
}

/// The trainer that a checkpoint holds, with the settings of `config` if there are any.
///
/// Refuses the checkpoint of another run or another step, however whole it is: somebody moved it here.
fn load(
    folder: &Path,
    origin: Option<&str>,
    config: Option<&Pix2PixConfig>,
    device: &Device,
) -> Result<Trainer> {
    let names = manifest::verify(folder, &FILES)?;
    let file = |name| folder.join(name);
    let state = fs::read(file(STATE)).map_err(|error| Error::io(&file(STATE), error))?;
    let state: State = serde_json::from_slice(&state).map_err(|error| Error::corrupt(&file(STATE), error))?;
    if folder::step(folder) != Some(state.progress.step) {
        let problem = format!("it is of step {}, not of the step that its folder names", state.progress.step);
        return Err(Error::corrupt(&file(STATE), problem));
    }
    if origin.is_some_and(|origin| origin != state.run) {
        return Err(Error::corrupt(&file(STATE), "it belongs to another run, begun with other settings"));
    }

    let saved = Pix2PixConfig::load(file(CONFIG))?;
    let config = config.unwrap_or(&saved);
    changes::check(config, &saved, state.progress, folder)?;
    let mut trainer = Trainer::new(config.clone(), device)?;
    trainer.changes = changes::list(config, &saved);
    trainer.changes.extend(state.maker.changes());
    trainer.generator = Some(read_network(trainer.generator().clone(), &file(GENERATOR))?);
    trainer.discriminator = Some(read_network(trainer.discriminator().clone(), &file(DISCRIMINATOR))?);
    let device = &trainer.device; // the plain one, whichever was given
    let was_updated = state.progress.step > 0;
    trainer.generator_optimizer = Adam::new(&trainer.config.training).load(
        &file(GENERATOR_OPTIMIZER),
        trainer.generator(),
        was_updated,
        device,
    )?;
    trainer.discriminator_optimizer = Adam::new(&trainer.config.training).load(
        &file(DISCRIMINATOR_OPTIMIZER),
        trainer.discriminator(),
        was_updated && trainer.loss.is_adversarial(),
        device,
    )?;
    trainer.average = match (trainer.config.training.ema_decay, names.iter().any(|name| name == AVERAGE)) {
        // An average that is asked for now begins with what there is now.
        (Some(decay), false) => Some(Average::new(decay, trainer.generator())),
        (Some(decay), true) => {
            let generator = read_network(trainer.generator().valid(), &file(AVERAGE))?;
            Some(Average::new(decay, &generator))
        }
        (None, _) => None,
    };
    trainer.best = state.best.filter(|best| best.metric == trainer.config.training.best_by);
    trainer.recorded = state.metrics.map(|extent| (state.progress.step, extent));
    (trainer.progress, trainer.means, trainer.origin) = (state.progress, state.means, state.run);
    trainer.is_resumed = true;
    Ok(trainer)
}

fn read_network<M: Module>(network: M, path: &Path) -> Result<M> {
    let record = ModuleRecord::load(path).map_err(|error| Error::corrupt(path, error))?;
    network.try_load_record(record).map_err(|error| Error::corrupt(path, error))
}
