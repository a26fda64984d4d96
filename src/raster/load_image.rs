//! Reads image files.

use std::path::Path;

use image::DynamicImage;

use super::decode::{LoadedImage, load_decoded};
use super::header::ImageHeader;
use super::limits::ImageLimits;
use super::load_array::{is_array, load_array};
use super::pages::Page;
use crate::error::{Error, Result};

/// Reads an image file and rotates the image upright by its EXIF orientation. Of an animation, it reads the first
/// frame.
///
/// Images above 128 megapixels are rejected by their header; [`load_image`] takes other limits. Truncated files are
/// rejected. Changed bytes in formats without checksums, such as JPEG, are not detected.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is not an image, damaged or too large, if a pixel is NaN (in floating-point TIFF files), if
///   it is a JPEG of a kind that its decoder gets wrong, or if the path names a folder, a pipe or a device
pub fn read_image(path: impl AsRef<Path>) -> Result<DynamicImage> {
    read_image_with_profile(path).map(|(image, _)| image)
}

/// Reads an image as [`read_image`] does, and the ICC colour profile in the file, if there is one of at most 4 MiB.
///
/// The profile is returned unchanged. It may describe other channels than those of the image: CMYK images are converted
/// to RGB, for example.
///
/// # Errors
/// As [`read_image`].
pub fn read_image_with_profile(path: impl AsRef<Path>) -> Result<(DynamicImage, Option<Vec<u8>>)> {
    let loaded = load_image(path, &ImageLimits::default(), |_| 0)?;
    Ok((loaded.image, loaded.profile))
}

/// Reads an image as [`read_image_with_profile`] does, within `limits`, and holds its memory in their budget.
///
/// `working` returns the bytes of the copies that the caller will make of it. This function waits once, before it
/// decodes, until there is room for everything; the caller must not hold another permit of the same budget.
///
/// # Errors
/// As [`read_image`].
///
/// # Examples
/// ```
/// # #[cfg(feature = "codecs")] {
/// use pix2pix::data::{ImageLimits, load_image, write_image};
///
/// let file = std::env::temp_dir().join(format!("pix2pix-load-{}.png", std::process::id()));
/// write_image(&pix2pix::image::DynamicImage::new_rgb8(40, 30), &file)?;
/// let loaded = load_image(&file, &ImageLimits::new(), |header| header.bytes)?;
/// assert_eq!(loaded.image.width(), 40);
/// # std::fs::remove_file(file).ok();
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn load_image(
    path: impl AsRef<Path>,
    limits: &ImageLimits,
    working: impl Fn(&ImageHeader) -> u64,
) -> Result<LoadedImage> {
    let path = path.as_ref();
    let error = match load_decoded(path, limits, &working) {
        Err(Error::Image { source, .. }) if is_array(path) => source,
        loaded => return loaded,
    };
    // The decoder of arrays reads more kinds of TIFF files. If it fails, too, the first error is the better one for them.
    // The array, the image and what callers make of it, which is at most 8 bytes a sample.
    let loaded = match load_array(path, Page::Number(0), limits, |bytes| 8 * bytes) {
        Ok(loaded) => loaded,
        Err(Error::Image { source, .. }) if error.is::<image::ImageError>() => {
            return Err(Error::image(path, source));
        }
        Err(_) => return Err(Error::image(path, error)),
    };
    let image = loaded.array.into_image().map_err(|problem| Error::image(path, problem))?;
    Ok(LoadedImage { image, profile: None, permit: loaded.permit })
}
