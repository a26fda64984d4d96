//! A folder of pairs: files with both images side by side, or folders `A` and `B` with files of equal names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use image::DynamicImage;
use rand::RngExt;

use super::augment::Augmentation;
use super::batches::{Batches, Plan};
use super::config::{DataConfig, Direction, Preprocess, Size};
use super::epoch::EpochCursor;
use super::halves::{check_same_size, half_width};
use super::labelled;
use super::listing::{LeftOut, Listing, Reason, normalized};
use super::pair::Pair;
use super::{preprocess, scale};
use crate::error::{Error, Result};
use crate::raster::{IMAGE_CHANNELS, PlanarImage, ResizeFilter, read_image};
use crate::rng::stream;

/// A folder of pairs on disk. Opening it lists the files; the iterators over batches read the images.
///
/// It has one of two layouts:
/// - files that hold A on the left and B on the right, of equal width;
/// - folders `A/` and `B/` with files of equal name (the extension may differ) and size.
///
/// Subfolders are included, and files are images by their content: see [`Listing`]. Files that are not used are in
/// [`left_out`](Self::left_out).
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
    pairs: Arc<[Files]>,
    left_out: Arc<[LeftOut]>,
    /// The folder that was opened.
    root: PathBuf,
    config: DataConfig,
}

/// The usual names of folders of pairs. A folder that contains one of them is a data set, and not a folder of pairs.
const SPLITS: [&str; 5] = ["train", "val", "valid", "validation", "test"];

/// The files of a pair.
#[derive(Clone, Debug)]
enum Files {
    SideBySide(PathBuf),
    Separate { a: PathBuf, b: PathBuf },
}

impl PairedFolder {
    /// Lists the pairs in `folder`, in the order of their names.
    ///
    /// # Errors
    /// - [`Error::Io`] if the folder cannot be read
    /// - [`Error::Pairs`] if it holds no images, or if most names in `A/` and `B/` do not match
    /// - [`Error::Config`] if `config` is out of range
    pub fn open(folder: impl AsRef<Path>, config: &DataConfig) -> Result<Self> {
        config.validate()?;
        let channels = [
            ("data.input_channels", config.input_channels),
            ("data.target_channels", config.target_channels),
        ];
        for (field, value) in channels {
            let is_label_map = field == "data.input_channels" && config.labels.is_some();
            if !is_label_map && !IMAGE_CHANNELS.contains(&value) {
                let problem =
                    format!("{value} is not 1 (grey), 3 (colour) or 4 (colour and alpha), as in image files");
                return Err(Error::config(field, problem));
            }
        }
        if config.labels.is_some() && config.preprocess != Preprocess::Resize {
            let problem =
                format!("{} does not work with label maps (data.labels); use resize", config.preprocess);
            return Err(Error::config("data.preprocess", problem));
        }
        let folder = folder.as_ref();
        let [a, b] = ["A", "B"].map(|name| folder.join(name));
        let (pairs, left_out) = if a.is_dir() && b.is_dir() {
            matched(folder, &a, &b)?
        } else if let Some(split) = SPLITS.iter().find(|split| folder.join(split).is_dir()) {
            let problem = format!("no pairs here; it contains a folder `{split}`: did you mean that one?");
            return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
        } else {
            let Listing { images, left_out, .. } = Listing::open(folder)?;
            (images.into_iter().map(Files::SideBySide).collect(), left_out)
        };
        if pairs.is_empty() {
            let problem = no_pairs(&left_out);
            return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
        }
        let (pairs, left_out) = (pairs.into(), left_out.into());
        Ok(Self { pairs, left_out, root: folder.to_owned(), config: config.clone() })
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
        let place = |pair: &Files| {
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
            Self { pairs, left_out, root: self.root.clone(), config: self.config.clone() }
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

    /// Returns the file of pair `index`; if A and B are separate files, that of A.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn path(&self, index: usize) -> &Path {
        self.pairs[index].path(0)
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
            folder.read(index, folder.config.crop_size, |image, filter| {
                preprocess::whole(image, filter, &folder.config)
            })
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
        scale::median(scale::spread(self.len(), scale::SAMPLE).filter_map(|index| self.original_size(index)))
    }

    /// Returns the size of the images of pair `index` before they are resized, from the header of the file.
    fn original_size(&self, index: usize) -> Option<Size> {
        let files = &self.pairs[index];
        let size = scale::image_size(files.path(0))?;
        Some(match files {
            Files::SideBySide(_) => Size { width: size.width / 2, ..size },
            Files::Separate { .. } => size,
        })
    }

    /// Reads pair `index` as [`sequential`](Self::sequential) does: without augmentation.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn pair(&self, index: usize) -> Result<Pair> {
        self.read(index, self.config.crop_size, |image, filter| {
            preprocess::for_validation(image, filter, &self.config)
        })
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
        self.pairs[index].originals()
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
        let paths = [0, 1].map(|side| self.pairs[index].path(side));
        labelled::class_ids(paths, usize::from(self.config.direction == Direction::BToA))
    }

    /// Reads pair `index` with the augmentation of `epoch`.
    fn augmented(&self, index: usize, epoch: EpochCursor) -> Result<Pair> {
        let augmentation = Augmentation::draw(&self.config, epoch, index);
        let pair = self.read(index, augmentation.scaled(self.config.load_size), |image, filter| {
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
        let (size, first) = (Size { height, width }, self.original_size(0));
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

    /// Reads pair `index` and applies `prepare` to both images, each with its resampling filter. A label map has the size `labels_size` by then.
    fn read(
        &self,
        index: usize,
        labels_size: Size,
        prepare: impl Fn(
            PlanarImage,
            ResizeFilter,
        ) -> std::result::Result<PlanarImage, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Pair> {
        let (files, config) = (&self.pairs[index], &self.config);
        let channels = match config.direction {
            Direction::AToB => [config.input_channels, config.target_channels],
            Direction::BToA => [config.target_channels, config.input_channels],
        };
        let input = usize::from(config.direction == Direction::BToA);
        let [a, b] = match &config.labels {
            Some(labels) => {
                let paths = [0, 1].map(|side| files.path(side));
                labelled::read(paths, labels, input, config.target_channels, labels_size)?
            }
            None => files.read(channels)?,
        };
        let mut filters = config.resize_filters();
        if config.labels.is_some() {
            filters[0] = ResizeFilter::Nearest; // it is resized already; a warp must not mix classes
        }
        let prepare = |side: usize, image| {
            let filter = filters[usize::from(side != input)];
            prepare(image, filter).map_err(|error| Error::image(files.path(side), error))
        };
        let (a, b) = (prepare(0, a)?, prepare(1, b)?);
        Ok(match config.direction {
            Direction::AToB => Pair { input: a, target: b },
            Direction::BToA => Pair { input: b, target: a },
        })
    }
}

impl Files {
    /// Returns the file of image A (0) or B (1).
    fn path(&self, side: usize) -> &Path {
        match self {
            Self::SideBySide(path) => path,
            Self::Separate { a, b } => [a, b][side],
        }
    }

    /// Reads images A and B, converted to these numbers of channels.
    fn read(&self, channels: [usize; 2]) -> Result<[PlanarImage; 2]> {
        match self {
            Self::SideBySide(path) => {
                let both = read_image(path)?;
                let half = half_width(path, &both)?;
                let part = |side| PlanarImage::from_columns(&both, channels[side], side * half, half);
                Ok([part(0), part(1)])
            }
            Self::Separate { .. } => {
                let [a, b] = self.originals()?;
                Ok([PlanarImage::from_image(&a, channels[0]), PlanarImage::from_image(&b, channels[1])])
            }
        }
    }

    /// Reads images A and B.
    fn originals(&self) -> Result<[DynamicImage; 2]> {
        match self {
            Self::SideBySide(path) => {
                let both = read_image(path)?;
                let half = half_width(path, &both)? as u32;
                Ok([0, half].map(|left| both.crop_imm(left, 0, half, both.height())))
            }
            Self::Separate { a, b } => {
                let images = [read_image(a)?, read_image(b)?];
                check_same_size([a, b], [&images[0], &images[1]])?;
                Ok(images)
            }
        }
    }
}

/// Returns a number in `[0, 1)` that a name determines.
fn place(name: &str) -> f64 {
    stream(u64::from(crc32c::crc32c(name.as_bytes())), 0).random()
}

/// Lists the images of two folders by their paths in them without extension, and pairs those of equal paths. Images
/// without a partner are left out, unless most are.
fn matched(folder: &Path, a: &Path, b: &Path) -> Result<(Vec<Files>, Vec<LeftOut>)> {
    let (mut of_a, mut of_b, mut left_out) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (side, found) in [(a, &mut of_a), (b, &mut of_b)] {
        let listing = Listing::open(side)?;
        left_out.extend(listing.left_out);
        for path in listing.images {
            let name = normalized(&path.strip_prefix(side).unwrap_or(&path).with_extension(""));
            found.entry(name).or_insert_with(Vec::new).push(path);
        }
    }
    let mut pairs = Vec::new();
    let names: Vec<String> = of_a.keys().cloned().collect();
    for name in names {
        if let ([a], Some([b])) = (of_a[&name].as_slice(), of_b.get(&name).map(Vec::as_slice)) {
            pairs.push(Files::Separate { a: a.clone(), b: b.clone() });
            of_a.remove(&name);
            of_b.remove(&name);
        }
    }
    let rest: Vec<PathBuf> = of_a.into_values().chain(of_b.into_values()).flatten().collect();
    if rest.len() > pairs.len() {
        let unmatched =
            rest.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string());
        let unmatched = unmatched.collect();
        let others = LeftOut::summary(&left_out).map_or_else(String::new, |summary| format!(" ({summary})"));
        let problem = format!(
            "every image in A needs one of the same name in B, but {} have no partner and {} pairs have one{others}; add \
             the partners or remove the files",
            rest.len(),
            pairs.len()
        );
        return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched });
    }
    left_out.extend(rest.into_iter().map(|path| LeftOut::new(path, Reason::NoPartner)));
    let outside = Listing::open_except(folder, &[a, b])?;
    left_out.extend(outside.images.into_iter().map(|path| LeftOut::new(path, Reason::OutsidePairs)));
    left_out.extend(outside.left_out);
    Ok((pairs, left_out))
}

/// Describes the problem of a folder without pairs, and the remedy.
fn no_pairs(left_out: &[LeftOut]) -> String {
    let found = LeftOut::summary(left_out).map_or_else(String::new, |summary| format!(" ({summary})"));
    format!(
        "no pairs here{found}; put side-by-side images (png, jpg, webp, bmp, gif, tif) in it, or folders A and B with \
         images of equal names"
    )
}
