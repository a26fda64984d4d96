//! Atomic writes, appends and renames, on disks that may fail.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::disk;
use crate::error::{Error, Result};

/// The prefix of files that are not complete yet.
const SCRATCH: &str = ".writing-";

/// Writes a file under a scratch name and renames it, so that a reader sees the old file or the whole new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_by(path, |output| output.write(bytes))
}

/// As [`write_atomically`], with the bytes that `fill` writes one part after another.
pub(crate) fn write_atomically_by(
    path: &Path,
    fill: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<()> {
    let io = |error| Error::io(path, error);
    let folder = around(path);
    let scratch = scratch_in(folder).map_err(io)?;
    let mut output = Output { file: scratch.as_file(), path, length: 0 };
    fill(&mut output)?;
    finish(output.file, output.length).map_err(io)?;
    disk::rename(scratch.path(), path).map_err(io)?;
    let _ = scratch.keep(); // it is renamed, so there is nothing to remove
    sync_folder(folder)
}

/// A file that is being written.
pub(crate) struct Output<'a> {
    file: &'a File,
    path: &'a Path,
    length: u64,
}

impl Output<'_> {
    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        disk::write(self.file, bytes).map_err(|error| Error::io(self.path, error))
    }

    /// Returns the number of bytes that are written.
    #[cfg(feature = "pth")]
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

/// Writes a file and syncs it, not atomically: for a folder that is renamed when it is complete.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_by(path, |output| output.write(bytes))
}

/// As [`write`], with the bytes that `fill` writes one part after another.
pub(crate) fn write_by(path: &Path, fill: impl FnOnce(&mut Output<'_>) -> Result<()>) -> Result<()> {
    let io = |error| Error::io(path, error);
    let file = disk::create(path).map_err(io)?;
    let mut output = Output { file: &file, path, length: 0 };
    fill(&mut output)?;
    finish(output.file, output.length).map_err(io)
}

/// Appends to an open file, without a sync.
pub(crate) fn append(file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
    disk::write(file, bytes).map_err(|error| Error::io(path, error))
}

/// Waits until all appended bytes are on the disk.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    disk::sync(file).map_err(|error| Error::io(path, error))
}

/// Renames a file or folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    disk::rename(from, to).map_err(|error| Error::io(to, error))
}

/// Syncs a file and checks its length.
fn finish(file: &File, written: u64) -> io::Result<()> {
    disk::sync(file)?;
    match file.metadata()?.len() {
        length if length == written => Ok(()),
        length => Err(io::Error::other(format!("the disk kept {length} of {written} bytes"))),
    }
}

/// Syncs a folder: otherwise a crash could lose the names of new files in it.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open a folder as a file.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| disk::sync(&folder));
        synced.map_err(|error| Error::io(folder, error))?;
    }
    Ok(())
}

/// Creates a folder, and syncs the folder around it, so that the new one survives a power cut.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    let io = |error| Error::io(path, error);
    fs::create_dir_all(path).map_err(io)?;
    if cfg!(unix) {
        File::open(around(path)).and_then(|folder| disk::sync(&folder)).map_err(io)?;
    }
    Ok(())
}

/// Returns the folder that holds `path`.
fn around(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a folder whose disk has no room for `bytes` more. If the free space is unknown, it refuses nothing.
pub(crate) fn require_space(folder: &Path, bytes: u64) -> Result<()> {
    #[cfg(any(unix, windows))]
    if let Ok(free) = fs4::available_space(folder)
        && free < bytes
    {
        let [free, bytes] = [free, bytes].map(|count| count.div_ceil(1 << 20));
        let problem = format!("a checkpoint takes {bytes} MiB, but only {free} MiB are free");
        return Err(Error::io(folder, io::Error::new(io::ErrorKind::StorageFull, problem)));
    }
    let _ = (folder, bytes);
    Ok(())
}

/// Removes the incomplete files that killed processes left in `folder`.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            std::fs::remove_file(entry.path()).map_err(|error| Error::io(&entry.path(), error))?;
        }
    }
    Ok(())
}

/// Creates a scratch file with the permissions of any new file (`tempfile` makes private ones).
pub(crate) fn scratch_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(SCRATCH).tempfile_in(folder)
}
