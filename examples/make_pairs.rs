//! Makes pairs out of photographs: edges, grey, with a hole, or before a background, on the left, and what is to be
//! generated on the right.
//!
//! ```text
//! cargo run --release --example make_pairs -- --task edges --input photos --output datasets/edges
//! cargo run --release --example train -- --data datasets/edges
//! ```

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use imageproc::edges::canny;
use pix2pix::{Error, Result, data};
use walkdir::WalkDir;

#[derive(Parser)]
#[command(about = "Makes side-by-side pairs out of a folder of photographs")]
struct Options {
    /// What the left half is
    #[arg(long, value_enum)]
    task: Task,
    /// Folder of photographs, with all folders in it
    #[arg(long)]
    input: PathBuf,
    /// Folder that gets `train/` and `val/`
    #[arg(long)]
    output: PathBuf,
    /// Pixels of the shorter side: larger photographs are shrunk to it first, so that edges are those that the network
    /// sees, one pixel wide
    #[arg(long, default_value_t = 256)]
    size: u32,
    /// One photograph in so many goes to `val/`; 0 for none
    #[arg(long, default_value_t = 10)]
    val_every: usize,
    /// Canny: edges weaker than this go, those between stay where they touch a strong one
    #[arg(long, default_value_t = 30.0)]
    low: f32,
    /// Canny: edges stronger than this stay
    #[arg(long, default_value_t = 80.0)]
    high: f32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Task {
    /// Black edges on white, found by Canny's method
    Edges,
    /// Its grey version
    Grey,
    /// The photograph with its central square white
    Inpaint,
    /// For pictures with transparency: opaque on the left, over white on the right
    Background,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let photographs = photographs(&options.input, &options.output)?;
    if !(0.0..=options.high).contains(&options.low) {
        let problem = format!("{} is not between 0 and --high, {}", options.low, options.high);
        return Err(Error::Config { field: "--low", problem });
    }
    if options.size == 0 {
        let problem = "0 pixels show nothing; it must be at least 1".to_owned();
        return Err(Error::Config { field: "--size", problem });
    }
    let (mut counts, mut names) = ([0; 2], HashSet::new());
    for (index, path) in photographs.iter().enumerate() {
        let is_val = options.val_every > 0 && index % options.val_every == options.val_every - 1;
        let folder = options.output.join(if is_val { "val" } else { "train" });
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        let [left, right] =
            pair(options, data::read_image(path)?).map_err(|problem| refuse(path, problem))?;
        let (width, height) = right.dimensions();
        let mut both = RgbImage::new(2 * width, height);
        imageops::replace(&mut both, &left, 0, 0);
        imageops::replace(&mut both, &right, i64::from(width), 0);
        let file = folder.join(name(path, &options.input, &mut names)).with_extension("png");
        both.save(&file).map_err(|error| refuse(&file, error))?;
        counts[usize::from(is_val)] += 1;
    }
    println!("{} pairs to train on, {} to validate in {}", counts[0], counts[1], options.output.display());
    Ok(())
}

fn refuse(path: &Path, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Image { path: path.to_owned(), source: problem.into() }
}

/// The pictures in a folder and those in it, by name, without what lies in `output`; other files are left alone.
fn photographs(folder: &Path, output: &Path) -> Result<Vec<PathBuf>> {
    let is_new = |path: &Path| !path.starts_with(output);
    let files =
        WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| is_new(entry.path()));
    let mut found = Vec::new();
    for file in files {
        let path =
            file.map_err(|error| Error::Io { path: folder.to_owned(), source: error.into() })?.into_path();
        if path.is_file() && image::ImageFormat::from_path(&path).is_ok_and(|kind| kind.reading_enabled()) {
            found.push(path);
        }
    }
    if found.is_empty() {
        let problem = "no photographs here; put PNG, JPEG, WebP, BMP or TIFF files in it".to_owned();
        return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
    }
    Ok(found)
}

/// A name of its own for a photograph's pair: all of its path, so that `a.png`, `a.jpg` and `b/a.png` do not become one.
fn name(path: &Path, input: &Path, taken: &mut HashSet<String>) -> String {
    let inside = path.strip_prefix(input).unwrap_or(path).to_string_lossy();
    let mut name = inside.replace(['.', '/', '\\'], "_");
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// Condition and target.
fn pair(options: &Options, picture: DynamicImage) -> std::result::Result<[RgbImage; 2], &'static str> {
    let small = |picture: DynamicImage| shrunk(picture, options.size);
    let left: fn(&DynamicImage, &Options) -> DynamicImage = match options.task {
        Task::Edges => |picture, options| edges(picture, options.low, options.high).into(),
        Task::Grey => |picture, _| picture.to_luma8().into(),
        Task::Inpaint => |picture, _| with_hole(picture.to_rgb8()).into(),
        Task::Background if picture.color().has_alpha() => {
            let white = over_white(&picture).into();
            return Ok([picture.to_rgb8().into(), white].map(|half| small(half).to_rgb8()));
        }
        Task::Background => return Err("it has no transparency, which tells what the background is"),
    };
    let photograph = small(picture);
    Ok([left(&photograph, options).to_rgb8(), photograph.to_rgb8()])
}

/// A picture whose shorter side is no longer than that.
fn shrunk(picture: DynamicImage, side: u32) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let shorter = width.min(height);
    if shorter <= side {
        return picture;
    }
    let [width, height] = [width, height]
        .map(|length| (u64::from(length) * u64::from(side)).div_ceil(u64::from(shorter)) as u32);
    picture.resize_exact(width, height, FilterType::CatmullRom)
}

fn with_hole(mut photograph: RgbImage) -> RgbImage {
    let (width, height) = photograph.dimensions();
    let white = RgbImage::from_pixel(width / 2, height / 2, Rgb([255; 3]));
    imageops::replace(&mut photograph, &white, i64::from(width / 4), i64::from(height / 4));
    photograph
}

/// Black edges on white.
fn edges(picture: &DynamicImage, low: f32, high: f32) -> RgbImage {
    let mut edges = canny(&picture.to_luma8(), low, high);
    imageops::invert(&mut edges);
    DynamicImage::from(edges).to_rgb8()
}

fn over_white(picture: &DynamicImage) -> RgbImage {
    let picture = picture.to_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0.map(u16::from);
        Rgb([r, g, b].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}
