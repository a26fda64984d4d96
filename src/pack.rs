//! Files in burn's record format, written part by part, so that a file is never in memory as a whole.

use std::io;
use std::path::Path;

use burn::tensor::Bytes;
use burn_pack::{Error as PackError, Scalar, TENSOR_ALIGNMENT, Tensor, Writer};

use crate::error::{Error, Result};

/// A file that is not written yet: its head, and the values of its tensors, which the tensors may share.
#[derive(Debug)]
pub(crate) struct Packed {
    head: Vec<u8>,
    tensors: Vec<Bytes>,
}

impl Packed {
    /// Prepares a file of tensors and scalars; `folder` is where it is to be written.
    ///
    /// # Errors
    /// [`Error::Io`] if burn refuses a tensor.
    pub(crate) fn new(tensors: Vec<Tensor>, scalars: &[(String, Scalar)], folder: &Path) -> Result<Self> {
        let failed = |error: PackError| Error::io(folder, io::Error::other(error));
        let (mut absent, mut values) = (Vec::new(), Vec::new());
        for tensor in tensors {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(failed)?;
            let missing = || Err(PackError::IoError("the values follow later".to_owned()));
            absent.push(Tensor::deferred(name, dtype, shape, id, bytes.len(), missing));
            values.push(bytes);
        }
        let writer = Writer::new(absent);
        let writer =
            scalars.iter().fold(writer, |writer, (name, scalar)| writer.with_scalar(name, *scalar));
        let whole = writer.size().map_err(failed)?;
        // burn writes the head and then asks for the first tensor, which is not there. The zeros behind the head are
        // never touched, so the system provides no memory for them.
        let mut head = vec![0; whole];
        let written = writer.write_into(&mut head);
        if values.is_empty() {
            written.map_err(failed)?;
        }
        let length = values.iter().fold(0, |end, value| padded(end) + value.len());
        Ok(Self { head: head[..whole - length].to_vec(), tensors: values })
    }

    /// Calls `visit` with all bytes of the file, part by part.
    ///
    /// # Errors
    /// That of `visit`.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        visit(&self.head)?;
        let mut end = 0;
        for tensor in &self.tensors {
            let start = padded(end);
            if start > end {
                visit(&vec![0; start - end])?;
            }
            visit(tensor)?;
            end = start + tensor.len();
        }
        Ok(())
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
