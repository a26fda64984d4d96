//! Recognises the splits of a data folder and the folders of A and B by their names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// The names of the folders of A and B, in lower case.
const SIDES: [[&str; 2]; 3] = [["a", "b"], ["input", "target"], ["inputs", "targets"]];
/// What stands between the name of a split and that of a side, as in `trainA`, `train_A` and `train-A`.
const SEPARATORS: [&str; 3] = ["", "_", "-"];
/// The splits, each with the names of its folder in lower case.
const SPLITS: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("val", &["val", "valid", "validation"]), ("test", &["test"])];

/// Where the pairs of a split are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Files with both images.
    Files(PathBuf),
    /// Two folders with files of equal names.
    Sides { a: PathBuf, b: PathBuf },
}

/// A split of a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// `train`, `val` or `test`.
    pub(super) name: &'static str,
    /// The folder's own name, such as `valid/`, `trainA/` or `A/train/`.
    pub(super) shown: String,
    pub(super) source: Source,
}

/// Finds the splits in a folder; none if it holds pairs directly.
///
/// # Errors
/// - [`Error::Io`] if the folder cannot be read
/// - [`Error::Pairs`] if it has the folder of A without that of B, or the reverse
pub(super) fn splits(root: &Path) -> Result<Vec<Split>> {
    let folders = folders(root)?;
    let mut found = Vec::new();
    for (name, aliases) in SPLITS {
        for alias in aliases {
            if let Some(split) = split(root, &folders, name, alias)? {
                found.push(split);
                break;
            }
        }
    }
    if found.is_empty()
        && let Source::Sides { a, b } = source(root)?
    {
        return splits_in_sides(&a, &b);
    }
    Ok(found)
}

/// Finds a split by one of its names.
fn split(
    root: &Path,
    folders: &[(String, PathBuf)],
    name: &'static str,
    alias: &str,
) -> Result<Option<Split>> {
    if let Some(folder) = find(folders, alias) {
        return Ok(Some(Split { name, shown: shown(&folder), source: source(&folder)? }));
    }
    for [a, b] in SIDES {
        for between in SEPARATORS {
            let names = [a, b].map(|side| format!("{alias}{between}{side}"));
            if let Some([a, b]) = both(root, folders, &names)? {
                return Ok(Some(Split { name, shown: shown(&a), source: Source::Sides { a, b } }));
            }
        }
    }
    Ok(None)
}

/// Finds the splits `A/train` and `B/train`.
fn splits_in_sides(a: &Path, b: &Path) -> Result<Vec<Split>> {
    let (in_a, in_b) = (folders(a)?, folders(b)?);
    let mut found = Vec::new();
    for (name, aliases) in SPLITS {
        let sides = aliases.iter().find_map(|alias| Some((find(&in_a, alias)?, find(&in_b, alias)?)));
        if let Some((in_a, in_b)) = sides {
            let shown = format!("{}{}", shown(a), shown(&in_a));
            found.push(Split { name, shown, source: Source::Sides { a: in_a, b: in_b } });
        }
    }
    Ok(found)
}

/// Returns where the pairs in a folder without splits are.
///
/// # Errors
/// As [`splits`].
pub(super) fn source(folder: &Path) -> Result<Source> {
    let folders = folders(folder)?;
    for names in SIDES {
        if let Some([a, b]) = both(folder, &folders, &names.map(str::to_owned))? {
            return Ok(Source::Sides { a, b });
        }
    }
    Ok(Source::Files(folder.to_owned()))
}

/// Returns the folders of A and B. One without the other is an error.
fn both(root: &Path, folders: &[(String, PathBuf)], names: &[String; 2]) -> Result<Option<[PathBuf; 2]>> {
    let (has, lacks) = match [find(folders, &names[0]), find(folders, &names[1])] {
        [Some(a), Some(b)] => return Ok(Some([a, b])),
        [None, None] => return Ok(None),
        // `input/` or `target/` alone may be the name of anything.
        _ if !names[0].ends_with('a') => return Ok(None),
        [Some(a), None] => (a, &names[1]),
        [None, Some(b)] => (b, &names[0]),
    };
    let problem = format!(
        "the folder {} is here, but `{lacks}` is not; put the other images of the pairs there, under the same names",
        shown(&has)
    );
    Err(Error::Pairs { path: root.to_owned(), problem, unmatched: vec![] })
}

fn find(folders: &[(String, PathBuf)], name: &str) -> Option<PathBuf> {
    folders.iter().find(|(own, _)| own == name).map(|(_, folder)| folder.clone())
}

/// Returns a folder's own name with a slash.
pub(super) fn shown(folder: &Path) -> String {
    format!("{}/", folder.file_name().unwrap_or_default().to_string_lossy())
}

/// Returns the visible subfolders with their names in lower case, sorted.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read.
pub(super) fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if name.starts_with('.') {
            continue;
        }
        match files::is_folder(&entry.path()) {
            Ok(true) => found.push((name, entry.path())),
            Ok(false) => {}
            // Links that lead nowhere are listed with the files that are left out.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the splits of a folder with these subfolders, each as name, shown name and folders of A and B.
    fn found(subfolders: &[&str]) -> Vec<(&'static str, String, Vec<String>)> {
        let root = tempfile::tempdir().unwrap();
        for folder in subfolders {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let inside = |path: PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        let sources = |source| match source {
            Source::Files(folder) => vec![inside(folder)],
            Source::Sides { a, b } => vec![inside(a), inside(b)],
        };
        let splits = splits(root.path()).unwrap();
        splits.into_iter().map(|split| (split.name, split.shown, sources(split.source))).collect()
    }

    #[test]
    fn splits_are_found_in_every_layout() {
        let sides = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        assert_eq!(found(&["other", ".train"]), []);
        assert_eq!(
            found(&["train", "Valid", "test"]),
            [
                ("train", "train/".to_owned(), vec!["train".to_owned()]),
                ("val", "Valid/".to_owned(), vec!["Valid".to_owned()]),
                ("test", "test/".to_owned(), vec!["test".to_owned()])
            ]
        );
        for (names, shown) in [
            (["trainA", "trainB"], "trainA/"),
            (["train_a", "train_b"], "train_a/"),
            (["train-input", "train-target"], "train-input/"),
        ] {
            assert_eq!(found(&names), [("train", shown.to_owned(), sides(names))]);
        }
        for names in [["train/A", "train/B"], ["train/input", "train/target"]] {
            assert_eq!(found(&names), [("train", "train/".to_owned(), sides(names))]);
        }
        assert_eq!(
            found(&["A/train", "B/train", "A/val", "B/val", "A/test"]),
            [
                ("train", "A/train/".to_owned(), sides(["A/train", "B/train"])),
                ("val", "A/val/".to_owned(), sides(["A/val", "B/val"])),
            ]
        );
    }

    #[test]
    fn a_side_without_its_partner_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("trainB")).unwrap();
        let message = splits(root.path()).unwrap_err().to_string();
        assert!(message.contains("the folder trainB/ is here, but `traina` is not"), "{message}");
    }
}
