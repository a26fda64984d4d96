//! What a generator is scored by: distances, sharpness, colours, and how well its labels can be read back.

use std::collections::BTreeMap;

use image::{RgbImage, imageops};
use pix2pix::data::{Batch, PairedFolder};
use pix2pix::metrics::{self, Confusion, LabHistogram};
use pix2pix::{Device, Dropout, Generator, Mode, Result, Statistics, Tensor};

use super::likeness::Likeness;
use super::reader::Reader;

/// Scores by name.
pub(crate) type Scores = BTreeMap<String, f64>;

/// A score's heading, the digits that it is shown with, and what its name means.
pub(crate) fn column(name: &str) -> Option<(&'static str, usize, &'static str)> {
    Some(match name {
        "l1" => ("L1 ↓", 4, "Mean absolute difference from the target, in a range of 2."),
        "psnr" => ("PSNR ↑", 2, "Peak signal-to-noise ratio in decibels."),
        "ssim" => ("SSIM ↑", 4, "Structural similarity to the target."),
        "sharpness" => {
            ("Sharpness", 3, "Gradient energy over that of the targets; 1 is as sharp as they are.")
        }
        "fid" => ("FID ↓", 1, "Fréchet Inception distance to the targets; high for so few pictures."),
        "kid" => (
            "KID ↓",
            4,
            "Kernel Inception distance to the targets, whose mean does not depend on their number.",
        ),
        "lab_l" => ("L ↑", 3, "Overlap of the histograms of L with the targets'; 1 is equal."),
        "lab_a" => ("a ↑", 3, "Overlap of the histograms of a with the targets'; 1 is equal."),
        "lab_b" => ("b ↑", 3, "Overlap of the histograms of b with the targets'; 1 is equal."),
        "pixel_accuracy" => {
            ("Per pixel ↑", 3, "Share of pixels whose label is read back right, by a U-Net trained for it.")
        }
        "class_accuracy" => ("Per class ↑", 3, "The same, averaged over classes."),
        "mean_iou" => {
            ("IoU ↑", 3, "Intersection over union of true and found pixels, averaged over classes.")
        }
        _ => return None,
    })
}

/// Scores a generator on all of `val`, or the photographs of `val` themselves.
pub(crate) fn score(
    generator: Option<&Generator>,
    val: &PairedFolder,
    reader: Option<&Reader>,
    likeness: &mut Likeness,
    device: &Device,
) -> Result<Scores> {
    let names = ["l1", "psnr", "ssim"];
    let (mut sums, mut energy, mut target_energy) = ([0.0; 3], 0.0, 0.0);
    let (mut colours, mut target_colours) = (LabHistogram::new(), LabHistogram::new());
    let mut confusion = reader.map(|reader| Confusion::new(reader.labels.palette.classes()));
    let mut truths = reader.map(|reader| reader.truths(device));
    for (index, batch) in val.clone().with_batch_size(1).in_order(device).enumerate() {
        let Batch { input, target } = batch?;
        let output = match generator {
            Some(generator) => generator.forward(input.clone(), mode(index)),
            None => target.clone(),
        };
        let number = |tensor: Tensor<1>| f64::from(tensor.sum().into_scalar::<f32>());
        let distances = [metrics::l1, metrics::psnr, metrics::ssim];
        for (sum, distance) in sums.iter_mut().zip(distances) {
            *sum += number(distance(output.clone(), target.clone()));
        }
        energy += number(metrics::gradient_energy(output.clone()));
        target_energy += number(metrics::gradient_energy(target.clone()));
        if target.dims()[1] == 3 {
            likeness.add(&output, &target, val.len());
            colours.add(output.clone());
            target_colours.add(target);
        }
        if let (Some(reader), Some(confusion), Some(truths)) = (reader, &mut confusion, &mut truths)
            && let Some(truth) = truths.next()
        {
            confusion.add(&truth?, &reader.read(output));
        }
    }
    let mut scores = Scores::new();
    let mut put = |name: &str, value: f64| {
        if value.is_finite() {
            scores.insert(name.to_owned(), value);
        }
    };
    for (name, sum) in names.into_iter().zip(sums) {
        put(name, sum / val.len() as f64);
    }
    put("sharpness", energy / target_energy);
    for (name, overlap) in ["lab_l", "lab_a", "lab_b"].into_iter().zip(colours.intersection(&target_colours))
    {
        put(name, overlap);
    }
    for (name, value) in likeness.take() {
        put(name, value);
    }
    if let Some(confusion) = confusion {
        put("pixel_accuracy", confusion.pixel_accuracy());
        put("class_accuracy", confusion.class_accuracy());
        put("mean_iou", confusion.mean_iou());
    }
    Ok(scores)
}

/// The paper's procedure at test time, with noise that is the same every time.
fn mode(index: usize) -> Mode {
    Mode { statistics: Statistics::Image, dropout: Dropout::Seeded(index as u64) }
}

/// Inputs, targets and outputs of the first `count` of `val`, one below the other.
pub(crate) fn pictures(
    generator: &Generator,
    val: &PairedFolder,
    count: usize,
    device: &Device,
) -> Result<[RgbImage; 3]> {
    let some = val.clone().take(count).with_batch_size(1);
    let size = val.config().crop_size as u32;
    let mut columns = [(); 3].map(|()| RgbImage::new(size, size * some.len() as u32));
    for (row, batch) in some.in_order(device).enumerate() {
        let Batch { input, target } = batch?;
        let output = generator.forward(input.clone(), mode(row));
        for (column, tensor) in columns.iter_mut().zip([input, target, output]) {
            imageops::replace(column, &picture(tensor), 0, i64::from(size) * row as i64);
        }
    }
    Ok(columns)
}

fn picture(tensor: Tensor<4>) -> RgbImage {
    let [_, channels, height, width] = tensor.dims();
    let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        let byte =
            |c: usize| ((values[c.min(channels - 1) * height * width + at] + 1.0) * 127.5).round() as u8;
        image::Rgb([byte(0), byte(1), byte(2)])
    })
}

/// A copy without gradients.
pub(crate) fn still(generator: &Generator) -> Generator {
    generator.detached()
}
