//! `pix2pix evaluate`: computes L1, PSNR and SSIM of a generator on held-out pairs.
//!
//! ```text
//! pix2pix evaluate --weights runs/demo --data runs/demo/data --json metrics.json
//! ```
//!
//! Pairs are resized to the size used in training, as in its validation, so the means can be compared with its curves.
//! The metrics equal those of scikit-image with `data_range=2`, SSIM with the settings of Wang et al. 2004. JSON has no
//! infinity, so the PSNR of equal images is written as `"inf"`.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use pix2pix::data::{Batch, PairedFolder, round_to_8_bits};
use pix2pix::metrics::{self, Metrics};
use pix2pix::{Device, Tensor, Translator};
use serde_json::json;

use crate::common::{self, Common, ModeName, Way};
use crate::output::{note, one_line, say};

/// Computes L1, PSNR and SSIM of a generator on pairs of images
///
/// Prints a line for each pair and the means. Pairs that cannot be read are listed and left out of the means, and the
/// exit status is 1.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder, weights file, or file of the PyTorch original
    #[arg(long, help_heading = INPUT)]
    weights: PathBuf,
    /// Folder of pairs, or one with `train/`, `val/` …
    #[arg(long, help_heading = INPUT)]
    data: PathBuf,
    /// Folder in --data to evaluate
    #[arg(long, default_value = "val", help_heading = INPUT)]
    split: String,
    /// Which half is the input [default: as in training]
    #[arg(long, value_enum, help_heading = INPUT)]
    direction: Option<Way>,
    /// How normalisation and dropout behave
    #[arg(long, value_enum, default_value = "paper", help_heading = METRICS)]
    mode: ModeName,
    /// Round the outputs to 8 bits first, as image files do [default: use the network's own values]
    #[arg(long, help_heading = METRICS)]
    eight_bits: bool,
    /// Write all metrics as JSON to this file [default: no file]
    #[arg(long, value_name = "FILE", help_heading = METRICS)]
    json: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

const INPUT: &str = "Input";
const METRICS: &str = "Metrics";

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.common.compute.device()?;
    let translator = Translator::load(&options.weights, &device)?;
    translator.config().validate()?;
    let pairs = pairs(options, &translator)?;
    let Evaluated { rows, errors } = evaluate_all(options, &translator, &pairs, &device)?;
    for error in &errors {
        note!("skipped {error}");
    }
    let unreadable =
        || anyhow!("{}: {} of {} pairs could not be read", options.data.display(), errors.len(), pairs.len());
    if rows.is_empty() {
        return Err(unreadable());
    }
    let mean = mean(&rows);
    say!("{}", line(&format!("mean of {}", rows.len()), &mean));
    if let Some(path) = &options.json {
        let pairs: Vec<_> = rows.iter().map(|(name, metrics)| with_name(name, metrics)).collect();
        let all = json!({ "mean": values(&mean), "pairs": pairs, "skipped": errors });
        std::fs::write(path, format!("{all:#}\n")).with_context(|| path.display().to_string())?;
    }
    if errors.is_empty() { Ok(()) } else { Err(unreadable()) }
}

/// The metrics of each pair by its file name, and the errors of pairs that could not be read.
#[derive(Default)]
struct Evaluated {
    rows: Vec<(String, Metrics)>,
    errors: Vec<String>,
}

/// Opens the pairs with the data configuration of the training.
fn pairs(options: &Options, translator: &Translator) -> Result<PairedFolder> {
    let mut config = translator.config().data.clone();
    config.batch_size = 1;
    if let Some(way) = options.direction {
        config.direction = way.into();
    }
    let split = options.data.join(&options.split);
    Ok(PairedFolder::open(if split.is_dir() { split } else { options.data.clone() }, &config)?)
}

/// Evaluates every pair and prints its line. Fails if the device does, which would fail for the other pairs, too.
fn evaluate_all(
    options: &Options,
    translator: &Translator,
    pairs: &PairedFolder,
    device: &Device,
) -> Result<Evaluated> {
    let mut evaluated = Evaluated::default();
    say!("{:<40} {:>8} {:>8} {:>8}", "pair", "L1", "PSNR", "SSIM");
    for (index, batch) in pairs.sequential(device).enumerate() {
        let Batch { input, target } = match batch {
            Ok(batch) => batch,
            Err(error) => {
                evaluated.errors.push(one_line(&error.into()));
                continue;
            }
        };
        // Each image has its own noise, as in validation during training.
        let mode = options.mode.mode(options.common.seed.wrapping_add(index as u64)).per_image();
        let output = translator.generator().forward(input, mode);
        let output = if options.eight_bits { round_to_8_bits(output) } else { output };
        let metrics = compute(&output, &target)?;
        let name = pairs.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
        say!("{}", line(&name, &metrics));
        evaluated.rows.push((name, metrics));
    }
    Ok(evaluated)
}

/// Computes the metrics of one image.
fn compute(output: &Tensor<4>, target: &Tensor<4>) -> Result<Metrics> {
    let number = |metric: fn(Tensor<4>, Tensor<4>) -> Tensor<1>| {
        anyhow::Ok(f64::from(common::values(metric(output.clone(), target.clone()))?[0]))
    };
    Ok(Metrics { l1: number(metrics::l1)?, psnr: number(metrics::psnr)?, ssim: number(metrics::ssim)? })
}

fn mean(rows: &[(String, Metrics)]) -> Metrics {
    let mean = |metric: fn(&Metrics) -> f64| {
        rows.iter().map(|(_, row)| metric(row)).sum::<f64>() / rows.len() as f64
    };
    Metrics { l1: mean(|row| row.l1), psnr: mean(|row| row.psnr), ssim: mean(|row| row.ssim) }
}

fn line(name: &str, Metrics { l1, psnr, ssim }: &Metrics) -> String {
    format!("{name:<40} {l1:>8.4} {psnr:>8.2} {ssim:>8.4}")
}

/// Returns the metrics as JSON.
fn values(metrics: &Metrics) -> serde_json::Value {
    let number = |value: f64| if value.is_finite() { json!(value) } else { json!(value.to_string()) };
    json!({ "l1": number(metrics.l1), "psnr": number(metrics.psnr), "ssim": number(metrics.ssim) })
}

fn with_name(name: &str, metrics: &Metrics) -> serde_json::Value {
    let mut values = values(metrics);
    values["name"] = json!(name);
    values
}
