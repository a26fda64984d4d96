//! `pix2pix export`: writes networks of a run for other programs.
//!
//! ```text
//! pix2pix export --weights runs/demo --output net_G.safetensors
//! pix2pix export --weights runs/demo --output net_G.safetensors --discriminator net_D.safetensors
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use pix2pix::{Trainer, Translator, pytorch};

use crate::common::Compute;
use crate::output::say;

/// Writes a generator for the PyTorch original
///
/// The format is safetensors with the original's names. PyTorch loads the file with
/// `net.load_state_dict(safetensors.torch.load_file("net_G.safetensors"))`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder or weights file
    #[arg(long, help_heading = FILES)]
    weights: PathBuf,
    /// File to write the generator to
    #[arg(long, help_heading = FILES)]
    output: PathBuf,
    /// File to write the discriminator of the run folder to [default: none]
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    discriminator: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

const FILES: &str = "Files";

pub(crate) fn run(options: &Options) -> Result<()> {
    for path in [Some(&options.output), options.discriminator.as_ref()].into_iter().flatten() {
        check_format(path)?;
    }
    let device = options.compute.device()?;
    let translator = Translator::load(&options.weights, &device)?;
    write(&pytorch::generator_state(translator.generator())?, &options.output)?;
    if let Some(path) = &options.discriminator {
        let trainer = Trainer::resume(&options.weights, &device)?;
        write(&pytorch::discriminator_state(trainer.discriminator())?, path)?;
    }
    Ok(())
}

/// Rejects unknown extensions before anything is loaded.
fn check_format(path: &Path) -> Result<()> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Ok(()),
        Some("pth" | "pt") => {
            bail!(
                "{}: writing `.pth` is not supported; name a file `.safetensors`, which PyTorch loads",
                path.display()
            )
        }
        _ => bail!("{}: the extension is not .safetensors; rename the file", path.display()),
    }
}

fn write(state: &pytorch::StateDict, path: &Path) -> Result<()> {
    pytorch::save(state, path)?;
    say!("{} tensors: {}", state.len(), path.display());
    Ok(())
}
