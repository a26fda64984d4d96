//! Reads and writes weights files: safetensors with the run's whole configuration in the metadata.

mod checksum;
mod header;
mod named;
mod precision;
mod write;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::tensor::Dtype;
use serde_json::{Map, Value};

use crate::error::{Error, Result, ShapeMismatch};
use crate::files;
use crate::transfer::upload;

use checksum::checksum;
use header::Header;
pub(crate) use named::Named;
use named::Names;
pub use precision::Precision;
pub(crate) use write::{Entry, Values, entries, named_entries, write};

/// The name of a generator's weights file in a run folder.
pub(crate) const GENERATOR_FILE: &str = "generator.safetensors";
/// The name of the weights file of the generator with the best metric.
pub(crate) const BEST_FILE: &str = "generator-best.safetensors";

/// Writes a module's parameters and its run's configuration atomically.
///
/// # Errors
/// As [`write()`].
pub(crate) fn save<M: Module>(module: &M, config: Map<String, Value>, path: &Path) -> Result<()> {
    save_as(module, Precision::F32, config, path)
}

/// Writes a module's parameters in a precision, and its run's configuration, atomically.
///
/// # Errors
/// As [`write()`].
pub(crate) fn save_as<M: Module>(
    module: &M,
    precision: Precision,
    config: Map<String, Value>,
    path: &Path,
) -> Result<()> {
    write(entries(module), precision, Some(config), path)
}

/// Returns whether a file begins as a safetensors file does: with the length of its header, in 8 bytes, and the
/// header's opening brace.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub(crate) fn is_safetensors(path: &Path) -> Result<bool> {
    let mut start = [0; 9];
    let mut file = files::open(path).map_err(|error| Error::io(path, error))?;
    let length = file.read(&mut start).map_err(|error| Error::io(path, error))?;
    Ok(length == start.len() && start[8] == b'{')
}

/// Returns the configuration in a file, or `None` if it is not a weights file of this crate.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if its header or its configuration is damaged.
pub(crate) fn config(path: &Path) -> Result<Option<String>> {
    if !is_safetensors(path)? {
        return Ok(None);
    }
    Ok(Header::read(path)?.settings()?.map(|settings| settings.config))
}

/// Returns the names and shapes of the floating-point tensors in a file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if its header is damaged.
pub(crate) fn shapes_in(path: &Path) -> Result<BTreeMap<String, Vec<usize>>> {
    let header = Header::read(path)?;
    let tensors = header.metadata.tensors();
    let tensors = tensors.into_iter().filter(|(_, info)| info.dtype != Dtype::I64);
    Ok(tensors.map(|(name, info)| (name, info.shape.clone())).collect())
}

/// Reads the parameters in a weights file.
///
/// Every parameter is read into its own memory, without a copy of the whole file. The file is not mapped into memory,
/// because the system kills a process whose mapped file is truncated.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is damaged.
pub(crate) fn load(path: &Path) -> Result<Named> {
    load_some(path, |name| Some(name.to_owned()))
}

/// Reads the parameters for whose names `wanted` returns a key, by these keys. The checksum covers all parameters, so it
/// is checked only if all are read.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_some(path: &Path, wanted: impl Fn(&str) -> Option<String>) -> Result<Named> {
    let mut header = Header::read(path)?;
    let mut named = Named::new();
    let mut sum = 0u32;
    let mut is_whole = true;
    // `take` reads the file in its own order, so the loop follows the offsets.
    for name in header.metadata.offset_keys() {
        let Some(info) = header.metadata.info(&name) else { continue };
        let (kind, shape) = (info.dtype, info.shape.clone());
        let length = info.data_offsets.1 - info.data_offsets.0;
        let Some(key) = wanted(&name) else {
            is_whole = false;
            header.skip(length)?;
            continue;
        };
        if kind == Dtype::F32 {
            let mut values = vec![0.0; length / size_of::<f32>()];
            header.take(bytemuck::cast_slice_mut(&mut values))?;
            sum = sum.wrapping_add(checksum(&name, bytemuck::cast_slice(&values)));
            if cfg!(target_endian = "big") {
                values
                    .iter_mut()
                    .for_each(|value: &mut f32| *value = f32::from_bits(value.to_bits().swap_bytes()));
            }
            named.insert(key, (shape, values));
            continue;
        }
        let mut bytes = vec![0; length];
        header.take(&mut bytes)?;
        sum = sum.wrapping_add(checksum(&name, &bytes));
        if let Some(values) = to_f32(path, &name, kind, &shape, bytes)? {
            named.insert(key, (shape, values));
        }
    }
    // Files of other programs have no checksum.
    match header.settings()?.and_then(|settings| settings.sum) {
        Some(expected) if is_whole && expected != format!("{sum:08x}") => {
            Err(Error::corrupt(path, "the checksum of its weights differs"))
        }
        _ => Ok(named),
    }
}

/// Checks the header and the checksum of a weights file, without keeping its parameters.
///
/// # Errors
/// As [`load`].
pub(crate) fn verify(path: &Path) -> Result<()> {
    let mut header = Header::read(path)?;
    let (mut sum, mut bytes) = (0u32, Vec::new());
    for name in header.metadata.offset_keys() {
        let Some(info) = header.metadata.info(&name) else { continue };
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        header.take(&mut bytes)?;
        sum = sum.wrapping_add(checksum(&name, &bytes));
    }
    match header.settings()?.and_then(|settings| settings.sum) {
        Some(expected) if expected == format!("{sum:08x}") => Ok(()),
        _ => Err(Error::corrupt(path, "the checksum of its weights differs")),
    }
}

/// Converts the values of a tensor that is not of type f32, or returns `None` for a counter of PyTorch, which is not
/// used.
fn to_f32(path: &Path, name: &str, kind: Dtype, shape: &[usize], bytes: Vec<u8>) -> Result<Option<Vec<f32>>> {
    let kind = match kind {
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => return Ok(None),
        other => {
            let problem = format!("`{name}` has the type {other:?}, not a floating-point type");
            return Err(Error::corrupt(path, problem));
        }
    };
    let data = TensorData::from_bytes_vec(bytes, shape.to_vec(), kind).convert::<f32>();
    let values: Vec<f32> = data.try_into_vec().map_err(|error| Error::corrupt(path, format!("{error:?}")))?;
    Ok(Some(values))
}

/// Reads a weights file into a module, whose parameters must be those of the file. Names and shapes are compared before a
/// value is read, so that a file with other tensors takes no memory.
///
/// # Errors
/// As [`load`] and [`apply`].
pub(crate) fn load_into<M: Module>(module: M, path: &Path) -> Result<M> {
    check_fit(&shapes(&module), &shapes_in(path)?, path)?;
    apply(module, load(path)?, path, str::to_owned)
}

/// Compares the names and shapes of a network with those of a file.
///
/// # Errors
/// [`Error::Weights`] with every parameter that is missing, unexpected or of another shape.
pub(crate) fn check_fit(
    network: &BTreeMap<String, Vec<usize>>,
    file: &BTreeMap<String, Vec<usize>>,
    path: &Path,
) -> Result<()> {
    let without = |names: &BTreeMap<String, Vec<usize>>, others: &BTreeMap<String, Vec<usize>>| {
        names.keys().filter(|name| !others.contains_key(*name)).cloned().collect::<Vec<_>>()
    };
    let (missing, unexpected) = (without(network, file), without(file, network));
    let mismatched: Vec<ShapeMismatch> = network
        .iter()
        .filter_map(|(name, shape)| {
            let found = file.get(name).filter(|found| *found != shape)?;
            Some(ShapeMismatch { name: name.clone(), network: shape.clone(), file: found.clone() })
        })
        .collect();
    if missing.is_empty() && unexpected.is_empty() && mismatched.is_empty() {
        return Ok(());
    }
    Err(Error::Weights { path: path.to_owned(), missing, unexpected, mismatched })
}

/// Returns the module with the given parameters, all of which must fit. `key` maps the name of a parameter of the
/// module to its name in `named`.
///
/// # Errors
/// - [`Error::Weights`] with every parameter that is missing, unexpected or of another shape
/// - [`Error::Checkpoint`] if a value is NaN or infinite
pub(crate) fn apply<M: Module>(
    module: M,
    named: Named,
    path: &Path,
    key: impl Fn(&str) -> String,
) -> Result<M> {
    if let Some((name, _)) =
        named.iter().find(|(_, (_, values))| values.iter().any(|value| !value.is_finite()))
    {
        let problem = format!(
            "`{name}` holds NaN or infinite values: the training diverged; use an earlier checkpoint or `best`"
        );
        return Err(Error::corrupt(path, problem));
    }
    let mut mapper = Apply { names: Names::default(), key, named, missing: vec![], mismatched: vec![] };
    let module = module.map(&mut mapper);
    let unexpected: Vec<String> = mapper.named.into_keys().collect();
    if unexpected.is_empty() && mapper.missing.is_empty() && mapper.mismatched.is_empty() {
        return Ok(module);
    }
    Err(Error::Weights {
        path: path.to_owned(),
        missing: mapper.missing,
        unexpected,
        mismatched: mapper.mismatched,
    })
}

/// Returns a module's parameters by name.
///
/// # Errors
/// [`Error::Device`] if the device fails to return one of them.
pub(crate) fn collect<M: Module>(module: &M) -> Result<Named> {
    entries(module).into_iter().map(Entry::into_parameter).collect()
}

/// Returns the shapes of a module's parameters by name, without drawing initial values.
pub(crate) fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut collector = Shapes::default();
    module.visit(&mut collector);
    collector.shapes
}

#[derive(Default)]
struct Shapes {
    names: Names,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.insert(self.names.path(), param.lazy_shape().as_slice().to_vec());
    }
}

struct Apply<K> {
    names: Names,
    key: K,
    named: Named,
    missing: Vec<String>,
    mismatched: Vec<ShapeMismatch>,
}

impl<K: Fn(&str) -> String> ModuleMapper for Apply<K> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = (self.key)(&self.names.path());
        let Some((found, values)) = self.named.remove(&path) else {
            self.missing.push(path);
            return param;
        };
        let shape = param.lazy_shape();
        if shape.as_slice() != found.as_slice() {
            let network = shape.as_slice().to_vec();
            self.mismatched.push(ShapeMismatch { name: path, network, file: found });
            return param;
        }
        let device = param.lazy_device();
        let id = param.id;
        param.transform_for_load(upload(values, found, &device), id)
    }
}
