//! `pix2pix evaluate`: computes L1, PSNR and SSIM of a generator on held-out pairs.
//!
//! ```text
//! pix2pix evaluate --weights runs/demo --data runs/demo/data --json metrics.json
//! ```
//!
//! Pairs are resized to the size used in training, as in its validation, so the means can be compared with its curves.
//! Networks that were trained with `--preprocess crop` or `none` get whole images at their own scale, as in `translate`.
//! The metrics equal those of scikit-image, SSIM with the settings of Wang et al. 2004. SSIM is that of images in
//! `[0, 1]`, as in the literature; the JSON calls it `ssim_unit`, and also holds `ssim_signed`, that of values in
//! `[-1, 1]`, which earlier versions called `ssim`. With `--lpips`, each pair has LPIPS; with `--inception`, the set has
//! FID, KID over all images, and the joint KID with its permutation test. JSON has no infinity, so the PSNR of equal
//! images is written as `"inf"`.

mod scores;

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use image::ImageFormat;
use pix2pix::burn::tensor::TensorData;
use pix2pix::data::{
    Batch, DataFolder, ImageArray, LeftOut, PairedFolder, PlanarImage, Preprocess, SampleFormat,
    round_to_8_bits, to_images, write_arrays,
};
use pix2pix::{Device, Mode, Tensor, Translator};
use scores::{Row, compute, line, mean};
use serde_json::json;

use crate::common::{self, Common, LayoutName, ModeName, Way};
use crate::files;
use crate::likeness::{Likeness, Weights};
use crate::limits::LimitOptions;
use crate::output::{note, one_line, say};
use crate::outputs::{protect_inputs, refuse_links, shortened};

/// Computes L1, PSNR and SSIM of a generator on pairs of images
///
/// Prints a line for each pair and the means; SSIM is that of images in [0, 1]. With weights of other networks also
/// LPIPS of each pair, and FID, KID and joint KID of the set. Pairs that cannot be read are listed and left out of the
/// means, outputs that cannot be written are listed, and the exit status is 1.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run folder, weights file, or file of the PyTorch original
    #[arg(long, help_heading = INPUT)]
    weights: PathBuf,
    /// Checkpoint of the run folder: latest, best, or for example step-4000 [default: the exported generator]
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    checkpoint: Option<String>,
    /// Folder of pairs, or one with `train/`, `val/` …
    #[arg(long, help_heading = INPUT)]
    data: PathBuf,
    /// Split, or any other folder in --data, to evaluate [default: val; all pairs of a folder without splits]
    #[arg(long, help_heading = INPUT)]
    split: Option<String>,
    /// How a file holds both images [default: as in training]
    #[arg(long, value_enum, help_heading = INPUT)]
    layout: Option<LayoutName>,
    /// Which half is the input [default: as in training]
    #[arg(long, value_enum, help_heading = INPUT)]
    direction: Option<Way>,
    /// How normalisation and dropout behave
    #[arg(long, value_enum, default_value = "paper", help_heading = METRICS)]
    mode: ModeName,
    /// Round the outputs to 8 bits first, as image files do [default: use the network's own values]
    #[arg(long, help_heading = METRICS)]
    eight_bits: bool,
    #[command(flatten)]
    weights_of_metrics: Weights,
    /// Write all metrics as JSON to this file [default: no file]
    #[arg(long, value_name = "FILE", help_heading = METRICS)]
    json: Option<PathBuf>,
    /// Write the output for each pair as PNG to this folder [default: no images]
    #[arg(long, value_name = "DIR", help_heading = METRICS)]
    output: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    common: Common,
}

/// The split that is evaluated without `--split`.
const DEFAULT_SPLIT: &str = "val";
const INPUT: &str = "Input";
const METRICS: &str = "Metrics";

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.common.compute.device()?;
    let translator = common::translator(&options.weights, options.checkpoint.as_deref(), &device)?;
    translator.check_input().with_context(|| format!("--weights: {}", options.weights.display()))?;
    translator.config().validate()?;
    let pairs = pairs(options, &translator)?;
    let images = match &options.output {
        Some(folder) => image_paths(&pairs, folder),
        None => vec![],
    };
    protect_pairs(options, &pairs, &images)?;
    let mut likeness = Likeness::open(&options.weights_of_metrics, &device)?;
    let Evaluated { rows, mut errors, unwritten } =
        evaluate_all(options, &translator, &pairs, &images, &mut likeness, &device)?;
    files::report_pages(files::of_pairs(&pairs), pairs.config().pages);
    if let Some(summary) = LeftOut::summary(pairs.left_out()) {
        say!("{summary}");
    }
    errors.extend(pairs.left_out().iter().filter(|file| file.is_fault()).map(ToString::to_string));
    for error in &errors {
        note!("skipped {error}");
    }
    for error in &unwritten {
        note!("not written: {error}");
    }
    let unreadable = || {
        anyhow!(
            "{}: {} of {} pairs could not be read",
            options.data.display(),
            errors.len(),
            rows.len() + errors.len()
        )
    };
    if rows.is_empty() {
        return Err(unreadable());
    }
    let mean = mean(&rows);
    let of_set = likeness.take();
    let lpips_name = likeness.lpips_name();
    let lpips = of_set.iter().find(|(name, _)| Some(*name) == lpips_name).map(|(_, value)| *value);
    say!("{}", line(&format!("mean of {}", rows.len()), &mean, lpips));
    for (name, value) in of_set.iter().filter(|(name, _)| Some(*name) != lpips_name) {
        say!("{name}: {value:.5}");
    }
    if let Some(path) = &options.json {
        let pairs: Vec<_> = rows.iter().map(|row| row.to_json(lpips_name)).collect();
        let means = scores::to_json(&mean, of_set);
        let all = json!({ "mean": means, "pairs": pairs, "skipped": errors });
        files::replace(path, format!("{all:#}\n").as_bytes())?;
    }
    if let Some(folder) = &options.output {
        say!("{}: {} images written", folder.display(), rows.len() - unwritten.len());
    }
    match (errors.len(), unwritten.len()) {
        (0, 0) => Ok(()),
        (0, count) => bail!("{count} of {} images could not be written", rows.len()),
        (_, 0) => Err(unreadable()),
        (_, count) => bail!("{}, {count} of {} images could not be written", unreadable(), rows.len()),
    }
}

/// The metrics of each pair, the errors of pairs that could not be read, and those of images that could
/// not be written.
#[derive(Default)]
struct Evaluated {
    rows: Vec<Row>,
    errors: Vec<String>,
    unwritten: Vec<String>,
}

/// Returns the image to write for each pair: its path below the folder that all pairs share, in `folder`, as PNG, or
/// as TIFF if the network was trained on arrays.
fn image_paths(pairs: &PairedFolder, folder: &Path) -> Vec<PathBuf> {
    let inputs: Vec<&Path> = (0..pairs.len()).map(|index| pairs.path(index)).collect();
    let mut shared = inputs.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
    while !inputs.iter().all(|path| path.starts_with(shared)) {
        shared = shared.parent().unwrap_or(Path::new(""));
    }
    let place = |path: &Path| folder.join(path.strip_prefix(shared).unwrap_or(path));
    let extension = if pairs.config().target_samples.is_some() { "tif" } else { "png" };
    let png = |path: &Path| place(path).with_extension(extension);
    let key = |path: &Path| path.to_string_lossy().to_lowercase();
    let mut wanted: HashMap<String, usize> = HashMap::new();
    inputs.iter().for_each(|path| *wanted.entry(key(&png(path))).or_default() += 1);
    // Equal names keep the type of their file as part of the name: `a.jpg` becomes `a.jpg.png`.
    let name = |path: &&Path| match wanted[&key(&png(path))] {
        1 => png(path),
        _ => {
            let mut whole = place(path).into_os_string();
            whole.push(".");
            whole.push(extension);
            whole.into()
        }
    };
    inputs.iter().map(|path| shortened(name(path))).collect()
}

/// Refuses outputs in the folder of the pairs, where they would replace files or become pairs, and a JSON file that would
/// replace a file of a pair.
fn protect_pairs(options: &Options, pairs: &PairedFolder, images: &[PathBuf]) -> Result<()> {
    let inputs = || files::of_pairs(pairs);
    if let Some(folder) = &options.output {
        images.iter().try_for_each(|image| refuse_links(image, folder))?;
    }
    protect_inputs(images.iter().cloned(), inputs(), pairs.folder(), pairs.folder())?;
    protect_inputs(options.json.clone(), inputs(), Path::new(""), Path::new(""))
}

/// Opens the pairs of the split with the data configuration of the training. Pairs without splits are all evaluated.
fn pairs(options: &Options, translator: &Translator) -> Result<PairedFolder> {
    let mut config = translator.config().data.clone();
    config.batch_size = 1;
    if let Some(way) = options.direction {
        config.direction = way.into();
    }
    config.layout = options.layout.map(Into::into).or(config.layout);
    let data = DataFolder::open(&options.data)?.with_limits(options.limits.limits()?);
    Ok(match &options.split {
        None if data.splits().is_empty() => data.whole(&config)?,
        split => data.split(split.as_deref().unwrap_or(DEFAULT_SPLIT), &config).map_err(common::as_flag)?,
    })
}

/// Evaluates every pair, prints its line, and writes its output to that of `images`, if there are any. Fails if the
/// device does, which would fail for the other pairs, too.
fn evaluate_all(
    options: &Options,
    translator: &Translator,
    pairs: &PairedFolder,
    images: &[PathBuf],
    likeness: &mut Likeness,
    device: &Device,
) -> Result<Evaluated> {
    let mut evaluated = Evaluated::default();
    let heading = likeness.lpips_name().map(|_| format!(" {:>8}", "LPIPS")).unwrap_or_default();
    say!("{:<40} {:>8} {:>8} {:>8}{heading}", "pair", "L1", "PSNR", "SSIM");
    for (index, batch) in pairs.whole(device).enumerate() {
        let Batch { input, target } = match batch {
            Ok(batch) => batch,
            Err(error) => {
                evaluated.errors.push(one_line(&error.into()));
                continue;
            }
        };
        // Each image has its own noise, as in validation during training.
        let mode = options.mode.mode(options.common.seed.wrapping_add(index as u64)).per_image();
        let shown = shown(translator, &input)?;
        let output = translated(translator, input, mode)?;
        if let Some(path) = images.get(index)
            && let Err(error) = write(&output, pairs.config().target_samples, path)
        {
            evaluated.unwritten.push(one_line(&error));
        }
        let output = if options.eight_bits { round_to_8_bits(output) } else { output };
        let metrics = compute(&output, &target)?;
        likeness.check(&output)?;
        let lpips = likeness.add(&shown, &output, &target, usize::MAX)?;
        let name = pairs.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
        say!("{}", line(&name, &metrics, lpips));
        evaluated.rows.push(Row { name, metrics, lpips });
    }
    Ok(evaluated)
}

/// Returns an input as an image: the classes of a label map in their colours.
fn shown(translator: &Translator, input: &Tensor<4>) -> Result<Tensor<4>> {
    let Some(labels) = &translator.config().data.labels else { return Ok(input.clone()) };
    let [_, channels, height, width] = input.dims();
    let planes = PlanarImage::new(common::values(input.clone())?, [channels, height, width]);
    let image = labels.to_image(&planes);
    let level = |channel: usize| image.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0);
    let levels: Vec<f32> = (0..3).flat_map(level).collect();
    Ok(Tensor::from_data(TensorData::new(levels, [1, 3, height, width]), &input.device()))
}

/// Translates one image, of any size, as `translate` does.
fn translated(translator: &Translator, input: Tensor<4>, mode: Mode) -> Result<Tensor<4>> {
    let data = &translator.config().data;
    let [_, channels, height, width] = input.dims();
    if data.preprocess == Preprocess::Resize {
        return Ok(translator.generator().forward(input, mode)); // the crop size fits the network
    }
    let device = input.device();
    let values = common::values(input)?;
    let output = translator.clone().with_mode(mode).translate_array(&values, [channels, height, width])?;
    let shape = [1, translator.generator().config().output_channels, height, width];
    Ok(Tensor::from_data(TensorData::new(output, shape), &device))
}

/// Writes an output, atomically: as an image, or as an array of the type and range of the training's targets.
fn write(output: &Tensor<4>, samples: Option<SampleFormat>, path: &Path) -> Result<()> {
    if let Some(format) = samples {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let [_, channels, height, width] = output.dims();
        let image = PlanarImage::new(common::values(output.clone())?, [channels, height, width]);
        return Ok(write_arrays(&[ImageArray::from_planar(&image, format)], path)?);
    }
    let image = to_images(output.clone())?.remove(0);
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, ImageFormat::Png).with_context(|| path.display().to_string())?;
    files::replace(path, bytes.get_ref())
}
