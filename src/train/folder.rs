//! What lies in a run's folder of checkpoints, and under which names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::weights::{BEST_FILE, GENERATOR_FILE};
use crate::{Error, Result, files};

/// The folder's name in that of the run.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// How the names of checkpoints begin, of those that a save has not completed, and of those found damaged.
const COMPLETE: &str = "step-";
pub(super) const UNFINISHED: &str = ".saving-";
pub(super) const DAMAGED: &str = "damaged-";
/// How the name of one ends whose place another is about to take.
const REPLACED: &str = "-replaced";

/// The file in the run's folder that says which run it is.
const ORIGIN: &str = ".run";

/// The checkpoint to go back to.
pub(super) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(all(run)?.pop())
}

/// All complete checkpoints of a run, oldest first.
pub(super) fn all(run: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(&run.join(CHECKPOINTS), "")?;
    found.retain(|path| step(path).is_some());
    // Where a kill left both, the one that was to be replaced comes first.
    found.sort_by_key(|path| (step(path), !name(path).ends_with(REPLACED)));
    Ok(found)
}

/// The folders in `folder`, if it is there, whose names begin with `prefix`.
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

/// Where the checkpoint of `step` belongs, and what the one is called whose place it takes.
pub(super) fn place(run: &Path, step: u64) -> [PathBuf; 2] {
    let name = format!("{COMPLETE}{step:09}");
    let replaced = format!("{name}{REPLACED}");
    [name, replaced].map(|name| run.join(CHECKPOINTS).join(name))
}

/// The step in a checkpoint's name; none in names that we did not give, as of copies that somebody made.
pub(super) fn step(path: &Path) -> Option<u64> {
    let name = name(path);
    let digits = name.strip_prefix(COMPLETE)?;
    let digits = digits.strip_suffix(REPLACED).unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Which run the folder belongs to, if it says so.
pub(super) fn origin(run: &Path) -> Option<String> {
    fs::read_to_string(run.join(ORIGIN)).ok().map(|origin| origin.trim().to_owned())
}

/// Returns whether the folder holds what a run leaves besides its checkpoints, which a new run would replace.
pub(super) fn has_results(run: &Path) -> bool {
    let has_samples = fs::read_dir(run.join("samples")).is_ok_and(|mut samples| samples.next().is_some());
    has_samples || ["metrics.jsonl", GENERATOR_FILE, BEST_FILE].iter().any(|name| run.join(name).exists())
}

/// Says which run the folder belongs to.
pub(super) fn set_origin(run: &Path, origin: &str) -> Result<()> {
    files::write_atomically(&run.join(ORIGIN), format!("{origin}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_a_step() {
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
