//! Pictures through a trained generator: one file, or every picture in a folder.
//!
//! ```text
//! cargo run --release --example translate -- --weights runs/demo --input labels.png --output photo.png
//! cargo run --release --example translate -- --weights runs/demo --input labels/ --output photos/ --mode image
//! ```

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use pix2pix::{Error, Mode, Result, Translator};

#[derive(Parser)]
#[command(about = "Translates pictures of any size with a trained generator")]
struct Options {
    /// Run folder or weights file
    #[arg(long)]
    weights: PathBuf,
    /// Picture, or folder of pictures
    #[arg(long)]
    input: PathBuf,
    /// Picture to write, its type by its extension; a folder if the input is one
    #[arg(long)]
    output: PathBuf,
    /// paper: noise and the picture's own statistics; image: no noise; running: statistics of the training
    #[arg(long, value_enum, default_value = "paper")]
    mode: ModeName,
    /// Work on overlapping squares of so many pixels, for large pictures
    #[arg(long)]
    tile: Option<usize>,
    /// Pixels by which the squares overlap [default: a quarter of the tile]
    #[arg(long)]
    overlap: Option<usize>,
    /// Outputs for each picture, each with other noise (mode paper)
    #[arg(long, default_value_t = 1)]
    samples: u64,
    #[command(flatten)]
    common: support::Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeName {
    Paper,
    Image,
    Running,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let mut translator = Translator::load(&options.weights, &options.common.device()?)?;
    if let Some(tile) = options.tile {
        translator = translator.with_tiles(tile, options.overlap.unwrap_or(tile / 4))?;
    }
    let jobs = jobs(&options.input, &options.output)?;
    let mut broken = Vec::new();
    for sample in 0..options.samples {
        translator = translator.with_mode(match options.mode {
            ModeName::Paper => Mode::PAPER.with_noise(options.common.seed.wrapping_add(sample)),
            ModeName::Image => Mode::IMAGE,
            ModeName::Running => Mode::RUNNING,
        });
        for (input, output) in &jobs {
            let output = if options.samples > 1 { numbered(output, sample) } else { output.clone() };
            match translate(&translator, input, &output) {
                Ok(()) => println!("{}", output.display()),
                Err(error) => {
                    eprintln!("skipped {error}");
                    broken.push(input);
                }
            }
        }
    }
    match broken.first() {
        None => Ok(()),
        Some(first) => {
            let problem = format!("{} of {} pictures could not be translated", broken.len(), jobs.len());
            Err(Error::Image { path: first.to_path_buf(), source: problem.into() })
        }
    }
}

fn translate(translator: &Translator, input: &Path, output: &Path) -> Result<()> {
    let picture = translator.translate_file(input)?;
    picture.save(output).map_err(|error| Error::Image { path: output.to_owned(), source: error.into() })
}

/// What to read and where to write it.
fn jobs(input: &Path, output: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    if !input.is_dir() {
        return Ok(vec![(input.to_owned(), output.to_owned())]);
    }
    let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(output).map_err(|error| io(output, error))?;
    let real = |path: &Path| path.canonicalize().map_err(|error| io(path, error));
    if real(input)? == real(output)? {
        let problem = format!("{} is the input folder, too; name another one", output.display());
        return Err(Error::Config { field: "--output", problem });
    }
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(input).map_err(|error| io(input, error))? {
        let path = entry.map_err(|error| io(input, error))?.path();
        if let (true, Some(name)) = (image::ImageFormat::from_path(&path).is_ok(), path.file_name()) {
            jobs.push((path.clone(), output.join(name)));
        }
    }
    jobs.sort();
    Ok(jobs)
}

/// `photo.png` as `photo-3.png`.
fn numbered(path: &Path, sample: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.{extension}", sample + 1))
}
