//! What can go wrong, one variant for each thing the caller can do about it.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that outside data, files, settings and devices can make fail.
///
/// A message is complete: it names the file or the setting, the value found, and the remedy, and contains the text of
/// the error behind it. That error is a field of the variant, for programs that look into it. So
/// [`source`](std::error::Error::source) returns `None`, and reports that print a chain of sources (`{:#}` of `anyhow`)
/// say everything once. A wrong shape handed to a network's `forward` is a mistake in the program and panics instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written: mend the path, the permissions or the disk.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        r#source: std::io::Error,
    },
    /// A picture could not be decoded, encoded or used: mend or remove the file.
    #[error("{}: {source}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        r#source: Box<dyn std::error::Error + Send + Sync>,
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
    #[error("{}{field}: {problem}", path.as_ref().map_or_else(String::new, |path| format!("{}: ", path.display())))]
    Config {
        /// The file that holds the setting; `None` if it does not come from a file.
        path: Option<PathBuf>,
        /// The setting, as its path in `config.json`.
        field: Cow<'static, str>,
        /// Its value, and the rule that it breaks.
        problem: String,
    },
    /// An argument or an option that is not a setting is out of range: use another value.
    #[error("{name}: {problem}")]
    Argument {
        /// The argument's name.
        name: Cow<'static, str>,
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
        /// Parameters of another shape: name, the network's shape, the file's shape.
        mismatched: Vec<String>,
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

    pub(crate) fn config(field: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self::Config { path: None, field: field.into(), problem: problem.into() }
    }

    /// Names the file that holds a wrong setting; other errors stay as they are.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Config { field, problem, .. } => {
                Self::Config { path: Some(file.to_owned()), field, problem }
            }
            other => other,
        }
    }

    pub(crate) fn argument(name: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self::Argument { name: name.into(), problem: problem.into() }
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

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => format!(": {shown}"),
        more => format!(": {shown} and {more} more"),
    }
}

fn labelled(label: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; {label}{}", list(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a report of an error and its sources prints, such as `{:#}` of `anyhow`.
    fn report(error: &dyn std::error::Error) -> String {
        let sources = std::iter::successors(Some(error), |error| error.source());
        sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    fn io() -> Error {
        Error::io(Path::new("run"), std::io::Error::other("the cable is loose"))
    }

    #[test]
    fn a_report_says_everything_once() {
        let image = Error::image(Path::new("1.png"), std::io::Error::other("no pixels"));
        let rescue = Error::io(Path::new("disk"), std::io::Error::other("the disk is gone"));
        let unsaved = Error::Unsaved { cause: io().into(), rescue: rescue.into() };
        assert_eq!(report(&io()), "run: the cable is loose");
        assert_eq!(report(&image), "1.png: no pixels");
        assert_eq!(
            report(&unsaved),
            "run: the cable is loose. The run could not be saved, either: disk: the disk is gone"
        );
    }
}
