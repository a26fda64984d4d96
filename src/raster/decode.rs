//! Pictures in files and in memory to numbers in `[-1, 1]`, and back. Nothing else knows about bytes.

use std::fs::File;
use std::io::{BufRead, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits, RgbImage, RgbaImage};

use super::source::Pixels;
use super::truncated::cut_off;
use crate::data::ResizeFilter;
use crate::{Error, Result};

/// The numbers of channels that a picture file can hold: grey, colour, colour with alpha.
pub(crate) const PICTURE_CHANNELS: [usize; 3] = [1, 3, 4];

/// No picture may be wider or higher than this: a file of a few bytes can claim to be enormous.
const MAX_SIDE: u32 = 16_384;
/// The most bytes of a file.
const LONGEST_FILE: u64 = 1 << 30;

pub(crate) const NOT_A_NUMBER: &str =
    "some of its values are NaN or infinite, no numbers; give those pixels a value";

/// Reads a picture, turned upright as its camera recorded; of an animation, the first one.
///
/// No side may have more than 16 384 pixels, and the picture must fit into 512 MiB. A file that was cut off is refused.
/// Not noticed is damage that leaves a picture of the same size: changed bytes in the middle of a JPEG, for instance,
/// as that type has no checksums.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is no picture, damaged or too large, if a pixel is not a number (NaN, in TIFF files of
///   floating-point numbers), or if the path names a folder, a pipe or a device
pub fn open(path: impl AsRef<Path>) -> Result<DynamicImage> {
    open_with_profile(path).map(|(picture, _)| picture)
}

/// As [`open`], and the ICC colour profile in the file, if there is one.
///
/// The profile is as it stands in the file. It may be for other channels than the picture's: pictures in CMYK, for
/// instance, are turned into RGB.
///
/// # Errors
/// As [`open`].
pub fn open_with_profile(path: impl AsRef<Path>) -> Result<(DynamicImage, Option<Vec<u8>>)> {
    let path = path.as_ref();
    let bytes = read(path)?;
    if let Some(problem) = cut_off(&bytes) {
        return Err(Error::image(path, problem));
    }
    // A decoder's bug must not take a long run down with it.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(Cursor::new(bytes))));
    let Ok(decoded) = decoded else {
        return Err(Error::image(path, "the decoder failed on this file; convert it to PNG"));
    };
    let (picture, profile) = decoded.map_err(|error| Error::image(path, error))?;
    // Some formats have room for pictures without pixels.
    if picture.width() == 0 || picture.height() == 0 {
        return Err(Error::image(path, "it has no pixels"));
    }
    if Pixels::of(&picture, 3).is_some_and(|pixels| pixels.has_unusable_numbers()) {
        return Err(Error::image(path, NOT_A_NUMBER));
    }
    Ok((picture, profile))
}

/// The bytes of a regular file; others, such as pipes, may never end or never begin.
fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, error);
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::image(path, "no file, but a folder, a pipe or a device; name a picture file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 {
        0 => Err(Error::image(path, "the file is empty")),
        length if length > LONGEST_FILE => Err(Error::image(path, "the file is longer than 1 GiB")),
        _ => Ok(bytes),
    }
}

fn decode(bytes: impl BufRead + Seek) -> image::ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::new(bytes).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // The pixels do not suffer from damage in what is said about them.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or(None);
    // Decoders mind the sides; the memory of the picture itself is for the caller to refuse.
    limits.reserve(decoder.total_bytes())?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok((picture, profile))
}

/// A picture as numbers, channel by channel and row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planes {
    /// Channels, height, width.
    pub(crate) shape: [usize; 3],
    /// In `[-1, 1]`.
    pub(crate) values: Vec<f32>,
}

impl Planes {
    /// The numbers of a picture of 8 or 16 bits, as grey (1), colour (3), or colour with alpha (4 channels).
    pub(crate) fn from_picture(picture: &DynamicImage, channels: usize) -> Self {
        Self::from_columns(picture, channels, 0, picture.width() as usize)
    }

    /// The numbers of `width` columns of a picture.
    pub(crate) fn from_columns(picture: &DynamicImage, channels: usize, left: usize, width: usize) -> Self {
        let height = picture.height() as usize;
        match Pixels::of(picture, channels) {
            Some(pixels) => {
                let values = pixels.window([0, left as isize], [height, width]);
                Self { shape: [channels, height, width], values }
            }
            None => Self::from_columns(&DynamicImage::from(picture.to_rgba16()), channels, left, width),
        }
    }

    /// The picture of 8 bits that these numbers are.
    ///
    /// # Panics
    /// If the channels are not those of a picture.
    pub(crate) fn to_picture(&self) -> DynamicImage {
        let [channels, height, width] = self.shape;
        let count = height * width;
        let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        let bytes: Vec<u8> = (0..count)
            .flat_map(|pixel| (0..channels).map(move |channel| byte(self.values[channel * count + pixel])))
            .collect();
        let (width, height) = (width as u32, height as u32);
        let picture = match channels {
            1 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
            3 => RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
            4 => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
            _ => panic!("the array has {channels} channels; an image has 1, 3 or 4"),
        };
        picture.expect("a byte for every channel of every pixel")
    }

    /// The part from `[top, left]` on; outside of the picture, its border mirrors it without repeating itself.
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

    /// The picture with left and right exchanged.
    pub(crate) fn mirrored(mut self) -> Self {
        self.values.chunks_exact_mut(self.shape[2]).for_each(<[f32]>::reverse);
        self
    }

    /// The picture at `size`×`size` pixels.
    ///
    /// Pillow rounds to whole grey levels after each axis; this does not, so it differs by a level at most.
    ///
    /// # Errors
    /// What the resizing library says of a picture without pixels.
    pub(crate) fn resized(
        self,
        size: usize,
        filter: ResizeFilter,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let [channels, height, width] = self.shape;
        if [height, width] == [size; 2] {
            return Ok(self);
        }
        let filter = match filter {
            ResizeFilter::Bicubic => FilterType::CatmullRom,
            ResizeFilter::Bilinear => FilterType::Bilinear,
        };
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
        let mut resizer = Resizer::new();
        let mut values = Vec::with_capacity(channels * size * size);
        for plane in self.values.chunks_exact(height * width) {
            let pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
            let source = TypedImageRef::new(width as u32, height as u32, &pixels)?;
            let mut target = TypedImage::<F32>::new(size as u32, size as u32);
            resizer.resize_typed(&source, &mut target, &options)?;
            values.extend(target.pixels().iter().map(|pixel| pixel.0.clamp(-1.0, 1.0)));
        }
        Ok(Self { shape: [channels, size, size], values })
    }
}

/// The index inside `0..length` that `index` shows when the border mirrors without repeating itself.
pub(super) fn reflected(index: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = index.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma};

    #[test]
    fn reflection_repeats_no_border_and_never_leaves_the_picture() {
        let indices: Vec<usize> = (-4..8).map(|index| reflected(index, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((-3..3).map(|index| reflected(index, 1)).collect::<Vec<_>>(), [0; 6]);
        assert_eq!((-2..4).map(|index| reflected(index, 2)).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn grey_is_weighted_as_in_the_original() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]];
        let picture = RgbImage::from_raw(4, 1, colours.concat()).unwrap();
        let grey = Planes::from_picture(&DynamicImage::ImageRgb8(picture), 1).to_picture().into_luma8();
        // PIL: Image.new("RGB", (1, 1), colour).convert("L") for each colour
        assert_eq!(grey.into_raw(), [76, 150, 29, 131]);
    }

    #[test]
    fn pictures_survive_the_way_there_and_back() {
        for channels in PICTURE_CHANNELS {
            let values: Vec<f32> = (0..channels * 6).map(|v| (v * 9) as f32 / 127.5 - 1.0).collect();
            let planes = Planes { shape: [channels, 2, 3], values };
            assert_eq!(Planes::from_picture(&planes.to_picture(), channels), planes);
            assert_eq!(planes.clone().mirrored().mirrored(), planes);
            assert_eq!(planes.window([0, 0], [2, 3]), planes);
        }
    }

    #[test]
    #[should_panic(expected = "the array has 2 channels; an image has 1, 3 or 4")]
    fn an_array_of_two_channels_never_becomes_an_empty_image() {
        Planes { shape: [2, 2, 2], values: vec![0.0; 8] }.to_picture();
    }

    #[test]
    fn sixteen_bits_are_kept() {
        let deep = ImageBuffer::<Luma<u16>, _>::from_raw(2, 1, vec![0, 257]).unwrap();
        let planes = Planes::from_picture(&DynamicImage::ImageLuma16(deep), 1);
        assert_eq!(planes.values, [-1.0, 257.0 / 32_767.5 - 1.0]);
    }

    #[test]
    fn resizing_is_pillows_bicubic_to_a_grey_level() {
        // rng = np.random.default_rng(1); a = rng.integers(0, 256, (6, 6), dtype=np.uint8)
        // a.flatten().tolist(); [list(Image.fromarray(a).resize((n, n), Image.BICUBIC).getdata()) for n in (4, 8)]
        for (size, expected) in [(4, SMALLER.as_slice()), (8, LARGER.as_slice())] {
            let picture = GrayImage::from_raw(6, 6, ORIGINAL.to_vec()).unwrap();
            let planes = Planes::from_picture(&DynamicImage::ImageLuma8(picture), 1)
                .resized(size, ResizeFilter::Bicubic)
                .unwrap();
            let found = planes.to_picture().into_luma8().into_raw();
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
