//! `pix2pix export`: writes networks of a run for other programs.
//!
//! ```text
//! pix2pix export --weights runs/demo --output latest_net_G.pth
//! pix2pix export --weights runs/demo --output net_G.safetensors --discriminator net_D.safetensors
//! pix2pix export --weights runs/demo --output small.safetensors --half --own
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use pix2pix::pytorch::{self, Precision};

use crate::common::{self, Compute};
use crate::output::say;

/// Writes a generator for the PyTorch original
///
/// The extension chooses the format. A `.pth` file is one of torch.save with the original's names, which its test.py
/// loads as `latest_net_G.pth`, and other programs with `torch.load("net_G.pth", weights_only=True)`. A `.safetensors`
/// file has the same names; `safetensors.torch.load_file("net_G.safetensors")` loads it. With `--own` it is a weights
/// file of this program, which keeps the settings.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder or weights file
    #[arg(long, help_heading = FILES)]
    weights: PathBuf,
    /// Checkpoint of the run folder: latest, best, or for example step-4000 [default: the exported generator, and the
    /// newest discriminator]
    #[arg(long, value_name = "NAME", help_heading = FILES)]
    checkpoint: Option<String>,
    /// File to write the generator to: `.pth` or `.safetensors`
    #[arg(long, help_heading = FILES)]
    output: PathBuf,
    /// File to write the discriminator of the run folder to [default: none]
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    discriminator: Option<PathBuf>,
    /// Write 16-bit weights, in half the bytes: f16, or bf16 for weights above 65504 [default without a value: f16]
    #[arg(long, value_name = "PRECISION", num_args = 0..=1, require_equals = true, default_missing_value = "f16",
        value_parser = half, help_heading = FILES)]
    half: Option<Precision>,
    /// Write a weights file of this program to a `.safetensors` file, with the settings that `translate` and `train
    /// --from` need, instead of the original's names
    #[arg(long, help_heading = FILES)]
    own: bool,
    #[command(flatten)]
    compute: Compute,
}

const FILES: &str = "Files";

/// Reads a precision of 16 bits.
fn half(text: &str) -> Result<Precision> {
    match text.parse() {
        Ok(precision @ (Precision::F16 | Precision::Bf16)) => Ok(precision),
        _ => bail!("it is f16 or bf16"),
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // Unknown extensions are rejected before anything is loaded.
    for path in [Some(&options.output), options.discriminator.as_ref()].into_iter().flatten() {
        pytorch::check_format(path)?;
    }
    let device = options.compute.device()?;
    let name = options.checkpoint.as_deref();
    let translator = common::translator(&options.weights, name, &device)?;
    let precision = options.half.unwrap_or(Precision::F32);
    if options.own {
        translator.save_as(precision, &options.output)?;
    } else {
        pytorch::save_generator_as(translator.generator(), precision, &options.output)?;
    }
    written(&options.output, translator.generator().parameter_count());
    drop(translator);
    if let Some(path) = &options.discriminator {
        let checkpoint = common::checkpoint(&options.weights, name.unwrap_or("latest"))?;
        let discriminator = checkpoint.discriminator(&device)?;
        pytorch::save_discriminator_as(&discriminator, precision, path)?;
        written(path, discriminator.parameter_count());
    }
    Ok(())
}

fn written(path: &Path, parameters: usize) {
    say!("{parameters} parameters: {}", path.display());
}
