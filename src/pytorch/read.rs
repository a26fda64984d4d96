//! Reads `.pth` and `.safetensors` files as tensors by name.

use std::path::Path;

use super::state_dict::StateDict;
use crate::error::{Error, Result};
use crate::weights;

/// The prefixes that PyTorch's wrapper modules add to every key.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// Reads a state dict: `.pth` (feature `pth`), either zip or legacy pickle, or safetensors.
///
/// Prefixes of wrapper modules (`module.`, `_orig_mod.`) and the entries `num_batches_tracked` are removed. Half and
/// double precision are converted to single precision. Peak memory is a small multiple of the file's length: a file
/// that would unpack to more is an error, and so is a tar container of 2016.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read. [`Error::Checkpoint`] if it is damaged, has another format or has no
/// tensors, or if it is a `.pth` file and the crate was built without the feature `pth`.
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
    let path = path.as_ref();
    let state = if weights::is_safetensors(path)? { weights::load(path)? } else { pickled(path)? };
    let unwrapped = |mut key: &str| {
        while let Some(rest) = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)) {
            key = rest;
        }
        key.to_owned()
    };
    let state = state.into_iter().map(|(key, value)| (unwrapped(&key), value));
    let state: StateDict = state.filter(|(key, _)| !key.ends_with("num_batches_tracked")).collect();
    if state.is_empty() { Err(Error::corrupt(path, "it has no tensors")) } else { Ok(state) }
}

#[cfg(feature = "pth")]
fn pickled(path: &Path) -> Result<StateDict> {
    use burn::tensor::{DType, TensorData};
    use pytorch_reader::{DType as Kind, PytorchReader};

    let length = super::container::check(path)?;
    let reader = PytorchReader::new(path).map_err(|error| Error::corrupt(path, error))?;
    let tensors = reader.into_tensors();
    // A tensor may repeat a part of the file, for instance one number a billion times.
    let claimed = tensors.values().map(|tensor| tensor.byte_len() as u64).fold(0, u64::saturating_add);
    if claimed > length {
        let problem = format!("its tensors claim {claimed} bytes, but the file has {length}");
        return Err(Error::corrupt(path, problem));
    }
    let mut state = StateDict::new();
    for (key, tensor) in tensors {
        let kind = match tensor.dtype() {
            Kind::F64 => DType::F64,
            Kind::F32 => DType::F32,
            Kind::F16 => DType::F16,
            Kind::BF16 => DType::BF16,
            _ => continue, // PyTorch's counters are not used
        };
        let bytes = tensor.read().map_err(|error| Error::corrupt(path, error))?;
        let data = TensorData::from_bytes_vec(bytes, tensor.shape().to_vec(), kind).convert::<f32>();
        let values = data.try_into_vec().map_err(|error| Error::corrupt(path, format!("{error:?}")))?;
        state.insert(key, (tensor.shape().to_vec(), values));
    }
    Ok(state)
}

#[cfg(not(feature = "pth"))]
fn pickled(path: &Path) -> Result<StateDict> {
    let problem =
        "not a safetensors file, and this build cannot read .pth files; rebuild with `--features pth`";
    let problem = crate::error::CheckpointProblem::Unsupported(problem.to_owned());
    Err(Error::Checkpoint { path: path.to_owned(), problem })
}
