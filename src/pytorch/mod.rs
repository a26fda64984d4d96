//! Checkpoints of the PyTorch original, in and out: `.pth` (feature `pytorch`) and `.safetensors` with its names.
//!
//! No code in a file is ever run. The architecture is found from names and shapes, so none needs to be told.

#[cfg(feature = "pytorch")]
mod container;
mod infer;
mod names;
mod read;

use std::path::Path;

use crate::weights::{self, Named};
use crate::{
    Device, Discriminator, DiscriminatorConfig, Error, Generator, GeneratorConfig, Norm, Result, device,
};

pub use read::read;

/// Parameters and running statistics under the PyTorch original's names: shape and values of each.
pub type StateDict = Named;

/// Reads a generator, U-Net or ResNet, and finds out how it is built.
///
/// What a file does not tell takes the PyTorch original's defaults: dropout of 0.5 and its places.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Checkpoint`] if it is damaged, or larger than any network of this kind
/// - [`Error::Weights`] if parameters are missing, unexpected or of another shape: compared with the generator that is
///   nearest, or with the original's U-Net if none is near
/// - [`Error::Device`] if the device computes wrongly
pub fn load_generator(path: impl AsRef<Path>, device: &Device) -> Result<Generator> {
    device::check(device)?;
    let path = path.as_ref();
    let state = read(path)?;
    let (config, naming) =
        infer::generator(&state, device).map_err(|problem| Error::corrupt(path, problem))?;
    let key = |name: &str| names::generator(&config, naming, name);
    weights::apply(config.init(device), used(state, config.norm), path, key)
}

/// Reads a generator that is built as `config` says, whichever of the known names its blocks have.
///
/// # Errors
/// [`Error::Config`] if `config` is out of range; the others as [`load_generator`].
pub fn load_generator_as(
    path: impl AsRef<Path>,
    config: &GeneratorConfig,
    device: &Device,
) -> Result<Generator> {
    let path = path.as_ref();
    device::check(device)?;
    config.validate()?;
    let state = read(path)?;
    let naming = infer::naming(&state, config, device).map_err(|problem| Error::corrupt(path, problem))?;
    let key = |name: &str| names::generator(config, naming, name);
    weights::apply(config.init(device), used(state, config.norm), path, key)
}

/// Reads a discriminator and finds out how it is built.
///
/// An even number of channels is taken for a condition and an image of half of them each, an odd one for an image
/// without condition; [`load_discriminator_of`] knows better.
///
/// # Errors
/// As [`load_generator`].
pub fn load_discriminator(path: impl AsRef<Path>, device: &Device) -> Result<Discriminator> {
    found_discriminator(path.as_ref(), None, device)
}

/// Reads the discriminator that belongs to a generator, and finds out how it is built: its condition and its image have
/// the channels of the generator's input and output.
///
/// # Errors
/// As [`load_generator`].
pub fn load_discriminator_of(
    path: impl AsRef<Path>,
    generator: &GeneratorConfig,
    device: &Device,
) -> Result<Discriminator> {
    let sides = [generator.input_channels, generator.output_channels];
    found_discriminator(path.as_ref(), Some(sides), device)
}

fn found_discriminator(path: &Path, sides: Option<[usize; 2]>, device: &Device) -> Result<Discriminator> {
    device::check(device)?;
    let state = read(path)?;
    let config =
        infer::discriminator(&state, sides, device).map_err(|problem| Error::corrupt(path, problem))?;
    let key = |name: &str| names::discriminator(&config, name);
    weights::apply(config.init(device), used(state, config.norm), path, key)
}

/// Reads a discriminator that is built as `config` says.
///
/// # Errors
/// [`Error::Config`] if `config` is out of range; the others as [`load_generator`].
pub fn load_discriminator_as(
    path: impl AsRef<Path>,
    config: &DiscriminatorConfig,
    device: &Device,
) -> Result<Discriminator> {
    let path = path.as_ref();
    device::check(device)?;
    config.validate()?;
    let key = |name: &str| names::discriminator(config, name);
    weights::apply(config.init(device), used(read(path)?, config.norm), path, key)
}

/// A generator's state dict, as the PyTorch original's `load_state_dict(strict=True)` takes it.
pub fn generator_state(generator: &Generator) -> StateDict {
    let config = generator.config();
    renamed(weights::collect(generator), |name| names::generator(config, names::Naming::of(config), name))
}

/// A discriminator's state dict, as the PyTorch original's `load_state_dict(strict=True)` takes it.
pub fn discriminator_state(discriminator: &Discriminator) -> StateDict {
    renamed(weights::collect(discriminator), |name| names::discriminator(discriminator.config(), name))
}

/// Writes a state dict as safetensors, with the entries `num_batches_tracked` that PyTorch expects.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn save(state: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    weights::write(state, &names::counters(state), None, path.as_ref())
}

fn renamed(named: Named, key: impl Fn(&str) -> String) -> StateDict {
    named.into_iter().map(|(name, value)| (key(&name), value)).collect()
}

/// The state without running statistics of instance norms: files of 2018 and before hold some, but never used them.
fn used(mut state: StateDict, norm: Norm) -> StateDict {
    if norm != Norm::Batch {
        state.retain(|key, _| !is_statistic(key));
    }
    state
}

/// Whether a key is that of running statistics.
fn is_statistic(key: &str) -> bool {
    key.ends_with(".running_mean") || key.ends_with(".running_var")
}
