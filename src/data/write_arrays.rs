//! Writes arrays to files.

use std::path::Path;

use super::write_image::write_image;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::raster::{ImageArray, SampleType, encode_npy, encode_tiff};

/// Writes arrays as the pages of a TIFF file; a single one also as `.npy`, or as PNG if that can hold it. The extension
/// decides. The write is atomic.
///
/// A `.npy` array has the shape `[H, W, C]`. One of at most 16 rows and more channels than rows is read back as
/// `[C, H, W]`, because its shape does not tell.
///
/// # Errors
/// - [`Error::Image`] if a file of this type cannot hold the arrays
/// - [`Error::Io`] if the file cannot be written; its folder must exist
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("image.tif");
/// use pix2pix::data::{ImageArray, Samples, page_count, write_arrays};
///
/// let page = ImageArray::new(Samples::F32(vec![0.5; 40 * 30]), [1, 40, 30]);
/// # #[cfg(feature = "codecs")] {
/// write_arrays(&[page.clone(), page], &path)?;
/// assert_eq!(page_count(&path)?, 2);
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn write_arrays(pages: &[ImageArray], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let refused = |problem: &str| Err(Error::image(path, problem));
    match (extension.as_str(), pages) {
        (_, []) => refused("there are no pages to write"),
        ("tif" | "tiff", pages) => {
            let bytes = encode_tiff(pages).map_err(|problem| Error::image(path, problem))?;
            write_atomically(path, &bytes)
        }
        (_, [_, _, ..]) => refused("a file of this type holds one page; write pages to .tif"),
        ("npy", [array]) => write_atomically(path, &encode_npy(array)),
        (_, [array]) if matches!(array.samples.sample_type(), SampleType::U8 | SampleType::U16) => {
            let image = array.clone().into_image().map_err(|problem| Error::image(path, problem))?;
            write_image(&image, path)
        }
        _ => refused("a file of this type cannot hold its samples; write them to .tif or .npy"),
    }
}
