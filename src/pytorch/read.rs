//! Reads `.pth` and `.safetensors` files as tensors by name.

use std::path::Path;

use super::index::Index;
use super::state_dict::{StateDict, is_counter};
use crate::error::Result;

/// The prefixes that PyTorch's wrapper modules add to every key.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// Reads a state dict: `.pth` (feature `pth`), either zip or legacy pickle, or safetensors.
///
/// The tensors of nested dictionaries and modules are named by their paths, for instance
/// `state_dict.netG.model.1.weight`. Prefixes of wrapper modules (`module.`, `_orig_mod.`) and the entries
/// `num_batches_tracked` are removed. Half and double precision are converted to single precision. Peak memory is a
/// small multiple of the file's length: a file that would unpack to more is an error, and so is a tar container of 2016.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be read. [`Error::Checkpoint`](crate::Error::Checkpoint) if it is
/// damaged, has another format or has no tensors, or if it is a `.pth` file and the crate was built without the feature
/// `pth`.
///
/// # Examples
/// ```no_run
/// let state = pix2pix::pytorch::read("latest_net_G.pth")?;
/// for (name, (shape, _)) in &state {
///     println!("{name}: {shape:?}");
/// }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<StateDict> {
    let wanted = |name: &str| (!is_counter(name)).then(|| unwrapped(name).to_owned());
    Index::open(path.as_ref())?.read(wanted)
}

/// Reads the tensors for whose names `wanted` returns a key, by these keys, from a file as in [`read`].
///
/// # Errors
/// As [`read`].
#[cfg(feature = "eval")]
pub(crate) fn read_some(path: &Path, wanted: impl Fn(&str) -> Option<String>) -> Result<StateDict> {
    Index::open(path)?.read(wanted)
}

/// Removes the prefixes of wrapper modules.
pub(crate) fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}
