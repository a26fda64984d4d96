//! `pix2pix sample`: makes images of noise with a generator that takes no input.
//!
//! ```text
//! pix2pix sample --weights runs/dcgan --count 64 --output samples
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use pix2pix::Sampler;
use pix2pix::data::{image_grid, write_image};
use pix2pix::image::{DynamicImage, RgbImage};

use crate::common::{self, Common};
use crate::files;
use crate::output::say;

/// The largest number of images in the grid, and of columns in it.
const MAX_GRID: usize = 256;
const MAX_COLUMNS: usize = 16;
/// The number of images that are made before they are written.
const AT_ONCE: u64 = 64;

/// Makes images of noise with a generator that takes no input, as `pix2pix train --system dcgan` trains it
///
/// Writes `sample-0000.png` and so on, and `grid.png` with the first 256 of them. An image depends on the weights, the
/// seed and its number alone.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder, weights file, or `.pth` file of PyTorch's DCGAN example
    #[arg(long, help_heading = FILES)]
    weights: PathBuf,
    /// Checkpoint of the run folder: latest, best, or for example step-4000 [default: the exported generator]
    #[arg(long, value_name = "NAME", help_heading = FILES)]
    checkpoint: Option<String>,
    /// Folder to write the images to
    #[arg(long, help_heading = FILES)]
    output: PathBuf,
    /// Replace existing images [default: refuse a folder that has some of these names]
    #[arg(long, help_heading = FILES)]
    overwrite: bool,
    /// Number of images
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Images")]
    count: u64,
    #[command(flatten)]
    common: Common,
}

const FILES: &str = "Files";

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.common.compute.device()?;
    let translator = common::translator(&options.weights, options.checkpoint.as_deref(), &device)?;
    let sampler = Sampler::from_translator(translator)
        .with_context(|| format!("--weights: {}", options.weights.display()))?;
    let (folder, grid) = (&options.output, options.output.join("grid.png"));
    if !options.overwrite {
        let names = (0..options.count).map(|index| path(folder, index)).chain([grid.clone()]);
        for name in names {
            if files::look(&name)?.is_some() {
                bail!("--output: {} exists; name another folder, or add --overwrite", name.display());
            }
        }
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut shown: Vec<RgbImage> = vec![];
    for first in (0..options.count).step_by(AT_ONCE as usize) {
        let indices = first..(first + AT_ONCE).min(options.count);
        let images = sampler.sample(options.common.seed, indices.clone())?;
        for (index, image) in indices.zip(&images) {
            write_image(image, path(folder, index))?;
        }
        shown.extend(images.iter().take(MAX_GRID - shown.len()).map(DynamicImage::to_rgb8));
    }
    let columns = (shown.len() as f64).sqrt().ceil() as usize;
    write_image(&image_grid(&shown, columns.clamp(1, MAX_COLUMNS)).into(), &grid)?;
    say!("{} images: {}", options.count, folder.display());
    Ok(())
}

/// Returns the file of image `index`.
fn path(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("sample-{index:04}.png"))
}
