//! Lists the tensors of a file by name and shape, and reads those that are wanted.

use std::path::{Path, PathBuf};

use super::state_dict::{Shapes, StateDict};
#[cfg(feature = "pth")]
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::weights;

/// The floating-point tensors of a file, which are not yet in memory.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) path: PathBuf,
    pub(super) shapes: Shapes,
    #[cfg(feature = "pth")]
    stored: Option<Stored>,
}

impl Index {
    /// Opens a `.pth` file (feature `pth`), zip or legacy, or a safetensors file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is damaged, of another kind, or has no
    /// tensors.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let index = match weights::is_safetensors(path)? {
            true => Self {
                path: path.to_owned(),
                shapes: weights::shapes_in(path)?,
                #[cfg(feature = "pth")]
                stored: None,
            },
            false => Self::pickled(path)?,
        };
        if index.shapes.is_empty() {
            return Err(Error::corrupt(path, "it has no tensors"));
        }
        Ok(index)
    }

    #[cfg(feature = "pth")]
    fn pickled(path: &Path) -> Result<Self> {
        let stored = Stored::open(path)?;
        Ok(Self { path: path.to_owned(), shapes: stored.shapes(), stored: Some(stored) })
    }

    #[cfg(not(feature = "pth"))]
    fn pickled(path: &Path) -> Result<Self> {
        let problem =
            "not a safetensors file, and this build cannot read .pth files; rebuild with `--features pth`";
        let problem = crate::error::CheckpointProblem::Unsupported(problem.to_owned());
        Err(Error::Checkpoint { path: path.to_owned(), problem })
    }

    /// Reads the tensors for whose names `wanted` returns a key, by these keys.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn read(&self, wanted: impl Fn(&str) -> Option<String>) -> Result<StateDict> {
        #[cfg(feature = "pth")]
        if let Some(stored) = &self.stored {
            return stored.read(&self.path, wanted);
        }
        weights::load_some(&self.path, wanted)
    }
}
