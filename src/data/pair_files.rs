//! The files of a pair, and reading them within the limits on memory.

use std::path::{Path, PathBuf};

use image::DynamicImage;

use super::class_ids::class_ids_in;
use super::config::Size;
use super::image_part::{ImagePart, Resized};
use super::labels::Labels;
use super::scale;
use crate::error::{Error, Result};
use crate::raster::{
    ImageArray, ImageHeader, ImageLimits, Page, PlanarImage, Region, SampleFormat, load_array, load_image,
};

/// The bytes of a value in memory, relative to those of a sample: at most 32 bits for 8.
const BYTES_PER_SAMPLE_BYTE: u64 = 4;

/// How the pixels of an image become numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning<'a> {
    /// As this many channels: grey (1), colour (3), or colour with alpha (4).
    Channels(usize),
    /// As classes, each with a channel.
    Labels(&'a Labels),
    /// As the samples of an array of this many channels.
    Samples(SampleFormat, usize),
}

/// The files of a pair.
#[derive(Clone, Debug)]
pub(super) struct PairFiles {
    pub(super) place: Place,
    /// The page of files that are read as arrays.
    pub(super) page: Page,
}

/// Where A and B are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a file with A on the left and B on the right.
    SideBySide(PathBuf),
    /// In a file with A above and B below.
    Stacked(PathBuf),
    /// In a file with one image, which is both.
    Single(PathBuf),
    /// In two files.
    Separate { a: PathBuf, b: PathBuf },
}

impl From<Place> for PairFiles {
    /// Takes the first page.
    fn from(place: Place) -> Self {
        Self { place, page: Page::Number(0) }
    }
}

impl PairFiles {
    /// Returns the file of image A (0) or B (1).
    pub(super) fn path(&self, side: usize) -> &Path {
        match &self.place {
            Place::SideBySide(path) | Place::Stacked(path) | Place::Single(path) => path,
            Place::Separate { a, b } => [a, b][side],
        }
    }

    /// Returns the size of the images from the header of the file, if it can be read.
    pub(super) fn original_size(&self) -> Option<Size> {
        let size = scale::image_size(self.path(0))?;
        Some(match &self.place {
            Place::SideBySide(_) => Size { width: size.width / 2, ..size },
            Place::Stacked(_) => Size { height: size.height / 2, ..size },
            Place::Single(_) | Place::Separate { .. } => size,
        })
    }

    /// Reads A and B, each of its [`Meaning`], and applies `prepare` to both, with 0 for A and 1 for B. `working` returns the memory that this
    /// takes besides a decoded image.
    ///
    /// Memory is held for one file at a time: a thread never waits for memory while it holds some.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it is not a usable image, if a file of both images has no
    /// equal halves, or if separate images have different sizes.
    pub(super) fn read(
        &self,
        meanings: [Meaning; 2],
        limits: &ImageLimits,
        working: impl Fn(&ImageHeader) -> u64,
        prepare: impl Fn(usize, &ImagePart) -> Resized,
    ) -> Result<[PlanarImage; 2]> {
        let is_image = |meaning: &Meaning| !matches!(meaning, Meaning::Samples(..));
        // A file with both images is decoded once.
        let both = match &self.place {
            Place::SideBySide(path) | Place::Stacked(path) | Place::Single(path)
                if meanings.iter().all(is_image) =>
            {
                Some(load_image(path, limits, &working)?)
            }
            _ => None,
        };
        let read = |side: usize| {
            let own;
            let image = match &both {
                Some(both) => Some(&both.image),
                None if is_image(&meanings[side]) => {
                    own = load_image(self.path(side), limits, &working)?;
                    Some(&own.image)
                }
                None => None,
            };
            self.side(side, meanings[side], image, limits, |part| prepare(side, part))
        };
        let [(size_a, a), (size_b, b)] = [read(0)?, read(1)?];
        self.check_same_size([size_a, size_b])?;
        Ok([a, b])
    }

    /// Prepares image A (`side` 0) or B (1) of a decoded file, or of an array. Returns its size before, too.
    fn side(
        &self,
        side: usize,
        meaning: Meaning,
        image: Option<&DynamicImage>,
        limits: &ImageLimits,
        prepare: impl Fn(&ImagePart) -> Resized,
    ) -> Result<([usize; 2], PlanarImage)> {
        let path = self.path(side);
        let part = match (meaning, image) {
            (Meaning::Channels(channels), Some(image)) => {
                let region = self.region(side, Region::of(image).size)?;
                ImagePart::Pixels { image, region, channels }
            }
            (Meaning::Labels(labels), Some(image)) => {
                let indices = labels.indices(path)?;
                let image = indices.as_ref().unwrap_or(image);
                let region = self.region(side, Region::of(image).size)?;
                let classes = labels.part(image, region.start, region.size);
                ImagePart::Classes(classes.map_err(|error| error.in_file(path))?)
            }
            (Meaning::Samples(format, channels), _) => {
                ImagePart::Values(self.values(side, format, channels, limits)?)
            }
            (Meaning::Channels(_) | Meaning::Labels(_), None) => unreachable!("its image was decoded"),
        };
        let prepared = prepare(&part).map_err(|error| Error::image(path, error))?;
        Ok((part.size(), prepared))
    }

    /// Reads images A and B as they are in the files.
    pub(super) fn originals(&self, limits: &ImageLimits) -> Result<[DynamicImage; 2]> {
        let load =
            |side| Ok::<_, Error>(load_image(self.path(side), limits, |header| 2 * header.bytes)?.image);
        let first = load(0)?;
        if matches!(self.place, Place::Separate { .. }) {
            let images = [first, load(1)?];
            self.check_same_size([&images[0], &images[1]].map(|image| Region::of(image).size))?;
            return Ok(images);
        }
        let size = Region::of(&first).size;
        let [a, b] = [self.region(0, size)?, self.region(1, size)?];
        Ok([a, b].map(|part| {
            let [top, left, height, width] =
                [part.start[0], part.start[1], part.size[0], part.size[1]].map(|length| length as u32);
            first.crop_imm(left, top, width, height)
        }))
    }

    /// Returns the levels in image A (`side` 0) or B (1) if it looks like a map of class ids.
    pub(super) fn class_ids(&self, side: usize, limits: &ImageLimits) -> Result<Option<Vec<u16>>> {
        let loaded = load_image(self.path(side), limits, |_| 0)?;
        let part = self.region(side, Region::of(&loaded.image).size)?;
        Ok(class_ids_in(&loaded.image, part.start, part.size))
    }

    /// Reads the array of image A (`side` 0) or B (1): its file as a whole, if that holds both.
    pub(super) fn array(&self, side: usize, limits: &ImageLimits) -> Result<ImageArray> {
        Ok(load_array(self.path(side), self.page, limits, |_| 0)?.array)
    }

    /// Reads the values of image A (`side` 0) or B (1) from an array.
    fn values(
        &self,
        side: usize,
        format: SampleFormat,
        channels: usize,
        limits: &ImageLimits,
    ) -> Result<PlanarImage> {
        let path = self.path(side);
        let loaded = load_array(path, self.page, limits, |bytes| BYTES_PER_SAMPLE_BYTE * bytes)?;
        let array = &loaded.array;
        if array.channels != channels {
            let problem = format!("it has {} channels, and the network takes {channels}", array.channels);
            return Err(Error::image(path, problem));
        }
        let region = self.region(side, [array.height, array.width])?;
        array.part_to_planar(region, format).map_err(|problem| Error::image(path, problem))
    }

    /// Returns the part of its file, of this height and width, that image A (0) or B (1) takes.
    fn region(&self, side: usize, [height, width]: [usize; 2]) -> Result<Region> {
        let (axis, half) = match self.place {
            Place::Single(_) | Place::Separate { .. } => {
                return Ok(Region { start: [0, 0], size: [height, width] });
            }
            Place::SideBySide(_) => (1, [height, width / 2]),
            Place::Stacked(_) => (0, [height / 2, width]),
        };
        let (length, name, layout) =
            if axis == 1 { (width, "width", "side-by-side") } else { (height, "height", "stacked") };
        if !length.is_multiple_of(2) {
            let problem = format!("{name} {length} is odd; a {layout} pair has two halves of equal {name}");
            return Err(Error::image(self.path(side), problem));
        }
        let mut start = [0, 0];
        start[axis] = side * half[axis];
        Ok(Region { start, size: half })
    }

    /// Checks that A and B have the same size.
    fn check_same_size(&self, [a, b]: [[usize; 2]; 2]) -> Result<()> {
        if a == b {
            return Ok(());
        }
        let [a, b] = [a, b].map(|[height, width]| [width, height]);
        let partner = self.path(0).display();
        let problem =
            format!("{b:?} pixels, but its partner {partner} has {a:?}; both must have the same size");
        Err(Error::image(self.path(1), problem))
    }
}
