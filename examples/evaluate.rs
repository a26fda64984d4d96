//! Scores of a generator on held-out pairs: L1, PSNR and SSIM of every pair, and their means.
//!
//! ```text
//! cargo run --release --example evaluate -- --weights runs/demo --data runs/demo/data --json scores.json
//! ```
//!
//! Pairs are resized to the size of the training, as during the training itself, so the means are comparable with its
//! curves. The scores are those of scikit-image with `data_range=2`, and for SSIM its settings of Wang et al. 2004.

#[path = "support/mode.rs"]
mod mode;
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use mode::ModeName;
use pix2pix::data::{Batch, Direction, PairedFolder};
use pix2pix::metrics::{self, Scores};
use pix2pix::{Error, Mode, Result, Statistics, Translator};
use serde_json::json;

#[derive(Parser)]
#[command(about = "Scores a generator on pairs of pictures")]
struct Options {
    /// Run folder, weights file, or file of the PyTorch original
    #[arg(long)]
    weights: PathBuf,
    /// Folder of pairs, or one with `train/`, `val/` …
    #[arg(long)]
    data: PathBuf,
    /// Which of them
    #[arg(long, default_value = "val")]
    split: String,
    /// Which half is the condition [default: as in the training]
    #[arg(long, value_enum)]
    direction: Option<Way>,
    /// How normalisation and noise behave
    #[arg(long, value_enum, default_value = "paper")]
    mode: ModeName,
    /// Write all scores as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    common: support::Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    AToB,
    BToA,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let device = options.common.device()?;
    let translator = Translator::load(&options.weights, &device)?;
    let mut config = translator.config().data.clone();
    config.batch_size = 1;
    config.direction = match options.direction {
        Some(Way::AToB) => Direction::AToB,
        Some(Way::BToA) => Direction::BToA,
        None => config.direction,
    };
    let split = options.data.join(&options.split);
    let pairs = PairedFolder::open(if split.is_dir() { split } else { options.data.clone() }, &config)?;

    let mut rows = Vec::new();
    println!("{:<40} {:>8} {:>8} {:>8}", "pair", "L1", "PSNR", "SSIM");
    for (index, batch) in pairs.in_order(&device).enumerate() {
        let Batch { input, target } = batch?;
        // Other noise for every picture, as in the training's own validation.
        let mode = options.mode.mode(options.common.seed.wrapping_add(index as u64));
        let mode = match mode.statistics {
            Statistics::Batch => Mode { statistics: Statistics::Image, ..mode },
            _ => mode,
        };
        let output = translator.generator().forward_with(input, mode);
        let [l1, psnr, ssim] = [metrics::l1, metrics::psnr, metrics::ssim]
            .map(|score| f64::from(score(output.clone(), target.clone()).into_scalar::<f32>()));
        let name = pairs.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<40} {l1:>8.4} {psnr:>8.2} {ssim:>8.4}");
        rows.push((name, Scores { l1, psnr, ssim }));
    }
    let mean =
        |score: fn(&Scores) -> f64| rows.iter().map(|(_, row)| score(row)).sum::<f64>() / rows.len() as f64;
    let mean = Scores { l1: mean(|row| row.l1), psnr: mean(|row| row.psnr), ssim: mean(|row| row.ssim) };
    println!(
        "{:<40} {:>8.4} {:>8.2} {:>8.4}",
        format!("mean of {}", rows.len()),
        mean.l1,
        mean.psnr,
        mean.ssim
    );

    if let Some(path) = &options.json {
        let rows = rows
            .iter()
            .map(|(name, row)| json!({ "name": name, "l1": row.l1, "psnr": row.psnr, "ssim": row.ssim }));
        let all = json!({ "mean": mean, "pairs": rows.collect::<Vec<_>>() });
        let text = format!("{all:#}\n");
        std::fs::write(path, text).map_err(|source| Error::Io { path: path.clone(), source })?;
    }
    Ok(())
}
