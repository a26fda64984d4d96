//! A folder of pairs: files with both images side by side, or folders `A` and `B` with files of equal names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use image::DynamicImage;
use rand::RngExt;
use rayon::prelude::*;

use super::augment::Augmentation;
use super::batches::{Batches, Plan};
use super::config::{DataConfig, Direction, Preprocess, Size};
use super::epoch::EpochCursor;
use super::image_part::{ImagePart, Resized};
use super::layout::Layout;
use super::listing::{LeftOut, normalized};
use super::pair::Pair;
use super::pair_files::{Meaning, PairFiles, Place};
use super::splits::{Source, source, splits};
use super::{pairing, preprocess, scale};
use crate::error::{Error, Result};
use crate::raster::{IMAGE_CHANNELS, ImageArray, ImageLimits, ResizeFilter, SampleFormat};
use crate::rng::stream;

/// A folder of pairs on disk. Opening it lists the files; the iterators over batches read the images.
///
/// It has one of two layouts:
/// - files that hold A on the left and B on the right, of equal width, or A above B: see [`Layout`](super::Layout);
/// - folders `A/` and `B/` (or `a/` and `b/`, `input/` and `target/`) with files of equal name (the extension may differ)
///   and size.
///
/// Subfolders are included, and files are images by their content: see [`Listing`](super::Listing). Files that are not
/// used are in [`left_out`](Self::left_out): single images that are not pairs, for example.
/// [`DataFolder`](super::DataFolder) opens a folder with splits.
///
/// # Examples
/// ```no_run
/// use pix2pix::data::{DataConfig, PairedFolder};
///
/// let pairs = PairedFolder::open("facades/val", &DataConfig::default())?;
/// for batch in pairs.sequential(&pix2pix::device::best()) {
///     println!("{:?}", batch?.input.dims());
/// }
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PairedFolder {
    pairs: Arc<[PairFiles]>,
    left_out: Arc<[LeftOut]>,
    /// The folder that was opened.
    root: PathBuf,
    config: DataConfig,
    limits: ImageLimits,
}

impl PairedFolder {
    /// Lists the pairs in `folder`, in the order of their names.
    ///
    /// # Errors
    /// - [`Error::Io`] if the folder cannot be read
    /// - [`Error::Pairs`] if it has no pairs, if most images in `A/` and `B/` have no partner, or if most files show that
    ///   they are not side-by-side pairs, unless [`DataConfig::layout`] is given
    /// - [`Error::Config`] if `config` is out of range
    pub fn open(folder: impl AsRef<Path>, config: &DataConfig) -> Result<Self> {
        validate(config)?;
        let folder = folder.as_ref();
        let found = splits(folder)?;
        if let Some(split) = found.first() {
            let shown: Vec<&str> = found.iter().map(|split| split.shown.as_str()).collect();
            let problem = format!(
                "no pairs here; it is a data set with {}: did you mean {}?",
                shown.join(", "),
                split.shown
            );
            return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
        }
        Self::from_source(folder, &source(folder)?, config, &ImageLimits::default())
    }

    /// Lists the pairs of a source in `folder`.
    pub(super) fn from_source(
        folder: &Path,
        source: &Source,
        config: &DataConfig,
        limits: &ImageLimits,
    ) -> Result<Self> {
        validate(config)?;
        let (pairs, left_out) = pairing::pairs(folder, source, config, limits)?;
        let (pairs, left_out) = (pairs.into(), left_out.into());
        Ok(Self { pairs, left_out, root: folder.to_owned(), config: config.clone(), limits: limits.clone() })
    }

    /// Divides the pairs into those to train on and those held out for validation, of which there are about `fraction`.
    /// Each part has at least one pair.
    ///
    /// A pair's name alone decides, so the same pairs are held out when others are added.
    ///
    /// # Errors
    /// [`Error::Argument`] if `fraction` is not between 0 and 1, or if there is only one pair.
    pub fn hold_out(self, fraction: f64) -> Result<(Self, Self)> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let problem = format!("is {fraction}; it must be between 0 and 1, for instance 0.1");
            return Err(Error::argument("val_fraction", problem));
        }
        if self.len() < 2 {
            let problem = "there is 1 pair; at least 2 are needed to hold one out";
            return Err(Error::argument("val_fraction", problem));
        }
        let place = |pair: &PairFiles| {
            let path = pair.path(0);
            place(&normalized(&path.strip_prefix(&self.root).unwrap_or(path).with_extension("")))
        };
        let places: Vec<f64> = self.pairs.iter().map(place).collect();
        let lowest = (0..self.len()).min_by(|a, b| places[*a].total_cmp(&places[*b]));
        let highest = (0..self.len()).max_by(|a, b| places[*a].total_cmp(&places[*b]));
        let is_held_out = |at: usize| Some(at) == lowest || (places[at] < fraction && Some(at) != highest);
        let part = |wanted: bool| {
            let indices = (0..self.len()).filter(|at| is_held_out(*at) == wanted);
            let pairs = indices.map(|at| self.pairs[at].clone()).collect();
            let left_out = if wanted { Vec::new().into() } else { self.left_out.clone() };
            Self { pairs, left_out, ..self.clone() }
        };
        Ok((part(false), part(true)))
    }

    /// Returns the files in the folder that are not used, with the reasons.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Always returns `false`: [`open`](Self::open) rejects empty folders, and [`head`](Self::head) keeps a pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &DataConfig {
        &self.config
    }

    /// Returns the folder that was opened.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// Returns how a file holds both images of a pair; `None` if A and B are separate files.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        match &self.pairs[0].place {
            Place::SideBySide(_) => Some(Layout::SideBySide),
            Place::Stacked(_) => Some(Layout::Stacked),
            Place::Single(_) => Some(Layout::Single),
            Place::Separate { .. } => None,
        }
    }

    /// Returns the file of pair `index`; if A and B are separate files, that of A.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn path(&self, index: usize) -> &Path {
        self.pairs[index].path(0)
    }

    /// Returns the files of the input and of the target of pair `index`; both are equal if one file holds both images.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn files(&self, index: usize) -> [&Path; 2] {
        let [a, b] = [0, 1].map(|side| self.pairs[index].path(side));
        if self.config.direction == Direction::BToA { [b, a] } else { [a, b] }
    }

    /// Keeps the first `count` pairs, or all if there are fewer, for example for a short validation.
    ///
    /// # Errors
    /// [`Error::Argument`] if `count` is 0.
    pub fn head(mut self, count: usize) -> Result<Self> {
        if count == 0 {
            return Err(Error::argument("count", "is 0; keep at least 1 pair"));
        }
        if count < self.len() {
            self.pairs = self.pairs[..count].into();
        }
        Ok(self)
    }

    /// Sets the configuration with which the pairs are read. Its layout and its pages must be those of the pairs.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is out of range.
    pub fn with_config(mut self, config: &DataConfig) -> Result<Self> {
        validate(config)?;
        self.config = config.clone();
        Ok(self)
    }

    /// Sets the limits on the size of images, and on the memory that they take while they are read.
    #[must_use]
    pub fn with_limits(mut self, limits: ImageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the number of pairs in a batch.
    ///
    /// # Errors
    /// [`Error::Argument`] if `batch_size` is 0.
    pub fn with_batch_size(mut self, batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::argument("batch_size", "is 0; it must be at least 1"));
        }
        self.config.batch_size = batch_size;
        Ok(self)
    }

    /// Reads the batches of an epoch, shuffled and augmented, starting at its
    /// [`first_batch`](EpochCursor::first_batch).
    ///
    /// Order and augmentation depend only on the epoch's seed and number. Worker threads read ahead; dropping the
    /// iterator stops them.
    pub fn batches(&self, epoch: EpochCursor, device: &Device) -> Batches {
        let folder = self.clone();
        let plan = Plan {
            indices: epoch.order(self.len(), self.config.sampling),
            batch_size: self.config.batch_size,
            read: Box::new(move |index| folder.augmented(index, epoch)),
        };
        Batches::new(plan, epoch.first_batch, self.config.workers, device)
    }

    /// Reads all batches in the order of the file names, without augmentation: resized to the crop size.
    ///
    /// With another [`Preprocess`], pairs are scaled to the width of the crop size (`ScaleWidth`), cropped in the middle
    /// (`Crop`), or whole (`None`). Where sizes may differ, each batch has one pair.
    pub fn sequential(&self, device: &Device) -> Batches {
        let batch_size = match self.config.preprocess {
            Preprocess::Resize | Preprocess::Crop => self.config.batch_size,
            Preprocess::ScaleWidth | Preprocess::None => 1,
        };
        self.in_order(batch_size, device, Self::pair)
    }

    /// Reads all pairs in the order of the file names, one to a batch, as [`Translator`](crate::Translator) sees them
    /// with [`with_resizing`](crate::Translator::with_resizing): as [`sequential`](Self::sequential), but whole with
    /// [`Preprocess::Crop`].
    pub fn whole(&self, device: &Device) -> Batches {
        self.in_order(1, device, |folder, index| {
            folder.read(index, |image, filter| preprocess::whole(image, filter, &folder.config))
        })
    }

    /// Reads all pairs in the order of the file names, each with `read`.
    fn in_order(
        &self,
        batch_size: usize,
        device: &Device,
        read: fn(&Self, usize) -> Result<Pair>,
    ) -> Batches {
        let folder = self.clone();
        let plan = Plan {
            indices: (0..self.len()).collect(),
            batch_size,
            read: Box::new(move |index| read(&folder, index)),
        };
        Batches::new(plan, 0, self.config.workers, device)
    }

    /// Returns the median height and the median width of the original images, or `None` if no file can be read.
    ///
    /// Of many files, it looks at 256, evenly spread over the folder.
    pub fn image_size(&self) -> Option<Size> {
        scale::median(
            scale::spread(self.len(), scale::SAMPLE).filter_map(|index| self.pairs[index].original_size()),
        )
    }

    /// Reads pair `index` as [`sequential`](Self::sequential) does: without augmentation.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn pair(&self, index: usize) -> Result<Pair> {
        self.read(index, |image, filter| preprocess::for_validation(image, filter, &self.config))
    }

    /// Reads images A and B of pair `index` as they are in the files.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image, or if the images have different
    /// sizes.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn originals(&self, index: usize) -> Result<[DynamicImage; 2]> {
        self.pairs[index].originals(&self.limits)
    }

    /// Reads the array of the input (`side` 0) or the target (1) of pair `index`, with the samples of its file. A file that
    /// holds both images is read as a whole.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn array(&self, index: usize, side: usize) -> Result<ImageArray> {
        let is_swapped = self.config.direction == Direction::BToA;
        self.pairs[index].array(if is_swapped { 1 - side } else { side }, &self.limits)
    }

    /// Returns the smallest and the largest sample in the files of the inputs (`side` 0) or the targets (1). Files that hold
    /// both images count as a whole.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if one is not a usable image, or has a NaN or infinite sample.
    pub fn sample_range(&self, side: usize) -> Result<[f64; 2]> {
        let of_pair = |index: usize| {
            let range = self.array(index, side)?.range();
            range.map_err(|problem| Error::image(self.path(index), problem))
        };
        let ranges: Vec<[f64; 2]> = (0..self.len()).into_par_iter().map(of_pair).collect::<Result<_>>()?;
        let none = [f64::INFINITY, f64::NEG_INFINITY];
        Ok(ranges.into_iter().fold(none, |[low, high], range| [low.min(range[0]), high.max(range[1])]))
    }

    /// Returns the levels in the input image of pair `index` if it looks like a map of class ids, as
    /// [`class_ids`](super::class_ids) does.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn input_class_ids(&self, index: usize) -> Result<Option<Vec<u16>>> {
        self.pairs[index].class_ids(usize::from(self.config.direction == Direction::BToA), &self.limits)
    }

    /// Reads pair `index` with the augmentation of `epoch`.
    fn augmented(&self, index: usize, epoch: EpochCursor) -> Result<Pair> {
        let augmentation = Augmentation::draw(&self.config, epoch, index);
        let pair = self.read(index, |image, filter| {
            preprocess::for_training(image, filter, &self.config, &augmentation)
        })?;
        if self.config.preprocess == Preprocess::None && self.config.batch_size > 1 {
            self.check_equal_size(index, &pair)?;
        }
        Ok(pair)
    }

    /// Refuses a pair whose size is not that of the first pair: a batch of whole images needs equal sizes.
    fn check_equal_size(&self, index: usize, pair: &Pair) -> Result<()> {
        let [_, height, width] = pair.input.shape();
        let (size, first) = (Size { height, width }, self.pairs[0].original_size());
        match first.filter(|first| *first != size) {
            None => Ok(()),
            Some(first) => {
                let problem = format!(
                    "{size} pixels, but {} has {first}; whole images in batches of {} need one size: use `--batch-size \
                     1`, or `--preprocess crop`",
                    self.path(0).display(),
                    self.config.batch_size
                );
                Err(Error::image(self.path(index), problem))
            }
        }
    }

    /// Reads pair `index` and applies `prepare` to both images, each with its resampling filter.
    fn read(&self, index: usize, prepare: impl Fn(&ImagePart, ResizeFilter) -> Resized) -> Result<Pair> {
        let config = &self.config;
        let meaning = |samples: Option<SampleFormat>, channels| match samples {
            Some(format) => Meaning::Samples(format, channels),
            None => Meaning::Channels(channels),
        };
        let input = match &config.labels {
            Some(labels) => Meaning::Labels(labels),
            None => meaning(config.input_samples, config.input_channels),
        };
        let target = meaning(config.target_samples, config.target_channels);
        let meanings = match config.direction {
            Direction::AToB => [input, target],
            Direction::BToA => [target, input],
        };
        let working = |header: &_| preprocess::working_bytes(header, config);
        let mut filters = config.resize_filters();
        if config.labels.is_some() {
            filters[0] = ResizeFilter::Nearest; // a warp must not mix classes
        }
        let is_swapped = config.direction == Direction::BToA;
        let prepare =
            |side: usize, image: &ImagePart| prepare(image, filters[side ^ usize::from(is_swapped)]);
        let [a, b] = self.pairs[index].read(meanings, &self.limits, working, prepare)?;
        Ok(match config.direction {
            Direction::AToB => Pair { input: a, target: b },
            Direction::BToA => Pair { input: b, target: a },
        })
    }
}

/// Returns a number in `[0, 1)` that a name determines.
fn place(name: &str) -> f64 {
    stream(u64::from(crc32c::crc32c(name.as_bytes())), 0).random()
}

/// Checks the configuration of pairs in image files.
fn validate(config: &DataConfig) -> Result<()> {
    config.validate()?;
    let channels =
        [("data.input_channels", config.input_channels), ("data.target_channels", config.target_channels)];
    let is_of_images =
        [config.labels.is_none() && config.input_samples.is_none(), config.target_samples.is_none()];
    for ((field, value), is_of_images) in channels.into_iter().zip(is_of_images) {
        if is_of_images && !IMAGE_CHANNELS.contains(&value) {
            let problem =
                format!("{value} is not 1 (grey), 3 (colour) or 4 (colour and alpha), as in image files");
            return Err(Error::config(field, problem));
        }
    }
    if config.labels.is_some() && config.input_samples.is_some() {
        let problem = "does not work with label maps (data.labels); leave one of them out";
        return Err(Error::config("data.input_samples", problem));
    }
    if config.labels.is_some() && config.preprocess != Preprocess::Resize {
        let problem =
            format!("{} does not work with label maps (data.labels); use resize", config.preprocess);
        return Err(Error::config("data.preprocess", problem));
    }
    Ok(())
}
