//! Metrics of a generator: distances, sharpness, colours, and recovery of labels.

use std::collections::BTreeMap;

use anyhow::Result;
use image::{RgbImage, imageops};
use pix2pix::data::{Batch, PairedFolder, to_images};
use pix2pix::metrics::{self, Confusion, LabHistogram};
use pix2pix::{Device, Generator, Mode, Tensor};

use super::reader::Reader;
use crate::common::values;
use crate::likeness::Likeness;

/// Metrics by name.
pub(crate) type Scores = BTreeMap<String, f64>;

/// Returns the heading of a metric's column, its number of digits and its meaning.
pub(crate) fn column(name: &str) -> Option<(&'static str, usize, &'static str)> {
    Some(match name {
        "l1" => ("L1 ↓", 4, "Mean absolute difference from the target, in a range of 2."),
        "psnr" => ("PSNR ↑", 2, "Peak signal-to-noise ratio in decibels."),
        "ssim_unit" => {
            ("SSIM ↑", 4, "Structural similarity to the target of images in [0, 1], as in the literature.")
        }
        "ssim_signed" => {
            ("SSIM [−1, 1] ↑", 4, "Structural similarity of values in [−1, 1], as in earlier versions.")
        }
        "sharpness" => {
            ("Sharpness", 3, "Gradient energy divided by that of the targets; 1 is as sharp as the targets.")
        }
        "fid" => ("FID ↓", 1, "Fréchet Inception distance to the targets; high for few images."),
        "kid" => (
            "KID ↓",
            4,
            "Kernel Inception distance to the targets, over all images; its mean does not depend on their number.",
        ),
        "kid_of_draws" => (
            "KID of draws ↓",
            4,
            "Mean kernel Inception distance over 100 draws of 50 images, as in earlier versions.",
        ),
        "joint_kid" => (
            "Joint KID ↓",
            4,
            "Kernel distance of the pairs of input and output from those of input and target; it sees whether outputs \
             fit their inputs.",
        ),
        "joint_kid_p" => (
            "Joint KID, p ↓",
            3,
            "Probability of so low a joint KID if outputs had nothing to do with their inputs.",
        ),
        "lpips_alex" => ("LPIPS (Alex) ↓", 4, "Learned perceptual distance to the target, by AlexNet."),
        "lpips_squeeze" => {
            ("LPIPS (Squeeze) ↓", 4, "Learned perceptual distance to the target, by SqueezeNet.")
        }
        "lab_l" => ("L ↑", 3, "Overlap of the histograms of L with the targets'; 1 is equal."),
        "lab_a" => ("a ↑", 3, "Overlap of the histograms of a with the targets'; 1 is equal."),
        "lab_b" => ("b ↑", 3, "Overlap of the histograms of b with the targets'; 1 is equal."),
        "pixel_accuracy" => {
            ("Per pixel ↑", 3, "Fraction of pixels whose label a U-Net, trained for this, recovers.")
        }
        "class_accuracy" => ("Per class ↑", 3, "The same, averaged over classes."),
        "mean_iou" => {
            ("IoU ↑", 3, "Intersection over union of true and recovered pixels, averaged over classes.")
        }
        _ => return None,
    })
}

/// Computes the metrics of a generator on all of `val`, or without a generator those of the targets themselves.
pub(crate) fn score(
    generator: Option<&Generator>,
    val: &PairedFolder,
    reader: Option<&Reader>,
    likeness: &mut Likeness,
    device: &Device,
) -> Result<Scores> {
    let mut sums = Sums::default();
    let mut confusion = reader.map(|reader| Confusion::new(reader.labels.palette.classes()));
    let mut truths = reader.map(|reader| reader.truths(device));
    for (index, batch) in val.clone().with_batch_size(1)?.sequential(device).enumerate() {
        let Batch { input, target } = batch?;
        let output = match generator {
            Some(generator) => generator.forward(input.clone(), mode(index)),
            None => target.clone(),
        };
        likeness.add(&input, &output, &target, val.len())?;
        sums.add(output.clone(), target)?;
        if let (Some(reader), Some(confusion), Some(truths)) = (reader, &mut confusion, &mut truths)
            && let Some(truth) = truths.next()
        {
            confusion.add(&truth?, &reader.read(output)?);
        }
    }
    let mut found = sums.metrics(val.len());
    found.extend(likeness.take());
    if let Some(confusion) = confusion {
        found.push(("pixel_accuracy", confusion.pixel_accuracy()));
        found.push(("class_accuracy", confusion.class_accuracy()));
        found.push(("mean_iou", confusion.mean_iou()));
    }
    // JSON has no infinity, and the histograms of grey targets are empty.
    found.retain(|(_, value)| value.is_finite());
    Ok(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A metric of each image of a batch.
type Distance = fn(Tensor<4>, Tensor<4>) -> Tensor<1>;

/// The metrics that compare an output with its target.
const DISTANCES: [(&str, Distance); 4] = [
    ("l1", metrics::l1),
    ("psnr", metrics::psnr),
    ("ssim_unit", metrics::ssim_unit),
    ("ssim_signed", metrics::ssim_signed),
];

/// Sums of the metrics that compare outputs with targets, and their histograms of colours.
#[derive(Default)]
struct Sums {
    /// Those of `DISTANCES`.
    distances: [f64; 4],
    energy: f64,
    target_energy: f64,
    colours: LabHistogram,
    target_colours: LabHistogram,
}

impl Sums {
    fn add(&mut self, output: Tensor<4>, target: Tensor<4>) -> Result<()> {
        let number = |tensor: Tensor<1>| anyhow::Ok(f64::from(values(tensor.sum())?[0]));
        for (sum, (_, distance)) in self.distances.iter_mut().zip(DISTANCES) {
            *sum += number(distance(output.clone(), target.clone()))?;
        }
        self.energy += number(metrics::gradient_energy(output.clone()))?;
        self.target_energy += number(metrics::gradient_energy(target.clone()))?;
        if target.dims()[1] == 3 {
            self.colours.add(output)?;
            self.target_colours.add(target)?;
        }
        Ok(())
    }

    /// Returns the metrics of `count` pairs.
    fn metrics(&self, count: usize) -> Vec<(&'static str, f64)> {
        let means = self.distances.map(|sum| sum / count as f64);
        let mut found: Vec<_> = DISTANCES.into_iter().map(|(name, _)| name).zip(means).collect();
        found.push(("sharpness", self.energy / self.target_energy));
        let overlaps = self.colours.intersection(&self.target_colours);
        found.extend(["lab_l", "lab_a", "lab_b"].into_iter().zip(overlaps));
        found
    }
}

/// Returns the paper's mode at test time, with noise that depends only on the index of the pair.
pub(super) fn mode(index: usize) -> Mode {
    Mode::PAPER.with_noise(index as u64).per_image()
}

/// Draws inputs, targets and outputs of the first `count` pairs of `val`, one below the other.
pub(crate) fn samples(
    generator: &Generator,
    val: &PairedFolder,
    count: usize,
    device: &Device,
) -> Result<[RgbImage; 3]> {
    let some = val.clone().head(count)?.with_batch_size(1)?;
    let [height, width] = <[usize; 2]>::from(val.config().crop_size).map(|size| size as u32);
    let mut columns = [(); 3].map(|()| RgbImage::new(width, height * some.len() as u32));
    for (row, batch) in some.sequential(device).enumerate() {
        let Batch { input, target } = batch?;
        let output = generator.forward(input.clone(), mode(row));
        for (column, tensor) in columns.iter_mut().zip([input, target, output]) {
            imageops::replace(column, &to_images(tensor)?[0].to_rgb8(), 0, i64::from(height) * row as i64);
        }
    }
    Ok(columns)
}
