//! Starts a run from existing weights: `--from` and `--from-discriminator`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pix2pix::pytorch::Import;
use pix2pix::{Device, Discriminator, Generator, GeneratorConfig, Pix2PixConfig, Trainer};

use super::config::sets;
use super::options::Options;
use crate::output::say;
use crate::{common, files};

/// Creates the trainer of a new run with the weights of `--from`, whose architecture replaces that of `config`, and
/// saves it, so that the run can be resumed without the flags.
pub(super) fn start(
    options: &Options,
    from: &Path,
    config: &mut Pix2PixConfig,
    out: &Path,
    device: &Device,
) -> Result<Trainer> {
    let channels = [config.generator.input_channels, config.generator.output_channels];
    let checkpoint = options.checkpoint.as_deref();
    let generator = options.imported.translator(from, checkpoint, device)?.generator().clone();
    let found = generator.config().clone();
    let discriminator = match &options.from_discriminator {
        Some(path) => loaded_discriminator(options, path, &found, device)?,
        None => {
            if !sets(options, "discriminator", "norm")? {
                config.discriminator.norm = found.norm;
            }
            if !sets(options, "discriminator", "base_channels")? {
                config.discriminator.base_channels = found.base_channels;
            }
            config.discriminator.try_init_seeded(config.training.seed, device)?
        }
    };
    let (generator, discriminator) =
        adapted(options, (generator, discriminator), channels, config.training.seed, device)
            .with_context(|| format!("--from {}", from.display()))?;
    config.generator = generator.config().clone();
    config.discriminator = discriminator.config().clone();
    let Pix2PixConfig { loss, data, training, .. } = config.clone();
    let trainer = Trainer::from_networks(generator, discriminator, loss, data, training, device)?;
    trainer.save(out)?;
    let of = checkpoint.map_or_else(String::new, |name| format!(", checkpoint {name}"));
    say!("starting from {}{of}: {:?}", from.display(), config.generator.backbone);
    Ok(trainer)
}

/// Loads the discriminator of a run folder or of a file, which belongs to a generator of this configuration.
fn loaded_discriminator(
    options: &Options,
    path: &Path,
    generator: &GeneratorConfig,
    device: &Device,
) -> Result<Discriminator> {
    if files::is_folder(path)? {
        if options.discriminator_key.is_some() {
            bail!("--discriminator-key: {} is a run folder, which holds one discriminator", path.display());
        }
        let name = options.checkpoint.as_deref().unwrap_or("latest");
        return Ok(common::checkpoint(path, name)?.discriminator(device)?);
    }
    let import = Import::open(path)?;
    let import = match &options.discriminator_key {
        Some(key) => import.with_key(key),
        None => import,
    };
    Ok(import.discriminator_for(generator, &device.clone().without_autodiff())?)
}

/// Returns the networks for images with these channels of input and output.
fn adapted(
    options: &Options,
    (generator, discriminator): (Generator, Discriminator),
    [input, output]: [usize; 2],
    seed: u64,
    device: &Device,
) -> Result<(Generator, Discriminator)> {
    let found = generator.config();
    for (what, layer, found, wanted) in
        [("input", "first", found.input_channels, input), ("output", "last", found.output_channels, output)]
    {
        if found != wanted && !options.adapt_channels {
            bail!(
                "the generator's {layer} layer is for an {what} of {found} channels, but that of the data has {wanted}; \
                 --adapt-channels initialises it anew"
            );
        }
    }
    let device = device.clone().without_autodiff();
    let (generator, layers) = generator.with_channels(input, output, seed, &device)?;
    let (discriminator, others) = discriminator.with_channels(input, output, seed, &device)?;
    for (network, layers) in [("generator", layers), ("discriminator", others)] {
        if !layers.is_empty() {
            say!("initialised anew in the {network}: {}", layers.join(", "));
        }
    }
    Ok((generator, discriminator))
}
