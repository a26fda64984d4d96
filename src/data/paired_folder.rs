//! A folder of pairs: files with both pictures side by side, or folders `A` and `B` with equal names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::augment::Jitter;
use super::batches::{Batches, Order};
use super::{DataConfig, Direction, Epoch, Pair};
use crate::raster::{PICTURE_CHANNELS, Planes, open};
use crate::{Device, Error, Result};

/// The file types that are taken for pictures.
const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"];

/// A folder of pairs on disk; nothing is read before it is asked for.
///
/// Two layouts are understood:
/// - files that hold A on the left and B on the right, of equal width;
/// - folders `A/` and `B/` with files of equal name (the extension may differ) and size.
#[derive(Clone, Debug)]
pub struct PairedFolder {
    pairs: Arc<Vec<Files>>,
    config: DataConfig,
}

/// Where a pair lies.
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
    /// - [`Error::Pairs`] if it holds no pictures, or if names in `A/` and `B/` do not match
    /// - [`Error::Config`] if `config` is out of range
    pub fn open(folder: impl AsRef<Path>, config: &DataConfig) -> Result<Self> {
        config.validate()?;
        let channels = [
            ("data.input_channels", config.input_channels),
            ("data.target_channels", config.target_channels),
        ];
        for (field, value) in channels {
            if !PICTURE_CHANNELS.contains(&value) {
                let problem =
                    format!("{value} is not 1 (grey), 3 (colour) or 4 (colour and alpha), as in pictures");
                return Err(Error::config(field, problem));
            }
        }
        let folder = folder.as_ref();
        let [a, b] = ["A", "B"].map(|name| folder.join(name));
        let pairs = if a.is_dir() && b.is_dir() {
            matched(folder, &a, &b)?
        } else {
            pictures(folder)?.into_values().flatten().map(Files::SideBySide).collect()
        };
        if pairs.is_empty() {
            return Err(Error::Pairs {
                path: folder.to_owned(),
                problem: nothing_here(folder),
                unmatched: vec![],
            });
        }
        Ok(Self { pairs: Arc::new(pairs), config: config.clone() })
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair; never so, since opening an empty folder fails.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How the pairs are read.
    pub fn config(&self) -> &DataConfig {
        &self.config
    }

    /// The file that holds pair `index`; of two, A's.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn path(&self, index: usize) -> &Path {
        self.pairs[index].path(0)
    }

    /// The first `count` pairs only, as a small validation set.
    pub fn take(mut self, count: usize) -> Self {
        let kept = self.pairs.iter().take(count.max(1)).cloned().collect();
        self.pairs = Arc::new(kept);
        self
    }

    /// The same pairs in batches of another size.
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.config.batch_size = batch_size.max(1);
        self
    }

    /// The batches of an epoch, shuffled and augmented, from its [`first_batch`](Epoch::first_batch) on.
    ///
    /// Order and augmentation are a function of the epoch's seed and number. Worker threads read ahead; dropping the
    /// iterator stops them.
    pub fn batches(&self, epoch: impl Into<Epoch>, device: &Device) -> Batches {
        Batches::new(self.clone(), Order::Shuffled(epoch.into()), device)
    }

    /// All batches in the order of names, resized to the crop size, without augmentation.
    pub fn in_order(&self, device: &Device) -> Batches {
        Batches::new(self.clone(), Order::ByName, device)
    }

    /// Pair `index` as [`in_order`](Self::in_order) gives it.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is no usable picture.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn pair(&self, index: usize) -> Result<Pair> {
        let whole = self.config.clone().with_load_size(self.config.crop_size).with_mirror(false);
        self.read(index, &whole, Jitter::draw(&whole, 0, 0, index))
    }

    /// Pair `index` as it is augmented in `epoch`.
    pub(super) fn augmented(&self, index: usize, epoch: Epoch) -> Result<Pair> {
        self.read(index, &self.config, Jitter::draw(&self.config, epoch.seed, epoch.number, index))
    }

    fn read(&self, index: usize, config: &DataConfig, jitter: Jitter) -> Result<Pair> {
        let files = &self.pairs[index];
        let [input, target] = match config.direction {
            Direction::AToB => [0, 1],
            Direction::BToA => [1, 0],
        };
        let mut channels = [0; 2];
        channels[input] = config.input_channels;
        channels[target] = config.target_channels;
        let mut prepared = [vec![], vec![]];
        for (side, picture) in files.read(channels)?.into_iter().enumerate() {
            let resized = picture.resized(config.load_size, config.filter);
            let resized = resized.map_err(|error| Error::image(files.path(side), error))?;
            prepared[side] = jitter.apply(&resized).values;
        }
        Ok(Pair {
            input: std::mem::take(&mut prepared[input]),
            target: std::mem::take(&mut prepared[target]),
        })
    }
}

impl Files {
    /// The file that holds picture A (0) or B (1).
    fn path(&self, side: usize) -> &Path {
        match self {
            Self::SideBySide(path) => path,
            Self::Separate { a, b } => [a, b][side],
        }
    }

    /// Pictures A and B, with so many channels each.
    fn read(&self, channels: [usize; 2]) -> Result<[Planes; 2]> {
        match self {
            Self::SideBySide(path) => {
                let both = open(path)?;
                let width = both.width() as usize;
                if !width.is_multiple_of(2) {
                    let problem =
                        format!("width {width} is odd; a side-by-side pair has two halves of equal width");
                    return Err(Error::image(path, problem));
                }
                let half = width / 2;
                let part = |side| Planes::from_columns(&both, channels[side], side * half, half);
                Ok([part(0), part(1)])
            }
            Self::Separate { a, b } => {
                let pictures = [open(a)?, open(b)?];
                let [size_a, size_b] = [&pictures[0], &pictures[1]].map(|p| [p.width(), p.height()]);
                if size_a != size_b {
                    let problem = format!(
                        "{size_b:?} pixels, but its partner {} has {size_a:?}; both must have the same size",
                        a.display()
                    );
                    return Err(Error::image(b, problem));
                }
                let [a, b] = &pictures;
                Ok([Planes::from_picture(a, channels[0]), Planes::from_picture(b, channels[1])])
            }
        }
    }
}

/// The pictures directly in a folder, by name without extension.
fn pictures(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let Some(name) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if path.is_file() && EXTENSIONS.contains(&extension.as_str()) && !name.starts_with('.') {
            found.entry(name).or_default().push(path);
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

/// The pairs of two folders, every file of which must have exactly one partner.
fn matched(folder: &Path, a: &Path, b: &Path) -> Result<Vec<Files>> {
    let (mut of_a, mut of_b) = (pictures(a)?, pictures(b)?);
    let mut pairs = Vec::new();
    let names: Vec<String> = of_a.keys().cloned().collect();
    for name in names {
        if let ([a], Some([b])) = (of_a[&name].as_slice(), of_b.get(&name).map(Vec::as_slice)) {
            pairs.push(Files::Separate { a: a.clone(), b: b.clone() });
            of_a.remove(&name);
            of_b.remove(&name);
        }
    }
    let rest = of_a.into_values().chain(of_b.into_values()).flatten();
    let unmatched: Vec<String> =
        rest.map(|path| path.strip_prefix(folder).unwrap_or(&path).display().to_string()).collect();
    if unmatched.is_empty() {
        return Ok(pairs);
    }
    let problem =
        "every picture in A needs one of the same name in B; add the partner or remove the file".into();
    Err(Error::Pairs { path: folder.to_owned(), problem, unmatched })
}

fn nothing_here(folder: &Path) -> String {
    let mut problem = format!(
        "no pairs here; put side-by-side pictures ({}) in it, or folders A and B with pictures of equal names",
        EXTENSIONS.join(", ")
    );
    if folder.join("train").is_dir() {
        problem += "; there is a folder `train` in it: did you mean that one?";
    }
    problem
}
