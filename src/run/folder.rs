//! Locks a run folder, saves checkpoints in it, and finds the newest intact one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;

use super::checkpoint::Checkpoint;
use super::layout::{self, CHECKPOINTS, DAMAGED, MISPLACED, UNFINISHED, UNREADABLE};
use super::lock::Lock;
use super::manifest;
use super::snapshot::{Snapshot, concerns_this_checkpoint};
use crate::config::Pix2PixConfig;
use crate::error::{CheckpointProblem, Error, Result};
use crate::generator::Generator;
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

/// Returns the folder of the newest checkpoint, if there is one.
pub(crate) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(layout::checkpoints(run)?.pop())
}

/// A run folder that this process has locked for writing.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    lock: Lock,
    warnings: Vec<String>,
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
        if !files::exists(path)? {
            files::create_folder(path)?;
        }
        let lock = Lock::take(path)?;
        let checkpoints = path.join(CHECKPOINTS);
        for unfinished in layout::entries(&checkpoints, UNFINISHED)? {
            layout::remove(&unfinished)?;
        }
        set_aside(&checkpoints, skipped)?;
        remove_replaced(path)?;

        let refuse = |problem| Err(Error::Checkpoint { path: path.to_owned(), problem });
        let newest = latest(path)?.and_then(|newest| layout::step(&newest));
        let step = snapshot.progress.step;
        if let Some(steps) = newest.filter(|steps| *steps > step) {
            return refuse(CheckpointProblem::Further { steps });
        }
        let owner = layout::run_id(path)?;
        let is_same_run = owner.as_ref() == Some(&snapshot.run_id);
        if newest.is_none()
            && !(is_same_run && (step > 0 || may_start_again))
            && let Some(file) = layout::results(path)?
        {
            return refuse(CheckpointProblem::Results { file: file.to_owned() });
        }
        let mut warnings = Vec::new();
        if !lock.is_exclusive() {
            warnings.push(format!(
                "{}: this file system has no locks, so nothing prevents that two runs train in this folder at the same \
                 time",
                path.display()
            ));
        }
        if !is_same_run {
            if newest.is_some() && owner.is_some() {
                return refuse(CheckpointProblem::Foreign);
            }
            let file = layout::set_run_id(path, &snapshot.run_id)?;
            if newest.is_some() {
                warnings.push(format!(
                    "{}: it was missing or damaged, and is written anew from the checkpoint",
                    file.display()
                ));
            }
        }
        let folder = Self { path: path.to_owned(), lock, warnings };
        folder.prune(snapshot)?;
        files::require_space(path, snapshot.bytes())?;
        Ok(folder)
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the user should know about the folder.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Checks that this process still has the folder to itself, under its name.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the folder was renamed or removed, or another run has replaced its lock.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.lock.check()
    }

    /// Writes the exported generators of a resumed run anew if their files are missing or damaged.
    pub(crate) fn restore_exports(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.restore_export(GENERATOR_FILE, snapshot, || Ok(snapshot.export_generator().clone()))?;
        let Some(best) = snapshot.best_step() else { return Ok(()) };
        let run = self.path.clone();
        self.restore_export(BEST_FILE, snapshot, || match best == snapshot.progress.step {
            true => Ok(snapshot.export_generator().clone()),
            false => {
                let devices = snapshot.generator.devices();
                let device = devices.into_iter().next().expect("a generator has parameters");
                Checkpoint::open(run, &layout::short_name(best))?.generator(&device)
            }
        })
    }

    /// Writes the file `name` anew with the weights of `generator` if it is missing or damaged.
    fn restore_export(
        &mut self,
        name: &str,
        snapshot: &Snapshot,
        generator: impl FnOnce() -> Result<Generator>,
    ) -> Result<()> {
        let path = self.path.join(name);
        let problem = match files::exists(&path)
            .and_then(|exists| Ok(exists && weights::verify(&path).map(|()| true)?))
        {
            Ok(true) => return Ok(()),
            Ok(false) => format!("{}: it is missing", path.display()),
            Err(error) => error.to_string(),
        };
        let written =
            generator().and_then(|generator| weights::save(&generator, snapshot.config.to_object(), &path));
        self.warnings.push(match &written {
            Ok(()) => format!("{problem}; it is written anew from the checkpoint"),
            Err(error) => format!("{problem}; it cannot be written anew: {error}"),
        });
        // The best one may be gone with its checkpoint.
        if name == BEST_FILE { Ok(()) } else { written }
    }

    /// Saves a checkpoint and the exported generator, also as the best one if this step has the best metric.
    ///
    /// The checkpoint's folder gets its final name last, when all its files and its manifest are on the disk.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let run = &self.path;
        let folder = run.join(CHECKPOINTS);
        // It may be a link to another disk: only folders named as this run's checkpoints are removed there.
        if !files::exists(&folder)? {
            fs::create_dir(&folder).map_err(|error| Error::io(&folder, error))?;
        }
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
        if files::exists(&checkpoint)? {
            if files::exists(&replaced)? {
                layout::remove(&replaced)?;
            }
            files::rename(&checkpoint, &replaced)?;
        }
        files::rename(scratch.path(), &checkpoint)?;
        let _ = scratch.keep(); // it is renamed, so there is nothing to remove
        files::sync_folder(&folder)?;
        if files::exists(&replaced)? {
            layout::remove(&replaced)?;
        }
        self.prune(snapshot)
    }

    /// Removes all checkpoints but the newest `training.keep` and the best.
    fn prune(&self, snapshot: &Snapshot) -> Result<()> {
        let checkpoints = layout::checkpoints(&self.path)?;
        // A step may have two folders, and counts once.
        let steps: BTreeSet<u64> = checkpoints.iter().filter_map(|path| layout::step(path)).collect();
        let kept = || steps.iter().rev().take(snapshot.config.training.keep).copied();
        let is_kept =
            |step: Option<u64>| step == snapshot.best_step() || kept().any(|kept| step == Some(kept));
        let mut old = checkpoints.iter().filter(|path| !is_kept(layout::step(path)));
        old.try_for_each(|old| layout::remove(old))
    }
}

/// Removes the checkpoints that a save has replaced but, because it failed, not removed.
fn remove_replaced(run: &Path) -> Result<()> {
    for [newer, replaced] in layout::replaced(run)? {
        if manifest::verify(&newer, &[]).is_ok() {
            layout::remove(&replaced)?;
        }
    }
    Ok(())
}

/// Renames the checkpoints among `skipped`, so that resuming does not find them again.
fn set_aside(checkpoints: &Path, skipped: &[Skipped]) -> Result<()> {
    for Skipped { folder: old, error } in skipped {
        let prefix = match error {
            Error::Checkpoint { problem: CheckpointProblem::Misplaced(_), .. } => MISPLACED,
            Error::Io { .. } => UNREADABLE,
            _ => DAMAGED,
        };
        let new = checkpoints.join(format!("{prefix}{}", layout::name(old)));
        if old.starts_with(checkpoints) && files::exists(old)? {
            if files::exists(&new)? {
                layout::remove(&new)?;
            }
            files::rename(old, &new)?;
        }
    }
    Ok(())
}
