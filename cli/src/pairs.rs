//! `pix2pix pairs`: makes pairs from photographs. The left half, the input, is computed from the photograph.
//!
//! ```text
//! pix2pix pairs --task edges --input photos --output datasets/edges
//! pix2pix train --data datasets/edges
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use imageproc::edges::canny;
use pix2pix::data::{self, ImageLimits};

use crate::files;
use crate::limits::LimitOptions;
use crate::output::{note, one_line, say};
use crate::outputs::{refuse_links, shortened};

/// Makes side-by-side pairs from a folder of photographs
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Kind of the input half, on the left
    #[arg(long, value_enum, help_heading = PAIRS)]
    task: Task,
    /// Folder of photographs, with all its subfolders
    #[arg(long, help_heading = PAIRS)]
    input: PathBuf,
    /// Folder that gets `train/` and `val/`
    #[arg(long, help_heading = PAIRS)]
    output: PathBuf,
    /// Shorter side in pixels to which larger photographs are shrunk first, so that edges are one pixel wide for the
    /// network
    #[arg(long, default_value_t = 256, help_heading = PAIRS)]
    size: u32,
    /// Put every n-th photograph into `val/`; 0 for none
    #[arg(long, default_value_t = 10, help_heading = PAIRS)]
    val_every: usize,
    /// Canny's low threshold: drops weaker edges; keeps edges up to --high if they touch a stronger one
    #[arg(long, default_value_t = 30.0, help_heading = EDGES)]
    low: f32,
    /// Canny's high threshold: keeps stronger edges
    #[arg(long, default_value_t = 80.0, help_heading = EDGES)]
    high: f32,
    #[command(flatten)]
    limits: LimitOptions,
}

const PAIRS: &str = "Pairs";
const EDGES: &str = "Edges";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Task {
    /// Black edges on white, found by Canny's method
    Edges,
    /// The photograph in grey
    Grey,
    /// The photograph with its central square white
    Inpaint,
    /// For images with transparency: opaque on the left, over white on the right
    Background,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let listing = files::images(&options.input, Some(&options.output))?;
    let photographs = &listing.images;
    if !(0.0..=options.high).contains(&options.low) {
        bail!("--low: {} is not between 0 and --high, {}", options.low, options.high);
    }
    if options.size == 0 {
        bail!("--size: is 0; it must be at least 1");
    }
    let limits = options.limits.limits()?;
    let (mut counts, mut names, mut errors) = ([0; 2], HashSet::new(), Vec::new());
    for (index, path) in photographs.iter().enumerate() {
        let is_val = options.val_every > 0 && index % options.val_every == options.val_every - 1;
        let folder = options.output.join(if is_val { "val" } else { "train" });
        let file = folder.join(format!("{}.png", name(path, &options.input, &mut names)));
        match make(options, path, &limits, &shortened(file)) {
            Ok(()) => counts[usize::from(is_val)] += 1,
            Err(error) => errors.push(error),
        }
    }
    for error in &errors {
        note!("skipped {}", one_line(error));
    }
    say!("{} pairs to train on, {} to validate in {}", counts[0], counts[1], options.output.display());
    let broken = listing.left_out.iter().filter(|file| file.is_fault()).count();
    match errors.len() + broken {
        0 => Ok(()),
        count => bail!(
            "{}: {count} of {} photographs could not be made into pairs",
            options.input.display(),
            photographs.len() + broken
        ),
    }
}

/// Makes the pair of a photograph, and writes it atomically.
fn make(options: &Options, path: &Path, limits: &ImageLimits, file: &Path) -> Result<()> {
    // Removing the background copies the photograph twice.
    let loaded = data::load_image(path, limits, |header| 8 * header.pixels())?;
    let [left, right] =
        pair(options, loaded.image).map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
    refuse_links(file, &options.output)?;
    files::replace(file, &data::encode_pair([&left, &right])?)
}

/// Returns a unique name for a photograph's pair: its whole path, so that `a.png`, `a.jpg` and `b/a.png` differ.
fn name(path: &Path, input: &Path, taken: &mut HashSet<String>) -> String {
    let inside = path.strip_prefix(input).unwrap_or(path).to_string_lossy();
    let mut name = inside.replace(['.', '/', '\\'], "_");
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// Returns input and target.
fn pair(options: &Options, photograph: DynamicImage) -> std::result::Result<[RgbImage; 2], &'static str> {
    let small = |image: DynamicImage| shrunk(image, options.size);
    let make_input: fn(&DynamicImage, &Options) -> DynamicImage = match options.task {
        Task::Edges => |image, options| edges(image, options.low, options.high).into(),
        Task::Grey => |image, _| image.to_luma8().into(),
        Task::Inpaint => |image, _| with_hole(image.to_rgb8()).into(),
        Task::Background if photograph.color().has_alpha() => {
            let white = over_white(&photograph).into();
            return Ok([photograph.to_rgb8().into(), white].map(|half| small(half).to_rgb8()));
        }
        Task::Background => {
            return Err("the image has no transparency to separate the background; use another file or task");
        }
    };
    let target = small(photograph);
    Ok([make_input(&target, options).to_rgb8(), target.to_rgb8()])
}

/// Shrinks an image until its shorter side is at most `side`.
fn shrunk(image: DynamicImage, side: u32) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let shorter = width.min(height);
    if shorter <= side {
        return image;
    }
    let [width, height] = [width, height]
        .map(|length| (u64::from(length) * u64::from(side)).div_ceil(u64::from(shorter)) as u32);
    image.resize_exact(width, height, FilterType::CatmullRom)
}

/// Paints the central square, of half the width and height, white.
fn with_hole(mut photograph: RgbImage) -> RgbImage {
    let (width, height) = photograph.dimensions();
    let white = RgbImage::from_pixel(width / 2, height / 2, Rgb([255; 3]));
    imageops::replace(&mut photograph, &white, i64::from(width / 4), i64::from(height / 4));
    photograph
}

/// Draws black edges on white.
fn edges(image: &DynamicImage, low: f32, high: f32) -> RgbImage {
    let mut edges = canny(&image.to_luma8(), low, high);
    imageops::invert(&mut edges);
    DynamicImage::from(edges).to_rgb8()
}

/// Composes an image with alpha over white.
fn over_white(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0.map(u16::from);
        Rgb([r, g, b].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}
