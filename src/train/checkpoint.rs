//! Checkpoints: a folder with everything a run needs to go on, which appears whole or not at all, and is believed only
//! if its manifest agrees.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use serde::{Deserialize, Serialize};

use super::Trainer;
use super::average::Average;
use super::lock::Lock;
use super::manifest::{self, Manifest};
use crate::config::Pix2PixConfig;
use crate::error::CheckpointProblem;
use crate::metrics::Metric;
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

/// How the names of checkpoints begin, of those that a save has not completed, and of those found damaged.
const COMPLETE: &str = "step-";
const UNFINISHED: &str = ".saving-";
const DAMAGED: &str = "damaged-";
/// How the name of one ends whose place another is about to take.
const REPLACED: &str = "-replaced";

const CHECKPOINTS: &str = "checkpoints";

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The epoch in progress, counted from 1; 0 before the first.
    pub(super) epoch: usize,
    /// Batches of it that are done.
    pub(super) batch: usize,
    /// Batches of the whole run that are done.
    pub(super) step: u64,
    /// How often the run left its path; see [`Trainer::detour`].
    #[serde(default)]
    pub(super) detours: u64,
}

/// The checkpoint with the best score so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) step: u64,
    pub(super) metric: Metric,
    /// Higher for better pictures.
    pub(super) merit: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    progress: Progress,
    best: Option<Best>,
}

/// The trainer that the newest whole checkpoint of a run holds, with the settings of `config` if there are any; none
/// if nothing was saved.
///
/// Checkpoints that turn out damaged are passed over, and the trainer remembers the reasons.
pub(super) fn newest(run: &Path, config: Option<&Pix2PixConfig>, device: &Device) -> Result<Option<Trainer>> {
    let mut damaged = Vec::new();
    for folder in all(run)?.into_iter().rev() {
        match load(&folder, config, device) {
            Ok(trainer) => return Ok(Some(Trainer { damaged, ..trainer })),
            Err(error @ Error::Checkpoint { problem: CheckpointProblem::Corrupt(_), .. }) => {
                damaged.push(Damaged { folder, error });
            }
            Err(error) => return Err(error),
        }
    }
    // With nothing to fall back on, the newest is the one to mend.
    damaged.into_iter().next().map_or(Ok(None), |newest| Err(newest.error))
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub(super) struct Damaged {
    folder: PathBuf,
    pub(super) error: Error,
}

/// The checkpoint to go back to.
pub(super) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(all(run)?.pop())
}

/// The error for a run without any checkpoint.
pub(super) fn missing(run: &Path) -> Error {
    Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Missing }
}

/// All complete checkpoints of a run, oldest first.
fn all(run: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(&run.join(CHECKPOINTS), COMPLETE)?;
    // Where a kill left both, the one that was to be replaced comes first.
    found.sort_by_key(|path| (steps(path), !name(path).ends_with(REPLACED)));
    Ok(found)
}

/// What lies in `folder`, if it is there, under names that begin with `prefix`.
fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        if name(&path).starts_with(prefix) {
            found.push(path);
        }
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The step in a checkpoint's name; 0 in a name that we did not give.
fn steps(path: &Path) -> u64 {
    name(path).trim_start_matches(COMPLETE).trim_end_matches(REPLACED).parse().unwrap_or_default()
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
    for unfinished in entries(&folder, UNFINISHED)? {
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
    match all(run)?.last().map(|newest| steps(newest)) {
        Some(steps) if steps > trainer.progress.step => {
            Err(Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Further { steps } })
        }
        _ => {
            prune(trainer, run)?;
            files::require_space(run, bytes(trainer))?;
            Ok(lock)
        }
    }
}

/// About what a save writes before it removes anything: weights, both moments of each, and the exported generator.
fn bytes(trainer: &Trainer) -> u64 {
    let (generator, discriminator) = (trainer.generator().num_params(), trainer.discriminator().num_params());
    let averages = usize::from(trainer.average.is_some());
    4 * (3 * (generator + discriminator) + (1 + averages) * generator) as u64
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Saves into a folder that `claim` has taken: all files first, then the manifest, and the name that counts last.
pub(super) fn save(trainer: &Trainer, run: &Path, _: &Lock) -> Result<()> {
    let folder = run.join(CHECKPOINTS);
    fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let scratch = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&folder);
    let scratch = scratch.map_err(|error| Error::io(&folder, error))?;
    write(trainer, scratch.path())?;

    // These before the checkpoint: when a kill comes between, the run that goes on writes them anew.
    let config = trainer.config.to_json();
    files::write_atomically(&run.join(CONFIG), config.as_bytes())?;
    weights::save(trainer.exported(), &config, &run.join(GENERATOR_FILE))?;
    if trainer.best_step() == Some(trainer.steps()) {
        weights::save(trainer.exported(), &config, &run.join(BEST_FILE))?;
    }

    let place = folder.join(format!("{COMPLETE}{:09}", trainer.progress.step));
    let replaced = folder.join(format!("{}{REPLACED}", name(&place)));
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
    let is_best = |path: &&PathBuf| trainer.best_step() == Some(steps(path));
    let checkpoints = all(run)?;
    let mut old = checkpoints.iter().rev().skip(trainer.config.training.keep);
    old.try_for_each(|old| if is_best(&old) { Ok(()) } else { remove(old) })
}

/// Writes all files, and the manifest last.
fn write(trainer: &Trainer, folder: &Path) -> Result<()> {
    let mut manifest = Manifest::begin(folder);
    manifest.add(CONFIG, trainer.config.to_json().as_bytes())?;
    let state = State { progress: trainer.progress, best: trainer.best };
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
fn load(folder: &Path, config: Option<&Pix2PixConfig>, device: &Device) -> Result<Trainer> {
    let names = manifest::verify(folder, &FILES)?;
    let file = |name| folder.join(name);
    let state = fs::read(file(STATE)).map_err(|error| Error::io(&file(STATE), error))?;
    let state: State = serde_json::from_slice(&state).map_err(|error| Error::corrupt(&file(STATE), error))?;

    let saved = Pix2PixConfig::load(file(CONFIG))?;
    let config = match config {
        Some(config) => same_run(config.clone(), &saved, state.progress, folder)?,
        None => saved,
    };
    let mut trainer = Trainer::new(config, device)?;
    trainer.generator = Some(read_network(trainer.generator().clone(), &file(GENERATOR))?);
    trainer.discriminator = Some(read_network(trainer.discriminator().clone(), &file(DISCRIMINATOR))?);
    let device = &trainer.device; // the plain one, whichever was given
    trainer.generator_optimizer = trainer.generator_optimizer.load(&file(GENERATOR_OPTIMIZER), device)?;
    trainer.discriminator_optimizer =
        trainer.discriminator_optimizer.load(&file(DISCRIMINATOR_OPTIMIZER), device)?;
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
    trainer.progress = state.progress;
    trainer.is_resumed = true;
    Ok(trainer)
}

fn same_run(
    config: Pix2PixConfig,
    saved: &Pix2PixConfig,
    progress: Progress,
    folder: &Path,
) -> Result<Pix2PixConfig> {
    let is_inside_epoch = progress.batch > 0;
    let differing = [
        ("generator", config.generator != saved.generator),
        ("discriminator", config.discriminator != saved.discriminator),
        ("loss", config.loss != saved.loss),
        ("data.direction", config.data.direction != saved.data.direction),
        ("training.seed", config.training.seed != saved.training.seed),
        // What is left of an epoch is counted in batches.
        ("data.batch_size", is_inside_epoch && config.data.batch_size != saved.data.batch_size),
    ];
    match differing.iter().find(|(_, differs)| *differs) {
        Some((field, _)) => {
            let problem = CheckpointProblem::Mismatch { field };
            Err(Error::Checkpoint { path: folder.to_owned(), problem })
        }
        None => Ok(config),
    }
}

fn read_network<M: Module>(network: M, path: &Path) -> Result<M> {
    let record = ModuleRecord::load(path).map_err(|error| Error::corrupt(path, error))?;
    network.try_load_record(record).map_err(|error| Error::corrupt(path, error))
}
