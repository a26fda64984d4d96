//! A data set: a folder with splits to train on, to validate and to test.

use std::path::{Component, Path, PathBuf};

use super::config::DataConfig;
use super::layout::Layout;
use super::listing::{LeftOut, Listing, Reason};
use super::paired_folder::PairedFolder;
use super::splits::{Source, Split, folders, shown, source, splits};
use crate::error::{Error, Result};
use crate::files;
use crate::raster::ImageLimits;

/// A data set: a folder with splits, in any of these layouts:
/// - `train/`, `val/` (or `valid/`, `validation/`) and `test/`, each with files of both images, or with two folders `A/`
///   and `B/` (in lower case, too), or `input/` and `target/`;
/// - `trainA/` and `trainB/`, or `train_A/` and `train_B/`, and the same for the other splits;
/// - `A/train/` and `B/train/`, and the same for the other splits;
/// - pairs without splits.
///
/// Subfolders are included. The files of A and B have equal paths, apart from their extensions.
///
/// # Examples
/// ```no_run
/// use pix2pix::data::{DataConfig, DataFolder};
///
/// let data = DataFolder::open("datasets/facades")?;
/// let (train, val) = data.train_and_val(&DataConfig::default(), None)?;
/// println!("{}", data.describe(&train, val.as_ref()));
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DataFolder {
    root: PathBuf,
    splits: Vec<Split>,
    limits: ImageLimits,
}

impl DataFolder {
    /// Recognises the splits of a folder by the names of its subfolders.
    ///
    /// # Errors
    /// - [`Error::Io`] if the folder cannot be read
    /// - [`Error::Pairs`] if it has the folder of A without that of B, or the reverse
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        Ok(Self { root: root.to_owned(), splits: splits(root)?, limits: ImageLimits::default() })
    }

    /// Sets the limits on images of the pairs that are opened.
    #[must_use]
    pub fn with_limits(mut self, limits: ImageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the names of the splits: some of `train`, `val` and `test`, whatever their folders are called. There are
    /// none if the folder holds pairs directly.
    #[must_use]
    pub fn splits(&self) -> Vec<&'static str> {
        self.splits.iter().map(|split| split.name).collect()
    }

    /// Opens the pairs of a split: `train`, `val`, `test`, or any other folder in the data set.
    ///
    /// # Errors
    /// [`Error::Argument`] with the splits that exist, if this one does not; else as [`PairedFolder::open`].
    pub fn split(&self, name: &str, config: &DataConfig) -> Result<PairedFolder> {
        if let Some(split) = self.find(name) {
            return self.pairs(&split.source, config);
        }
        let folder = self.root.join(name);
        let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if is_inside && !name.is_empty() && files::is_folder(&folder)? {
            return PairedFolder::from_source(&folder, &source(&folder)?, config, &self.limits);
        }
        let found: Vec<String> = match self.splits.as_slice() {
            [] => folders(&self.root)?.iter().map(|(_, folder)| shown(folder)).collect(),
            splits => splits.iter().map(|split| split.shown.clone()).collect(),
        };
        let found = if found.is_empty() { "no folders".to_owned() } else { found.join(", ") };
        let problem = format!("`{name}` is not a folder in {}, which has {found}", self.root.display());
        Err(Error::argument("split", problem))
    }

    /// Opens all pairs of a data set without splits.
    ///
    /// # Errors
    /// As [`PairedFolder::open`].
    pub fn whole(&self, config: &DataConfig) -> Result<PairedFolder> {
        self.pairs(&source(&self.root)?, config)
    }

    /// Opens the pairs to train on and to validate. `test/` is not read. Pairs without splits are all to train on.
    ///
    /// With a `val_fraction`, about that part of the pairs is held out, as [`PairedFolder::hold_out`] does.
    ///
    /// # Errors
    /// - [`Error::Argument`] if `val_fraction` is not between 0 and 1, or if the folder has a split for validation
    /// - [`Error::Pairs`] if the folder has splits, but not `train`
    /// - else as [`PairedFolder::open`]
    pub fn train_and_val(
        &self,
        config: &DataConfig,
        val_fraction: Option<f64>,
    ) -> Result<(PairedFolder, Option<PairedFolder>)> {
        let val = self.find("val");
        if let (Some(val), Some(_)) = (val, val_fraction) {
            let problem = format!(
                "{} holds the pairs to validate in {}; leave out the fraction",
                self.root.display(),
                val.shown
            );
            return Err(Error::argument("val_fraction", problem));
        }
        let train = match self.find("train") {
            Some(split) => self.pairs(&split.source, config)?,
            None if self.splits.is_empty() => self.whole(config)?,
            None => {
                let found: Vec<&str> = self.splits.iter().map(|split| split.shown.as_str()).collect();
                let problem = format!(
                    "it has {}, but no folder `train`; put the pairs to train on there",
                    found.join(", ")
                );
                return Err(Error::Pairs { path: self.root.clone(), problem, unmatched: vec![] });
            }
        };
        if let Some(fraction) = val_fraction {
            let (train, val) = train.hold_out(fraction)?;
            return Ok((train, Some(val)));
        }
        Ok((train, val.map(|val| self.pairs(&val.source, config)).transpose()?))
    }

    /// Returns the images in the folder, and files that were probably meant to be images, that are in none of its splits.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn outside(&self) -> Result<Vec<LeftOut>> {
        if self.splits.is_empty() {
            return Ok(vec![]);
        }
        let used = self.splits.iter().flat_map(|split| match &split.source {
            Source::Files(folder) => vec![folder.as_path()],
            Source::Sides { a, b } => vec![a.as_path(), b.as_path()],
        });
        // What lies beside A and B of a split is left out by its pairs.
        let used: Vec<&Path> = used
            .flat_map(|folder| [Some(folder), folder.parent().filter(|parent| *parent != self.root)])
            .flatten()
            .collect();
        let Listing { images, left_out, .. } = Listing::open_except(&self.root, &used)?;
        let images = images.into_iter().map(|path| LeftOut::new(path, Reason::OutsidePairs));
        Ok(images.chain(left_out.into_iter().filter(LeftOut::is_fault)).collect())
    }

    /// Describes in one line what was found, such as `facades: side by side, train/ 400, val/ 100`.
    #[must_use]
    pub fn describe(&self, train: &PairedFolder, val: Option<&PairedFolder>) -> String {
        let shown_or = |name: &str, other: &str| {
            self.find(name).map_or_else(|| other.to_owned(), |split| split.shown.clone())
        };
        let name = self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy();
        let layout = match train.layout() {
            None => "A and B in folders",
            Some(Layout::SideBySide) => "side by side",
            Some(Layout::Stacked) => "A above B",
            Some(Layout::Single) => "single images",
        };
        let mut line = format!("{name}: {layout}, {} {}", shown_or("train", "pairs"), train.len());
        if let Some(val) = val {
            line += &format!(", {} {}", shown_or("val", "held out"), val.len());
        }
        line
    }

    fn find(&self, name: &str) -> Option<&Split> {
        self.splits.iter().find(|split| split.name == name)
    }

    fn pairs(&self, source: &Source, config: &DataConfig) -> Result<PairedFolder> {
        let folder = match source {
            Source::Files(folder) => folder,
            Source::Sides { a, b } => match a.parent() {
                // The folder holds nothing else than this split.
                Some(parent)
                    if b.parent() == Some(parent) && (parent != self.root || self.splits.is_empty()) =>
                {
                    parent
                }
                _ => a,
            },
        };
        PairedFolder::from_source(folder, source, config, &self.limits)
    }
}
