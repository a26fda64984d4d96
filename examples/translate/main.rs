//! Pictures through a trained generator: one file, or every picture in a folder and the folders in it.
//!
//! ```text
//! cargo run --release --example translate -- --weights runs/demo --input labels.png --output photo.png
//! cargo run --release --example translate -- --weights runs/demo --input labels/ --output photos/ --mode image
//! ```
//!
//! Decoding, the network and encoding go on at the same time. A file that cannot be read stops nothing: such files are
//! listed at the end, and the status is 1.

mod jobs;
#[path = "../support/mode.rs"]
mod mode;
mod pipeline;
#[path = "../support/mod.rs"]
mod support;
mod write;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use jobs::Listing;
use mode::ModeName;
use pix2pix::{Error, Result, Translator};
use write::Writer;

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
    /// Quality of JPEG files, 1 to 100
    #[arg(long, default_value_t = 92, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
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
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,
    #[command(flatten)]
    common: support::Common,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    if options.samples > 1 && options.mode != ModeName::Paper {
        let problem =
            format!("{} outputs would all be equal; only the mode `paper` has noise", options.samples);
        return Err(Error::Argument { name: "--samples".into(), problem });
    }
    let mut translator = Translator::load(&options.weights, &options.common.device()?)?;
    if let Some(tile) = options.tile {
        translator = translator.with_tiles(tile)?;
    }
    let samples = (0..options.samples).map(|sample| {
        translator.clone().with_mode(options.mode.mode(options.common.seed.wrapping_add(sample)))
    });
    let samples: Vec<Translator> = samples.collect();
    let Listing { jobs: all, mut errors, others } =
        jobs::list(&options.input, &options.output, options.format.as_deref())?;
    let unread = errors.len();
    let count = all.len();
    let writer = Writer::new(options.quality, options.overwrite, options.samples);
    let jobs: Vec<_> = all.into_iter().filter(|job| !writer.is_done(job)).collect();
    let left_alone = count - jobs.len();
    if left_alone > 0 && !options.input.is_dir() {
        return Err(broken(&options.output, "is there already; remove it, or use --overwrite"));
    }

    let start = Instant::now();
    let bar = ProgressBar::new(jobs.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left").expect("a template"),
    );
    let failed = pipeline::translate_all(&jobs, &samples, &writer, &bar);
    bar.finish_and_clear();

    let bad = failed.len();
    errors.extend(failed);
    for error in &errors {
        eprintln!("skipped {error}");
    }
    let done = jobs.len() - bad;
    let rate = done as f64 / start.elapsed().as_secs_f64();
    println!("{}: {done} translated, {rate:.1} a second", options.output.display());
    if left_alone > 0 {
        println!("{left_alone} were there already (--overwrite does them again)");
    }
    if others > 0 {
        println!("{others} other files left alone: hidden, or no pictures by their names");
    }
    if let Some(lost) = writer.lost() {
        println!("{lost}");
    }
    let mut problems = Vec::new();
    if bad > 0 {
        problems.push(format!("{bad} of {} pictures could not be translated", jobs.len()));
    }
    if unread > 0 {
        problems.push(format!("{unread} folders or files in it could not be looked at"));
    }
    if problems.is_empty() { Ok(()) } else { Err(broken(&options.input, problems.join(", "))) }
}

fn broken(path: &Path, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::image(path, problem)
}
