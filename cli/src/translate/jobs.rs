//! Which pictures to read, and where to write what becomes of them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use pix2pix::{Error, Result};
use walkdir::WalkDir;

use super::broken;

/// What to read and where to write it.
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) format: ImageFormat,
}

/// What there is in a folder.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) jobs: Vec<Job>,
    /// Folders that could not be read.
    pub(crate) errors: Vec<Error>,
    /// Files that are hidden, or have no picture's name.
    pub(crate) others: usize,
}

/// The picture `input`, or all pictures in that folder; `format` is the type to write into a folder.
pub(crate) fn list(input: &Path, output: &Path, format: Option<&str>) -> Result<Listing> {
    if !input.is_dir() {
        let format = ImageFormat::from_path(output).ok().filter(ImageFormat::writing_enabled);
        let format =
            format.ok_or_else(|| broken(output, "has no picture's extension; use for instance .png"))?;
        let job = Job { input: input.to_owned(), output: output.to_owned(), format };
        return Ok(Listing { jobs: vec![job], ..Listing::default() });
    }
    let wanted = match format {
        Some(name) => match ImageFormat::from_extension(name).filter(ImageFormat::writing_enabled) {
            Some(format) => Some((name, format)),
            None => {
                let problem =
                    format!("`{name}` is no type that can be written; use png, jpg, tif, webp, bmp or gif");
                return Err(Error::Config { field: "--format", problem });
            }
        },
        None => None,
    };
    std::fs::create_dir_all(output).map_err(|error| io(output, error))?;
    let real = |path: &Path| path.canonicalize().map_err(|error| io(path, error));
    let results = real(output)?;
    if real(input)? == results {
        let problem = format!("{} is the input folder, too; name another one", output.display());
        return Err(Error::Config { field: "--output", problem });
    }
    let mut listing = Listing::default();
    // Earlier results are no input, even if their folder lies inside.
    let inside = |path: &Path| path.canonicalize().is_ok_and(|path| path == results);
    for entry in
        WalkDir::new(input).sort_by_file_name().into_iter().filter_entry(|entry| !inside(entry.path()))
    {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(input).to_owned();
                listing.errors.push(io(&path, error.into()));
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path();
        // macOS puts a hidden `._photo.jpg` without a picture next to a `photo.jpg`.
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let own = ImageFormat::from_path(path).ok().filter(|format| format.reading_enabled() && !is_hidden);
        let Some(own) = own else {
            listing.others += 1;
            continue;
        };
        let place = output.join(path.strip_prefix(input).unwrap_or(path));
        let (place, format) = match wanted {
            Some((extension, format)) => (place.with_extension(extension), format),
            // Colour tables of 256 are too few for what a network gives.
            None if own == ImageFormat::Gif => (place.with_extension("png"), ImageFormat::Png),
            None => (place, own),
        };
        listing.jobs.push(Job { input: path.to_owned(), output: place, format });
    }
    if listing.jobs.is_empty() && listing.errors.is_empty() {
        return Err(broken(input, "no pictures in this folder (png, jpg, tif, webp, bmp, gif)"));
    }
    unite(&mut listing.jobs);
    Ok(listing)
}

/// Pictures whose outputs would have one name get their own type into it, and a number if that is not enough, so that
/// none is written over another. Many disks take upper and lower case for the same.
///
/// The names depend on the names in the folder alone, so that a run that was stopped finds its results again.
fn unite(jobs: &mut [Job]) {
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

/// `photo.png` as `photo-3.png`.
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

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}
