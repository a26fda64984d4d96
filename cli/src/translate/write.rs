//! Encodes images as files of any type and writes them atomically.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageError, ImageFormat, ImageResult};
use pix2pix::data;

use super::jobs::{Job, with_suffix};
use crate::{files, outputs};

/// Writes outputs, and counts those that lose information because of their file type.
pub(crate) struct Writer {
    quality: u8,
    overwrite: bool,
    samples: u64,
    alpha: AtomicUsize,
    depth: AtomicUsize,
    profile: AtomicUsize,
}

impl Writer {
    pub(crate) fn new(quality: u8, overwrite: bool, samples: u64) -> Self {
        let [alpha, depth, profile] = [0; 3].map(AtomicUsize::new);
        Self { quality, overwrite, samples, alpha, depth, profile }
    }

    /// Returns whether all outputs of this image exist already and are to be kept.
    pub(crate) fn is_done(&self, job: &Job) -> Result<bool> {
        for sample in 0..self.samples {
            if !self.keeps(job, sample)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether output `sample` of an image exists already and is to be kept.
    pub(crate) fn keeps(&self, job: &Job, sample: u64) -> Result<bool> {
        Ok(!self.overwrite && files::look(&self.path(job, sample))?.is_some())
    }

    /// Returns the files of all outputs of an image.
    pub(crate) fn paths(&self, job: &Job) -> impl Iterator<Item = PathBuf> {
        (0..self.samples).map(|sample| self.path(job, sample))
    }

    fn path(&self, job: &Job, sample: u64) -> PathBuf {
        outputs::shortened(match self.samples {
            1 => job.output.clone(),
            _ => with_suffix(&job.output, (sample + 1).to_string().as_ref()),
        })
    }

    /// Writes output `sample` of an image, with the colour profile of the input if it suits the output's channels.
    pub(crate) fn write(
        &self,
        job: &Job,
        sample: u64,
        output: &DynamicImage,
        profile: Option<&[u8]>,
    ) -> Result<()> {
        let path = self.path(job, sample);
        let Some(format) = job.format else { bail!("{}: .npy files hold arrays", path.display()) };
        let color = output.color();
        let stored = data::storable(output, format);
        let profile = profile.filter(|profile| is_for(profile, color.has_color()));
        let has_room = !matches!(format, ImageFormat::Bmp | ImageFormat::Gif);
        let encoded = encode(&stored, format, self.quality, profile.filter(|_| has_room));
        files::replace(&path, &encoded.with_context(|| path.display().to_string())?)?;

        let stored = stored.color();
        let bytes = |color: image::ColorType| color.bytes_per_pixel() / color.channel_count();
        for (count, is_lost) in [
            (&self.alpha, color.has_alpha() && !stored.has_alpha()),
            (&self.depth, bytes(color) > bytes(stored)),
            (&self.profile, profile.is_some() && !has_room),
        ] {
            count.fetch_add(is_lost.into(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Describes the information that the files could not hold.
    pub(crate) fn lost(&self) -> Option<String> {
        let counts =
            [(&self.alpha, "alpha"), (&self.depth, "16 bits"), (&self.profile, "the colour profile")];
        let lost: Vec<String> = counts
            .into_iter()
            .map(|(count, what)| (count.load(Ordering::Relaxed), what))
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{what} of {count}"))
            .collect();
        (!lost.is_empty())
            .then(|| format!("lost, as the file type cannot hold it: {}; png keeps all", lost.join(", ")))
    }
}

/// Returns whether an ICC profile is for colour images, or for grey images if `colour` is false.
fn is_for(profile: &[u8], colour: bool) -> bool {
    profile.get(16..20) == Some(if colour { b"RGB " } else { b"GRAY" })
}

fn encode(
    image: &DynamicImage,
    format: ImageFormat,
    quality: u8,
    profile: Option<&[u8]>,
) -> ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Png => put(PngEncoder::new(&mut bytes), image, profile)?,
        ImageFormat::Jpeg => put(JpegEncoder::new_with_quality(&mut bytes, quality), image, profile)?,
        ImageFormat::Tiff => put(TiffEncoder::new(&mut bytes), image, profile)?,
        ImageFormat::WebP => put(WebPEncoder::new_lossless(&mut bytes), image, profile)?,
        other => image.write_to(&mut bytes, other)?,
    }
    Ok(bytes.into_inner())
}

fn put(mut encoder: impl ImageEncoder, image: &DynamicImage, profile: Option<&[u8]>) -> ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).map_err(ImageError::Unsupported)?;
    }
    image.write_with_encoder(encoder)
}
