//! The files of sample images.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// The largest length of a sample image that is read.
const MAX_SAMPLE: u64 = 256 << 20;

/// Lists the files `epoch-0007.png` in `folder`, by epoch.
pub(super) fn list(folder: &Path) -> Result<BTreeMap<usize, PathBuf>> {
    let mut samples = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("epoch-")?.strip_suffix(".png"));
        if let Some(epoch) = digits.and_then(|digits| digits.parse().ok()) {
            samples.insert(epoch, entry.path());
        }
    }
    Ok(samples)
}

/// Reads a sample image; `None` if something else has its name, which does not stop a run.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match files::read(path, MAX_SAMPLE) {
        Ok(png) => Ok(Some(png)),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}
