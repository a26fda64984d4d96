//! Writing files so that a reader never sees half of one.

mod disk;

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(test)]
pub(crate) use disk::fault;

use crate::{Error, Result};

/// How the names of files begin that are not yet whole.
const SCRATCH: &str = ".writing-";

/// Writes the whole file under another name, then renames it: the old file stays whole until the new one is.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = scratch_in(folder).and_then(|scratch| {
        fill(scratch.as_file(), bytes)?;
        disk::rename(scratch.path(), path)?;
        let _ = scratch.keep(); // it has another name now
        Ok(())
    });
    written.map_err(|error| Error::io(path, error))?;
    sync_folder(folder)
}

/// Writes a file in a folder that nobody reads yet, and waits until it is on the disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    disk::create(path).and_then(|file| fill(&file, bytes)).map_err(|error| Error::io(path, error))
}

/// Writes to the end of an open file, without waiting for the disk.
pub(crate) fn append(file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
    disk::write(file, bytes).map_err(|error| Error::io(path, error))
}

/// Waits until what was appended is on the disk.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    disk::sync(file).map_err(|error| Error::io(path, error))
}

/// Gives a file or folder another name.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    disk::rename(from, to).map_err(|error| Error::io(to, error))
}

/// Writes an empty file and waits until all of it is on the disk.
fn fill(file: &File, bytes: &[u8]) -> io::Result<()> {
    disk::write(file, bytes)?;
    disk::sync(file)?;
    match file.metadata()?.len() {
        length if length == bytes.len() as u64 => Ok(()),
        length => Err(io::Error::other(format!("the disk kept {length} of {} bytes", bytes.len()))),
    }
}

/// Waits until the names in `folder` are on the disk; a file that is safe under a name that is not would be lost.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Windows opens no folders as files, and writes names down without being asked.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| disk::sync(&folder));
        synced.map_err(|error| Error::io(folder, error))?;
    }
    Ok(())
}

/// Refuses a folder whose disk has no room for `bytes` more; where the system does not tell, saving will.
pub(crate) fn require_space(folder: &Path, bytes: u64) -> Result<()> {
    #[cfg(any(unix, windows))]
    if let Ok(free) = fs4::available_space(folder)
        && free < bytes
    {
        let [free, bytes] = [free, bytes].map(|count| count.div_ceil(1 << 20));
        let problem = format!("a checkpoint takes {bytes} MB, but only {free} MB are free");
        return Err(Error::io(folder, io::Error::new(io::ErrorKind::StorageFull, problem)));
    }
    let _ = (folder, bytes);
    Ok(())
}

/// Removes what processes that were killed while they wrote left in `folder`.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            std::fs::remove_file(entry.path()).map_err(|error| Error::io(&entry.path(), error))?;
        }
    }
    Ok(())
}

/// A scratch file that others may read once it has its name, as with any file (`tempfile` keeps them private).
pub(crate) fn scratch_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(SCRATCH).tempfile_in(folder)
}
