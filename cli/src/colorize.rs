//! `pix2pix colorize`: colours grey photographs, one of the paper's tasks (section 4).
//!
//! ```text
//! pix2pix colorize --data photographs/ --out runs/colour
//! pix2pix colorize --out runs/colour --input grey.jpg --output coloured.png
//! ```
//!
//! The network sees the lightness L of the CIELAB colour space and predicts a and b.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use clap::Args;
use image::{DynamicImage, imageops::FilterType};
use palette::{FromColor, IntoColor, Lab, Srgb};
use pix2pix::data::{self, Batch, EpochCursor, ImageLimits, Size};
use pix2pix::{Device, Pix2PixConfig, Tensor, Trainer, Translator};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::Common;
use crate::files;
use crate::limits::LimitOptions;
use crate::output::{note, one_line, say};

/// Scales to `[-1, 1]`: L, from 0 to 100, becomes L / `LIGHTNESS` − 1; a and b are divided by `COLOUR`.
const LIGHTNESS: f32 = 50.0;
const COLOUR: f32 = 110.0;

/// Learns to colour grey photographs, and colours them
///
/// With --data it trains on a folder of colour photographs. With --input and --output it colours a photograph with the
/// generator in --out.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Folder of colour photographs to learn from, with all its subfolders
    #[arg(long, required_unless_present = "input", help_heading = TRAINING)]
    data: Option<PathBuf>,
    /// Run folder; an existing run is resumed
    #[arg(long, default_value = "runs/colour", help_heading = TRAINING)]
    out: PathBuf,
    /// Side in pixels of the squares to learn from
    #[arg(long, default_value_t = 128, help_heading = TRAINING)]
    size: usize,
    /// Channels of the first layer of both networks
    #[arg(long, default_value_t = 64, help_heading = TRAINING)]
    base_channels: usize,
    /// Epochs to train
    #[arg(long, default_value_t = 100, help_heading = TRAINING)]
    epochs: usize,
    /// Photographs in a batch
    #[arg(long, default_value_t = 1, help_heading = TRAINING)]
    batch_size: usize,
    /// Stop after this many steps [default: after the last epoch]
    #[arg(long, help_heading = TRAINING)]
    steps: Option<u64>,
    /// Photograph to colour
    #[arg(long, requires = "output", help_heading = COLOURING)]
    input: Option<PathBuf>,
    /// Coloured photograph to write
    #[arg(long, requires = "input", help_heading = COLOURING)]
    output: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    common: Common,
}

const TRAINING: &str = "Training";
const COLOURING: &str = "Colouring";

/// Steps between two lines of losses.
const SHOW_EVERY: u64 = 50;

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.common.compute.device()?;
    if let Some(folder) = &options.data {
        train(folder, options, &device)?;
    }
    if let (Some(input), Some(output)) = (&options.input, &options.output) {
        // Lightness and colours are floating-point numbers.
        let limits = options.limits.limits()?;
        let loaded = data::load_image(input, &limits, |header| 32 * header.pixels())?;
        let coloured = colour(&Translator::load(&options.out, &device)?, &loaded.image)?;
        data::write_image(&coloured, output)?;
        say!("{}", output.display());
    }
    Ok(())
}

/// A data set of colour photographs as pairs of lightness and colour.
struct Photographs {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    size: Size,
    batch_size: usize,
    limits: ImageLimits,
    /// Indices in `paths` of unreadable photographs.
    unreadable: RefCell<BTreeSet<usize>>,
}

impl Photographs {
    fn open(folder: &Path, config: &Pix2PixConfig, limits: ImageLimits) -> Result<Self> {
        let paths = files::images(folder, None)?.images;
        let (size, batch_size) = (config.data.crop_size, config.data.batch_size);
        let unreadable = RefCell::default();
        Ok(Self { folder: folder.to_owned(), paths, size, batch_size, limits, unreadable })
    }

    /// Returns the batches of an epoch, starting at its first batch. Their random order depends only on its seed and
    /// number.
    fn batches(&self, epoch: EpochCursor, device: &Device) -> impl Iterator<Item = Result<Batch>> {
        let mut rng = ChaCha8Rng::seed_from_u64(epoch.seed);
        rng.set_stream(epoch.number as u64);
        let mut order: Vec<(usize, u64)> = (0..self.paths.len()).map(|index| (index, rng.random())).collect();
        order.shuffle(&mut rng);
        let chunks: Vec<_> =
            order.chunks(self.batch_size).skip(epoch.first_batch).map(<[_]>::to_vec).collect();
        chunks.into_iter().map(move |chunk| {
            let (mut lightness, mut colour) = (Vec::new(), Vec::new());
            for (index, seed) in &chunk {
                let (l, ab) = to_lab(&self.square_or_another(*index, *seed)?);
                lightness.extend(l);
                colour.extend(ab);
            }
            let tensor = |values: Vec<f32>, channels| {
                let shape = [chunk.len(), channels, self.size.height, self.size.width];
                Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
            };
            Ok(Batch { input: tensor(lightness, 1), target: tensor(colour, 2) })
        })
    }

    /// Returns a square of a photograph, or of the next readable one: an unreadable file neither stops training nor
    /// changes the number of steps in an epoch.
    fn square_or_another(&self, index: usize, seed: u64) -> Result<DynamicImage> {
        let mut last: Option<Error> = None;
        for index in (index..self.paths.len()).chain(0..index) {
            if self.unreadable.borrow().contains(&index) {
                continue;
            }
            match self.square(&self.paths[index], seed) {
                Ok(square) => return Ok(square),
                Err(error) => {
                    note!("skipped {}", one_line(&error));
                    self.unreadable.borrow_mut().insert(index);
                    last = Some(error);
                }
            }
        }
        let none = || anyhow!("{}: none of the photographs can be read", self.folder.display());
        Err(last.unwrap_or_else(none))
    }

    /// Reads a photograph, resizes it, and returns a random square of it, mirrored or not.
    fn square(&self, path: &Path, seed: u64) -> Result<DynamicImage> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let side = self.size.height as u32;
        let image = data::load_image(path, &self.limits, |header| header.bytes)?.image.resize_to_fill(
            side * 9 / 8,
            side * 9 / 8,
            FilterType::CatmullRom,
        );
        let [left, top] = [image.width(), image.height()].map(|length| rng.random_range(0..=length - side));
        let square = image.crop_imm(left, top, side, side);
        Ok(if rng.random_bool(0.5) { square.fliph() } else { square })
    }
}

fn train(folder: &Path, options: &Options, device: &Device) -> Result<()> {
    let mut config = Pix2PixConfig::paper().with_size(options.size)?.with_channels(1, 2);
    config.generator.base_channels = options.base_channels;
    config.discriminator.base_channels = options.base_channels;
    config.data.batch_size = options.batch_size;
    config.training.epochs = options.epochs;
    config.training.seed = options.common.seed;
    let photographs = Photographs::open(folder, &config, options.limits.limits()?)?;
    let mut trainer = Trainer::resume_or_new(&options.out, config, device)?;
    say!("{} photographs, {} epochs", photographs.paths.len(), trainer.epochs());

    let last = options.steps.unwrap_or(u64::MAX);
    'training: while let Some(epoch) = trainer.next_epoch() {
        for batch in photographs.batches(epoch, device) {
            if trainer.steps() >= last {
                break 'training;
            }
            let losses = trainer.step(batch?);
            if trainer.steps().is_multiple_of(SHOW_EVERY) {
                say!("epoch {epoch}  step {}  {}", trainer.steps(), losses.read()?);
            }
        }
        trainer.save(&options.out)?;
    }
    trainer.save(&options.out)?;
    say!("{} steps: {}", trainer.steps(), options.out.display());
    let unreadable = photographs.unreadable.borrow().len();
    if unreadable > 0 {
        say!("{unreadable} photographs could not be read; other photographs replaced them");
    }
    Ok(())
}

/// Colours a photograph and keeps its lightness, bits and alpha.
fn colour(translator: &Translator, photograph: &DynamicImage) -> Result<DynamicImage> {
    let [height, width] = [photograph.height(), photograph.width()].map(|size| size as usize);
    let (lightness, _) = to_lab(photograph);
    let ab = translator.translate_array(&lightness, [1, height, width])?;
    let (a, b) = ab.split_at(lightness.len());
    let mut coloured = photograph.to_rgba32f(); // keeps alpha
    for (((pixel, l), a), b) in coloured.pixels_mut().zip(&lightness).zip(a).zip(b) {
        let lab: Lab = Lab::new((l + 1.0) * LIGHTNESS, a * COLOUR, b * COLOUR);
        let rgb = Srgb::from_color(lab);
        pixel.0[..3].copy_from_slice(&[rgb.red, rgb.green, rgb.blue].map(|value| value.clamp(0.0, 1.0)));
    }
    let color = photograph.color();
    let is_deep = color.bytes_per_pixel() > color.channel_count();
    let coloured = DynamicImage::ImageRgba32F(coloured);
    Ok(match (color.has_alpha(), is_deep) {
        (true, true) => coloured.into_rgba16().into(),
        (true, false) => coloured.into_rgba8().into(),
        (false, true) => coloured.into_rgb16().into(),
        (false, false) => coloured.into_rgb8().into(),
    })
}

/// Returns lightness `[1, H, W]` and colour `[2, H, W]` of an image, in `[-1, 1]`.
fn to_lab(image: &DynamicImage) -> (Vec<f32>, Vec<f32>) {
    let lab: Vec<Lab> = image.to_rgb32f().pixels().map(|pixel| Srgb::from(pixel.0).into_color()).collect();
    let lightness = lab.iter().map(|lab| lab.l / LIGHTNESS - 1.0).collect();
    let [a, b] = [|lab: &Lab| lab.a, |lab: &Lab| lab.b].map(|part| lab.iter().map(part));
    (lightness, a.chain(b).map(|value| (value / COLOUR).clamp(-1.0, 1.0)).collect())
}
