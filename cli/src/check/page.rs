//! The page: findings with images of the first pairs of each, in one self-contained file.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, RgbImage, imageops};
use minijinja::{Environment, context, value::Serde};
use pix2pix::data::PairedFolder;
use serde::Serialize;

use super::Report;
use super::scan::Scanned;

/// The largest number of pairs of a finding that the page shows, and their height in pixels.
const SHOWN: usize = 8;
const HEIGHT: u32 = 128;

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'a str,
    advice: &'a str,
    count: usize,
    files: Vec<String>,
    images: Vec<(String, String)>,
}

/// Returns the page as HTML.
pub(crate) fn render(data: &Path, report: &Report, splits: &[Scanned]) -> Result<String> {
    let pairs: HashMap<&Path, (&PairedFolder, usize)> = splits
        .iter()
        .flat_map(|split| (0..split.folder.len()).map(move |index| (&split.folder, index)))
        .map(|(folder, index)| (folder.path(index), (folder, index)))
        .collect();
    let name = |path: &Path| path.strip_prefix(data).unwrap_or(path).display().to_string();
    let mut shown = Vec::new();
    for finding in &report.findings {
        let mut images = Vec::new();
        for path in finding.files.iter().take(SHOWN) {
            // What cannot be read has no image, but its name is in the list.
            if let Some(Ok(halves)) =
                pairs.get(path.as_path()).map(|(folder, index)| folder.originals(*index))
            {
                images.push((name(path), thumbnail(&halves.map(|half| half.to_rgb8()))?));
            }
        }
        let files = finding.files.iter().map(|path| name(path)).collect();
        let (kind, advice, count) = (finding.kind, finding.advice.as_str(), finding.files.len());
        shown.push(Shown { kind, advice, count, files, images });
    }
    let context = context! {
        data => data.display().to_string(),
        pairs => report.pairs,
        findings => Serde(shown),
        palette => report.palette.clone(),
        command => report.command.clone(),
    };
    let mut environment = Environment::new();
    environment.add_template("page.html.j2", include_str!("page.html.j2"))?;
    Ok(environment.get_template("page.html.j2")?.render(context)?)
}

/// Returns both halves side by side as a data URI.
fn thumbnail(halves: &[RgbImage; 2]) -> Result<String> {
    let small = [&halves[0], &halves[1]].map(|half| {
        let width = u64::from(half.width()) * u64::from(HEIGHT) / u64::from(half.height().max(1));
        imageops::thumbnail(half, width.clamp(1, 4 * u64::from(HEIGHT)) as u32, HEIGHT)
    });
    let mut both = RgbImage::new(small[0].width() + small[1].width(), HEIGHT);
    imageops::replace(&mut both, &small[0], 0, 0);
    imageops::replace(&mut both, &small[1], i64::from(small[0].width()), 0);
    let mut png = Cursor::new(Vec::new());
    both.write_to(&mut png, ImageFormat::Png)?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())))
}
