//! One image of a pair before it is scaled: a part of a decoded file.

use image::DynamicImage;

use super::labels::Labels;
use crate::error::Result;
use crate::raster::{ClassMap, PlanarImage, Region, ResizeFilter};

/// What resizing returns. It fails for images without pixels.
pub(super) type Resized = std::result::Result<PlanarImage, Box<dyn std::error::Error + Send + Sync>>;

/// How the pixels of an image become numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning<'a> {
    /// As this many channels: grey (1), colour (3), or colour with alpha (4).
    Channels(usize),
    /// As classes, each with a channel.
    Labels(&'a Labels),
}

/// A part of a decoded image. Its pixels become numbers when they are needed, because numbers take four times the
/// memory.
#[derive(Debug)]
pub(super) enum ImagePart<'a> {
    Pixels { image: &'a DynamicImage, region: Region, channels: usize },
    Classes(ClassMap),
}

impl<'a> ImagePart<'a> {
    /// Takes a part of an image.
    ///
    /// # Errors
    /// [`Error::Image`](crate::Error::Image) if it is a label map, and a pixel holds a number that is not the id of a
    /// class.
    pub(super) fn new(image: &'a DynamicImage, region: Region, meaning: Meaning) -> Result<Self> {
        Ok(match meaning {
            Meaning::Channels(channels) => Self::Pixels { image, region, channels },
            Meaning::Labels(labels) => {
                let [top, left] = region.start;
                Self::Classes(labels.part(image, [top, left], region.size)?)
            }
        })
    }

    /// Returns height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        match self {
            Self::Pixels { region, .. } => region.size,
            Self::Classes(map) => map.size(),
        }
    }

    /// Returns the image resized to height and width. A class of a label map gives the fraction of each pixel that it
    /// covers.
    pub(super) fn resized(&self, size: [usize; 2], filter: ResizeFilter) -> Resized {
        match self {
            Self::Pixels { image, region, channels } => {
                PlanarImage::resized_part(image, *channels, *region, size, filter)
            }
            Self::Classes(map) => Ok(map.coverage(size)),
        }
    }

    /// Returns the window at `[top, left]`, which lies inside the image.
    pub(super) fn window(&self, [top, left]: [usize; 2], size: [usize; 2]) -> PlanarImage {
        match self {
            Self::Pixels { image, region, channels } => {
                let start = [region.start[0] + top, region.start[1] + left];
                PlanarImage::from_part(image, *channels, Region { start, size })
            }
            Self::Classes(map) => PlanarImage::new(
                map.pixels().window([top as isize, left as isize], size),
                [map.count(), size[0], size[1]],
            ),
        }
    }
}
