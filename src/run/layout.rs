//! The names of the files and folders in a run folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, MAX_TEXT};
use crate::weights::{BEST_FILE, GENERATOR_FILE};

/// The folder of checkpoints in a run folder.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// The prefix of a complete checkpoint's name.
const COMPLETE: &str = "step-";
/// The prefix of a checkpoint whose save is not complete.
pub(super) const UNFINISHED: &str = ".saving-";
/// The prefix of a checkpoint that could not be read.
pub(super) const SKIPPED: &str = "damaged-";
/// The suffix of a checkpoint that is about to be replaced.
const REPLACED: &str = "-replaced";

/// The file that holds the id of the run that the folder belongs to.
const RUN_ID: &str = ".run";

/// Lists all complete checkpoints of a run, oldest first.
pub(super) fn checkpoints(run: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(&run.join(CHECKPOINTS), "")?;
    found.retain(|path| step(path).is_some());
    // If a process was killed between two renames, both exist, and the replaced checkpoint counts as older.
    found.sort_by_key(|path| (step(path), !name(path).ends_with(REPLACED)));
    Ok(found)
}

/// Lists the folders in `folder` whose names begin with `prefix`; none if `folder` does not exist.
pub(super) fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        if name(&path).starts_with(prefix) && path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns the path of the checkpoint of `step`, and the path to which a checkpoint that it replaces is renamed.
pub(super) fn checkpoint(run: &Path, step: u64) -> [PathBuf; 2] {
    let name = format!("{COMPLETE}{step:09}");
    let replaced = format!("{name}{REPLACED}");
    [name, replaced].map(|name| run.join(CHECKPOINTS).join(name))
}

/// Returns the step in a checkpoint's name; `None` for any other name, for instance that of a user's copy.
pub(super) fn step(path: &Path) -> Option<u64> {
    let name = name(path);
    let digits = name.strip_prefix(COMPLETE)?;
    let digits = digits.strip_suffix(REPLACED).unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Returns the last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes a folder with its contents.
pub(super) fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Returns the id of the run that the folder belongs to, if it has one.
///
/// # Errors
/// [`Error::Io`] if it has one that cannot be read.
pub(super) fn run_id(run: &Path) -> Result<Option<String>> {
    use ErrorKind::{InvalidData, NotADirectory, NotFound};
    let path = run.join(RUN_ID);
    let text = files::read(&path, MAX_TEXT)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|error| std::io::Error::new(InvalidData, error)));
    match text {
        Ok(id) => Ok(Some(id.trim().to_owned())),
        // Without the id, or with a damaged one, the checkpoints still say which run they belong to.
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | InvalidData) => Ok(None),
        Err(error) => Err(Error::io(&path, error)),
    }
}

/// Writes the id of the run that the folder belongs to.
pub(super) fn set_run_id(run: &Path, id: &str) -> Result<()> {
    files::write_atomically(&run.join(RUN_ID), format!("{id}\n").as_bytes())
}

/// Returns whether the folder holds results besides checkpoints, which a new run would replace.
pub(super) fn has_results(run: &Path) -> bool {
    let has_samples = fs::read_dir(run.join("samples")).is_ok_and(|mut samples| samples.next().is_some());
    has_samples || ["metrics.jsonl", GENERATOR_FILE, BEST_FILE].iter().any(|name| run.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_checkpoints_have_a_step() {
        let of = |name: &str| step(Path::new(name));
        assert_eq!(
            [of("step-000000012"), of("step-7"), of("step-000000012-replaced")],
            [Some(12), Some(7), Some(12)]
        );
        for name in
            ["step-000000012-backup", "step-12 (copy)", "step-", "step-+5", "step-x", "12", "old-step-12"]
        {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
