//! The images to read and the files to write.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use image::ImageFormat;
use pix2pix::data::{self, LeftOut, Reason};

use crate::files;

/// The extension of NumPy's arrays.
const NPY: &str = "npy";

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(NPY))
}

/// An image to read, and the file to write.
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// The type of the file; `None` for `.npy`, which only holds arrays.
    pub(crate) format: Option<ImageFormat>,
}

/// The content of a folder.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) jobs: Vec<Job>,
    /// Folders and files that the operating system could not read.
    pub(crate) unreadable: Vec<Error>,
    /// Files that were probably meant to be images.
    pub(crate) broken: Vec<Error>,
    /// All files and folders that are left out.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Lists the image `input`, or all images in that folder. `format` is the type of the files to write into a folder.
pub(crate) fn list(input: &Path, output: &Path, format: Option<&str>, arrays: bool) -> Result<Listing> {
    if !files::is_folder(input)? {
        return list_one(input, output, arrays);
    }
    let wanted = match format {
        Some(name) if arrays && name == NPY => Some((name, None)),
        Some(name) => Some((name, Some(writable_format(name)?))),
        None => None,
    };
    std::fs::create_dir_all(output).with_context(|| output.display().to_string())?;
    let real = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
    let results = real(output)?;
    if real(input)? == results {
        bail!("--output: {} is the input folder; name another one", output.display());
    }
    // Earlier outputs are not inputs, even if their folder is inside the input folder.
    let found = data::Listing::open_except(input, &[output])?;
    let (unreadable, broken): (Vec<_>, Vec<_>) = found
        .left_out
        .iter()
        .filter(|file| file.is_fault())
        .partition(|file| matches!(file.reason, Reason::Unreadable(_)));
    let errors = |files: Vec<&LeftOut>| files.into_iter().map(|file| anyhow!("{file}")).collect::<Vec<_>>();
    let (unreadable, broken) = (errors(unreadable), errors(broken));
    let jobs = found.images.iter().map(|path| job(path, input, output, wanted, arrays)).collect();
    let mut listing = Listing { jobs, unreadable, broken, left_out: found.left_out };
    if listing.jobs.is_empty() && listing.unreadable.is_empty() && listing.broken.is_empty() {
        let others =
            LeftOut::summary(&listing.left_out).map_or_else(String::new, |summary| format!("; {summary}"));
        bail!("{}: no images in this folder ({}){others}", input.display(), files::TYPES);
    }
    make_unique(&mut listing.jobs);
    Ok(listing)
}

/// Returns the listing of a single image.
fn list_one(input: &Path, output: &Path, arrays: bool) -> Result<Listing> {
    let format = files::writable_format(output);
    if format.is_none() && !(arrays && is_npy(output)) {
        let example = if arrays { ".tif" } else { ".png" };
        bail!("{}: not the extension of an image; use for example {example}", output.display());
    }
    let job = Job { input: input.to_owned(), output: output.to_owned(), format };
    Ok(Listing { jobs: vec![job], ..Listing::default() })
}

/// Returns the type that `--format` names.
fn writable_format(name: &str) -> Result<ImageFormat> {
    let format = ImageFormat::from_extension(name).filter(ImageFormat::writing_enabled);
    format.ok_or_else(|| {
        anyhow!("--format: `{name}` is not a type that can be written; use one of {}", files::TYPES)
    })
}

/// Returns the job of an image in the folder `input`. Its output has the type of its extension, or is a PNG file if that
/// type cannot be written.
///
/// Arrays become TIFF files, except those of `.npy` files.
fn job(
    path: &Path,
    input: &Path,
    output: &Path,
    wanted: Option<(&str, Option<ImageFormat>)>,
    arrays: bool,
) -> Job {
    let place = output.join(path.strip_prefix(input).unwrap_or(path));
    let (output, format) = match (wanted, files::writable_format(path)) {
        (Some((extension, format)), _) => (place.with_extension(extension), format),
        (None, _) if arrays && is_npy(path) => (place, None),
        (None, _) if arrays => (place.with_extension("tif"), Some(ImageFormat::Tiff)),
        // A palette of 256 colours is too small for the output of a network.
        (None, None | Some(ImageFormat::Gif)) => (place.with_extension("png"), Some(ImageFormat::Png)),
        (None, Some(own)) => (place, Some(own)),
    };
    Job { input: path.to_owned(), output, format }
}

/// Makes the names of outputs unique: equal names get the type of their input as a suffix, and a number if they are
/// still equal. Case is ignored, as in many file systems.
///
/// The names depend only on those in the folder, so an interrupted run finds its outputs again.
fn make_unique(jobs: &mut [Job]) {
    let key = |path: &Path| path.to_string_lossy().to_lowercase();
    let mut wanted: HashMap<String, usize> = HashMap::new();
    jobs.iter().for_each(|job| *wanted.entry(key(&job.output)).or_default() += 1);
    let (alone, together): (Vec<_>, Vec<_>) = jobs.iter_mut().partition(|job| wanted[&key(&job.output)] == 1);
    let mut taken: HashSet<String> = alone.iter().map(|job| key(&job.output)).collect();
    for job in together {
        let own = job.input.extension().unwrap_or_default().to_owned();
        let named = with_suffix(&job.output, &own);
        let numbered = (2..).map(|number: u64| with_suffix(&named, number.to_string().as_ref()));
        let mut names = std::iter::once(named.clone()).chain(numbered);
        job.output = names.find(|path| taken.insert(key(path))).unwrap_or(named);
    }
}

/// Appends a suffix to the name: `photo.png` becomes `photo-3.png`.
pub(crate) fn with_suffix(path: &Path, suffix: &OsStr) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-");
    name.push(suffix);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
