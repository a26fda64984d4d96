//! Makes pairs out of photographs: edges, grey, with a hole, or before a background, on the left, and what is to be
//! generated on the right.
//!
//! ```text
//! cargo run --release --example make_pairs -- --task edges --input photos --output datasets/edges
//! cargo run --release --example train -- --data datasets/edges
//! ```

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use image::{DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage, imageops};
use imageproc::edges::canny;
use pix2pix::{Error, Result};

#[derive(Parser)]
#[command(about = "Makes side-by-side pairs out of a folder of photographs")]
struct Options {
    /// What the left half is
    #[arg(long, value_enum)]
    task: Task,
    /// Folder of photographs
    #[arg(long)]
    input: PathBuf,
    /// Folder that gets `train/` and `val/`
    #[arg(long)]
    output: PathBuf,
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
    let photographs = photographs(&options.input)?;
    if !(0.0..=options.high).contains(&options.low) {
        let problem = format!("{} is not between 0 and --high, {}", options.low, options.high);
        return Err(Error::Config { field: "--low", problem });
    }
    let mut counts = [0; 2];
    for (index, path) in photographs.iter().enumerate() {
        let is_val = options.val_every > 0 && index % options.val_every == options.val_every - 1;
        let folder = options.output.join(if is_val { "val" } else { "train" });
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        let [left, right] = pair(options, &open(path)?).map_err(|problem| refuse(path, problem))?;
        let (width, height) = right.dimensions();
        let mut both = RgbImage::new(2 * width, height);
        imageops::replace(&mut both, &left, 0, 0);
        imageops::replace(&mut both, &right, i64::from(width), 0);
        // The whole name, so that a.png and a.jpg do not become one.
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('.', "_");
        let file = folder.join(name).with_extension("png");
        both.save(&file).map_err(|error| refuse(&file, error))?;
        counts[usize::from(is_val)] += 1;
    }
    println!("{} pairs to train on, {} to validate in {}", counts[0], counts[1], options.output.display());
    Ok(())
}

fn refuse(path: &Path, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Image { path: path.to_owned(), source: problem.into() }
}

/// The pictures in a folder by name; other files are left alone.
fn photographs(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(io)?.collect::<std::io::Result<Vec<_>>>().map_err(io)?;
    let is_picture =
        |path: &PathBuf| image::ImageFormat::from_path(path).is_ok_and(|kind| kind.reading_enabled());
    let mut found: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).filter(is_picture).collect();
    found.sort();
    if found.is_empty() {
        let problem = "no photographs here; put PNG, JPEG, WebP, BMP or TIFF files in it".to_owned();
        return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
    }
    Ok(found)
}

/// A picture, turned upright as its camera recorded.
fn open(path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let read = || {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    };
    read().map_err(|error: image::ImageError| refuse(path, error))
}

/// Condition and target.
fn pair(options: &Options, picture: &DynamicImage) -> std::result::Result<[RgbImage; 2], &'static str> {
    let photograph = picture.to_rgb8();
    let left = match options.task {
        Task::Edges => edges(picture, options.low, options.high),
        Task::Grey => DynamicImage::from(picture.to_luma8()).to_rgb8(),
        Task::Inpaint => {
            let (width, height) = photograph.dimensions();
            let mut hole = photograph.clone();
            let white = RgbImage::from_pixel(width / 2, height / 2, Rgb([255; 3]));
            imageops::replace(&mut hole, &white, i64::from(width / 4), i64::from(height / 4));
            hole
        }
        Task::Background if picture.color().has_alpha() => return Ok([photograph, over_white(picture)]),
        Task::Background => return Err("it has no transparency, which tells what the background is"),
    };
    Ok([left, photograph])
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
