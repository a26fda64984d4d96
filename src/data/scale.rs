//! The scale at which a network was trained, compared with that of an image.

use std::path::Path;

use super::config::{DataConfig, Preprocess, Size};
use crate::raster::header_size;

/// The number of files of a folder whose sizes are read.
pub(super) const SAMPLE: usize = 256;
/// Scales are equal if they differ by at most a quarter.
const NEAR: f64 = 1.25;
/// Shapes are equal if the ratios of width to height differ by at most a tenth.
const SAME_SHAPE: f64 = 1.1;

/// Returns the size of the upright image in a file, from the file's header, or `None` if it is not an image that can be
/// read.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("image.png");
/// # pix2pix::data::write_image(&pix2pix::image::DynamicImage::new_rgb8(40, 30), &path)?;
/// assert_eq!(pix2pix::data::image_size(&path), Some([30, 40].into()));
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn image_size(path: impl AsRef<Path>) -> Option<Size> {
    header_size(path.as_ref()).map(Size::from)
}

/// Returns at most `most` of the indices below `count`, evenly spread.
pub(super) fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(most);
    (0..taken).map(move |index| index * count / taken)
}

/// Returns the median height and the median width.
pub(super) fn median(sizes: impl Iterator<Item = Size>) -> Option<Size> {
    let (mut heights, mut widths): (Vec<usize>, Vec<usize>) =
        sizes.map(|size| (size.height, size.width)).unzip();
    let middle = |values: &mut Vec<usize>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    Some(Size { height: middle(&mut heights)?, width: middle(&mut widths)? })
}

impl Size {
    /// Returns the size of the same shape with this width.
    pub(super) fn with_width(self, width: usize) -> Self {
        let height = (self.height as f64 * width as f64 / self.width as f64).round() as usize;
        Self { height: height.max(1), width }
    }

    /// Returns whether the larger of two sizes is at most a quarter larger, in height and width.
    fn is_near(self, other: Self) -> bool {
        is_within(self.height, other.height, NEAR) && is_within(self.width, other.width, NEAR)
    }

    fn has_shape_of(self, other: Self) -> bool {
        is_within(self.height * other.width, self.width * other.height, SAME_SHAPE)
    }
}

/// Returns whether the ratio of two lengths is at most `factor`.
fn is_within(a: usize, b: usize, factor: f64) -> bool {
    let (low, high) = (a.min(b) as f64, a.max(b) as f64);
    high <= low * factor
}

impl DataConfig {
    /// Returns the size at which a generator trained with this configuration sees a whole image of `size`.
    ///
    /// That is the crop size with [`Preprocess::Resize`], and a size with its width with [`Preprocess::ScaleWidth`]. With
    /// [`Preprocess::Crop`] and [`Preprocess::None`], it is the image's own size, or that of the training's images if it
    /// has their shape.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::data::{DataConfig, Preprocess};
    ///
    /// let config = DataConfig::default();
    /// assert_eq!(config.training_size([600, 800].into()), 256.into());
    /// let config = config.with_preprocess(Preprocess::ScaleWidth);
    /// assert_eq!(config.training_size([600, 800].into()), [192, 256].into());
    /// ```
    pub fn training_size(&self, size: Size) -> Size {
        match self.preprocess {
            Preprocess::Resize => self.crop_size,
            Preprocess::ScaleWidth if size.width > 0 => size.with_width(self.crop_size.width),
            Preprocess::ScaleWidth => size,
            Preprocess::Crop | Preprocess::None => {
                self.image_size.filter(|seen| size.has_shape_of(*seen)).unwrap_or(size)
            }
        }
    }

    /// Returns whether an image of `size` has about the scale of the images that the network saw in training: it differs
    /// by at most a quarter. Returns true if [`image_size`](Self::image_size) is not recorded.
    ///
    /// Where training did not change the scale, an image of another shape counts as one that shows more or less at the
    /// same scale.
    ///
    /// # Examples
    /// ```
    /// let mut config = pix2pix::Pix2PixConfig::paper().with_size(64)?.data;
    /// config.image_size = Some(256.into());
    /// assert!(!config.is_at_training_scale(256.into()) && config.is_at_training_scale(64.into()));
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn is_at_training_scale(&self, size: Size) -> bool {
        let Some(seen) = self.image_size else { return true };
        if seen.is_near(self.training_size(seen)) {
            return !size.has_shape_of(seen) || size.is_near(seen);
        }
        size.is_near(self.training_size(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_scale(preprocess: Preprocess, seen: [usize; 2], size: [usize; 2]) -> bool {
        let config = DataConfig::new().with_preprocess(preprocess).with_image_size(seen);
        config.with_load_size(64).with_crop_size(64).is_at_training_scale(size.into())
    }

    #[test]
    fn scales_that_differ_by_more_than_a_quarter_are_noticed() {
        for (seen, size, expected) in [
            ([256, 256], [256, 256], false),
            ([256, 256], [64, 64], true),
            ([256, 256], [80, 51], false),
            ([256, 256], [80, 52], true),
            ([64, 64], [64, 64], true),
            ([64, 64], [128, 128], false),
            ([64, 64], [64, 371], true),   // a longer street at the same scale
            ([64, 128], [64, 128], false), // training squeezed it
            ([64, 128], [64, 64], true),
        ] {
            assert_eq!(at_scale(Preprocess::Resize, seen, size), expected, "{seen:?} {size:?}");
        }
        for (preprocess, size, expected) in [
            (Preprocess::Crop, [256, 256], true),
            (Preprocess::Crop, [64, 64], false),
            (Preprocess::Crop, [300, 2000], true),
            (Preprocess::None, [512, 512], false),
            (Preprocess::ScaleWidth, [256, 256], false),
            (Preprocess::ScaleWidth, [200, 64], true),
        ] {
            assert_eq!(at_scale(preprocess, [256, 256], size), expected, "{preprocess} {size:?}");
        }
        assert!(DataConfig::new().is_at_training_scale([4000, 3000].into()), "nothing is recorded");
    }

    #[test]
    fn the_median_is_that_of_each_side() {
        let sizes = [[10, 5], [30, 6], [20, 900]].map(Size::from);
        assert_eq!(median(sizes.into_iter()), Some([20, 6].into()));
        assert_eq!(median(std::iter::empty()), None);
        assert_eq!(spread(3, 256).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(1000, 4).collect::<Vec<_>>(), [0, 250, 500, 750]);
        assert_eq!(spread(0, 4).count(), 0);
    }
}
