//! The lock of a run folder: one process at a time writes into it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{CheckpointProblem, Error, Result};

const LOCK: &str = ".lock";

/// The lock of a run folder, held while a process writes into it. The operating system releases it when the process
/// ends, also if it is killed. A leftover lock file does not lock the folder.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the folder, which must exist.
    ///
    /// # Errors
    /// [`CheckpointProblem::InUse`] if another process has locked it.
    pub(super) fn take(run: &Path) -> Result<Self> {
        let path = run.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::InUse })
            }
            Err(TryLockError::Error(error)) => Err(Error::io(&path, error)),
        }
    }
}
