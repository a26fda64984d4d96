//! Encodes images as files, with the bits and channels that the format can hold.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageResult};

/// Returns the bytes of an image file.
///
/// Drops alpha and 16 bits if the format cannot hold them: JPEG holds neither, and only PNG and TIFF hold 16 bits.
pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match storable(image, format) {
        Some(image) => image.write_to(&mut bytes, format)?,
        None => image.write_to(&mut bytes, format)?,
    }
    Ok(bytes.into_inner())
}

/// Converts an image to bits and channels that the format can hold; returns `None` if it can hold those of the image.
fn storable(image: &DynamicImage, format: ImageFormat) -> Option<DynamicImage> {
    let color = image.color();
    let (has_alpha, has_color) = (color.has_alpha(), color.has_color());
    let is_deep = color.bytes_per_pixel() > color.channel_count();
    let is_float = matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_));
    match format {
        ImageFormat::Png if is_float && has_alpha => Some(image.to_rgba16().into()),
        ImageFormat::Png if is_float => Some(image.to_rgb16().into()),
        ImageFormat::Png => None,
        ImageFormat::Tiff if has_alpha && !has_color && is_deep => Some(image.to_rgba16().into()),
        ImageFormat::Tiff if has_alpha && !has_color => Some(image.to_rgba8().into()),
        ImageFormat::Tiff => None,
        ImageFormat::Jpeg if has_color => Some(image.to_rgb8().into()),
        ImageFormat::Jpeg => Some(image.to_luma8().into()),
        ImageFormat::Gif => Some(image.to_rgba8().into()),
        _ if has_alpha => Some(image.to_rgba8().into()),
        _ if has_color => Some(image.to_rgb8().into()),
        _ => Some(image.to_luma8().into()),
    }
}
