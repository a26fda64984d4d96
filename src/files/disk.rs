//! All calls that write to the disk, in one place, so that tests can make them fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes all of `bytes`, even if the disk takes only a part of them in each call.
pub(super) fn write(file: &File, bytes: &[u8]) -> io::Result<()> {
    Disk(file).write_all(bytes)
}

/// Waits until the file's contents are on the disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    fault::happen()?;
    file.sync_all()
}

/// Creates an empty file, or empties one that exists.
pub(super) fn create(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    fault::happen()?;
    File::create(path)
}

/// Renames a file or folder, and replaces a file of that name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    fault::happen()?;
    fs::rename(from, to)
}

/// A file whose writes tests can make fail.
struct Disk<'a>(&'a File);

impl Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let (bytes, claimed) = fault::happen_to(bytes)?;
        let written = self.0.write(bytes)?;
        #[cfg(test)]
        let written = claimed.unwrap_or(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Faults of a disk, at a chosen call of the current thread.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;
    use std::io;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Fault {
        /// The disk is full, now and later (`ENOSPC`).
        Full,
        /// This call fails (`EIO`).
        Broken,
        /// The disk takes half of the bytes and returns that number; other calls succeed.
        Short,
        /// The disk takes half of the bytes and reports that it took all; other calls succeed.
        Lost,
    }

    thread_local! {
        static CALLS: Cell<usize> = const { Cell::new(0) };
        static PLAN: Cell<Option<(usize, Fault)>> = const { Cell::new(None) };
    }

    /// Restarts the count of calls at 0, and plans a fault at one of them.
    pub(crate) fn plan(plan: Option<(usize, Fault)>) {
        CALLS.set(0);
        PLAN.set(plan);
    }

    /// Returns the number of calls since the plan was made.
    pub(crate) fn calls() -> usize {
        CALLS.get()
    }

    fn now() -> Option<Fault> {
        let call = CALLS.replace(CALLS.get() + 1);
        let (at, fault) = PLAN.get()?;
        let is_hit = call == at || (fault == Fault::Full && call > at);
        is_hit.then_some(fault)
    }

    fn fail(fault: Option<Fault>) -> io::Result<()> {
        match fault {
            Some(Fault::Full) => Err(io::Error::from_raw_os_error(28)),
            Some(Fault::Broken) => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }

    pub(super) fn happen() -> io::Result<()> {
        fail(now())
    }

    /// Returns the bytes that the disk takes, and the number that it reports if that differs.
    pub(super) fn happen_to(bytes: &[u8]) -> io::Result<(&[u8], Option<usize>)> {
        let fault = now();
        fail(fault)?;
        let half = &bytes[..bytes.len() / 2];
        match fault {
            // A write of 0 bytes would be an error.
            Some(Fault::Short) if !half.is_empty() => Ok((half, None)),
            Some(Fault::Lost) => Ok((half, Some(bytes.len()))),
            _ => Ok((bytes, None)),
        }
    }
}
