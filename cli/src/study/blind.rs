//! The blind comparison: a page of outputs of two variants side by side, without their names, and the key in a file of
//! its own.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, RgbImage};
use minijinja::{Environment, context, value::Serde};
use pix2pix::data::{Batch, PairedFolder, to_images};
use pix2pix::{Device, Generator};
use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;

use super::score::mode;
use crate::files;

/// The number of pairs on the page.
const PAIRS: usize = 20;
/// The names of the files.
const PAGE: &str = "blind.html";
const KEY: &str = "blind-key.json";

/// The input of a pair and two outputs, as data URIs.
#[derive(Serialize)]
struct Shown {
    input: String,
    left: String,
    right: String,
}

/// Writes the page and its key to `out`: which pairs are shown, in which order, and which variant is on the left depends
/// on `seed`. The noise of an output is that of its metrics.
pub(crate) fn write(
    out: &Path,
    names: [&str; 2],
    generators: [&Generator; 2],
    val: &PairedFolder,
    seed: u64,
    device: &Device,
) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let chosen = index::sample(&mut rng, val.len(), PAIRS.min(val.len())).into_vec();
    // A half of the pairs has the first variant on the left, or nearly a half of an odd number.
    let mut is_first_left: Vec<bool> = (0..chosen.len()).map(|at| at % 2 == 0).collect();
    is_first_left.shuffle(&mut rng);
    let mut shown: Vec<Option<Shown>> = chosen.iter().map(|_| None).collect();
    for (index, batch) in val.clone().with_batch_size(1)?.sequential(device).enumerate() {
        let Some(at) = chosen.iter().position(|pair| *pair == index) else { continue };
        let Batch { input, .. } = batch?;
        let image = |images| anyhow::Ok(data_uri(&to_images(images)?[0].to_rgb8()));
        let output = |generator: &Generator| image(generator.forward(input.clone(), mode(index)));
        let [first, second] = [output(generators[0])?, output(generators[1])?];
        let (left, right) = if is_first_left[at] { (first, second) } else { (second, first) };
        shown[at] = Some(Shown { input: image(input)?, left, right });
    }
    let pairs: Vec<_> = chosen
        .iter()
        .zip(&is_first_left)
        .enumerate()
        .map(|(at, (index, is_first_left))| {
            let [left, right] = if *is_first_left { names } else { [names[1], names[0]] };
            let file = val.path(*index).file_name().unwrap_or_default().to_string_lossy();
            json!({ "pair": at + 1, "file": file, "left": left, "right": right })
        })
        .collect();
    let key = json!({ "seed": seed, "pairs": pairs });
    files::replace(&out.join(KEY), format!("{key:#}\n").as_bytes())?;
    files::replace(&out.join(PAGE), render(&shown, out)?.as_bytes())
}

/// Returns the page as HTML.
fn render(shown: &[Option<Shown>], out: &Path) -> Result<String> {
    let mut environment = Environment::new();
    environment
        .add_template("blind.html.j2", include_str!("blind.html.j2"))
        .and_then(|()| environment.get_template("blind.html.j2"))
        .and_then(|page| page.render(context! { pairs => Serde(shown), key => KEY }))
        .with_context(|| out.join(PAGE).display().to_string())
}

/// Returns an image as the URI of a PNG file.
fn data_uri(image: &RgbImage) -> String {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).expect("memory can be written");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner()))
}
