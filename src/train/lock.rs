//! One run at a time in a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::CheckpointProblem;
use crate::{Error, Result};

const LOCK: &str = ".lock";

/// Held while somebody writes into a run folder. The operating system lets go of it however the process ends, so
/// that the file may stay behind without meaning anything.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, which must exist, or says that another process has it.
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
