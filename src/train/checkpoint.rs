//! Checkpoints: a folder with everything a run needs to go on, which appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::ModuleRecord;
use serde::{Deserialize, Serialize};

use super::Trainer;
use crate::config::Pix2PixConfig;
use crate::error::CheckpointProblem;
use crate::weights::{self, GENERATOR_FILE};
use crate::{Device, Error, Result};

/// The version of the folder's contents.
const FORMAT: u64 = 1;

/// Checkpoints that stay; the older ones go once a newer one is complete.
const KEPT: usize = 2;

const CONFIG: &str = "config.json";
const STATE: &str = "state.json";
const GENERATOR: &str = "generator.bpk";
const DISCRIMINATOR: &str = "discriminator.bpk";
const GENERATOR_OPTIMIZER: &str = "optimizer_g.bpk";
const DISCRIMINATOR_OPTIMIZER: &str = "optimizer_d.bpk";

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The epoch in progress, counted from 1; 0 before the first.
    pub(super) epoch: usize,
    /// Batches of it that are done.
    pub(super) batch: usize,
    /// Batches of the whole run that are done.
    pub(super) step: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    format: u64,
    #[serde(flatten)]
    progress: Progress,
}

/// The newest checkpoint of a run.
pub(super) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(all(run)?.pop())
}

/// The error for a run without any checkpoint.
pub(super) fn missing(run: &Path) -> Error {
    Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Missing }
}

/// All checkpoints of a run, oldest first.
fn all(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = run.join("checkpoints");
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))? {
        let path = entry.map_err(|error| Error::io(&folder, error))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Refuses a folder whose run is further than `step`: its checkpoints would outlive, and win over, the new ones.
pub(super) fn refuse_further(run: &Path, step: u64) -> Result<()> {
    let Some(newest) = latest(run)? else { return Ok(()) };
    let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.trim_start_matches("step-").parse() {
        Ok(steps) if steps > step => {
            Err(Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Further { steps } })
        }
        _ => Ok(()),
    }
}

pub(super) fn save(trainer: &Trainer, run: &Path) -> Result<()> {
    refuse_further(run, trainer.progress.step)?;
    let folder = run.join("checkpoints");
    fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    let scratch = tempfile::Builder::new().prefix(".saving-").tempdir_in(&folder);
    let scratch = scratch.map_err(|error| Error::io(&folder, error))?;
    write(trainer, scratch.path())?;

    let place = folder.join(format!("step-{:09}", trainer.progress.step));
    if place.exists() {
        fs::remove_dir_all(&place).map_err(|error| Error::io(&place, error))?;
    }
    fs::rename(scratch.path(), &place).map_err(|error| Error::io(&place, error))?;
    let _ = scratch.keep(); // it has another name now

    let config = trainer.config.to_json();
    crate::files::write_atomically(&run.join(CONFIG), config.as_bytes())?;
    weights::save(trainer.generator(), &config, &run.join(GENERATOR_FILE))?;
    let checkpoints = all(run)?;
    for old in checkpoints.iter().rev().skip(KEPT) {
        fs::remove_dir_all(old).map_err(|error| Error::io(old, error))?;
    }
    Ok(())
}

fn write(trainer: &Trainer, folder: &Path) -> Result<()> {
    let file = |name| folder.join(name);
    trainer.config.save(file(CONFIG))?;
    let state = State { format: FORMAT, progress: trainer.progress };
    let state = serde_json::to_vec_pretty(&state).map_err(|error| Error::corrupt(folder, error))?;
    crate::files::write_atomically(&file(STATE), &state)?;
    write_network(trainer.generator().clone(), &file(GENERATOR))?;
    write_network(trainer.discriminator().clone(), &file(DISCRIMINATOR))?;
    trainer.generator_optimizer.save(&file(GENERATOR_OPTIMIZER))?;
    trainer.discriminator_optimizer.save(&file(DISCRIMINATOR_OPTIMIZER))
}

fn write_network<M: Module>(network: M, path: &Path) -> Result<()> {
    network.into_record().save(path).map_err(|error| Error::io(path, std::io::Error::other(error)))
}

/// The trainer that a checkpoint holds, with the settings of `config` if there is one.
pub(super) fn load(folder: &Path, config: Option<Pix2PixConfig>, device: &Device) -> Result<Trainer> {
    let file = |name| folder.join(name);
    let state = fs::read(file(STATE)).map_err(|error| Error::io(&file(STATE), error))?;
    let format: serde_json::Value =
        serde_json::from_slice(&state).map_err(|error| Error::corrupt(&file(STATE), error))?;
    let found = format["format"].as_u64().unwrap_or_default();
    if found != FORMAT {
        let problem = CheckpointProblem::Version { found, supported: FORMAT };
        return Err(Error::Checkpoint { path: file(STATE), problem });
    }
    let state: State = serde_json::from_slice(&state).map_err(|error| Error::corrupt(&file(STATE), error))?;

    let saved = Pix2PixConfig::load(file(CONFIG))?;
    let config = match config {
        Some(config) => same_run(config, &saved, state.progress, folder)?,
        None => saved,
    };
    let mut trainer = Trainer::new(config, device)?;
    trainer.generator = Some(read_network(trainer.generator().clone(), &file(GENERATOR))?);
    trainer.discriminator = Some(read_network(trainer.discriminator().clone(), &file(DISCRIMINATOR))?);
    let device = &trainer.device; // the plain one, whichever was given
    trainer.generator_optimizer = trainer.generator_optimizer.load(&file(GENERATOR_OPTIMIZER), device)?;
    trainer.discriminator_optimizer =
        trainer.discriminator_optimizer.load(&file(DISCRIMINATOR_OPTIMIZER), device)?;
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
