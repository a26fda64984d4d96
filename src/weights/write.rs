//! Writes tensors to a safetensors file, one after another, so that the file is never in memory as a whole.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Map, Value};

use super::checksum::{CONFIG, checksum, with_checksums};
use super::named::{Named, Names, Parameter};
use super::precision::Precision;
use crate::error::{Error, Result};
use crate::files::write_atomically_by;
use crate::transfer::{read_back, read_data};

/// A tensor to be written.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values<'a>,
}

/// The values of a tensor to be written.
pub(crate) enum Values<'a> {
    /// Values in ordinary memory.
    Slice(&'a [f32]),
    /// Values on a device, which are read when they are written.
    Device(Box<Tensor<1>>),
    /// A counter of PyTorch: a 64-bit integer that is 0.
    Counter,
}

impl Entry<'_> {
    /// Returns whether the tensor is a counter, of 64-bit integers.
    pub(crate) fn is_counter(&self) -> bool {
        matches!(self.values, Values::Counter)
    }

    /// Returns the number of values.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the number of bytes in a file of this precision.
    pub(crate) fn size(&self, precision: Precision) -> usize {
        self.count() * if self.is_counter() { size_of::<i64>() } else { precision.size() }
    }

    /// Reads the tensor: its name, shape and values.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails to return the values.
    pub(super) fn into_parameter(self) -> Result<(String, Parameter)> {
        let values = match self.values {
            Values::Slice(values) => values.to_vec(),
            Values::Device(tensor) => read_back(*tensor)?,
            Values::Counter => vec![0.0],
        };
        Ok((self.name, (self.shape, values)))
    }

    /// Calls `visit` with the values as little-endian bytes.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails to return them; [`Error::Argument`] if the precision cannot hold one; that
    /// of `visit`.
    pub(crate) fn with_bytes<R>(
        &self,
        precision: Precision,
        visit: impl FnOnce(&[u8]) -> Result<R>,
    ) -> Result<R> {
        let rounded = |values| {
            precision.bytes(values).map_err(|value| {
                let name = &self.name;
                let problem =
                    format!("{precision} cannot hold the value {value} of `{name}`; use bf16 or f32");
                Error::argument("precision", problem)
            })
        };
        match &self.values {
            Values::Slice(values) => visit(&rounded(values)?),
            Values::Counter => visit(&[0; size_of::<i64>()]),
            Values::Device(tensor) => {
                let data = read_data(Tensor::clone(tensor))?;
                visit(&rounded(data.as_slice().expect("read as f32"))?)
            }
        }
    }
}

/// Returns a module's parameters, which are read when they are written.
pub(crate) fn entries<M: Module>(module: &M) -> Vec<Entry<'static>> {
    let mut collector = Collect { names: Names::default(), entries: vec![] };
    module.visit(&mut collector);
    collector.entries
}

/// Returns parameters in ordinary memory.
pub(crate) fn named_entries(named: &Named) -> Vec<Entry<'_>> {
    named
        .iter()
        .map(|(name, (shape, values))| Entry {
            name: name.clone(),
            shape: shape.clone(),
            values: Values::Slice(values),
        })
        .collect()
}

/// Writes tensors, and a configuration, atomically. The bytes are those of [`safetensors::serialize`].
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, [`Error::Device`] if the device fails to return a tensor,
/// [`Error::Argument`] if the precision cannot hold a value.
pub(crate) fn write(
    mut entries: Vec<Entry<'_>>,
    precision: Precision,
    config: Option<Map<String, Value>>,
    path: &Path,
) -> Result<()> {
    entries.sort_by(|a, b| b.is_counter().cmp(&a.is_counter()).then_with(|| a.name.cmp(&b.name)));
    let metadata = match config {
        Some(config) => {
            let mut sum = 0_u32;
            for entry in &entries {
                let part = entry.with_bytes(precision, |bytes| Ok(checksum(&entry.name, bytes)))?;
                sum = sum.wrapping_add(part);
            }
            Some(HashMap::from([(CONFIG.to_owned(), with_checksums(config, sum))]))
        }
        None => None,
    };
    let header = header(&entries, precision, metadata).map_err(|problem| Error::corrupt(path, problem))?;
    write_atomically_by(path, |output| {
        output.write(&header)?;
        entries.iter().try_for_each(|entry| entry.with_bytes(precision, |bytes| output.write(bytes)))
    })
}

/// Returns the header of a file with these tensors in this order, after its length.
fn header(
    entries: &[Entry<'_>],
    precision: Precision,
    metadata: Option<HashMap<String, String>>,
) -> std::result::Result<Vec<u8>, String> {
    let mut end = 0;
    let tensors = entries.iter().map(|entry| {
        let start = end;
        end += entry.size(precision);
        let dtype = if entry.is_counter() { Dtype::I64 } else { precision.dtype() };
        (entry.name.clone(), TensorInfo { dtype, shape: entry.shape.clone(), data_offsets: (start, end) })
    });
    let metadata = Metadata::new(metadata, tensors.collect()).map_err(|error| error.to_string())?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| error.to_string())?;
    json.resize(json.len().next_multiple_of(size_of::<u64>()), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}

struct Collect {
    names: Names,
    entries: Vec<Entry<'static>>,
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
        let shape = value.dims();
        let values = Values::Device(Box::new(value.reshape([shape.iter().product::<usize>()])));
        self.entries.push(Entry { name: self.names.path(), shape: shape.to_vec(), values });
    }
}

#[cfg(test)]
mod tests {
    use safetensors::serialize;
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_safetensors_crate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let named = Named::from([
            ("b".to_owned(), (vec![2, 1], vec![1.0, -2.5])),
            ("a".to_owned(), (vec![3], vec![0.5; 3])),
            ("empty".to_owned(), (vec![0], vec![])),
        ]);
        let mut entries = named_entries(&named);
        entries.push(Entry { name: "count".to_owned(), shape: vec![], values: Values::Counter });
        let config: Map<String, Value> = serde_json::from_str(r#"{"x": [1, "é"]}"#).unwrap();
        write(entries, Precision::F32, Some(config.clone()), &path).unwrap();

        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let data: Vec<_> = named.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
        let mut views: Vec<_> = data
            .iter()
            .map(|(name, shape, bytes)| {
                (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
            })
            .collect();
        views.push(("count", TensorView::new(Dtype::I64, vec![], &[0; 8]).unwrap()));
        let sum = views.iter().map(|(name, view)| checksum(name, view.data())).fold(0, u32::wrapping_add);
        let metadata = HashMap::from([(CONFIG.to_owned(), with_checksums(config, sum))]);
        assert!(std::fs::read(&path).unwrap() == serialize(views, Some(metadata)).unwrap());
    }
}
