//! Reads the tensors of a `.pth` file one by one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use burn::tensor::{DType, TensorData};

use super::container::Container;
use super::pickle::{Kind, Problem};
use super::state_dict::{Shapes, StateDict};
use super::tensors;
use crate::error::{Error, Result};

/// The floating-point tensors of a `.pth` file by their paths.
#[derive(Debug)]
pub(super) struct Stored {
    file: File,
    tensors: BTreeMap<String, Place>,
}

/// The place of a tensor in the file.
#[derive(Clone, Debug)]
struct Place {
    kind: DType,
    shape: Vec<usize>,
    /// Distances between values, in values.
    strides: Vec<usize>,
    /// The first byte of the first value.
    start: u64,
    /// The number of values from the first to the last, with those between them that belong to other tensors.
    window: usize,
}

impl Stored {
    /// Opens a file and finds its tensors. They may not claim more bytes than the file has, so reading all of them takes
    /// no more memory than the file's length, twice for half precision.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is not a file of `torch.save`, or damaged.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let container = Container::open(path)?;
        let tensors = places(&container).map_err(|problem| Error::corrupt(path, problem))?;
        Ok(Self { file: container.file, tensors })
    }

    pub(super) fn shapes(&self) -> Shapes {
        self.tensors.iter().map(|(name, place)| (name.clone(), place.shape.clone())).collect()
    }

    /// Reads the tensors for whose names `wanted` returns a key.
    pub(super) fn read(&self, path: &Path, wanted: impl Fn(&str) -> Option<String>) -> Result<StateDict> {
        let mut state = StateDict::new();
        for (name, place) in &self.tensors {
            if let Some(key) = wanted(name) {
                let values = place.read(&self.file).map_err(|error| Error::io(path, error))?;
                state.insert(key, (place.shape.clone(), values));
            }
        }
        Ok(state)
    }
}

/// Returns the places of all floating-point tensors in a container.
fn places(container: &Container) -> std::result::Result<BTreeMap<String, Place>, Problem> {
    let content = container.content()?;
    let (mut places, mut claimed, mut windows) = (BTreeMap::new(), 0_u64, 0_u64);
    for (name, index) in tensors::named(&content.pickle, content.root)? {
        let tensor = &content.pickle.tensors[index];
        let storage = &content.pickle.storages[tensor.storage];
        let kind = match storage.kind {
            Kind::F64 => DType::F64,
            Kind::F32 => DType::F32,
            Kind::F16 => DType::F16,
            Kind::Bf16 => DType::BF16,
            Kind::Other(_) => continue, // PyTorch's counters are not used
        };
        let (start, bytes) = *content
            .storages
            .get(storage.key)
            .ok_or_else(|| format!("the numbers of `{name:.80}` are missing"))?;
        let size = storage.kind.size();
        let outside = || format!("`{name:.80}` lies outside its numbers");
        let count = product(&tensor.shape).ok_or_else(outside)?;
        let window = window(&tensor.shape, &tensor.strides).ok_or_else(outside)?;
        let end =
            tensor.offset.checked_add(window).and_then(|end| end.checked_mul(size)).ok_or_else(outside)?;
        if end > bytes || start.checked_add(bytes).is_none_or(|end| end > container.length) {
            return Err(outside());
        }
        claimed = claimed.saturating_add(count.saturating_mul(size));
        windows = windows.saturating_add(window * size);
        let start = start + tensor.offset * size;
        let place = Place {
            kind,
            shape: tensor.shape.clone(),
            strides: tensor.strides.clone(),
            start,
            window: window as usize,
        };
        places.insert(name, place);
    }
    // A tensor may repeat a part of the file, for instance one number a billion times.
    if claimed.max(windows) > container.length {
        let problem = format!(
            "its tensors claim {} bytes, but the file has {}",
            claimed.max(windows),
            container.length
        );
        return Err(problem);
    }
    Ok(places)
}

/// Returns the number of values of a shape.
fn product(shape: &[usize]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64))
}

/// Returns the number of values from the first to the last.
fn window(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let span = |(size, stride): (&usize, &usize)| (*size as u64 - 1).checked_mul(*stride as u64);
    shape.iter().zip(strides).try_fold(1_u64, |window, axis| window.checked_add(span(axis)?))
}

impl Place {
    fn read(&self, mut file: &File) -> std::io::Result<Vec<f32>> {
        file.seek(SeekFrom::Start(self.start))?;
        let window = if self.kind == DType::F32 && cfg!(target_endian = "little") {
            let mut values = vec![0.0; self.window];
            file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
            values
        } else {
            let mut bytes = vec![0; self.window * self.kind.size()];
            file.read_exact(&mut bytes)?;
            let data = TensorData::from_bytes_vec(bytes, vec![self.window], self.kind).convert::<f32>();
            data.try_into_vec().map_err(|error| std::io::Error::other(format!("{error:?}")))?
        };
        if self.is_contiguous() { Ok(window) } else { Ok(self.gather(&window)) }
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == expected;
            expected *= size;
            fits
        })
    }

    /// Returns the values in row-major order.
    fn gather(&self, window: &[f32]) -> Vec<f32> {
        let mut offsets = vec![0];
        for (size, stride) in self.shape.iter().zip(&self.strides) {
            offsets = offsets
                .iter()
                .flat_map(|offset| (0..*size).map(move |index| offset + index * stride))
                .collect();
        }
        offsets.into_iter().map(|offset| window[offset]).collect()
    }
}
