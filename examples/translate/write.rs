//! Pictures into files of any type, each whole or not at all.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageError, ImageFormat, ImageResult};
use pix2pix::{Error, Result};

use super::jobs::{Job, with_suffix};

/// How pictures are written, and what was lost by it.
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

    /// Whether there is nothing to do for this picture.
    pub(crate) fn is_done(&self, job: &Job) -> bool {
        (0..self.samples).all(|sample| self.keeps(job, sample))
    }

    /// Whether output `sample` of a picture is there, and is to stay.
    pub(crate) fn keeps(&self, job: &Job, sample: u64) -> bool {
        !self.overwrite && self.path(job, sample).exists()
    }

    fn path(&self, job: &Job, sample: u64) -> PathBuf {
        match self.samples {
            1 => job.output.clone(),
            _ => with_suffix(&job.output, (sample + 1).to_string().as_ref()),
        }
    }

    /// Writes output `sample` of a picture with the colour profile of the input, if that is one for such a picture.
    pub(crate) fn write(
        &self,
        job: &Job,
        sample: u64,
        output: DynamicImage,
        profile: Option<&[u8]>,
    ) -> Result<()> {
        let path = self.path(job, sample);
        let (color, format) = (output.color(), job.format);
        let output = storable(output, format);
        let profile = profile.filter(|profile| is_for(profile, color.has_color()));
        let has_room = !matches!(format, ImageFormat::Bmp | ImageFormat::Gif);
        let encoded = encode(&output, format, self.quality, profile.filter(|_| has_room));
        let bytes = encoded.map_err(|error| Error::image(&path, error))?;
        save(&path, &bytes).map_err(|source| Error::Io { path, source })?;

        let stored = output.color();
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

    /// What did not fit into the files, in words.
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
            .then(|| format!("lost, as the type has no room for it: {}; png keeps all", lost.join(", ")))
    }
}

/// The picture with the bits and the channels that files of this type hold.
fn storable(picture: DynamicImage, format: ImageFormat) -> DynamicImage {
    let color = picture.color();
    match (format, color.has_alpha(), color.has_color()) {
        (ImageFormat::Png, ..) => picture,
        (ImageFormat::Tiff, true, false) if color.bytes_per_pixel() > 2 => picture.into_rgba16().into(),
        (ImageFormat::Tiff, true, false) => picture.into_rgba8().into(),
        (ImageFormat::Tiff, ..) => picture,
        (ImageFormat::Jpeg, _, false) => picture.into_luma8().into(),
        (ImageFormat::Jpeg, ..) => picture.into_rgb8().into(),
        (ImageFormat::Gif, ..) | (_, true, _) => picture.into_rgba8().into(),
        (_, _, false) => picture.into_luma8().into(),
        _ => picture.into_rgb8().into(),
    }
}

/// Whether an ICC profile is one for colour, or for grey; its header names the colour space.
fn is_for(profile: &[u8], colour: bool) -> bool {
    profile.get(16..20) == Some(if colour { b"RGB " } else { b"GRAY" })
}

fn encode(
    picture: &DynamicImage,
    format: ImageFormat,
    quality: u8,
    profile: Option<&[u8]>,
) -> ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Png => put(PngEncoder::new(&mut bytes), picture, profile)?,
        ImageFormat::Jpeg => put(JpegEncoder::new_with_quality(&mut bytes, quality), picture, profile)?,
        ImageFormat::Tiff => put(TiffEncoder::new(&mut bytes), picture, profile)?,
        ImageFormat::WebP => put(WebPEncoder::new_lossless(&mut bytes), picture, profile)?,
        other => picture.write_to(&mut bytes, other)?,
    }
    Ok(bytes.into_inner())
}

fn put(mut encoder: impl ImageEncoder, picture: &DynamicImage, profile: Option<&[u8]>) -> ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).map_err(ImageError::Unsupported)?;
    }
    picture.write_with_encoder(encoder)
}

/// Writes under a name that nobody else has, and then gives the file its own.
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut scratch = builder.prefix(".pix2pix-").tempfile_in(folder)?;
    scratch.write_all(bytes)?;
    scratch.persist(path)?;
    Ok(())
}
