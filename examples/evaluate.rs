//! Scores of a generator on held-out pairs: L1, PSNR and SSIM of every pair, and their means.
//!
//! ```text
//! cargo run --release --example evaluate -- --weights runs/demo --data runs/demo/data --json scores.json
//! ```
//!
//! Pairs are resized to the size of the training, as during the training itself, so the means are comparable with its
//! curves. The scores are those of scikit-image with `data_range=2`, and for SSIM its settings of Wang et al. 2004. They
//! are of the network's own numbers; `--eight-bits` scores what a file of 8 bits holds.
//!
//! Pairs that cannot be read are listed at the end and left out of the means, and the status is 1. The PSNR of equal
//! pictures is infinite, which JSON has no number for: it is written as `"inf"`.

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
    /// Round the outputs to the levels of 8 bits first, as picture files do
    #[arg(long)]
    eight_bits: bool,
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
    translator.config().validate()?;
    let mut config = translator.config().data.clone();
    config.batch_size = 1;
    config.direction = match options.direction {
        Some(Way::AToB) => Direction::AToB,
        Some(Way::BToA) => Direction::BToA,
        None => config.direction,
    };
    let split = options.data.join(&options.split);
    let pairs = PairedFolder::open(if split.is_dir() { split } else { options.data.clone() }, &config)?;

    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    println!("{:<40} {:>8} {:>8} {:>8}", "pair", "L1", "PSNR", "SSIM");
    for (index, batch) in pairs.in_order(&device).enumerate() {
        let Batch { input, target } = match batch {
            Ok(batch) => batch,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        // Other noise for every picture, as in the training's own validation.
        let mode = options.mode.mode(options.common.seed.wrapping_add(index as u64));
        let mode = match mode.statistics {
            Statistics::Batch => Mode { statistics: Statistics::Image, ..mode },
            _ => mode,
        };
        let output = translator.generator().forward(input, mode);
        let output = match options.eight_bits {
            true => ((output + 1.0) * 127.5).round() / 127.5 - 1.0,
            false => output,
        };
        let [l1, psnr, ssim] = [metrics::l1, metrics::psnr, metrics::ssim]
            .map(|score| f64::from(score(output.clone(), target.clone()).into_scalar::<f32>()));
        let name = pairs.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:<40} {l1:>8.4} {psnr:>8.2} {ssim:>8.4}");
        rows.push((name, Scores { l1, psnr, ssim }));
    }
    for error in &errors {
        eprintln!("skipped {error}");
    }
    let broken = || {
        let problem = format!("{} of {} pairs could not be read", errors.len(), pairs.len());
        Error::Pairs { path: options.data.clone(), problem, unmatched: vec![] }
    };
    if rows.is_empty() {
        return Err(broken());
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
        let rows = rows.iter().map(|(name, row)| {
            let mut values = values(row);
            values["name"] = json!(name);
            values
        });
        let skipped: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let all = json!({ "mean": values(&mean), "pairs": rows.collect::<Vec<_>>(), "skipped": skipped });
        let text = format!("{all:#}\n");
        std::fs::write(path, text).map_err(|source| Error::Io { path: path.clone(), source })?;
    }
    if errors.is_empty() { Ok(()) } else { Err(broken()) }
}

/// The scores as JSON.
fn values(scores: &Scores) -> serde_json::Value {
    let number = |score: f64| if score.is_finite() { json!(score) } else { json!(score.to_string()) };
    json!({ "l1": number(scores.l1), "psnr": number(scores.psnr), "ssim": number(scores.ssim) })
}
