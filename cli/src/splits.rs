//! The folders of a data set: pairs to train on, to validate and to test.

use std::path::{Path, PathBuf};

/// The splits, each with the names that its folder may have.
const SPLITS: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("val", &["val", "valid", "validation"]), ("test", &["test"])];

/// Returns the splits of a data set with their folders; none if it holds pairs directly.
pub(crate) fn found(data: &Path) -> Vec<(&'static str, PathBuf)> {
    SPLITS.iter().filter_map(|(name, _)| Some((*name, folder(data, name)?))).collect()
}

/// Returns the folder of a split, or of any other name.
pub(crate) fn folder(data: &Path, split: &str) -> Option<PathBuf> {
    let names = SPLITS.iter().find(|(name, _)| *name == split).map_or(&[][..], |(_, names)| names);
    names.iter().copied().chain([split]).map(|name| data.join(name)).find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_found_under_each_of_its_names() {
        let data = tempfile::tempdir().unwrap();
        assert!(found(data.path()).is_empty());
        for name in ["train", "valid", "other"] {
            std::fs::create_dir(data.path().join(name)).unwrap();
        }
        let [train, valid, other] = ["train", "valid", "other"].map(|name| data.path().join(name));
        assert_eq!(found(data.path()), [("train", train), ("val", valid.clone())]);
        assert_eq!(folder(data.path(), "val"), Some(valid));
        assert_eq!((folder(data.path(), "other"), folder(data.path(), "test")), (Some(other), None));
    }
}
