//! The files of sample images.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

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
