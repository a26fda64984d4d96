//! The files of a pair, and reading them within the limits on memory.

use std::path::{Path, PathBuf};

use image::DynamicImage;

use super::class_ids::class_ids_in;
use super::image_part::{ImagePart, Meaning, Resized};
use super::scale;
use crate::error::{Error, Result};
use crate::raster::{ImageHeader, ImageLimits, LoadedImage, PlanarImage, Region, load_image};

/// The files of a pair.
#[derive(Clone, Debug)]
pub(super) enum PairFiles {
    /// A file with A on the left and B on the right.
    SideBySide(PathBuf),
    /// A file with A above and B below.
    Stacked(PathBuf),
    Separate {
        a: PathBuf,
        b: PathBuf,
    },
}

impl PairFiles {
    /// Returns the file of image A (0) or B (1).
    pub(super) fn path(&self, side: usize) -> &Path {
        match self {
            Self::SideBySide(path) | Self::Stacked(path) => path,
            Self::Separate { a, b } => [a, b][side],
        }
    }

    /// Returns the size of the images from the header of the file, if it can be read.
    pub(super) fn original_size(&self) -> Option<super::Size> {
        let size = scale::image_size(self.path(0))?;
        Some(match self {
            Self::SideBySide(_) => super::Size { width: size.width / 2, ..size },
            Self::Stacked(_) => super::Size { height: size.height / 2, ..size },
            Self::Separate { .. } => size,
        })
    }

    /// Reads A and B, each of its [`Meaning`], and applies `prepare` to both. `working` returns the memory that this
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
        prepare: impl Fn(&ImagePart) -> Resized,
    ) -> Result<[PlanarImage; 2]> {
        let mut sizes = [[0; 2]; 2];
        let mut prepared = |side: usize, loaded: &LoadedImage| {
            let (path, meaning) = (self.path(side), meanings[side]);
            let indices = match meaning {
                Meaning::Labels(labels) => labels.indices(path)?,
                Meaning::Channels(_) => None,
            };
            let image = indices.as_ref().unwrap_or(&loaded.image);
            let part = ImagePart::new(image, self.region(side, image)?, meaning);
            let part = part.map_err(|error| error.in_file(path))?;
            sizes[side] = part.size();
            prepare(&part).map_err(|error| Error::image(path, error))
        };
        let load = |side| load_image(self.path(side), limits, &working);
        let a = load(0)?;
        let image_a = prepared(0, &a)?;
        let both = match self {
            Self::Separate { .. } => {
                drop(a);
                [image_a, prepared(1, &load(1)?)?]
            }
            Self::SideBySide(_) | Self::Stacked(_) => [image_a, prepared(1, &a)?],
        };
        self.check_same_size(sizes)?;
        Ok(both)
    }

    /// Reads images A and B as they are in the files.
    pub(super) fn originals(&self, limits: &ImageLimits) -> Result<[DynamicImage; 2]> {
        let load =
            |side| Ok::<_, Error>(load_image(self.path(side), limits, |header| 2 * header.bytes)?.image);
        let first = load(0)?;
        if matches!(self, Self::Separate { .. }) {
            let images = [first, load(1)?];
            self.check_same_size([&images[0], &images[1]].map(size))?;
            return Ok(images);
        }
        let [a, b] = [self.region(0, &first)?, self.region(1, &first)?];
        Ok([a, b].map(|part| {
            let [top, left, height, width] =
                [part.start[0], part.start[1], part.size[0], part.size[1]].map(|length| length as u32);
            first.crop_imm(left, top, width, height)
        }))
    }

    /// Returns the levels in image A (`side` 0) or B (1) if it looks like a map of class ids.
    pub(super) fn class_ids(&self, side: usize, limits: &ImageLimits) -> Result<Option<Vec<u16>>> {
        let loaded = load_image(self.path(side), limits, |_| 0)?;
        let part = self.region(side, &loaded.image)?;
        Ok(class_ids_in(&loaded.image, part.start, part.size))
    }

    /// Returns the part of its file that image A (0) or B (1) takes.
    fn region(&self, side: usize, image: &DynamicImage) -> Result<Region> {
        let [height, width] = size(image);
        let (axis, half) = match self {
            Self::Separate { .. } => return Ok(Region { start: [0, 0], size: [height, width] }),
            Self::SideBySide(_) => (1, [height, width / 2]),
            Self::Stacked(_) => (0, [height / 2, width]),
        };
        let (length, name, layout) =
            if axis == 1 { (width, "width", "side-by-side") } else { (height, "height", "stacked") };
        if !length.is_multiple_of(2) {
            let problem = format!("{name} {length} is odd; a {layout} pair has two halves of equal {name}");
            return Err(Error::image(self.path(side), problem));
        }
        if length == 0 {
            return Err(Error::image(self.path(side), "it has no pixels"));
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

/// Returns height and width.
fn size(image: &DynamicImage) -> [usize; 2] {
    [image.height() as usize, image.width() as usize]
}
