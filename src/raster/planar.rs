//! An owned image with any number of channels, and its resampling.

use burn::tensor::Tensor;
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

use super::levels;
use super::resize::{self, ResizeFilter, horizontal, is_vertical_first, vertical};
use super::source::{Pixels, Region, reflected};
use crate::error::Result;
use crate::transfer::read_back;

/// An image with any number of channels and values in `[-1, 1]`, stored channel by channel and row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanarImage {
    /// Channels, height, width.
    shape: [usize; 3],
    values: Vec<f32>,
}

impl PlanarImage {
    /// Creates an image from its values.
    ///
    /// # Shapes
    /// - `shape`: `[C, H, W]`, whose product is the number of `values`
    ///
    /// # Panics
    /// If the product of `shape` is not the number of `values`.
    ///
    /// # Examples
    /// ```
    /// let image = pix2pix::data::PlanarImage::new(vec![-1.0, 0.0, 1.0], [1, 1, 3]);
    /// assert_eq!(image.to_image().into_luma8().into_raw(), [0, 128, 255]);
    /// ```
    #[must_use]
    pub fn new(values: Vec<f32>, shape: [usize; 3]) -> Self {
        let count = shape.iter().product::<usize>();
        assert_eq!(
            count,
            values.len(),
            "`shape` is {shape:?}, which needs {count} values, not {}",
            values.len()
        );
        Self { shape, values }
    }

    /// Returns channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Returns the values, channel by channel and row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the values, channel by channel and row by row, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Returns the image with 8 bits per channel: grey (1 channel), colour (3), or colour with alpha (4). Values are
    /// rounded to the nearest level and clamped.
    ///
    /// # Panics
    /// If there are not 1, 3 or 4 channels.
    pub fn to_image(&self) -> DynamicImage {
        let [channels, height, width] = self.shape;
        let count = height * width;
        let level = |channel: usize, pixel: usize| levels::to_u8(self.values[channel * count + pixel]);
        let bytes: Vec<u8> =
            (0..count).flat_map(|pixel| (0..channels).map(move |channel| level(channel, pixel))).collect();
        let (width, height) = (width as u32, height as u32);
        let image = match channels {
            1 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
            3 => RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
            4 => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
            _ => panic!("the array has {channels} channels; an image has 1, 3 or 4"),
        };
        image.expect("a byte for every channel of every pixel")
    }

    /// Reads a part of an image as grey (1), colour (3), or colour with alpha (4 channels).
    pub(crate) fn from_part(image: &DynamicImage, channels: usize, region: Region) -> Self {
        match Pixels::of(image, channels) {
            Some(pixels) => {
                let [height, width] = region.size;
                let values = pixels.window(region.start.map(|start| start as isize), region.size);
                Self { shape: [channels, height, width], values }
            }
            None => Self::from_part(&DynamicImage::from(image.to_rgba16()), channels, region),
        }
    }

    /// Reads a part of an image as [`from_part`](Self::from_part) does, and resizes it to `size`, height and width.
    /// Equals [`resized`](Self::resized), but holds only a few rows of the image as numbers.
    ///
    /// # Errors
    /// As [`resized`](Self::resized).
    pub(crate) fn resized_part(
        image: &DynamicImage,
        channels: usize,
        region: Region,
        size: [usize; 2],
        filter: ResizeFilter,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let Some(pixels) = Pixels::of(image, channels) else {
            let converted = DynamicImage::from(image.to_rgba16());
            return Self::resized_part(&converted, channels, region, size, filter);
        };
        let ([top, left], [height, width]) = (region.start, region.size);
        if [height, width] == size {
            return Ok(Self::from_part(image, channels, region));
        }
        let mut values = Vec::with_capacity(channels * size[0] * size[1]);
        for channel in 0..channels {
            let pixels = pixels.channel(channel);
            let read =
                |y: usize, x: usize, size| pixels.window([(top + y) as isize, (left + x) as isize], size);
            // The first pass runs band by band, and the second over its result, which is as small as the output.
            let mut plane = if is_vertical_first([height, width], size, filter) {
                let mut short = vec![0.0; size[0] * width];
                for (x, columns) in bands(width, height) {
                    let band = vertical(read(0, x, [height, columns]), columns, [height, size[0]], filter)?;
                    for (row, band) in short.chunks_exact_mut(width).zip(band.chunks_exact(columns)) {
                        row[x..x + columns].copy_from_slice(band);
                    }
                }
                horizontal(short, [width, size[1]], filter)?
            } else {
                let mut narrow = Vec::with_capacity(height * size[1]);
                for (y, rows) in bands(height, width) {
                    narrow.extend(horizontal(read(y, 0, [rows, width]), [width, size[1]], filter)?);
                }
                vertical(narrow, size[1], [height, size[0]], filter)?
            };
            resize::clamp(&mut plane);
            values.append(&mut plane);
        }
        Ok(Self { shape: [channels, size[0], size[1]], values })
    }

    /// Reads an image as grey (1), colour (3), or colour with alpha (4 channels).
    #[cfg(test)]
    pub(crate) fn from_image(image: &DynamicImage, channels: usize) -> Self {
        Self::from_part(image, channels, Region::of(image))
    }

    /// Returns the window at `[top, left]`; reflection padding fills its part outside the image.
    pub(crate) fn window(&self, [top, left]: [isize; 2], [height, width]: [usize; 2]) -> Self {
        let [channels, from_height, from_width] = self.shape;
        let rows: Vec<usize> = (0..height).map(|y| reflected(top + y as isize, from_height)).collect();
        let columns: Vec<usize> = (0..width).map(|x| reflected(left + x as isize, from_width)).collect();
        let is_inside = left >= 0 && left as usize + width <= from_width;
        let mut values = Vec::with_capacity(channels * height * width);
        for plane in self.values.chunks_exact(from_height * from_width) {
            for row in &rows {
                let row = &plane[row * from_width..(row + 1) * from_width];
                if is_inside {
                    values.extend_from_slice(&row[left as usize..left as usize + width]);
                } else {
                    values.extend(columns.iter().map(|column| row[*column]));
                }
            }
        }
        Self { shape: [channels, height, width], values }
    }

    /// Mirrors the image horizontally.
    pub(crate) fn mirrored(mut self) -> Self {
        self.values.chunks_exact_mut(self.shape[2]).for_each(<[f32]>::reverse);
        self
    }

    /// Resizes the image to `[height, width]` as Pillow does; results differ by at most one level of 8 bits.
    ///
    /// # Errors
    /// That the image has no pixels, or the resizing library's error.
    pub(crate) fn resized(
        self,
        [height, width]: [usize; 2],
        filter: ResizeFilter,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let [channels, from_height, from_width] = self.shape;
        if [from_height, from_width] == [height, width] {
            return Ok(self);
        }
        if from_height * from_width == 0 {
            return Err("the image has no pixels".into());
        }
        let mut values = Vec::with_capacity(channels * height * width);
        for plane in self.values.chunks_exact(from_height * from_width) {
            let from = [from_height, from_width];
            values.extend(resize::resized(plane.to_vec(), from, [height, width], filter)?);
        }
        Ok(Self { shape: [channels, height, width], values })
    }

    /// Resizes the image as [`resized`](Self::resized) does, but holds only a few columns of the result: calls `put` with
    /// each and its left border.
    ///
    /// # Errors
    /// As [`resized`](Self::resized).
    pub(crate) fn resized_in_columns(
        self,
        [height, width]: [usize; 2],
        filter: ResizeFilter,
        mut put: impl FnMut(&Self, usize),
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let [channels, from_height, from_width] = self.shape;
        if is_vertical_first([from_height, from_width], [height, width], filter) {
            put(&self.resized([height, width], filter)?, 0);
            return Ok(());
        }
        let mut wide = Self { shape: [channels, from_height, width], values: Vec::new() };
        for plane in self.values.chunks_exact(from_height * from_width) {
            wide.values.extend(horizontal(plane.to_vec(), [from_width, width], filter)?);
        }
        for (left, columns) in bands(width, height) {
            let part = wide.window([0, left as isize], [from_height, columns]);
            let mut resized = Self { shape: [channels, height, columns], values: Vec::new() };
            for plane in part.values.chunks_exact(from_height * columns) {
                resized.values.extend(vertical(plane.to_vec(), columns, [from_height, height], filter)?);
            }
            resize::clamp(&mut resized.values);
            put(&resized, left);
        }
        Ok(())
    }
}

/// The values of a band of rows that is resized at once.
///
/// Fewer than [`Pixels::window`] reads in parallel: the threads of a loader must not wait for the thread pool, which is
/// training.
const BAND: usize = 1 << 19;

/// The lengths of bands are multiples of this: the resizing library handles so many rows or columns together.
const TOGETHER: usize = 64;

/// Divides an axis of `length` into bands, each a start and a length; `other` is the length of the other axis.
fn bands(length: usize, other: usize) -> impl Iterator<Item = (usize, usize)> {
    let band = (BAND / other.max(1)).max(TOGETHER) / TOGETHER * TOGETHER;
    (0..length).step_by(band).map(move |start| (start, band.min(length - start)))
}

/// Returns the largest number of bytes that [`PlanarImage::resized_part`] takes besides image and output, for an image of
/// these sides in any order.
pub(crate) fn resizing_bytes(sides: [u32; 2], size: impl Into<[usize; 2]>) -> u64 {
    let long = u64::from(sides[0].max(sides[1]));
    let target = size.into().into_iter().max().unwrap_or(0) as u64;
    // A band of the longest lines, and the result of the first pass, before and after the second.
    let band = (BAND as u64).max(TOGETHER as u64 * long);
    4 * 3 * (long * target + band)
}

/// Returns the images of a batch with 8 bits per channel, as [`PlanarImage::to_image`] does.
///
/// # Shapes
/// - `batch`: `[N, C, H, W]` in `[-1, 1]`, C being 1, 3 or 4
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails to return the batch.
///
/// # Panics
/// If C is not 1, 3 or 4.
pub fn to_images(batch: Tensor<4>) -> Result<Vec<DynamicImage>> {
    let [count, channels, height, width] = batch.dims();
    let values = read_back(batch)?;
    let length = channels * height * width;
    let image = |index: usize| values[index * length..(index + 1) * length].to_vec();
    let images = (0..count).map(|index| PlanarImage::new(image(index), [channels, height, width]).to_image());
    Ok(images.collect())
}

#[cfg(test)]
mod tests {
    use super::super::source::IMAGE_CHANNELS;
    use super::*;
    use image::{ImageBuffer, Luma};

    #[test]
    fn grey_has_the_weights_of_the_original() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]];
        let image = RgbImage::from_raw(4, 1, colours.concat()).unwrap();
        let grey = PlanarImage::from_image(&DynamicImage::ImageRgb8(image), 1).to_image().into_luma8();
        // PIL: Image.new("RGB", (1, 1), colour).convert("L") for each colour
        assert_eq!(grey.into_raw(), [76, 150, 29, 131]);
    }

    #[test]
    fn images_survive_a_round_trip() {
        for channels in IMAGE_CHANNELS {
            let values: Vec<f32> = (0..channels * 6).map(|v| (v * 9) as f32 / 127.5 - 1.0).collect();
            let planes = PlanarImage::new(values, [channels, 2, 3]);
            assert_eq!(PlanarImage::from_image(&planes.to_image(), channels), planes);
            assert_eq!(planes.clone().mirrored().mirrored(), planes);
            assert_eq!(planes.window([0, 0], [2, 3]), planes);
        }
    }

    #[test]
    #[should_panic(expected = "the array has 2 channels; an image has 1, 3 or 4")]
    fn an_array_of_two_channels_never_becomes_an_empty_image() {
        PlanarImage::new(vec![0.0; 8], [2, 2, 2]).to_image();
    }

    #[test]
    #[should_panic(expected = "`shape` is [3, 2, 2], which needs 12 values, not 8")]
    fn values_that_do_not_fill_the_shape_are_rejected() {
        let _ = PlanarImage::new(vec![0.0; 8], [3, 2, 2]);
    }

    #[test]
    fn sixteen_bits_are_kept() {
        let deep = ImageBuffer::<Luma<u16>, _>::from_raw(2, 1, vec![0, 257]).unwrap();
        let planes = PlanarImage::from_image(&DynamicImage::ImageLuma16(deep), 1);
        assert_eq!(planes.values, [-1.0, 257.0 / 32_767.5 - 1.0]);
    }

    #[test]
    fn resizing_in_bands_equals_resizing_the_whole() {
        let image = ImageBuffer::from_fn(3001, 797, |x, y| {
            image::Rgba([(x * 7 + y) as u16 * 31, (x * y) as u16, (y * 90) as u16, (x * 20) as u16])
        });
        let image = DynamicImage::ImageRgba16(image);
        assert!(bands(790, 1500).count() > 1 && bands(1500, 790).count() > 1);
        let region = Region { start: [7, 1501], size: [790, 1500] };
        for filter in
            [ResizeFilter::Bicubic, ResizeFilter::Bilinear, ResizeFilter::Nearest, ResizeFilter::Lanczos]
        {
            for (channels, size) in
                [(1, [40, 1200]), (1, [64, 48]), (3, [797, 33]), (4, [100, 1500]), (3, [900, 1500])]
            {
                let whole = PlanarImage::from_part(&image, channels, region).resized(size, filter).unwrap();
                let bands = PlanarImage::resized_part(&image, channels, region, size, filter).unwrap();
                assert_eq!(bands.shape, whole.shape);
                assert!(bands.values == whole.values, "{channels} channels to {size:?}");
            }
        }
    }

    #[test]
    fn resizing_in_columns_equals_resizing_the_whole() {
        let values = (0..3 * 61 * 83).map(|index| ((index * 7919) % 211) as f32 / 105.0 - 1.0).collect();
        let image = PlanarImage::new(values, [3, 61, 83]);
        for filter in [ResizeFilter::Bicubic, ResizeFilter::Bilinear] {
            for size in [[4000, 901], [30, 200], [61, 300], [9000, 83]] {
                let whole = image.clone().resized(size, filter).unwrap();
                let mut next = 0;
                let put = |part: &PlanarImage, left: usize| {
                    let [_, height, width] = part.shape;
                    assert_eq!((left, height), (next, size[0]));
                    assert!(*part == whole.window([0, left as isize], [height, width]), "{size:?} at {left}");
                    next += width;
                };
                image.clone().resized_in_columns(size, filter, put).unwrap();
                assert_eq!(next, size[1]);
            }
        }
    }

    #[test]
    fn each_axis_has_its_own_size() {
        let rows = PlanarImage::new([vec![-1.0; 6], vec![1.0; 6]].concat(), [1, 2, 6]);
        let resized = rows.resized([4, 3], ResizeFilter::Bilinear).unwrap();
        assert_eq!(resized.shape, [1, 4, 3]);
        assert!(resized.values.chunks_exact(3).all(|row| row[0] == row[1] && row[1] == row[2]));
        assert!(resized.values[0] < resized.values[6], "{resized:?}");
    }

    #[test]
    fn bicubic_resizing_differs_from_pillow_by_at_most_one_level() {
        // rng = np.random.default_rng(1); a = rng.integers(0, 256, (6, 6), dtype=np.uint8)
        // a.flatten().tolist(); [list(Image.fromarray(a).resize((n, n), Image.BICUBIC).getdata()) for n in (4, 8)]
        for (size, expected) in [(4, SMALLER.as_slice()), (8, LARGER.as_slice())] {
            let image = GrayImage::from_raw(6, 6, ORIGINAL.to_vec()).unwrap();
            let planes = PlanarImage::from_image(&DynamicImage::ImageLuma8(image), 1)
                .resized([size; 2], ResizeFilter::Bicubic)
                .unwrap();
            let found = planes.to_image().into_luma8().into_raw();
            let worst = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{found:?} is not {expected:?}");
        }
    }

    #[rustfmt::skip]
    const ORIGINAL: [u8; 36] = [255, 228, 34, 121, 243, 189, 6, 131, 102, 168, 82, 193, 187, 150, 81, 243, 205, 24, 236, 8, 246, 164, 231, 36, 210, 111, 172, 210, 174, 176, 218, 242, 169, 114, 205, 63];
    #[rustfmt::skip]
    const SMALLER: [u8; 16] = [178, 106, 140, 195, 124, 118, 194, 103, 160, 147, 211, 127, 211, 176, 166, 139];
    #[rustfmt::skip]
    const LARGER: [u8; 64] = [255, 255, 156, 27, 104, 214, 237, 185, 82, 142, 138, 80, 139, 136, 158, 207, 44, 107, 123, 100, 196, 146, 114, 136, 203, 165, 112, 105, 229, 244, 138, 6, 246, 81, 78, 240, 173, 223, 160, 17, 229, 110, 98, 211, 199, 198, 171, 133, 213, 184, 163, 166, 176, 184, 167, 142, 217, 243, 226, 159, 109, 182, 157, 50];
}
