//! The crate's error type, with one variant for each remedy.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error of another crate, boxed so that the other crate is not part of this crate's interface.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error caused by files, settings, arguments or devices.
///
/// A message is complete: it names the file or the setting, the value found, and the remedy, and contains the text of
/// the error behind it. That error is a field of the variant, and [`underlying`](Self::underlying) returns it.
/// [`source`](std::error::Error::source) returns `None`, so that a report that prints the chain of sources (`{:#}` of
/// `anyhow`) does not repeat that text.
///
/// A wrong shape passed to a network's `forward` is a mistake in the program and panics instead.
///
/// # Examples
/// ```
/// use pix2pix::{Error, Pix2PixConfig};
///
/// match Pix2PixConfig::load("missing.json") {
///     Err(Error::Io { path, source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "{path:?}"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read or written: fix the path, the permissions or the disk.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        r#source: std::io::Error,
    },
    /// An image cannot be decoded, encoded or used: fix or remove the file.
    #[error("{}: {}", path.as_deref().unwrap_or(Path::new("image")).display(), clipped(source))]
    Image {
        /// The file; `None` for an image in memory.
        path: Option<PathBuf>,
        /// What is wrong with the image.
        r#source: Source,
    },
    /// A folder does not hold pairs: fix the folder.
    #[error("{}: {}{}", path.display(), clipped(problem), list(unmatched))]
    Pairs {
        /// The folder.
        path: PathBuf,
        /// What was expected there.
        problem: String,
        /// The files without a partner, relative to `path`.
        unmatched: Vec<String>,
    },
    /// A setting is out of range or contradicts another: fix the setting.
    #[error(
        "{}{}: {}",
        path.as_ref().map_or_else(String::new, |path| format!("{}: ", path.display())),
        clip(field, MAX_LIST),
        clipped(problem)
    )]
    Config {
        /// The file that holds the setting; `None` if it does not come from a file.
        path: Option<PathBuf>,
        /// The setting, as its path in `config.json`.
        field: Cow<'static, str>,
        /// Its value, and the rule that it breaks.
        problem: String,
    },
    /// An argument that is not a setting is out of range: use another value.
    #[error("{name}: {}", clipped(problem))]
    Argument {
        /// The argument's name.
        name: Cow<'static, str>,
        /// Its value, and the rule that it breaks.
        problem: String,
    },
    /// A checkpoint cannot be used: resume from an older one, or start a new run.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: CheckpointProblem,
    },
    /// A loss or a weight is NaN or infinite: resume from the checkpoint, and try a lower learning rate.
    #[error(
        "training diverged at step {step}: a loss or weight is NaN or infinite (last finite losses: {last}). {}; \
         try a lower learning rate or training.clip_norm",
        checkpoint.as_ref().map_or_else(
            || "There is no checkpoint to resume from".to_owned(),
            |path| format!("The checkpoint to resume from is {}", path.display())
        )
    )]
    #[non_exhaustive]
    Diverged {
        /// The steps done when the divergence was detected.
        step: u64,
        /// The last losses that were finite.
        last: String,
        /// The newest checkpoint, in which all weights are finite.
        checkpoint: Option<PathBuf>,
    },
    /// Training stopped with an error, and the run could not be saved: fix both, and resume from the last checkpoint.
    #[error("{cause}. The run could not be saved, either: {rescue}")]
    #[non_exhaustive]
    Unsaved {
        /// Why training stopped.
        cause: Box<Error>,
        /// Why the run could not be saved.
        rescue: Box<Error>,
    },
    /// A weights file does not fit the network: use the file or the configuration that belongs to it.
    #[error(
        "{}: the weights do not fit the network{}{}{}",
        path.display(),
        labelled("missing", missing),
        labelled("unexpected", unexpected),
        labelled("of another shape", mismatched)
    )]
    #[non_exhaustive]
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
    /// Something needs more memory than this process may take: use smaller settings.
    #[error("{what} needs at least {} MiB of memory, but only {} MiB are available; {remedy}", needed >> 20, available >> 20)]
    #[non_exhaustive]
    Memory {
        /// What needs the memory.
        what: String,
        /// The bytes that it needs at least.
        needed: u64,
        /// The bytes that there are.
        available: u64,
        /// The settings that lower the need.
        remedy: String,
    },
    /// A backend is not compiled in, or its device is missing, computes wrongly, or failed to return values: choose
    /// another, rebuild, or resume from the newest checkpoint.
    #[error("backend `{name}`: {problem}")]
    #[non_exhaustive]
    Device {
        /// The backend's name.
        name: String,
        /// What is missing or wrong, and the remedy.
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

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointProblem {
    /// The folder does not hold a checkpoint.
    #[error("no checkpoint here; start a new run, or name the folder of an earlier one")]
    Missing,
    /// The folder holds a run that has more steps than the one to be saved there.
    #[error("this folder holds a run of {steps} steps, more than this one; resume it, or use another folder")]
    Further {
        /// The steps of the run in the folder.
        steps: u64,
    },
    /// The folder holds another run.
    #[error("this folder holds another run, started with other settings; use another folder")]
    Foreign,
    /// The folder holds files that a new run would replace, but no checkpoint to resume from.
    #[error(
        "results without checkpoints are here ({file}), and a new run would replace them; use another folder, or move \
         them away (`Trainer::resume_or_new` with unchanged settings starts the same run again)"
    )]
    #[non_exhaustive]
    Results {
        /// One of these files, or a folder with some.
        file: String,
    },
    /// Another process trains in the folder.
    #[error("another run is training in this folder; wait for it, or use another folder")]
    InUse,
    /// The lock of the folder was replaced while the run was training.
    #[error(
        "the file .lock in this folder was replaced while this run was training, so another run may be training here; \
         this run stops and saves nothing more. Its last checkpoint can be resumed once no other run trains here"
    )]
    LockLost,
    /// The folder was renamed, removed or replaced while the run was training.
    #[error(
        "this folder was renamed, removed or replaced while the run was training; nothing more is saved under this \
         name. Resume the run from its last checkpoint under its new name"
    )]
    Moved,
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
    #[error("damaged, or not a file of this kind: {}; use another copy, or an earlier checkpoint", clipped(.0))]
    Corrupt(Source),
    /// The file is intact, but not one that can be read here, with what it is and the remedy.
    #[error("{}", clipped(.0))]
    Unsupported(String),
    /// The checkpoint is intact, but does not belong where it is, with the reason and the remedy.
    #[error("not a checkpoint of this run: {0}")]
    Misplaced(String),
    /// Settings that cannot change within a run differ from the run's.
    #[error(
        "{}: this cannot change within a run; leave out the setting, or start a new run from these weights in another \
         folder (`train --from`)",
        changes.join(", ")
    )]
    #[non_exhaustive]
    Mismatch {
        /// The settings, each with the value in the run and the given value.
        changes: Vec<String>,
    },
}

impl Error {
    /// Returns an [`Io`](Self::Io) error of a file or folder.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Returns an [`Image`](Self::Image) error of a file.
    pub fn image(path: &Path, source: impl Into<Source>) -> Self {
        Self::Image { path: Some(path.to_owned()), source: source.into() }
    }

    /// Returns an [`Image`](Self::Image) error of an image in memory.
    pub fn in_memory_image(source: impl Into<Source>) -> Self {
        Self::Image { path: None, source: source.into() }
    }

    /// Returns a [`Config`](Self::Config) error of a setting.
    pub fn config(field: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self::Config { path: None, field: field.into(), problem: problem.into() }
    }

    /// Returns an [`Argument`](Self::Argument) error.
    pub fn argument(name: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self::Argument { name: name.into(), problem: problem.into() }
    }

    pub(crate) fn corrupt(path: &Path, source: impl Into<Source>) -> Self {
        Self::Checkpoint { path: path.to_owned(), problem: CheckpointProblem::Corrupt(source.into()) }
    }

    /// Adds the file that holds a wrong setting or a bad image; returns other errors unchanged.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Config { field, problem, .. } => {
                Self::Config { path: Some(file.to_owned()), field, problem }
            }
            Self::Image { source, .. } => Self::Image { path: Some(file.to_owned()), source },
            other => other,
        }
    }

    /// Returns the error of another crate or of the operating system behind this one, whose text the message contains.
    pub fn underlying(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Image { source, .. }
            | Self::Checkpoint { problem: CheckpointProblem::Corrupt(source), .. } => Some(source.as_ref()),
            Self::Unsaved { cause, .. } => cause.underlying(),
            _ => None,
        }
    }
}

/// Returns the remedy for an error of the operating system; empty if its text suffices.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space and resume: earlier files are intact"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; fix the permissions, or use another folder"
        }
        // `ErrorKind` has no variant for `EIO`.
        _ if cfg!(unix) && error.raw_os_error() == Some(5) => {
            "; the disk may be failing: check the system log, or use another disk"
        }
        _ => "",
    }
}

/// The maximum number of names that a message lists.
const MAX_LISTED: usize = 10;
/// The longest text of another error in bytes. A file may provoke any text.
const MAX_TEXT: usize = 1200;
/// The longest list of names in bytes.
const MAX_LIST: usize = 500;

/// Returns the beginning of a text with at most [`MAX_TEXT`] bytes.
fn clipped(text: impl std::fmt::Display) -> String {
    clip(text, MAX_TEXT)
}

/// Returns the beginning of a text with at most `length` bytes, and escapes control characters other than newlines and
/// tabs.
fn clip(text: impl std::fmt::Display, length: usize) -> String {
    use std::fmt::Write;
    struct Clip(String, usize);
    impl Write for Clip {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for c in text.chars() {
                let is_command = c.is_control() && c != '\n' && c != '\t';
                let escaped = if is_command { c.escape_debug().collect() } else { c.to_string() };
                if self.0.len() + escaped.len() > self.1 {
                    self.0.push('…');
                    return Err(std::fmt::Error); // ends the formatting of the rest
                }
                self.0 += &escaped;
            }
            Ok(())
        }
    }
    let mut clip = Clip(String::new(), length);
    let _ = write!(clip, "{text}");
    clip.0
}

/// Lists names after a colon, and counts those above [`MAX_LISTED`].
fn list(names: &[impl ToString]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(MAX_LISTED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let shown = clip(shown, MAX_LIST);
    match names.len().saturating_sub(MAX_LISTED) {
        0 => format!(": {shown}"),
        more => format!(": {shown} and {more} more"),
    }
}

/// Lists names after a label; empty without names.
fn labelled(label: &str, names: &[impl ToString]) -> String {
    match names {
        [] => String::new(),
        names => format!("; {label}{}", list(names)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Returns the report of an error and its sources that `{:#}` of `anyhow` prints.
    fn report(error: &dyn std::error::Error) -> String {
        let sources = std::iter::successors(Some(error), |error| error.source());
        sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    fn io_error() -> Error {
        Error::io(Path::new("run"), io::Error::other("the device failed"))
    }

    fn checkpoint(problem: CheckpointProblem) -> Error {
        Error::Checkpoint { path: "run".into(), problem }
    }

    fn diverged(checkpoint: Option<PathBuf>) -> Error {
        Error::Diverged { step: 40, last: "G_L1 3.1".to_owned(), checkpoint }
    }

    #[test]
    fn every_variant_has_its_message_and_repeats_nothing() {
        let names = |count: usize| (0..count).map(|index| format!("n{index}")).collect::<Vec<_>>();
        let rescue = Error::io(Path::new("disk"), io::Error::other("the disk is gone"));
        let weights = Error::Weights {
            path: "w".into(),
            missing: names(1),
            unexpected: names(0),
            mismatched: vec![
                ShapeMismatch { name: "a".into(), network: vec![1], file: vec![2] },
                ShapeMismatch { name: "b".into(), network: vec![3, 4], file: vec![] },
            ],
        };
        for (error, expected) in [
            (io_error(), "run: the device failed"),
            (Error::image(Path::new("1.png"), io::Error::other("no pixels")), "1.png: no pixels"),
            (Error::in_memory_image("no pixels"), "image: no pixels"),
            (Error::in_memory_image("no pixels").in_file(Path::new("2.png")), "2.png: no pixels"),
            (
                Error::Pairs { path: "data".into(), problem: "no pairs".into(), unmatched: names(12) },
                "data: no pairs: n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more",
            ),
            (Error::config("data.crop_size", "0 is too small"), "data.crop_size: 0 is too small"),
            (Error::config("loss.gan", "odd").in_file(Path::new("c.json")), "c.json: loss.gan: odd"),
            (Error::argument("tile", "is 0"), "tile: is 0"),
            (io_error().in_file(Path::new("c.json")), "run: the device failed"),
            (
                diverged(None),
                "training diverged at step 40: a loss or weight is NaN or infinite (last finite losses: G_L1 \
                 3.1). There is no checkpoint to resume from; try a lower learning rate or training.clip_norm",
            ),
            (
                diverged(Some("run/step-20".into())),
                "training diverged at step 40: a loss or weight is NaN or infinite (last finite losses: G_L1 \
                 3.1). The checkpoint to resume from is run/step-20; try a lower learning rate or \
                 training.clip_norm",
            ),
            (
                Error::Unsaved { cause: io_error().into(), rescue: rescue.into() },
                "run: the device failed. The run could not be saved, either: disk: the disk is gone",
            ),
            (
                weights,
                "w: the weights do not fit the network; missing: n0; of another shape: a (network [1], file [2]), b (network [3, 4], file [])",
            ),
            (
                Error::Memory {
                    what: "a step".into(),
                    needed: 5 << 30,
                    available: 1 << 30,
                    remedy: "use less".into(),
                },
                "a step needs at least 5120 MiB of memory, but only 1024 MiB are available; use less",
            ),
            (
                Error::Device { name: "cuda".into(), problem: "no GPU; use `flex`".into() },
                "backend `cuda`: no GPU; use `flex`",
            ),
        ] {
            assert_eq!(report(&error), expected);
        }
    }

    #[test]
    fn every_problem_of_a_checkpoint_has_its_message_and_repeats_nothing() {
        for (problem, expected) in [
            (
                CheckpointProblem::Missing,
                "no checkpoint here; start a new run, or name the folder of an earlier one",
            ),
            (
                CheckpointProblem::Further { steps: 9 },
                "this folder holds a run of 9 steps, more than this one; resume it, or use another folder",
            ),
            (
                CheckpointProblem::Foreign,
                "this folder holds another run, started with other settings; use another folder",
            ),
            (
                CheckpointProblem::Results { file: "index.html".into() },
                "results without checkpoints are here (index.html), and a new run would replace them; use another folder, or move \
                 them away (`Trainer::resume_or_new` with unchanged settings starts the same run again)",
            ),
            (
                CheckpointProblem::InUse,
                "another run is training in this folder; wait for it, or use another folder",
            ),
            (
                CheckpointProblem::LockLost,
                "the file .lock in this folder was replaced while this run was training, so another run may be training \
                 here; this run stops and saves nothing more. Its last checkpoint can be resumed once no other run \
                 trains here",
            ),
            (
                CheckpointProblem::Moved,
                "this folder was renamed, removed or replaced while the run was training; nothing more is saved under \
                 this name. Resume the run from its last checkpoint under its new name",
            ),
            (
                CheckpointProblem::Misplaced("it is of step 3".into()),
                "not a checkpoint of this run: it is of step 3",
            ),
            (
                CheckpointProblem::Version { found: 9, supported: 3 },
                "checkpoint format 9, but this version reads format 3; use the version that wrote it",
            ),
            (
                CheckpointProblem::Corrupt("it is empty".into()),
                "damaged, or not a file of this kind: it is empty; use another copy, or an earlier checkpoint",
            ),
            (CheckpointProblem::Unsupported("rebuild".into()), "rebuild"),
            (
                CheckpointProblem::Mismatch { changes: vec!["training.seed: 0 in the run, 5 given".into()] },
                "training.seed: 0 in the run, 5 given: this cannot change within a run; leave out the setting, or start \
                 a new run from these weights in another folder (`train --from`)",
            ),
        ] {
            assert_eq!(report(&checkpoint(problem)), format!("run: {expected}"));
        }
    }

    #[test]
    fn messages_are_short_whatever_a_file_says() {
        let long = |number| format!("{number}\u{1b}[2J{}", "ü".repeat(9_000));
        let names = || (0..20).map(long).collect::<Vec<_>>();
        let shape = |name| ShapeMismatch { name, network: vec![1; 9_000], file: vec![] };
        for error in [
            Error::in_memory_image(long(0)),
            Error::Pairs { path: "data".into(), problem: long(0), unmatched: names() },
            Error::config("field", long(1)),
            Error::argument("tile", long(0)),
            Error::corrupt(Path::new("w"), long(0)),
            checkpoint(CheckpointProblem::Unsupported(long(0))),
            Error::Weights {
                path: "w".into(),
                missing: names(),
                unexpected: names(),
                mismatched: names().into_iter().map(shape).collect(),
            },
        ] {
            let message = error.to_string();
            assert!(message.len() < 2000 && message.contains('…'), "{} bytes", message.len());
            assert!(message.contains("\\u{1b}[2J") && !message.contains('\u{1b}'), "{message}");
        }
    }

    #[test]
    fn underlying_returns_the_error_of_the_other_crate() {
        let not_found = || io::Error::from(ErrorKind::NotFound);
        let wrapped = Error::Unsaved {
            cause: Error::io(Path::new("a"), not_found()).into(),
            rescue: Error::argument("tile", "is 0").into(),
        };
        for error in [
            Error::io(Path::new("a"), not_found()),
            Error::image(Path::new("a"), not_found()),
            Error::corrupt(Path::new("a"), not_found()),
            wrapped,
        ] {
            let cause = error.underlying().and_then(|cause| cause.downcast_ref::<io::Error>());
            assert_eq!(cause.map(io::Error::kind), Some(ErrorKind::NotFound), "{error:?}");
        }
        assert!(Error::argument("tile", "is 0").underlying().is_none());
    }

    #[test]
    fn messages_of_disk_errors_contain_a_remedy() {
        for (kind, expected) in [
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::PermissionDenied, "fix the permissions"),
        ] {
            let message = Error::io(Path::new("run"), kind.into()).to_string();
            assert!(message.starts_with("run: ") && message.contains(expected), "{message}");
        }
    }
}
