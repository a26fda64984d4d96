//! Grey photographs to colour, one of the paper's own tasks (section 4), from any folder of colour photographs.
//!
//! ```text
//! cargo run --release --example colorize -- --data photographs/ --out runs/colour
//! cargo run --release --example colorize -- --out runs/colour --input grey.jpg --output coloured.png
//! ```
//!
//! The network sees the lightness L of the CIELAB colour space and gives a and b. This also shows how to bring data of
//! your own: [`Photographs`] is written with the public interface alone. The trainer takes a [`Batch`], whoever made it.

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use image::{DynamicImage, imageops::FilterType};
use palette::{FromColor, IntoColor, Lab, Srgb};
use pix2pix::data::{Batch, EpochCursor};
use pix2pix::{Device, Error, Pix2PixConfig, Result, Tensor, Trainer, Translator, data};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use walkdir::WalkDir;

/// What L, 0 to 100, is divided by after 50 is taken off, and a and b are: into `[-1, 1]`.
const LIGHTNESS: f32 = 50.0;
const COLOUR: f32 = 110.0;

#[derive(Parser)]
#[command(about = "Learns to colour grey photographs, and colours them")]
struct Options {
    /// Folder of colour photographs to learn from, with all folders in it
    #[arg(long, required_unless_present = "input")]
    data: Option<PathBuf>,
    /// Run folder; a run that is there goes on
    #[arg(long, default_value = "runs/colour")]
    out: PathBuf,
    /// Pixels of a side of the squares to learn from
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Channels of both networks' first layers
    #[arg(long, default_value_t = 64)]
    base_channels: usize,
    /// Epochs
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Photographs in a batch
    #[arg(long, default_value_t = 1)]
    batch_size: usize,
    /// Stop after so many steps
    #[arg(long)]
    steps: Option<u64>,
    /// Photograph to colour
    #[arg(long, requires = "output")]
    input: Option<PathBuf>,
    /// Coloured photograph to write
    #[arg(long, requires = "input")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: support::Common,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let device = options.common.device()?;
    if let Some(folder) = &options.data {
        train(folder, options, &device)?;
    }
    if let (Some(input), Some(output)) = (&options.input, &options.output) {
        let coloured = colour(&Translator::load(&options.out, &device)?, &data::read_image(input)?)?;
        coloured.save(output).map_err(|error| Error::Image { path: output.clone(), source: error.into() })?;
        println!("{}", output.display());
    }
    Ok(())
}

/// Colour photographs as pairs of lightness and colour.
struct Photographs {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    size: usize,
    batch_size: usize,
    /// Those that could not be read, by their place in `paths`.
    broken: RefCell<BTreeSet<usize>>,
}

impl Photographs {
    fn open(folder: &Path, config: &Pix2PixConfig) -> Result<Self> {
        let files = WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(std::result::Result::ok);
        let paths: Vec<PathBuf> = files
            .map(walkdir::DirEntry::into_path)
            .filter(|path| {
                path.is_file() && image::ImageFormat::from_path(path).is_ok_and(|f| f.reading_enabled())
            })
            .collect();
        if paths.is_empty() {
            let problem = "no photographs in this folder (png, jpg, tif, webp, bmp, gif)".into();
            return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
        }
        let (size, batch_size) = (config.data.crop_size.height, config.data.batch_size);
        Ok(Self { folder: folder.to_owned(), paths, size, batch_size, broken: RefCell::default() })
    }

    /// The batches of an epoch in random order, a function of its seed and number, from its first batch on.
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
                let shape = [chunk.len(), channels, self.size, self.size];
                Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
            };
            Ok(Batch { input: tensor(lightness, 1), target: tensor(colour, 2) })
        })
    }

    /// A square of a photograph, or of the next one that can be read: a broken file does not end a training, and every
    /// epoch has as many steps.
    fn square_or_another(&self, index: usize, seed: u64) -> Result<DynamicImage> {
        let mut last = None;
        for index in (index..self.paths.len()).chain(0..index) {
            if self.broken.borrow().contains(&index) {
                continue;
            }
            match self.square(&self.paths[index], seed) {
                Ok(square) => return Ok(square),
                Err(error) => {
                    eprintln!("skipped {error}");
                    self.broken.borrow_mut().insert(index);
                    last = Some(error);
                }
            }
        }
        let problem = "none of the photographs in it can be read".into();
        Err(last.unwrap_or(Error::Pairs { path: self.folder.clone(), problem, unmatched: vec![] }))
    }

    /// A square of the photograph: its shorter side resized, then cut at random and mirrored or not.
    fn square(&self, path: &Path, seed: u64) -> Result<DynamicImage> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let side = self.size as u32;
        let picture =
            data::read_image(path)?.resize_to_fill(side * 9 / 8, side * 9 / 8, FilterType::CatmullRom);
        let [left, top] =
            [picture.width(), picture.height()].map(|length| rng.random_range(0..=length - side));
        let square = picture.crop_imm(left, top, side, side);
        Ok(if rng.random_bool(0.5) { square.fliph() } else { square })
    }
}

fn train(folder: &Path, options: &Options, device: &Device) -> Result<()> {
    let mut config = Pix2PixConfig::paper().with_size(options.size).with_channels(1, 2);
    config.generator.base_channels = options.base_channels;
    config.discriminator.base_channels = options.base_channels;
    config.data.batch_size = options.batch_size;
    config.training.epochs = options.epochs;
    config.training.seed = options.common.seed;
    let photographs = Photographs::open(folder, &config)?;
    let mut trainer = Trainer::resume_or_new(&options.out, config, device)?;
    println!("{} photographs, {} epochs", photographs.paths.len(), trainer.epochs());

    let last = options.steps.unwrap_or(u64::MAX);
    'training: while let Some(epoch) = trainer.next_epoch() {
        for batch in photographs.batches(epoch, device) {
            if trainer.steps() >= last {
                break 'training;
            }
            let losses = trainer.step(batch?);
            if trainer.steps().is_multiple_of(50) {
                println!("epoch {epoch}  step {}  {}", trainer.steps(), losses.read());
            }
        }
        trainer.save(&options.out)?;
    }
    trainer.save(&options.out)?;
    println!("{} steps: {}", trainer.steps(), options.out.display());
    let broken = photographs.broken.borrow().len();
    if broken > 0 {
        println!("{broken} photographs could not be read; others took their places");
    }
    Ok(())
}

/// The photograph with its own lightness, bits and alpha, and the colours that the network gives it.
fn colour(translator: &Translator, picture: &DynamicImage) -> Result<DynamicImage> {
    let [height, width] = [picture.height(), picture.width()].map(|size| size as usize);
    let (lightness, _) = to_lab(picture);
    let ab = translator.translate_array(&lightness, [1, height, width])?;
    let (a, b) = ab.split_at(lightness.len());
    let mut coloured = picture.to_rgba32f(); // keeps alpha
    for (((pixel, l), a), b) in coloured.pixels_mut().zip(&lightness).zip(a).zip(b) {
        let lab: Lab = Lab::new((l + 1.0) * LIGHTNESS, a * COLOUR, b * COLOUR);
        let rgb = Srgb::from_color(lab);
        pixel.0[..3].copy_from_slice(&[rgb.red, rgb.green, rgb.blue].map(|value| value.clamp(0.0, 1.0)));
    }
    let color = picture.color();
    let is_deep = color.bytes_per_pixel() > color.channel_count();
    let coloured = DynamicImage::ImageRgba32F(coloured);
    Ok(match (color.has_alpha(), is_deep) {
        (true, true) => coloured.into_rgba16().into(),
        (true, false) => coloured.into_rgba8().into(),
        (false, true) => coloured.into_rgb16().into(),
        (false, false) => coloured.into_rgb8().into(),
    })
}

/// Lightness `[1, H, W]` and colour `[2, H, W]` of a picture, in `[-1, 1]`.
fn to_lab(picture: &DynamicImage) -> (Vec<f32>, Vec<f32>) {
    let lab: Vec<Lab> = picture.to_rgb32f().pixels().map(|pixel| Srgb::from(pixel.0).into_color()).collect();
    let lightness = lab.iter().map(|lab| lab.l / LIGHTNESS - 1.0).collect();
    let [a, b] = [|lab: &Lab| lab.a, |lab: &Lab| lab.b].map(|part| lab.iter().map(part));
    (lightness, a.chain(b).map(|value| (value / COLOUR).clamp(-1.0, 1.0)).collect())
}
