//! An image of any number of channels and any type of samples, as files of microscopes and satellites hold.

use image::DynamicImage;
use serde::{Deserialize, Serialize};

use super::planar::PlanarImage;
use super::source::{NOT_A_NUMBER, Region};
use crate::names;

/// The type of the samples of an [`ImageArray`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SampleType {
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Floating-point, 32 bits. Files of 16-bit floating-point numbers are read as these.
    F32,
    /// Floating-point, 64 bits.
    F64,
}

names::named!(SampleType, "sample_type");

impl SampleType {
    /// Returns the smallest and the largest value of an integer type, and 0 and 1 for floating-point numbers.
    #[must_use]
    pub fn full_range(self) -> [f64; 2] {
        match self {
            Self::U8 => [0.0, 255.0],
            Self::U16 => [0.0, 65_535.0],
            Self::U32 => [0.0, f64::from(u32::MAX)],
            Self::I8 => [-128.0, 127.0],
            Self::I16 => [-32_768.0, 32_767.0],
            Self::I32 => [f64::from(i32::MIN), f64::from(i32::MAX)],
            Self::F32 | Self::F64 => [0.0, 1.0],
        }
    }

    /// Returns whether the samples are floating-point numbers.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// The samples of an [`ImageArray`], in the type that the file holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Samples {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Signed, 8 bits.
    I8(Vec<i8>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Floating-point, 32 bits.
    F32(Vec<f32>),
    /// Floating-point, 64 bits.
    F64(Vec<f64>),
}

/// Evaluates an expression with `v` bound to the vector of any type of samples.
macro_rules! with_samples {
    ($samples:expr, $v:ident => $body:expr) => {
        match $samples {
            Samples::U8($v) => $body,
            Samples::U16($v) => $body,
            Samples::U32($v) => $body,
            Samples::I8($v) => $body,
            Samples::I16($v) => $body,
            Samples::I32($v) => $body,
            Samples::F32($v) => $body,
            Samples::F64($v) => $body,
        }
    };
}
pub(super) use with_samples;

impl Samples {
    /// Returns the number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        with_samples!(self, v => v.len())
    }

    /// Returns whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the type of the samples.
    #[must_use]
    pub fn sample_type(&self) -> SampleType {
        match self {
            Self::U8(_) => SampleType::U8,
            Self::U16(_) => SampleType::U16,
            Self::U32(_) => SampleType::U32,
            Self::I8(_) => SampleType::I8,
            Self::I16(_) => SampleType::I16,
            Self::I32(_) => SampleType::I32,
            Self::F32(_) => SampleType::F32,
            Self::F64(_) => SampleType::F64,
        }
    }

    /// Converts numbers to samples of a type: rounded and clamped to its range if it is an integer.
    fn of(sample_type: SampleType, values: impl Iterator<Item = f64>) -> Self {
        // `as` clamps.
        match sample_type {
            SampleType::U8 => Self::U8(values.map(|v| v.round() as u8).collect()),
            SampleType::U16 => Self::U16(values.map(|v| v.round() as u16).collect()),
            SampleType::U32 => Self::U32(values.map(|v| v.round() as u32).collect()),
            SampleType::I8 => Self::I8(values.map(|v| v.round() as i8).collect()),
            SampleType::I16 => Self::I16(values.map(|v| v.round() as i16).collect()),
            SampleType::I32 => Self::I32(values.map(|v| v.round() as i32).collect()),
            SampleType::F32 => Self::F32(values.map(|v| v as f32).collect()),
            SampleType::F64 => Self::F64(values.collect()),
        }
    }
}

/// How the samples of a file become a network's values: `low` is −1, `high` is 1, and what is outside is clamped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFormat {
    /// The type of the samples.
    pub sample_type: SampleType,
    /// The sample that becomes −1.
    pub low: f64,
    /// The sample that becomes 1.
    pub high: f64,
}

impl SampleFormat {
    /// Returns the format in which a type's whole range is used.
    #[must_use]
    pub fn full(sample_type: SampleType) -> Self {
        let [low, high] = sample_type.full_range();
        Self { sample_type, low, high }
    }
}

/// An image of any number of channels and any type of samples.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageArray {
    /// The samples row by row, all channels of a pixel together.
    pub samples: Samples,
    /// The number of channels.
    pub channels: usize,
    /// The height in pixels.
    pub height: usize,
    /// The width in pixels.
    pub width: usize,
}

impl ImageArray {
    /// Creates an array from its samples: row by row, all channels of a pixel together.
    ///
    /// # Panics
    /// If the product of the shape is not the number of samples.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::data::{ImageArray, SampleFormat, SampleType, Samples};
    ///
    /// let array = ImageArray::new(Samples::I16(vec![-100, 0, 50, 100]), [1, 2, 2]);
    /// let format = SampleFormat { sample_type: SampleType::I16, low: -100.0, high: 100.0 };
    /// let image = array.to_planar(format).unwrap();
    /// assert_eq!(image.values(), [-1.0, 0.0, 0.5, 1.0]);
    /// assert_eq!(ImageArray::from_planar(&image, format), array);
    /// ```
    #[must_use]
    pub fn new(samples: Samples, [channels, height, width]: [usize; 3]) -> Self {
        let count = samples.len();
        assert_eq!(count, channels * height * width, "{channels}×{height}×{width} is not {count} samples");
        Self { samples, channels, height, width }
    }

    /// Returns channels, height and width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Returns the smallest and the largest sample, or the problem if one is NaN or infinite.
    ///
    /// # Errors
    /// A text with the problem and the remedy.
    #[allow(clippy::useless_conversion, reason = "one of the types of samples is f64")]
    pub fn range(&self) -> Result<[f64; 2], String> {
        if !self.is_finite() {
            return Err(NOT_A_NUMBER.to_owned());
        }
        let widened = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
        let none = [f64::INFINITY, f64::NEG_INFINITY];
        Ok(with_samples!(&self.samples, v => v.iter().map(|v| f64::from(*v)).fold(none, widened)))
    }

    fn is_finite(&self) -> bool {
        match &self.samples {
            Samples::F32(v) => v.iter().all(|v| v.is_finite()),
            Samples::F64(v) => v.iter().all(|v| v.is_finite()),
            _ => true,
        }
    }

    /// Returns the network's values of the array, in `[-1, 1]`. The type of the samples need not be that of the format.
    ///
    /// # Errors
    /// A text with the problem and the remedy if a sample is NaN or infinite.
    pub fn to_planar(&self, format: SampleFormat) -> Result<PlanarImage, String> {
        self.part_to_planar(Region { start: [0, 0], size: [self.height, self.width] }, format)
    }

    /// Returns the network's values of a part of the array.
    #[allow(clippy::useless_conversion, reason = "one of the types of samples is f64")]
    pub(crate) fn part_to_planar(&self, region: Region, format: SampleFormat) -> Result<PlanarImage, String> {
        if !self.is_finite() {
            return Err(NOT_A_NUMBER.to_owned());
        }
        let ([top, left], [height, width]) = (region.start, region.size);
        let scale = 2.0 / (format.high - format.low);
        let mut values = Vec::with_capacity(self.channels * height * width);
        with_samples!(&self.samples, v => for channel in 0..self.channels {
            for row in top..top + height {
                let row = &v[row * self.width * self.channels..][left * self.channels..][..width * self.channels];
                values.extend(row.iter().skip(channel).step_by(self.channels).map(|v| {
                    ((f64::from(*v) - format.low) * scale - 1.0).clamp(-1.0, 1.0) as f32
                }));
            }
        });
        Ok(PlanarImage::new(values, [self.channels, height, width]))
    }

    /// Returns the array of a network's values, with the type and the range of `format`.
    #[must_use]
    pub fn from_planar(image: &PlanarImage, format: SampleFormat) -> Self {
        let [channels, height, width] = image.shape();
        let (values, count) = (image.values(), height * width);
        let scale = (format.high - format.low) / 2.0;
        let sample = |value: f32| (f64::from(value.clamp(-1.0, 1.0)) + 1.0) * scale + format.low;
        let pixels =
            (0..count).flat_map(|pixel| (0..channels).map(move |channel| values[channel * count + pixel]));
        let samples = Samples::of(format.sample_type, pixels.map(sample));
        Self { samples, channels, height, width }
    }

    /// Joins the channels of pages of equal size and type.
    #[cfg(feature = "codecs")]
    pub(crate) fn stacked(pages: &[Self]) -> Result<Self, String> {
        let [first, ..] = pages else { return Err("it has no pages".to_owned()) };
        let is_like_first = |page: &Self| {
            [page.height, page.width] == [first.height, first.width]
                && page.samples.sample_type() == first.samples.sample_type()
        };
        if let Some(at) = pages.iter().position(|page| !is_like_first(page)) {
            return Err(format!(
                "page {} differs from the first in size or type, so pages cannot be channels; use --pages first",
                at + 1
            ));
        }
        let channels = pages.iter().map(|page| page.channels).sum();
        let count = first.height * first.width;
        macro_rules! join {
            ($variant:ident) => {{
                let pages: Vec<_> = pages
                    .iter()
                    .map(|page| match &page.samples {
                        Samples::$variant(v) => (v, page.channels),
                        _ => unreachable!("all pages have the type of the first"),
                    })
                    .collect();
                let pixel =
                    |at: usize| pages.iter().flat_map(move |(v, c)| v[at * c..(at + 1) * c].iter().copied());
                Samples::$variant((0..count).flat_map(pixel).collect())
            }};
        }
        let samples = match first.samples.sample_type() {
            SampleType::U8 => join!(U8),
            SampleType::U16 => join!(U16),
            SampleType::U32 => join!(U32),
            SampleType::I8 => join!(I8),
            SampleType::I16 => join!(I16),
            SampleType::I32 => join!(I32),
            SampleType::F32 => join!(F32),
            SampleType::F64 => join!(F64),
        };
        Ok(Self { samples, channels, height: first.height, width: first.width })
    }

    /// Returns the array of an image with its own channels and bits.
    pub(crate) fn of_image(image: &DynamicImage) -> Self {
        use DynamicImage as D;
        let samples = match image {
            D::ImageLuma8(buffer) => Samples::U8(buffer.as_raw().clone()),
            D::ImageLumaA8(buffer) => Samples::U8(buffer.as_raw().clone()),
            D::ImageRgb8(buffer) => Samples::U8(buffer.as_raw().clone()),
            D::ImageRgba8(buffer) => Samples::U8(buffer.as_raw().clone()),
            D::ImageLuma16(buffer) => Samples::U16(buffer.as_raw().clone()),
            D::ImageLumaA16(buffer) => Samples::U16(buffer.as_raw().clone()),
            D::ImageRgb16(buffer) => Samples::U16(buffer.as_raw().clone()),
            D::ImageRgb32F(buffer) => Samples::F32(buffer.as_raw().clone()),
            D::ImageRgba32F(buffer) => Samples::F32(buffer.as_raw().clone()),
            other => Samples::U16(other.to_rgba16().into_raw()),
        };
        let (height, width) = (image.height() as usize, image.width() as usize);
        let channels = samples.len() / (height * width).max(1);
        Self { samples, channels, height, width }
    }

    /// Returns the array as an image, or the problem if images cannot hold it. Integers of 32 bits and signed ones are
    /// mapped from their full range to that of 16 or 8 unsigned bits.
    pub(crate) fn into_image(self) -> Result<DynamicImage, String> {
        let [channels, height, width] = self.shape();
        let size = [width as u32, height as u32];
        let image = match self.samples {
            Samples::U8(v) => bytes(v, channels, size),
            Samples::I8(v) => {
                bytes(v.into_iter().map(|v| v.cast_unsigned() ^ 0x80).collect(), channels, size)
            }
            Samples::U16(v) => words(v, channels, size),
            Samples::I16(v) => {
                words(v.into_iter().map(|v| v.cast_unsigned() ^ 0x8000).collect(), channels, size)
            }
            Samples::U32(v) => words(v.into_iter().map(|v| (v >> 16) as u16).collect(), channels, size),
            Samples::I32(v) => {
                let upper = |v: i32| ((v.cast_unsigned() ^ 0x8000_0000) >> 16) as u16;
                words(v.into_iter().map(upper).collect(), channels, size)
            }
            Samples::F32(_) | Samples::F64(_) => {
                let [low, high] = self.range()?;
                if low < 0.0 || high > 1.0 {
                    return Err(format!(
                        "its values reach from {low} to {high}, and those of an image from 0 to 1; train on the range of \
                         the data set with --range, or rescale it"
                    ));
                }
                let image = self.to_planar(SampleFormat::full(SampleType::F32))?;
                let level = |value: f32| ((f64::from(value) + 1.0) * 32_767.5).round() as u16;
                let count = height * width;
                let pixels = (0..count).flat_map(|at| (0..channels).map(move |channel| channel * count + at));
                words(pixels.map(|at| level(image.values()[at])).collect(), channels, size)
            }
        };
        image.ok_or_else(|| {
            format!("it has {channels} channels, and an image has 1, 3 or 4; train a network on such files, or select channels")
        })
    }
}

fn bytes(samples: Vec<u8>, channels: usize, [width, height]: [u32; 2]) -> Option<DynamicImage> {
    use image::ImageBuffer;
    match channels {
        1 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        3 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
        4 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8),
        _ => None,
    }
}

fn words(samples: Vec<u16>, channels: usize, [width, height]: [u32; 2]) -> Option<DynamicImage> {
    use image::ImageBuffer;
    match channels {
        1 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma16),
        3 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb16),
        4 => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba16),
        _ => None,
    }
}
