//! Files in burn's record format, written part by part, so that a file is never in memory as a whole.

use std::io;
use std::path::Path;

use burn::tensor::{DType, Shape, Tensor};
use burn_pack::{Error as PackError, Scalar, TENSOR_ALIGNMENT, Writer};

use crate::error::{Error, Result};
use crate::transfer::read_data;

/// The size from which a tensor is a part of its own, in bytes.
const CHUNK: usize = 1 << 20;

/// A tensor to be written.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// The id of the parameter that the values belong to.
    pub(crate) id: u64,
    pub(crate) values: Tensor<1>,
}

impl Part {
    /// Returns the number of bytes.
    fn size(&self) -> usize {
        self.shape.num_elements() * size_of::<f32>()
    }
}

/// A file that is not written yet: its head, and its tensors, which are read when they are written.
pub(crate) struct Packed {
    head: Vec<u8>,
    parts: Vec<Part>,
}

impl Packed {
    /// Prepares a file of tensors and scalars; `folder` is where it is to be written.
    ///
    /// # Errors
    /// [`Error::Io`] if burn refuses a tensor.
    pub(crate) fn new(parts: Vec<Part>, scalars: &[(String, Scalar)], folder: &Path) -> Result<Self> {
        let failed = |error: PackError| Error::io(folder, io::Error::other(error));
        let absent = |part: &Part| {
            let missing = || Err(PackError::IoError("the values follow later".to_owned()));
            let (name, shape) = (part.name.clone(), part.shape.clone());
            burn_pack::Tensor::deferred(name, DType::F32, shape, Some(part.id), part.size(), missing)
        };
        let writer = Writer::new(parts.iter().map(absent).collect());
        let writer = scalars.iter().fold(writer, |writer, (name, scalar)| writer.with_scalar(name, *scalar));
        let whole = writer.size().map_err(failed)?;
        // burn writes the head and then asks for the first tensor, which is not there. The zeros behind the head are
        // never touched, so the system provides no memory for them.
        let mut head = vec![0; whole];
        let written = writer.write_into(&mut head);
        if parts.is_empty() {
            written.map_err(failed)?;
        }
        let length = parts.iter().fold(0, |end, part| padded(end) + part.size());
        Ok(Self { head: head[..whole - length].to_vec(), parts })
    }

    /// Calls `visit` with all bytes of the file, part by part; small tensors come together.
    ///
    /// # Errors
    /// That of `visit`; [`Error::Device`] if the device fails to return a tensor.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut chunk = self.head.clone();
        let mut end = 0;
        for part in &self.parts {
            let start = padded(end);
            chunk.resize(chunk.len() + start - end, 0);
            let data = read_data(part.values.clone())?;
            let values = data.as_bytes();
            if values.len() >= CHUNK {
                visit(&std::mem::take(&mut chunk))?;
                visit(values)?;
            } else {
                chunk.extend_from_slice(values);
            }
            if chunk.len() >= CHUNK {
                visit(&std::mem::take(&mut chunk))?;
            }
            end = start + part.size();
        }
        visit(&chunk)
    }

    /// Returns the bytes of the file.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::new();
        self.each(|bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .expect("nothing fails");
        all
    }
}

/// Returns the start of the tensor that follows one with this end, from the start of all tensors.
fn padded(end: usize) -> usize {
    end.next_multiple_of(TENSOR_ALIGNMENT as usize)
}
