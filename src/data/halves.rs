//! The rules that both images of a pair obey: halves of equal width, files of equal size.

use std::path::Path;

use image::DynamicImage;

use crate::error::{Error, Result};

/// Returns the width of both halves of a side-by-side pair.
///
/// # Errors
/// [`Error::Image`] if the width of the file is odd.
pub(super) fn half_width(path: &Path, both: &DynamicImage) -> Result<usize> {
    let width = both.width() as usize;
    if !width.is_multiple_of(2) {
        let problem = format!("width {width} is odd; a side-by-side pair has two halves of equal width");
        return Err(Error::image(path, problem));
    }
    Ok(width / 2)
}

/// Checks that A and B, in separate files, have the same size.
///
/// # Errors
/// [`Error::Image`] with the file of B if they do not.
pub(super) fn check_same_size(paths: [&Path; 2], images: [&DynamicImage; 2]) -> Result<()> {
    let [a, b] = images.map(|image| [image.width(), image.height()]);
    if a == b {
        return Ok(());
    }
    let problem = format!(
        "{b:?} pixels, but its partner {} has {a:?}; both must have the same size",
        paths[0].display()
    );
    Err(Error::image(paths[1], problem))
}
