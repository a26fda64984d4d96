//! The names of the files and folders in a run folder.

use std::fs;
use std::io::{Error as IoError, ErrorKind};
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
pub(super) const DAMAGED: &str = "damaged-";
/// The prefix of a checkpoint of which the disk did not return a file.
pub(super) const UNREADABLE: &str = "unreadable-";
/// The prefix of an intact checkpoint of another run or step.
pub(super) const MISPLACED: &str = "misplaced-";
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

/// Lists the folders in `folder` whose names begin with `prefix`, without links; none if `folder` does not exist.
///
/// # Errors
/// [`Error::Io`] if `folder` is not a folder, or cannot be looked at.
pub(super) fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let io = |error| Error::io(folder, error);
    match files::look(folder)? {
        None => return Ok(vec![]),
        Some(found) if found.is_dir() => {}
        Some(_) => {
            let problem = "this is a file where the folder of checkpoints should be; move it away";
            return Err(io(IoError::new(ErrorKind::NotADirectory, problem)));
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type().map_err(io)?.is_dir()
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Lists the checkpoints that were to be replaced, of whose steps there is a newer checkpoint.
pub(super) fn replaced(run: &Path) -> Result<Vec<[PathBuf; 2]>> {
    let mut found = Vec::new();
    for path in entries(&run.join(CHECKPOINTS), COMPLETE)? {
        let newer = name(&path).strip_suffix(REPLACED).map(|name| path.with_file_name(name));
        if let Some(newer) = newer.filter(|newer| step(newer).is_some())
            && files::exists(&newer)?
        {
            found.push([newer, path]);
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

/// Returns the name of the checkpoint of `step` as users write it: `step-4000`.
pub(super) fn short_name(step: u64) -> String {
    format!("{COMPLETE}{step}")
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

/// Returns the id of the run that the folder belongs to; `None` without the file, or if it is damaged. The checkpoints
/// still say which run they belong to.
///
/// # Errors
/// [`Error::Io`] if it has one that cannot be read.
pub(super) fn run_id(run: &Path) -> Result<Option<String>> {
    use ErrorKind::{InvalidData, NotADirectory, NotFound};
    let path = run.join(RUN_ID);
    let text = match files::read(&path, MAX_TEXT) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | InvalidData) => String::new(),
        Err(error) => return Err(Error::io(&path, error)),
    };
    let id = text.trim();
    // The eight digits of a checksum.
    let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(is_id.then(|| id.to_owned()))
}

/// Writes the id of the run that the folder belongs to, and returns the path of its file.
pub(super) fn set_run_id(run: &Path, id: &str) -> Result<PathBuf> {
    let path = run.join(RUN_ID);
    files::write_atomically(&path, format!("{id}\n").as_bytes())?;
    Ok(path)
}

/// Returns the name of a file or of a folder of files besides checkpoints that a new run would replace or clear.
pub(super) fn results(run: &Path) -> Result<Option<&'static str>> {
    const FILES: [&str; 6] =
        ["metrics.jsonl", "damaged-metrics.jsonl", "index.html", "config.json", GENERATOR_FILE, BEST_FILE];
    for name in FILES {
        if files::exists(&run.join(name))? {
            return Ok(Some(name));
        }
    }
    for name in ["samples", "tensorboard"] {
        let folder = run.join(name);
        let is_empty = match files::look(&folder)? {
            None => true,
            Some(found) if !found.is_dir() => false,
            Some(_) => fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))?.next().is_none(),
        };
        if !is_empty {
            return Ok(Some(name));
        }
    }
    Ok(None)
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
