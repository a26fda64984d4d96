//! What can go wrong, one variant for each thing the caller can do about it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that outside data, files, settings and devices can make fail.
///
/// A message names the file or the setting, the value found, and the remedy. Errors of other crates are kept
/// behind `source`, so that their versions are no part of this crate's interface. A wrong shape handed to a
/// network's `forward` is a mistake in the program and panics instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written: mend the path, the permissions or the disk.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A picture could not be decoded, encoded or used: mend or remove the file.
    #[error("{}: {source}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder does not hold pairs: mend the folder.
    #[error("{}: {problem}{}", path.display(), list(unmatched))]
    Pairs {
        /// The folder.
        path: PathBuf,
        /// What was expected there.
        problem: String,
        /// The files without a partner, relative to `path`.
        unmatched: Vec<String>,
    },
    /// A setting is out of range or contradicts another: mend the setting.
    #[error("{field}: {problem}")]
    Config {
        /// The setting, as its path in `config.json`.
        field: &'static str,
        /// Its value, and the rule that it breaks.
        problem: String,
    },
    /// A checkpoint cannot be used: go back to an older one, or start afresh.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CheckpointProblem,
    },
    /// A loss or a weight is NaN or infinite: go back to the checkpoint, and try a lower learning rate.
    #[error(
        "step {step}: losses or weights are no numbers any more; the last losses that were: {last}. {}; \
         try a lower learning rate or training.clip_norm",
        checkpoint.as_ref().map_or_else(
            || "There is no checkpoint to go back to".to_owned(),
            |path| format!("The checkpoint to go back to is {}", path.display())
        )
    )]
    Diverged {
        /// Steps done when it was noticed.
        step: u64,
        /// The last losses that were finite.
        last: String,
        /// The newest checkpoint, in which all weights are finite.
        checkpoint: Option<PathBuf>,
    },
    /// Training stopped for a reason, and the run could not be saved then, either: mend both, and go on from the last
    /// checkpoint.
    #[error("{cause}. The run could not be saved, either: {rescue}")]
    Unsaved {
        /// Why training stopped.
        cause: Box<Error>,
        /// Why it could not be saved.
        #[source]
        rescue: Box<Error>,
    },
    /// A weights file does not fit the network it is meant for.
    #[error(
        "{}: the weights do not fit the network{}{}{}",
        path.display(),
        labelled("missing", missing),
        labelled("unexpected", unexpected),
        labelled("of another shape", mismatched)
    )]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// Parameters that the network has and the file lacks.
        missing: Vec<String>,
        /// Parameters that the file has and the network lacks.
        unexpected: Vec<String>,
        /// Parameters of another shape.
        mismatched: Vec<ShapeMismatch>,
    },
    /// A backend is not compiled in, its device is not there, or it computes wrongly: choose another, or rebuild.
    #[error("backend `{name}`: {problem}")]
    Device {
        /// The backend's name.
        name: String,
        /// What is missing or wrong.
        problem: String,
    },
}

/// A parameter whose shape in a weights file is not that in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShapeMismatch {
    /// The parameter's name in the file.
    pub name: String,
    /// Its shape in the network.
    pub network: Vec<usize>,
    /// Its shape in the file.
    pub file: Vec<usize>,
}

impl std::fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (network {:?}, file {:?})", self.name, self.network, self.file)
    }
}

/// What can be wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointProblem {
    /// There is none.
    #[error("no checkpoint here; start a new run, or name the folder of an earlier one")]
    Missing,
    /// The folder holds a run that is further than the one to be saved there.
    #[error("a run of {steps} steps lies here, further than this one; resume it, or use another folder")]
    Further {
        /// Its steps.
        steps: u64,
    },
    /// The folder holds another run.
    #[error("another run lies here, begun with other settings; use another folder")]
    Foreign,
    /// Another process trains in the folder.
    #[error("another run is training in this folder; wait for it, or use another folder")]
    InUse,
    /// Another version of this crate wrote it.
    #[error(
        "checkpoint format {found}, but this version reads format {supported}; use the version that wrote it"
    )]
    Version {
        /// The file's format.
        found: u64,
        /// The format that this version reads and writes.
        supported: u64,
    },
    /// A file in it is damaged.
    #[error("damaged, or no file of this kind: {0}; use another copy, or an earlier checkpoint")]
    Corrupt(String),
    /// This build cannot read files of its kind.
    #[error("{0}")]
    Unsupported(String),
    /// It belongs to a run with other settings.
    #[error(
        "the checkpoint's {field} differs from this run's; use the same settings, or another output folder"
    )]
    Mismatch {
        /// The part of the configuration that differs.
        field: &'static str,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn image(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Image { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn config(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Config { field, problem: problem.into() }
    }

    pub(crate) fn corrupt(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::Checkpoint { path: path.to_owned(), problem: CheckpointProblem::Corrupt(problem.to_string()) }
    }
}

/// What to do about an error of the operating system, where that is not plain from its words.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space and go on: what was saved before is whole"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; mend the permissions, or use another folder"
        }
        // `EIO` has no kind of its own.
        _ if cfg!(unix) && error.raw_os_error() == Some(5) => {
            "; the disk may be failing: look into the system's log, or use another disk"
        }
        _ => "",
    }
}

/// How many names a message lists before it only counts.
const LISTED: usize = 10;

fn list(names: &[impl ToString]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(LISTED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => format!(": {shown}"),
        more => format!(": {shown} and {more} more"),
    }
}

fn labelled(label: &str, names: &[impl ToString]) -> String {
    match names {
        [] => String::new(),
        names => format!("; {label}{}", list(names)),
    }
}
