//! `pix2pix translate`: translates one image, or every image in a folder and its subfolders.
//!
//! ```text
//! pix2pix translate --weights runs/demo --input labels.png --output photo.png
//! pix2pix translate --weights runs/demo --input labels/ --output photos/ --mode image
//! ```

mod arrays;
mod half;
mod jobs;
mod pipeline;
mod write;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use half::Half;
use indicatif::{ProgressBar, ProgressStyle};
use jobs::{Job, Listing};
use pix2pix::Translator;
use pix2pix::data::{self, DataConfig, LeftOut, Size};
use write::Writer;

use crate::common::{Common, ModeName, PagesName};
use crate::files;
use crate::imported::Imported;
use crate::limits::LimitOptions;
use crate::output::{note, one_line, say};
use crate::outputs::protect_inputs;

/// Translates images of any size with a trained generator
///
/// Decoding, the network and encoding run at the same time. A file that cannot be read does not stop the others: such
/// files are listed at the end, and the exit status is 1.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder, weights file, or file of the PyTorch original
    #[arg(long, help_heading = FILES)]
    weights: PathBuf,
    /// Checkpoint of the run folder: latest, best, or for example step-4000 [default: the exported generator]
    #[arg(long, value_name = "NAME", help_heading = FILES)]
    checkpoint: Option<String>,
    #[command(flatten)]
    imported: Imported,
    /// Image, or folder of images
    #[arg(long, help_heading = FILES)]
    input: PathBuf,
    /// Image to write, whose extension gives the type; a folder if the input is a folder
    #[arg(long, help_heading = FILES)]
    output: PathBuf,
    /// Type of the images written into a folder, for example png [default: that of the input; png for gif]
    #[arg(long, help_heading = FILES)]
    format: Option<String>,
    /// Quality of JPEG files, 1 to 100
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100), help_heading = FILES)]
    quality: u8,
    /// Replace existing outputs [default: keep them]
    #[arg(long, help_heading = FILES)]
    overwrite: bool,
    /// How normalisation and dropout behave
    #[arg(long, value_enum, default_value = "paper", help_heading = TRANSLATION)]
    mode: ModeName,
    /// Half of each image to translate, for side-by-side pairs [default: whole images; asks if most look like pairs]
    #[arg(long, value_enum, help_heading = TRANSLATION)]
    half: Option<Half>,
    /// Resize each image to the scale of the training, translate it, and resize the output back, as the PyTorch original
    /// does [default: translate at the image's own scale]
    #[arg(long, help_heading = TRANSLATION)]
    resize: bool,
    /// Pages of TIFF files; `all` writes as many pages to a TIFF file [default: as in training]
    #[arg(long, value_enum, help_heading = TRANSLATION)]
    pages: Option<PagesName>,
    /// Side of a tile in pixels; larger images are translated in tiles to bound the memory [default: 1024]
    #[arg(long, help_heading = TRANSLATION)]
    tile: Option<usize>,
    /// Outputs for each image, each with its own dropout noise (mode paper)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = TRANSLATION)]
    samples: u64,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    common: Common,
}

const FILES: &str = "Files";
const TRANSLATION: &str = "Translation";

/// Returns a translator for each sample, with the sample's noise. They share the weights.
fn translators(options: &Options) -> Result<Vec<Translator>> {
    if options.samples > 1 && options.mode != ModeName::Paper {
        bail!("--samples: {} outputs would all be equal; only the mode `paper` has noise", options.samples);
    }
    let (device, checkpoint) = (options.common.compute.device()?, options.checkpoint.as_deref());
    let mut translator = options.imported.translator(&options.weights, checkpoint, &device)?;
    translator.check_input().with_context(|| format!("--weights: {}", options.weights.display()))?;
    translator = translator.with_resizing(options.resize).with_limits(options.limits.limits()?);
    if let Some(pages) = options.pages {
        translator = translator.with_pages(pages.into());
    }
    if let Some(tile) = options.tile {
        translator = translator.with_tiles(tile)?;
    }
    let samples = (0..options.samples).map(|sample| {
        translator.clone().with_mode(options.mode.mode(options.common.seed.wrapping_add(sample)))
    });
    Ok(samples.collect())
}

fn progress_bar(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left")
            .expect("the template is valid"),
    );
    bar
}

/// Warns once if the scale of images differs from that of the training.
fn warn_of_scale(jobs: &[Job], half: Half, config: &DataConfig) {
    let Some(seen) = config.image_size else { return };
    let size = |job: &Job| {
        let size = data::image_size(&job.input)?;
        Some(if half == Half::None { size } else { Size { width: size.width / 2, ..size } })
    };
    let off: Vec<(&Job, Size)> = jobs
        .iter()
        .filter_map(|job| Some((job, size(job)?)))
        .filter(|(_, size)| !config.is_at_training_scale(*size))
        .collect();
    let Some((job, size)) = off.first() else { return };
    let pixels = |size: Size| format!("{}×{}", size.width, size.height);
    let at = config.training_size(seen);
    let scaled = if at == seen { String::new() } else { format!(", scaled to {}", pixels(at)) };
    note!(
        "warning: {} of {} images differ in scale from those of the training by more than a quarter, for example {} of \
         {} pixels: the network saw images of {}{scaled}. If they show as much as a training image, add --resize, which \
         translates them at the scale of the training and resizes the outputs back",
        off.len(),
        jobs.len(),
        job.input.display(),
        pixels(*size),
        pixels(seen),
    );
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let samples = translators(options)?;
    let arrays = samples[0].takes_arrays();
    if arrays && options.half.is_some_and(|half| half != Half::None) {
        bail!("--half: files of arrays are translated whole; cut them first");
    }
    let Listing { jobs: all, unreadable, broken, left_out } =
        jobs::list(&options.input, &options.output, options.format.as_deref(), arrays)?;
    let count = all.len();
    let writer = Writer::new(options.quality, options.overwrite, options.samples);
    protect_inputs(
        all.iter().flat_map(|job| writer.paths(job)),
        all.iter().map(|job| job.input.as_path()),
        &options.input,
        &options.output,
    )?;
    let mut jobs = Vec::new();
    for job in all {
        if !writer.is_done(&job)? {
            jobs.push(job);
        }
    }
    let kept = count - jobs.len();
    let is_folder = files::is_folder(&options.input)?;
    if kept > 0 && !is_folder {
        bail!("{}: the file exists already; remove it, or use --overwrite", options.output.display());
    }
    let config = &samples[0].config().data;
    let limits = options.limits.limits()?;
    if options.half.is_none() && !arrays {
        half::ask(&jobs, is_folder, config, &limits)?;
    }
    let half = options.half.unwrap_or(Half::None);
    files::report_pages(jobs.iter().map(|job| job.input.as_path()), config.pages);
    if !options.resize {
        warn_of_scale(&jobs, half, config);
    }

    let start = Instant::now();
    let bar = progress_bar(jobs.len());
    let failed = if arrays {
        arrays::translate_all(&jobs, &samples, &writer, &bar)
    } else {
        pipeline::translate_all(&jobs, &samples, half, limits, &writer, &bar)?
    };
    bar.finish_and_clear();

    let done = jobs.len() - failed.len();
    let failures = broken.len() + failed.len();
    for error in unreadable.iter().chain(&broken).chain(&failed) {
        note!("skipped {}", one_line(error));
    }
    let rate = done as f64 / start.elapsed().as_secs_f64();
    say!("{}: {done} translated, {rate:.1} a second", options.output.display());
    if kept > 0 {
        say!("{kept} existed already (--overwrite translates them again)");
    }
    if let Some(summary) = LeftOut::summary(&left_out) {
        say!("{summary}");
    }
    if let Some(lost) = writer.lost() {
        say!("{lost}");
    }
    let mut problems = Vec::new();
    if failures > 0 {
        problems.push(format!("{failures} of {} images could not be translated", done + failures));
    }
    if !unreadable.is_empty() {
        let unreadable = unreadable.len();
        problems.push(format!("{unreadable} folders or files in it could not be read"));
    }
    if problems.is_empty() { Ok(()) } else { bail!("{}: {}", options.input.display(), problems.join(", ")) }
}
