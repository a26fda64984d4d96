//! Lists the images of folders, and writes files atomically.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use image::ImageFormat;
use walkdir::WalkDir;

/// The file types that folders are searched for, as messages list them.
pub(crate) const TYPES: &str = "png, jpg, tif, webp, bmp, gif";

/// Returns the type of an image file by its extension, if images of that type can be read.
pub(crate) fn readable_format(path: &Path) -> Option<ImageFormat> {
    ImageFormat::from_path(path).ok().filter(ImageFormat::reading_enabled)
}

/// Returns all images in a folder and its subfolders, sorted by name, except those in the folder `except`. Ignores
/// other files.
pub(crate) fn images(folder: &Path, except: Option<&Path>) -> Result<Vec<PathBuf>> {
    let is_wanted = |path: &Path| except.is_none_or(|except| !path.starts_with(except));
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let mut found = Vec::new();
    for entry in entries.filter_entry(|entry| is_wanted(entry.path())) {
        let path = entry.map_err(|error| located(&error, folder))?.into_path();
        if path.is_file() && readable_format(&path).is_some() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{}: no photographs in this folder; put image files into it ({TYPES})", folder.display());
    }
    Ok(found)
}

/// Converts an error of walking through a folder, with the path where it occurred.
pub(crate) fn located(error: &walkdir::Error, folder: &Path) -> anyhow::Error {
    let problem = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    anyhow!("{}: {problem}", error.path().unwrap_or(folder).display())
}

/// Replaces a file atomically: writes `bytes` to a temporary file and renames it. Creates missing folders.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, false).with_context(|| path.display().to_string())
}

/// Replaces a file as [`replace`] does, and waits until it is on the disk.
pub(crate) fn replace_and_sync(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, true).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8], sync: bool) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are private to the user by default; outputs have the usual permissions.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut unfinished = builder.prefix(".pix2pix-").tempfile_in(folder)?;
    unfinished.write_all(bytes)?;
    if sync {
        unfinished.as_file().sync_all()?;
    }
    unfinished.persist(path)?;
    Ok(())
}
