//! The sample images that the page embeds.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, codecs::jpeg::JpegEncoder};

use super::samples::{list, read};
use crate::error::{Error, Result};

/// The maximum number of samples on the page.
const MAX_SAMPLES: usize = 12;

/// The maximum number of pixels of the newest sample. A JPEG takes at most 1.6 bytes per pixel, for noise.
const NEWEST: usize = 700_000;
/// The maximum number of pixels of each earlier sample.
const EARLIER: usize = 100_000;

/// A sample for the page.
pub(super) struct Sample {
    pub(super) epoch: usize,
    /// The name of its file.
    pub(super) file: String,
    /// The image as a data URI.
    pub(super) data: String,
}

/// Reads at most [`MAX_SAMPLES`] of the samples in `folder`, spread evenly over the run, newest first.
pub(super) fn newest(folder: &Path) -> Result<Vec<Sample>> {
    let samples = list(folder)?.into_iter().collect::<Vec<_>>();
    let count = samples.len().min(MAX_SAMPLES);
    let sample = |i: usize| {
        let (epoch, path) = &samples[i * (samples.len() - 1) / (count - 1).max(1)];
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let data = data_uri(path, if i + 1 == count { NEWEST } else { EARLIER })?;
        Ok(data.map(|data| Sample { epoch: *epoch, file, data }))
    };
    (0..count).rev().filter_map(|i| sample(i).transpose()).collect()
}

/// Returns an image as a data URI: the PNG itself if it has at most `pixels` bytes, otherwise a JPEG of `pixels`
/// pixels. `None` if the file is not an image.
fn data_uri(path: &Path, pixels: usize) -> Result<Option<String>> {
    let Some(png) = read(path)? else { return Ok(None) };
    if png.len() <= pixels {
        return Ok(Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))));
    }
    let image = image::load_from_memory_with_format(&png, ImageFormat::Png);
    let Ok(image) = image else { return Ok(None) };
    let width = (pixels as f64 * f64::from(image.width()) / f64::from(image.height())).sqrt();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85)
        .encode_image(&image.thumbnail(width as u32, u32::MAX).to_rgb8())
        .map_err(|error| Error::image(path, error))?;
    Ok(Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))))
}
