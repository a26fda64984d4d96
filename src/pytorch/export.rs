//! Exports networks as state dicts of the PyTorch original.

use std::path::Path;

use burn::module::Module;

use super::names::{self, Naming};
use super::state_dict::StateDict;
#[cfg(feature = "pth")]
use super::torch_file;
use crate::discriminator::{Condition, Discriminator, DiscriminatorConfig};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::weights::{self, Entry, Named, Precision, Values};

/// Returns a generator's state dict, as `load_state_dict(strict=True)` of the PyTorch original expects it.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails to return the weights.
pub fn generator_state(generator: &Generator) -> Result<StateDict> {
    let config = generator.config();
    Ok(renamed(weights::collect(generator)?, |name| names::generator(config, Naming::of(config), name)))
}

/// Returns a discriminator's state dict, as `load_state_dict(strict=True)` of the PyTorch original expects it.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails to return the weights;
/// [`Error::Config`](crate::Error::Config) if the discriminator has several scales or a projection.
pub fn discriminator_state(discriminator: &Discriminator) -> Result<StateDict> {
    let config = discriminator.config();
    check_original(config)?;
    Ok(renamed(weights::collect(discriminator)?, |name| names::discriminator(config, name)))
}

/// Refuses a discriminator of several scales or with a projection, which the original does not have.
fn check_original(config: &DiscriminatorConfig) -> Result<()> {
    if config.condition == Condition::Projection {
        let problem = "projection cannot be exported; the PyTorch original sees the input itself, or nothing";
        return Err(Error::config("discriminator.condition", problem));
    }
    match config.scales {
        1 => Ok(()),
        scales => {
            let problem = format!("{scales} cannot be exported; the PyTorch original has one scale");
            Err(Error::config("discriminator.scales", problem))
        }
    }
}

/// Writes a generator for the PyTorch original, as [`save`] writes a state dict. The tensors are read from the device
/// one by one, so that the export takes the memory of one.
///
/// # Errors
/// As [`save`], and [`Error::Device`](crate::Error::Device) if the device fails to return the weights.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Translator, device, pytorch};
///
/// let translator = Translator::load("runs/facades", &device::best())?;
/// pytorch::save_generator(translator.generator(), "latest_net_G.pth")?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn save_generator(generator: &Generator, path: impl AsRef<Path>) -> Result<()> {
    save_generator_as(generator, Precision::F32, path)
}

/// Writes a generator as [`save_generator`], with weights of this precision: 16 bits halve the file. PyTorch loads them
/// into networks of any precision.
///
/// # Errors
/// As [`save_generator`], and [`Error::Argument`](crate::Error::Argument) if the precision cannot hold a weight.
pub fn save_generator_as(generator: &Generator, precision: Precision, path: impl AsRef<Path>) -> Result<()> {
    let config = generator.config();
    let key = |name: &str| names::generator(config, Naming::of(config), name);
    save_module(generator, key, precision, path.as_ref())
}

/// Writes a discriminator for the PyTorch original, as [`save_generator`] writes a generator.
///
/// # Errors
/// As [`save_generator`]; [`Error::Config`](crate::Error::Config) if the discriminator has several scales or a projection.
pub fn save_discriminator(discriminator: &Discriminator, path: impl AsRef<Path>) -> Result<()> {
    save_discriminator_as(discriminator, Precision::F32, path)
}

/// Writes a discriminator as [`save_discriminator`], with weights of this precision.
///
/// # Errors
/// As [`save_generator_as`].
pub fn save_discriminator_as(
    discriminator: &Discriminator,
    precision: Precision,
    path: impl AsRef<Path>,
) -> Result<()> {
    let config = discriminator.config();
    check_original(config)?;
    save_module(discriminator, |name| names::discriminator(config, name), precision, path.as_ref())
}

/// Writes a state dict, with the entries `num_batches_tracked` that PyTorch expects. The extension chooses the format:
/// `.safetensors`; or `.pth` or `.pt` (feature `pth`), the zip of `torch.save`, which `torch.load(weights_only=True)`
/// reads.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be written. [`Error::Argument`](crate::Error::Argument) if the
/// extension is another one, or this build cannot write that format. [`Error::Checkpoint`](crate::Error::Checkpoint) if
/// a `.pth` file would be larger than 4 GiB.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Translator, device, pytorch};
///
/// let translator = Translator::load("runs/facades", &device::best())?;
/// pytorch::save(&pytorch::generator_state(translator.generator())?, "net_G.safetensors")?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn save(state: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    Format::of(path)?.write(weights::named_entries(state), Precision::F32, path)
}

/// Checks that the extension of a file names a format that [`save`] can write, before a network is loaded.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument), as in [`save`].
pub fn check_format(path: impl AsRef<Path>) -> Result<()> {
    Format::of(path.as_ref()).map(drop)
}

/// A file format.
#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    #[cfg(feature = "pth")]
    Torch,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        match extension.as_deref() {
            Some("safetensors") => Ok(Self::Safetensors),
            #[cfg(feature = "pth")]
            Some("pth" | "pt") => Ok(Self::Torch),
            #[cfg(not(feature = "pth"))]
            Some("pth" | "pt") => {
                let problem = format!(
                    "{}: this build cannot write .pth files; use .safetensors, or rebuild with `--features pth`",
                    path.display()
                );
                Err(Error::argument("path", problem))
            }
            _ => {
                let problem = format!(
                    "{}: the extension is none of .pth, .pt and .safetensors; rename the file",
                    path.display()
                );
                Err(Error::argument("path", problem))
            }
        }
    }

    fn write(self, mut entries: Vec<Entry<'_>>, precision: Precision, path: &Path) -> Result<()> {
        let counters = names::counters(entries.iter().map(|entry| entry.name.as_str()));
        entries.extend(counters.into_iter().map(|name| Entry {
            name,
            shape: vec![],
            values: Values::Counter,
        }));
        match self {
            Self::Safetensors => weights::write(entries, precision, None, path),
            #[cfg(feature = "pth")]
            Self::Torch => {
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                torch_file::write(&entries, precision, path)
            }
        }
    }
}

fn save_module<M: Module>(
    module: &M,
    key: impl Fn(&str) -> String,
    precision: Precision,
    path: &Path,
) -> Result<()> {
    let format = Format::of(path)?;
    let entries = weights::entries(module).into_iter();
    let renamed = entries.map(|entry| Entry { name: key(&entry.name), ..entry });
    format.write(renamed.collect(), precision, path)
}

fn renamed(named: Named, key: impl Fn(&str) -> String) -> StateDict {
    named.into_iter().map(|(name, value)| (key(&name), value)).collect()
}
