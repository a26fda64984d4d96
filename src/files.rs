//! Writing files so that a reader never sees half of one.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// How the names of files begin that are not yet whole.
const SCRATCH: &str = ".writing-";

/// Writes the whole file under another name, then renames it: the old file stays whole until the new one is.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = scratch_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(|error| Error::io(path, error))?;
    sync_folder(folder)
}

/// Waits until the names in `folder` are on the disk; a file that is safe under a name that is not would be lost.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Windows opens no folders as files, and writes names down without being asked.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io(folder, error))?;
    }
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
pub(crate) fn scratch_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(SCRATCH).tempfile_in(folder)
}
