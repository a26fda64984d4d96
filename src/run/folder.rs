//! Locks a run folder, saves checkpoints in it, and finds the newest intact one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::tensor::Device;

use super::layout::{self, CHECKPOINTS, SKIPPED, UNFINISHED};
use super::lock::Lock;
use super::snapshot::Snapshot;
use crate::config::Pix2PixConfig;
use crate::discriminator::Discriminator;
use crate::error::{CheckpointProblem, Error, Result};
use crate::weights::{self, BEST_FILE, GENERATOR_FILE};
use crate::{files, report};

/// The file with a run's settings. The crate does not read it.
const CONFIG: &str = "config.json";

/// A checkpoint that could not be read.
#[derive(Debug)]
pub(crate) struct Skipped {
    folder: PathBuf,
    pub(crate) error: Error,
}

/// The newest intact checkpoint of a run.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) snapshot: Snapshot,
    /// The settings that differ from the saved ones.
    pub(crate) changes: Vec<String>,
    /// The newer checkpoints that could not be read, newest first, and a damaged `metrics.jsonl`.
    pub(crate) skipped: Vec<Skipped>,
}

/// Reads the newest intact checkpoint of a run, with the settings of `config` instead of the saved ones if given;
/// `None` if there is no checkpoint.
pub(crate) fn newest(run: &Path, config: Option<&Pix2PixConfig>, device: &Device) -> Result<Option<Found>> {
    let run_id = layout::run_id(run)?;
    let mut skipped = Vec::new();
    for folder in layout::checkpoints(run)?.into_iter().rev() {
        match Snapshot::read(&folder, run_id.as_deref(), config, device) {
            Ok((snapshot, changes)) => {
                // A damaged log does not make the weights unusable.
                if let Some(position) = snapshot.log
                    && let Err(error) = report::verify(run, position)
                {
                    skipped.push(Skipped { folder: run.to_owned(), error });
                }
                return Ok(Some(Found { snapshot, changes, skipped }));
            }
            Err(error) if concerns_this_checkpoint(&error) => skipped.push(Skipped { folder, error }),
            Err(error) => return Err(error),
        }
    }
    // If none is intact, the error is that of the newest.
    skipped.into_iter().next().map_or(Ok(None), |newest| Err(newest.error))
}

/// Reads the discriminator of a run's newest intact checkpoint.
pub(crate) fn discriminator(run: &Path, device: &Device) -> Result<Discriminator> {
    let run_id = layout::run_id(run)?;
    let mut newest = None;
    for folder in layout::checkpoints(run)?.into_iter().rev() {
        match Snapshot::read_discriminator(&folder, run_id.as_deref(), device) {
            Err(error) if concerns_this_checkpoint(&error) => newest = newest.or(Some(error)),
            read => return read,
        }
    }
    Err(newest.unwrap_or_else(|| missing(run)))
}

/// Returns whether to try an earlier checkpoint: for damage and for errors of the disk, but not without permission to
/// read. In that case the checkpoint is intact, and its newest steps would be lost.
fn concerns_this_checkpoint(error: &Error) -> bool {
    match error {
        Error::Checkpoint { problem: CheckpointProblem::Corrupt(_), .. } => true,
        Error::Io { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// Returns the error for a run without a checkpoint.
pub(crate) fn missing(run: &Path) -> Error {
    Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::Missing }
}

/// Returns the folder of the newest checkpoint, if there is one.
pub(crate) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(layout::checkpoints(run)?.pop())
}

/// A run folder that this process has locked for writing.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

impl RunFolder {
    /// Locks the folder `path`, which is created if absent, for the run of `snapshot`, and removes the unfinished saves
    /// of killed processes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if another process has locked the folder, or it holds a checkpoint of a later step
    /// (resuming would prefer it to the new ones), another run, or results without a checkpoint, unless the same run
    /// `may_start_again`; [`Error::Io`] if the disk has no room for a checkpoint, so that a run fails before its first
    /// epoch.
    pub(crate) fn lock(
        path: &Path,
        snapshot: &Snapshot,
        skipped: &[Skipped],
        may_start_again: bool,
    ) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| Error::io(path, error))?;
        let lock = Lock::take(path)?;
        let checkpoints = path.join(CHECKPOINTS);
        for unfinished in layout::entries(&checkpoints, UNFINISHED)? {
            layout::remove(&unfinished)?;
        }
        set_aside(&checkpoints, skipped)?;

        let refuse = |problem| Err(Error::Checkpoint { path: path.to_owned(), problem });
        let newest = latest(path)?.and_then(|newest| layout::step(&newest));
        let step = snapshot.progress.step;
        if let Some(steps) = newest.filter(|steps| *steps > step) {
            return refuse(CheckpointProblem::Further { steps });
        }
        let owner = layout::run_id(path)?;
        let is_same_run = owner.as_ref() == Some(&snapshot.run_id);
        if newest.is_none() && layout::has_results(path) && !(is_same_run && (step > 0 || may_start_again)) {
            return refuse(CheckpointProblem::Results);
        }
        if !is_same_run {
            if newest.is_some() && owner.is_some() {
                return refuse(CheckpointProblem::Foreign);
            }
            layout::set_run_id(path, &snapshot.run_id)?;
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.prune(snapshot)?;
        files::require_space(path, snapshot.bytes())?;
        Ok(folder)
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a checkpoint and the exported generator, also as the best one if this step has the best metric.
    ///
    /// The checkpoint's folder gets its final name last, when all its files and its manifest are on the disk.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let run = &self.path;
        let folder = run.join(CHECKPOINTS);
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let scratch = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&folder);
        let scratch = scratch.map_err(|error| Error::io(&folder, error))?;
        snapshot.write(scratch.path())?;

        // Before the checkpoint: if the process is killed in between, the resumed run writes them again.
        let (config, step) = (&snapshot.config, snapshot.progress.step);
        files::write_atomically(&run.join(CONFIG), config.to_json().as_bytes())?;
        weights::save(snapshot.export_generator(), config.to_object(), &run.join(GENERATOR_FILE))?;
        if snapshot.best_step() == Some(step) {
            weights::save(snapshot.export_generator(), config.to_object(), &run.join(BEST_FILE))?;
        }

        let [checkpoint, replaced] = layout::checkpoint(run, step);
        if checkpoint.exists() {
            if replaced.exists() {
                layout::remove(&replaced)?;
            }
            files::rename(&checkpoint, &replaced)?;
        }
        files::rename(scratch.path(), &checkpoint)?;
        let _ = scratch.keep(); // it is renamed, so there is nothing to remove
        files::sync_folder(&folder)?;
        if replaced.exists() {
            layout::remove(&replaced)?;
        }
        self.prune(snapshot)
    }

    /// Removes all checkpoints but the newest `training.keep` and the best.
    fn prune(&self, snapshot: &Snapshot) -> Result<()> {
        let is_best = |path: &&PathBuf| layout::step(path) == snapshot.best_step();
        let checkpoints = layout::checkpoints(&self.path)?;
        let mut old = checkpoints.iter().rev().skip(snapshot.config.training.keep);
        old.try_for_each(|old| if is_best(&old) { Ok(()) } else { layout::remove(old) })
    }
}

/// Renames the checkpoints among `skipped`, so that resuming does not find them again.
fn set_aside(checkpoints: &Path, skipped: &[Skipped]) -> Result<()> {
    for Skipped { folder: old, .. } in skipped {
        let new = checkpoints.join(format!("{SKIPPED}{}", layout::name(old)));
        if old.starts_with(checkpoints) && old.exists() {
            if new.exists() {
                layout::remove(&new)?;
            }
            files::rename(old, &new)?;
        }
    }
    Ok(())
}
