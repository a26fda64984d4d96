//! `pix2pix import`: converts networks of the PyTorch original.
//!
//! ```text
//! pix2pix import --input latest_net_G.pth --output facades.safetensors
//! pix2pix import --input latest_net_G.pth --discriminator latest_net_D.pth --output runs/more
//! ```

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use pix2pix::pytorch::Import;
use pix2pix::{Pix2PixConfig, Trainer, Translator};

use crate::common::Compute;
use crate::imported::Imported;
use crate::output::say;

/// Converts a generator of the PyTorch original to a weights file
///
/// The generator is found under any name in the file's dictionaries, and its architecture is inferred. With --discriminator the output is a run folder, which `pix2pix train
/// --resume` continues.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Generator of the PyTorch original, `.pth` or `.safetensors`
    #[arg(long, help_heading = FILES)]
    input: PathBuf,
    /// Discriminator that belongs to the generator [default: none]
    #[arg(long, help_heading = FILES)]
    discriminator: Option<PathBuf>,
    /// Name of the discriminator in a file with several, for example netD_A [default: the only one]
    #[arg(long, value_name = "KEY", help_heading = FILES, requires = "discriminator")]
    discriminator_key: Option<String>,
    /// Weights file, or with --discriminator the run folder, to write
    #[arg(long, help_heading = FILES)]
    output: PathBuf,
    #[command(flatten)]
    imported: Imported,
    #[command(flatten)]
    compute: Compute,
}

const FILES: &str = "Files";

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.compute.device()?;
    let translator = Translator::from_import(options.imported.open(&options.input)?, &device)?;
    let generator = translator.generator();
    say!("{:?}, {} parameters", generator.config().backbone, generator.parameter_count());
    match &options.discriminator {
        Some(path) => {
            let import = Import::open(path)?;
            let import = match &options.discriminator_key {
                Some(key) => import.with_key(key),
                None => import,
            };
            let discriminator = import.discriminator_for(generator.config(), &device)?;
            say!("{:?}, {} parameters", discriminator.config(), discriminator.parameter_count());
            let Pix2PixConfig { loss, data, training, .. } = translator.config().clone();
            Trainer::from_networks(generator.clone(), discriminator, loss, data, training, &device)?
                .save(&options.output)?;
        }
        None => translator.save(&options.output)?,
    }
    say!("{}", options.output.display());
    Ok(())
}
