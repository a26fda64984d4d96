//! Writes images to files.

use std::path::Path;

use image::{DynamicImage, ImageFormat};

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::raster::encode;

/// Writes an image to a file in the format of its extension. The write is atomic.
///
/// Drops alpha and 16 bits if the format cannot hold them, as [`storable`](super::storable) does.
///
/// # Errors
/// - [`Error::Image`] if the extension is not that of a writable format, or if the image cannot be encoded
/// - [`Error::Io`] if the file cannot be written; its folder must exist
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("flipped.png");
/// use pix2pix::data::{read_image, write_image};
///
/// let image = image::DynamicImage::new_rgb8(40, 30);
/// write_image(&image.fliph(), &path)?;
/// assert_eq!(read_image(&path)?.width(), 40);
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn write_image(image: &DynamicImage, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let format = ImageFormat::from_path(path).ok().filter(ImageFormat::writing_enabled);
    let Some(format) = format else {
        let problem = "its extension is not one of png, jpg, webp, tiff, bmp and gif; use one of these";
        return Err(Error::image(path, problem));
    };
    let bytes = encode(image, format).map_err(|error| Error::image(path, error))?;
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::read_image;

    #[test]
    fn every_image_can_be_written_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        let rgba = DynamicImage::new_rgba8(7, 5);
        let images = [
            DynamicImage::ImageLuma8(rgba.to_luma8()),
            DynamicImage::ImageLumaA8(rgba.to_luma_alpha8()),
            DynamicImage::ImageRgb8(rgba.to_rgb8()),
            rgba.clone(),
            DynamicImage::ImageLuma16(rgba.to_luma16()),
            DynamicImage::ImageLumaA16(rgba.to_luma_alpha16()),
            DynamicImage::ImageRgb16(rgba.to_rgb16()),
            DynamicImage::ImageRgba16(rgba.to_rgba16()),
            DynamicImage::ImageRgb32F(rgba.to_rgb32f()),
            DynamicImage::ImageRgba32F(rgba.to_rgba32f()),
        ];
        for extension in ["png", "jpg", "webp", "tiff", "bmp", "gif"] {
            for image in &images {
                let path = folder.path().join(format!("image.{extension}"));
                write_image(image, &path).unwrap_or_else(|error| panic!("{:?}: {error}", image.color()));
                let read = read_image(&path).unwrap();
                assert_eq!((read.width(), read.height()), (7, 5));
                if extension == "png"
                    && !matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_))
                {
                    assert_eq!(&read, image);
                }
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6, "no temporary file is left");
    }

    #[test]
    fn errors_name_the_file() {
        let image = DynamicImage::new_rgb8(4, 4);
        let message = write_image(&image, "output.xyz").unwrap_err().to_string();
        assert!(message.starts_with("output.xyz: its extension is not one of png"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let error = write_image(&image, folder.path().join("nowhere/output.png")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("output.png"), "{error}");
    }
}
