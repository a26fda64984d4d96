//! Weights files: safetensors whose metadata carries the whole configuration, so that a file explains itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::{Error, Result, Tensor};

/// The name of a generator's weights file in a run folder.
pub(crate) const GENERATOR_FILE: &str = "generator.safetensors";
/// The name of the weights file of the generator with the best score.
pub(crate) const BEST_FILE: &str = "generator-best.safetensors";
/// The metadata entry that holds the configuration as JSON.
const CONFIG: &str = "pix2pix.config";

/// Parameters by name, with their shapes.
pub(crate) type Named = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes a module's parameters and its run's configuration, whole or not at all.
pub(crate) fn save<M: Module>(module: &M, config: &str, path: &Path) -> Result<()> {
    write(&collect(module), &[], Some(config), path)
}

/// Writes parameters, and zeros of 64 bits under the names of `counters`.
pub(crate) fn write(named: &Named, counters: &[String], config: Option<&str>, path: &Path) -> Result<()> {
    let tensors = named.iter().map(|(name, (shape, values))| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        (name, Dtype::F32, shape.clone(), bytes)
    });
    let tensors = tensors.chain(counters.iter().map(|name| (name, Dtype::I64, vec![], vec![0; 8])));
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, kind, shape, bytes)| {
        TensorView::new(*kind, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views =
        views.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| Error::corrupt(path, error))?;
    let metadata = config.map(|config| HashMap::from([(CONFIG.to_owned(), config.to_owned())]));
    let file = serialize(views, metadata).map_err(|error| Error::corrupt(path, error))?;
    crate::files::write_atomically(path, &file)
}

/// Reads a weights file: its parameters, and the configuration that it carries.
pub(crate) fn load(path: &Path) -> Result<(Named, Option<String>)> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| Error::corrupt(path, error))?;
    let config = header.metadata().as_ref().and_then(|entries| entries.get(CONFIG).cloned());
    let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::corrupt(path, error))?;
    let mut named = Named::new();
    for (name, view) in file.tensors() {
        let kind = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I64 => continue, // PyTorch's counters, which nothing reads
            other => {
                return Err(Error::corrupt(
                    path,
                    format!("`{name}` holds {other:?}, not floating-point numbers"),
                ));
            }
        };
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), kind);
        let values = data
            .convert::<f32>()
            .try_into_vec()
            .map_err(|error| Error::corrupt(path, format!("{error:?}")))?;
        named.insert(name, (view.shape().to_vec(), values));
    }
    Ok((named, config))
}

/// The module with the given parameters, all of which must fit; `key` tells what a parameter is called among them.
///
/// # Errors
/// [`Error::Weights`] with every parameter that is missing, unexpected or of another shape.
pub(crate) fn apply<M: Module>(
    module: M,
    named: Named,
    path: &Path,
    key: impl Fn(&str) -> String,
) -> Result<M> {
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

/// A module's parameters by name.
pub(crate) fn collect<M: Module>(module: &M) -> Named {
    let mut collector = Collect::default();
    module.visit(&mut collector);
    collector.named
}

/// The path to the current parameter. The variants of an enum are left out: a network has one of them.
#[derive(Default)]
struct Names(Vec<Option<String>>);

impl Names {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn path(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

#[derive(Default)]
struct Collect {
    names: Names,
    named: Named,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        let values = value.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
        self.named.insert(self.names.path(), (shape, values));
    }
}

struct Apply<K> {
    names: Names,
    key: K,
    named: Named,
    missing: Vec<String>,
    mismatched: Vec<String>,
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
            self.mismatched.push(format!("{path} (network {:?}, file {found:?})", shape.as_slice()));
            return param;
        }
        let device = param.lazy_device();
        let id = param.id;
        param.transform_for_load(Tensor::from_data(TensorData::new(values, found), &device), id)
    }
}
