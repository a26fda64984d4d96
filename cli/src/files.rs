//! Looks at paths, lists the images of folders, and writes files atomically.

use std::fs::Metadata;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::ImageFormat;
use pix2pix::data::{LeftOut, Listing, Pages, PairedFolder, page_count};

use crate::output::{note, say};

/// Returns the metadata of what is at `path`, with links followed; `None` if nothing is there. Fails if it cannot be looked
/// at, for instance a link that leads nowhere because its disk is not mounted.
pub(crate) fn look(path: &Path) -> Result<Option<Metadata>> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(own) if own.is_symlink() => std::fs::metadata(path).map(Some),
        Ok(own) => Ok(Some(own)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    };
    found.with_context(|| format!("{} cannot be looked at", path.display()))
}

/// Returns whether a folder is at `path`. Fails as [`look`] does.
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.is_dir()))
}

/// Returns whether a file, or a folder with anything in it, is at `path`. Fails as [`look`] does.
pub(crate) fn is_filled(path: &Path) -> Result<bool> {
    Ok(match look(path)? {
        None => false,
        Some(found) if !found.is_dir() => true,
        Some(_) => std::fs::read_dir(path).with_context(|| path.display().to_string())?.next().is_some(),
    })
}

/// The file types that folders are searched for, as messages list them.
pub(crate) const TYPES: &str = "png, jpg, tif, webp, bmp, gif";

/// Returns the type of an image file by its extension, if images of that type can be written.
pub(crate) fn writable_format(path: &Path) -> Option<ImageFormat> {
    ImageFormat::from_path(path).ok().filter(ImageFormat::writing_enabled)
}

/// Lists the images in a folder and its subfolders, except those in the folder `except`, and reports what is left out.
pub(crate) fn images(folder: &Path, except: Option<&Path>) -> Result<Listing> {
    let listing = Listing::open_except(folder, except.as_slice())?;
    report_left_out(&folder.display().to_string(), &listing.left_out);
    if listing.images.is_empty() {
        bail!("{}: no photographs in this folder; put image files into it ({TYPES})", folder.display());
    }
    Ok(listing)
}

/// The most files that a report names.
const MAX_NAMED: usize = 10;

/// Prints the number of files left out by reason, and the names of those that were probably meant to be used.
pub(crate) fn report_left_out(what: &str, left_out: &[LeftOut]) {
    let Some(summary) = LeftOut::summary(left_out) else { return };
    say!("{what}: {summary}");
    let faults: Vec<&LeftOut> = left_out.iter().filter(|file| file.is_fault()).collect();
    for file in faults.iter().take(MAX_NAMED) {
        note!("left out {file}");
    }
    if faults.len() > MAX_NAMED {
        note!("left out {} more", faults.len() - MAX_NAMED);
    }
}

/// Returns the files of all pairs, each once.
pub(crate) fn of_pairs(pairs: &PairedFolder) -> impl Iterator<Item = &Path> {
    (0..pairs.len()).flat_map(|index| {
        let [input, target] = pairs.files(index);
        [Some(input), Some(target).filter(|target| *target != input)].into_iter().flatten()
    })
}

/// Warns of TIFF files of which only the first of several pages is used.
pub(crate) fn report_pages<'a>(paths: impl Iterator<Item = &'a Path>, pages: Pages) {
    if pages != Pages::First {
        return;
    }
    // Reading the images reports files that cannot be read.
    let counts: Vec<(&Path, usize)> = paths.filter_map(|path| Some((path, page_count(path).ok()?))).collect();
    let many: Vec<&(&Path, usize)> = counts.iter().filter(|(_, count)| *count > 1).collect();
    if let Some((path, count)) = many.first() {
        note!(
            "warning: of {} files with several pages only the first is used, for example page 1 of {count} of {}; --pages \
             all takes each page for an image, --pages channels takes them for the channels of one",
            many.len(),
            path.display()
        );
    }
}

/// The prefix of files that are not complete yet; a run that opens its folder removes those of a killed one.
const UNFINISHED: &str = ".writing-";

/// Replaces a file atomically: writes `bytes` to a temporary file, waits until they are on the disk, and renames it.
/// Creates missing folders.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are private to the user by default; outputs have the usual permissions.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut unfinished = builder.prefix(UNFINISHED).tempfile_in(folder)?;
    unfinished.write_all(bytes)?;
    // A power cut after the rename would otherwise leave an empty file under the name.
    unfinished.as_file().sync_all()?;
    unfinished.persist(path)?;
    Ok(())
}
