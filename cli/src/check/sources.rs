//! Finds the splits of a data set and the files of its pairs, and reads both halves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use image::DynamicImage;
use pix2pix::data::{LeftOut, Listing, Reason, read_image};

/// Names of folders that hold A and B of a split.
const SIDES: [[&str; 2]; 3] = [["A", "B"], ["a", "b"], ["input", "target"]];
/// The folders of each split.
const SPLITS: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("val", &["val", "valid", "validation"]), ("test", &["test"])];

/// The files of a pair.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    SideBySide(PathBuf),
    Separate([PathBuf; 2]),
}

/// A part of a data set.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) name: &'static str,
    pub(crate) pairs: Vec<Files>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Files {
    /// Returns the file of A, which stands for the pair in messages.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::SideBySide(path) | Self::Separate([path, _]) => path,
        }
    }

    /// Reads A and B.
    ///
    /// # Errors
    /// The file that cannot be used and the reason.
    pub(crate) fn read(&self) -> std::result::Result<[DynamicImage; 2], LeftOut> {
        let open = |path: &Path| {
            read_image(path).map_err(|error| {
                let text = error.to_string();
                let name = format!("{}: ", path.display());
                let problem = text.strip_prefix(&name).unwrap_or(&text).to_owned();
                LeftOut::new(path, Reason::Unreadable(problem))
            })
        };
        match self {
            Self::SideBySide(path) => {
                let both = open(path)?;
                let (width, height) = (both.width(), both.height());
                if width % 2 == 1 {
                    let problem =
                        format!("width {width} is odd; a side-by-side pair has two halves of equal width");
                    return Err(LeftOut::new(path, Reason::NotAPair(problem)));
                }
                Ok([0, 1].map(|side| both.crop_imm(side * width / 2, 0, width / 2, height)))
            }
            Self::Separate([a, b]) => {
                let images = [open(a)?, open(b)?];
                let [size_a, size_b] = [&images[0], &images[1]].map(|image| [image.width(), image.height()]);
                if size_a != size_b {
                    let problem = format!(
                        "{}×{} pixels, but its partner {} has {}×{}",
                        size_b[0],
                        size_b[1],
                        a.display(),
                        size_a[0],
                        size_a[1]
                    );
                    return Err(LeftOut::new(b, Reason::NotAPair(problem)));
                }
                Ok(images)
            }
        }
    }
}

/// Lists the splits of a data set. A folder without splits is `train`.
pub(crate) fn splits(data: &Path) -> Result<Vec<Split>> {
    std::fs::read_dir(data).map_err(|error| anyhow!("{}: {error}", data.display()))?;
    let mut found = Vec::new();
    for (name, folders) in SPLITS {
        for folder in folders {
            let sides = sides(data, folder);
            if sides.is_some() || data.join(folder).is_dir() {
                found.push(split(name, &data.join(folder), sides)?);
            }
        }
    }
    if found.is_empty() {
        found.push(split("train", data, sides(data, ""))?);
    }
    if found.iter().all(|split| split.pairs.is_empty()) {
        let left_out: Vec<LeftOut> = found.into_iter().flat_map(|split| split.left_out).collect();
        let why = LeftOut::summary(&left_out).map_or_else(String::new, |summary| format!(" ({summary})"));
        bail!("{}: no pairs of images here{why}; see docs/data.md for the layouts", data.display());
    }
    Ok(found)
}

/// Returns the folders of A and B of a split: inside it, beside it, or around it.
fn sides(data: &Path, split: &str) -> Option<[PathBuf; 2]> {
    let inside = SIDES.map(|names| names.map(|side| data.join(split).join(side)));
    let around = SIDES.map(|names| names.map(|side| data.join(side).join(split)));
    let beside = ["", "_"].map(|mark| ["A", "B"].map(|side| data.join(format!("{split}{mark}{side}"))));
    inside.into_iter().chain(around).chain(beside).find(|[a, b]| a.is_dir() && b.is_dir())
}

fn split(name: &'static str, folder: &Path, sides: Option<[PathBuf; 2]>) -> Result<Split> {
    let Some([a, b]) = sides else {
        let Listing { images, left_out, .. } = Listing::open(folder)?;
        let pairs = images.into_iter().map(Files::SideBySide).collect();
        return Ok(Split { name, pairs, left_out });
    };
    let [of_a, of_b] = [Listing::open(&a)?, Listing::open(&b)?];
    let mut left_out = [of_a.left_out, of_b.left_out].concat();
    let stem = |path: &Path, folder: &Path| path.strip_prefix(folder).unwrap_or(path).with_extension("");
    let mut partners: BTreeMap<PathBuf, PathBuf> =
        of_b.images.into_iter().map(|path| (stem(&path, &b), path)).collect();
    let mut pairs = Vec::new();
    for path in of_a.images {
        match partners.remove(&stem(&path, &a)) {
            Some(partner) => pairs.push(Files::Separate([path, partner])),
            None => left_out.push(LeftOut::new(path, Reason::NoPartner)),
        }
    }
    left_out.extend(partners.into_values().map(|path| LeftOut::new(path, Reason::NoPartner)));
    Ok(Split { name, pairs, left_out })
}
