//! Pictures through a trained generator: one file, or every picture in a folder and the folders in it.
//!
//! ```text
//! cargo run --release --example translate -- --weights runs/demo --input labels.png --output photo.png
//! cargo run --release --example translate -- --weights runs/demo --input labels/ --output photos/ --mode image
//! ```
//!
//! Decoding, the network and encoding go on at the same time. A file that cannot be read stops nothing: such files are
//! listed at the end, and the status is 1.

#[path = "support/mode.rs"]
mod mode;
mod support;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use clap::Parser;
use image::{DynamicImage, ImageFormat};
use indicatif::{ProgressBar, ProgressStyle};
use mode::ModeName;
use pix2pix::{Error, Result, Translator, data};
use walkdir::WalkDir;

/// Pictures that wait for the network, and outputs that wait to be written.
const AHEAD: usize = 2;
/// Threads that decode, and threads that encode.
const WORKERS: usize = 2;

#[derive(Parser)]
#[command(about = "Translates pictures of any size with a trained generator")]
struct Options {
    /// Run folder, weights file, or file of the PyTorch original
    #[arg(long)]
    weights: PathBuf,
    /// Picture, or folder of pictures
    #[arg(long)]
    input: PathBuf,
    /// Picture to write, its type by its extension; a folder if the input is one
    #[arg(long)]
    output: PathBuf,
    /// Type of the pictures written into a folder, for instance png [default: each one's own, png for gif]
    #[arg(long)]
    format: Option<String>,
    /// Write over pictures that are there already; without it they are left alone
    #[arg(long)]
    overwrite: bool,
    /// How normalisation and noise behave
    #[arg(long, value_enum, default_value = "paper")]
    mode: ModeName,
    /// Pixels of a tile's side; larger pictures go through in tiles, which bounds the memory [default: 1024]
    #[arg(long)]
    tile: Option<usize>,
    /// Outputs for each picture, each with other noise (mode paper)
    #[arg(long, default_value_t = 1)]
    samples: u64,
    #[command(flatten)]
    common: support::Common,
}

/// What to read and where to write it.
struct Job {
    input: PathBuf,
    output: PathBuf,
    format: ImageFormat,
}

/// A picture whose file said what was wrong.
type Broken = Mutex<Vec<Error>>;

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let mut translator = Translator::load(&options.weights, &options.common.device()?)?;
    if let Some(tile) = options.tile {
        translator = translator.with_tiles(tile)?;
    }
    let translators = (0..options.samples).map(|sample| {
        translator.clone().with_mode(options.mode.mode(options.common.seed.wrapping_add(sample)))
    });
    let translators: Vec<Translator> = translators.collect();
    let all = jobs(options)?;
    let count = all.len();
    let jobs: Vec<Job> =
        all.into_iter().filter(|job| options.overwrite || !is_done(job, options.samples)).collect();
    let left_alone = count - jobs.len();
    if left_alone > 0 && !options.input.is_dir() {
        return Err(broken(&options.output, "is there already; remove it, or use --overwrite"));
    }

    let start = Instant::now();
    let errors = Broken::default();
    let bar = ProgressBar::new(jobs.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left").expect("a template"),
    );
    translate_all(&jobs, &translators, &errors, &bar);
    bar.finish_and_clear();

    let errors = errors.into_inner().unwrap_or_default();
    for error in &errors {
        eprintln!("skipped {error}");
    }
    let done = jobs.len() - errors.len();
    let rate = done as f64 / start.elapsed().as_secs_f64();
    println!("{}: {done} translated, {rate:.1} a second", options.output.display());
    if left_alone > 0 {
        println!("{left_alone} were there already (--overwrite does them again)");
    }
    match errors.len() {
        0 => Ok(()),
        bad => {
            Err(broken(&options.input, format!("{bad} of {} pictures could not be translated", jobs.len())))
        }
    }
}

/// Threads decode ahead of the network, and others encode behind it; the queues between them are short.
fn translate_all(jobs: &[Job], translators: &[Translator], errors: &Broken, bar: &ProgressBar) {
    let fail = |error| errors.lock().expect("nobody panics with it").push(error);
    let next = AtomicUsize::new(0);
    let (decoded, pictures) = sync_channel(AHEAD);
    let (translated, outputs) = sync_channel(AHEAD);
    let outputs = Mutex::new(outputs);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let decoded = decoded.clone();
            let next = &next;
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if decoded.send((job, data::open(&job.input))).is_err() {
                        break;
                    }
                }
            });
            scope.spawn(|| {
                loop {
                    let received = outputs.lock().expect("nobody panics with it").recv();
                    let Ok((job, outputs)) = received else { break };
                    write(job, outputs).unwrap_or_else(fail);
                    bar.inc(1);
                }
            });
        }
        drop(decoded);
        for (job, picture) in pictures {
            let outputs: Result<Vec<_>> = picture.and_then(|picture| {
                translators.iter().map(|translator| translator.translate(&picture)).collect()
            });
            match outputs {
                Ok(outputs) => translated.send((job, outputs)).expect("the writers are there"),
                Err(error) => {
                    fail(error);
                    bar.inc(1);
                }
            }
        }
        drop(translated);
    });
}

/// Writes the outputs of a picture, each whole or not at all.
fn write(job: &Job, outputs: Vec<DynamicImage>) -> Result<()> {
    let count = outputs.len() as u64;
    for (sample, output) in (0..).zip(outputs) {
        let path = numbered(&job.output, sample, count);
        let mut bytes = Cursor::new(Vec::new());
        let encoded = storable(output, job.format).write_to(&mut bytes, job.format);
        encoded.map_err(|error| Error::Image { path: path.clone(), source: error.into() })?;
        let partial = path.with_extension("part");
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = written.and_then(|()| std::fs::write(&partial, bytes.into_inner()));
        let written = written.and_then(|()| std::fs::rename(&partial, &path));
        written.map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}

/// The picture with the bits and the channels that files of this type hold.
fn storable(picture: DynamicImage, format: ImageFormat) -> DynamicImage {
    let color = picture.color();
    match (format, color.has_alpha(), color.has_color()) {
        (ImageFormat::Png, ..) => picture,
        (ImageFormat::Tiff, true, false) if color.bytes_per_pixel() > 2 => picture.into_rgba16().into(),
        (ImageFormat::Tiff, true, false) => picture.into_rgba8().into(),
        (ImageFormat::Tiff, ..) => picture,
        (ImageFormat::Jpeg, _, false) => picture.into_luma8().into(),
        (ImageFormat::Jpeg, ..) => picture.into_rgb8().into(),
        (ImageFormat::Gif, ..) | (_, true, _) => picture.into_rgba8().into(),
        (_, _, false) => picture.into_luma8().into(),
        _ => picture.into_rgb8().into(),
    }
}

fn jobs(options: &Options) -> Result<Vec<Job>> {
    let (input, output) = (&options.input, &options.output);
    if !input.is_dir() {
        let format = ImageFormat::from_path(output).ok().filter(ImageFormat::writing_enabled);
        let format =
            format.ok_or_else(|| broken(output, "has no picture's extension; use for instance .png"))?;
        return Ok(vec![Job { input: input.clone(), output: output.clone(), format }]);
    }
    let wanted = match &options.format {
        Some(name) => match ImageFormat::from_extension(name).filter(ImageFormat::writing_enabled) {
            Some(format) => Some((name.as_str(), format)),
            None => {
                let problem =
                    format!("`{name}` is no type that can be written; use png, jpg, tif, webp, bmp or gif");
                return Err(Error::Config { field: "--format", problem });
            }
        },
        None => None,
    };
    let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(output).map_err(|error| io(output, error))?;
    let real = |path: &Path| path.canonicalize().map_err(|error| io(path, error));
    let results = real(output)?;
    if real(input)? == results {
        let problem = format!("{} is the input folder, too; name another one", output.display());
        return Err(Error::Config { field: "--output", problem });
    }
    let mut jobs = Vec::new();
    // Earlier results are no input, even if their folder lies inside.
    let inside = |path: &Path| path.canonicalize().is_ok_and(|path| path == results);
    for entry in
        WalkDir::new(input).sort_by_file_name().into_iter().filter_entry(|entry| !inside(entry.path()))
    {
        let entry = entry.map_err(|error| io(input, error.into()))?;
        let path = entry.path();
        let Some(own) = ImageFormat::from_path(path).ok().filter(|format| format.reading_enabled()) else {
            continue;
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let place = output.join(path.strip_prefix(input).unwrap_or(path));
        let (place, format) = match wanted {
            Some((extension, format)) => (place.with_extension(extension), format),
            // Colour tables of 256 are too few for what a network gives.
            None if own == ImageFormat::Gif => (place.with_extension("png"), ImageFormat::Png),
            None => (place, own),
        };
        jobs.push(Job { input: path.to_owned(), output: place, format });
    }
    if jobs.is_empty() {
        return Err(broken(input, "no pictures in this folder (png, jpg, tif, webp, bmp, gif)"));
    }
    unite(&mut jobs);
    Ok(jobs)
}

/// Pictures of one name and several types get their type into the name, so that none is written over another.
fn unite(jobs: &mut [Job]) {
    let mut names = std::collections::HashMap::new();
    jobs.iter().for_each(|job| *names.entry(job.output.clone()).or_insert(0) += 1);
    for job in jobs.iter_mut().filter(|job| names[&job.output] > 1) {
        let own = job.input.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
        let extension = job.output.extension().unwrap_or_default().to_string_lossy().into_owned();
        job.output.set_file_name(format!("{own}.{extension}"));
    }
}

fn is_done(job: &Job, samples: u64) -> bool {
    (0..samples).all(|sample| numbered(&job.output, sample, samples).exists())
}

/// `photo.png` as `photo-3.png`, if there are several.
fn numbered(path: &Path, sample: u64, samples: u64) -> PathBuf {
    if samples == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.{extension}", sample + 1))
}

fn broken(path: &Path, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Image { path: path.to_owned(), source: problem.into() }
}
