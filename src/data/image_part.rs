//! One image of a pair before it is scaled: a part of a decoded file, or its values.

use image::DynamicImage;

use crate::raster::{ClassMap, PlanarImage, Region, ResizeFilter};

/// What resizing returns. It fails for images without pixels.
pub(super) type Resized = std::result::Result<PlanarImage, Box<dyn std::error::Error + Send + Sync>>;

/// A part of a decoded image. Its pixels become numbers when they are needed, because numbers take four times the
/// memory.
#[derive(Debug)]
pub(super) enum ImagePart<'a> {
    Pixels {
        image: &'a DynamicImage,
        region: Region,
        channels: usize,
    },
    Classes(ClassMap),
    /// The values of an array, which has any number of channels.
    Values(PlanarImage),
}

impl ImagePart<'_> {
    /// Returns height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        match self {
            Self::Pixels { region, .. } => region.size,
            Self::Classes(map) => map.size(),
            Self::Values(image) => [image.shape()[1], image.shape()[2]],
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
            Self::Values(image) => image.clone().resized(size, filter),
        }
    }

    /// Returns the whole image.
    pub(super) fn whole(&self) -> PlanarImage {
        self.window([0, 0], self.size())
    }

    /// Returns the window at `[top, left]`; reflection padding fills its part outside the image.
    pub(super) fn window(&self, [top, left]: [isize; 2], size: [usize; 2]) -> PlanarImage {
        match self {
            Self::Pixels { image, region, channels } => {
                let is_inside = |start: isize, size: usize, whole: usize| {
                    usize::try_from(start).is_ok_and(|start| start + size <= whole)
                };
                let [height, width] = region.size;
                if !is_inside(top, size[0], height) || !is_inside(left, size[1], width) {
                    return PlanarImage::from_part(image, *channels, *region).window([top, left], size);
                }
                let start = [region.start[0] + top as usize, region.start[1] + left as usize];
                PlanarImage::from_part(image, *channels, Region { start, size })
            }
            Self::Values(image) => image.window([top, left], size),
            Self::Classes(map) => {
                PlanarImage::new(map.pixels().window([top, left], size), [map.count(), size[0], size[1]])
            }
        }
    }
}
