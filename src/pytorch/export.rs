//! Exports networks as state dicts of the PyTorch original.

use std::path::Path;

use super::names::{self, Naming};
use super::state_dict::StateDict;
use crate::discriminator::Discriminator;
use crate::error::Result;
use crate::generator::Generator;
use crate::weights::{self, Named};

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
/// [`Error::Device`](crate::Error::Device) if the device fails to return the weights.
pub fn discriminator_state(discriminator: &Discriminator) -> Result<StateDict> {
    let config = discriminator.config();
    Ok(renamed(weights::collect(discriminator)?, |name| names::discriminator(config, name)))
}

/// Writes a state dict as safetensors, with the entries `num_batches_tracked` that PyTorch expects.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be written.
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
    weights::write(state, &names::counters(state), None, path.as_ref())
}

fn renamed(named: Named, key: impl Fn(&str) -> String) -> StateDict {
    named.into_iter().map(|(name, value)| (key(&name), value)).collect()
}
