//! The lock of a run folder: one process at a time writes into it.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{CheckpointProblem, Error, Result};

const LOCK: &str = ".lock";

/// The lock of a run folder, held while a process writes into it. The operating system releases it when the process
/// ends, also if it is killed. A leftover lock file does not lock the folder.
#[derive(Debug)]
pub(super) struct Lock {
    run: PathBuf,
    /// The folder, open so that its identity stays the same; not on Windows, which cannot open a folder as a file.
    folder: Option<File>,
    file: File,
    /// Whether the file system has locks.
    is_exclusive: bool,
}

impl Lock {
    /// Locks the folder, which must exist. On a file system without locks it only marks the folder.
    ///
    /// # Errors
    /// [`CheckpointProblem::InUse`] if another process has locked it.
    pub(super) fn take(run: &Path) -> Result<Self> {
        let path = run.join(LOCK);
        let is_regular = match fs::symlink_metadata(&path) {
            Ok(found) => found.is_file(),
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(Error::io(&path, error)),
        };
        if !is_regular {
            let problem = "this is not a regular file, so it cannot lock the run folder; remove it";
            return Err(Error::io(&path, IoError::new(ErrorKind::InvalidInput, problem)));
        }
        let folder =
            if cfg!(unix) { Some(File::open(run).map_err(|error| Error::io(run, error))?) } else { None };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        let is_exclusive = lock(&file, run)?;
        Ok(Self { run: run.to_owned(), folder, file, is_exclusive })
    }

    /// Returns whether another process cannot lock the folder: false on a file system without locks.
    pub(super) fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }

    /// Checks that the folder and the lock file are still those that were locked. If the lock file was deleted, no other
    /// run has locked the folder since, and it is created again.
    ///
    /// # Errors
    /// [`CheckpointProblem::Moved`] if the folder was renamed, removed or replaced; [`CheckpointProblem::LockLost`] if
    /// the lock file was replaced.
    pub(super) fn check(&mut self) -> Result<()> {
        let run = &self.run;
        let refuse = |problem| Err(Error::Checkpoint { path: run.clone(), problem });
        if let Some(folder) = &self.folder {
            match fs::metadata(run) {
                Ok(found) if is_same(&found, folder, run)? => {}
                Ok(_) => return refuse(CheckpointProblem::Moved),
                Err(error) if error.kind() == ErrorKind::NotFound => return refuse(CheckpointProblem::Moved),
                Err(error) => return Err(Error::io(run, error)),
            }
        }
        let path = run.join(LOCK);
        match fs::symlink_metadata(&path) {
            Ok(found) if is_same(&found, &self.file, &path)? => Ok(()),
            Ok(_) => refuse(CheckpointProblem::LockLost),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Another run may create it in this moment.
                self.file = match OpenOptions::new().create_new(true).write(true).open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        return refuse(CheckpointProblem::LockLost);
                    }
                    Err(error) => return Err(Error::io(&path, error)),
                };
                lock(&self.file, run).map(drop)
            }
            Err(error) => Err(Error::io(&path, error)),
        }
    }
}

/// Locks the file, and returns whether the file system has locks.
fn lock(file: &File, run: &Path) -> Result<bool> {
    loop {
        return match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Checkpoint { path: run.to_owned(), problem: CheckpointProblem::InUse })
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(false),
            Err(TryLockError::Error(error)) => Err(Error::io(&run.join(LOCK), error)),
        };
    }
}

/// Returns whether the error says that the file system has no locks, as some network disks have none: `ENOSYS` or
/// `EOPNOTSUPP`, which are one kind, or `ENOLCK`, which has no kind.
fn has_no_locks(error: &IoError) -> bool {
    let no_locks = if cfg!(target_os = "linux") { Some(37) } else { Some(77) };
    error.kind() == ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == no_locks)
}

/// Returns whether `found`, at `path`, is the open file.
fn is_same(found: &Metadata, open: &File, path: &Path) -> Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let open = open.metadata().map_err(|error| Error::io(path, error))?;
        Ok((found.dev(), found.ino()) == (open.dev(), open.ino()))
    }
    #[cfg(not(unix))]
    {
        // An open file cannot be replaced.
        let _ = (found, open, path);
        Ok(true)
    }
}
