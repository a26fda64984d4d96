//! Encodes images as files, with the bits and channels that the format can hold.

use std::borrow::Cow;
use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageFormat, ImageResult};

/// Returns the bytes of an image file, with the bits and channels of [`storable`].
pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    storable(image, format).write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

/// Returns an image with the bits and channels that files of a format can hold; the image itself if they can hold it.
///
/// Drops alpha and 16 bits if the format cannot hold them: JPEG holds neither, and only PNG and TIFF hold 16 bits.
///
/// # Examples
/// ```
/// use pix2pix::data::storable;
/// use pix2pix::image::{ColorType, DynamicImage, ImageFormat};
///
/// let image = DynamicImage::new_rgba16(40, 30);
/// assert_eq!(storable(&image, ImageFormat::Png).color(), ColorType::Rgba16);
/// assert_eq!(storable(&image, ImageFormat::Jpeg).color(), ColorType::Rgb8);
/// ```
pub fn storable(image: &DynamicImage, format: ImageFormat) -> Cow<'_, DynamicImage> {
    let color = image.color();
    let stored = storable_color(color, format);
    if stored == color {
        return Cow::Borrowed(image);
    }
    Cow::Owned(match stored {
        ColorType::L8 => image.to_luma8().into(),
        ColorType::Rgb8 => image.to_rgb8().into(),
        ColorType::Rgb16 => image.to_rgb16().into(),
        ColorType::Rgba16 => image.to_rgba16().into(),
        _ => image.to_rgba8().into(),
    })
}

/// Returns the bits and channels of an image of type `color` in a file.
fn storable_color(color: ColorType, format: ImageFormat) -> ColorType {
    match (format, color) {
        (ImageFormat::Png, ColorType::Rgb32F) => ColorType::Rgb16,
        (ImageFormat::Png, ColorType::Rgba32F) => ColorType::Rgba16,
        (ImageFormat::Tiff, ColorType::La8) => ColorType::Rgba8,
        (ImageFormat::Tiff, ColorType::La16) => ColorType::Rgba16,
        (ImageFormat::Png | ImageFormat::Tiff, _) => color,
        (ImageFormat::Gif, _) => ColorType::Rgba8,
        (ImageFormat::Jpeg, _) if color.has_color() => ColorType::Rgb8,
        (ImageFormat::Jpeg, _) => ColorType::L8,
        _ if color.has_alpha() => ColorType::Rgba8,
        _ if color.has_color() => ColorType::Rgb8,
        _ => ColorType::L8,
    }
}
