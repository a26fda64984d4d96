//! Looking at what the generator has learnt: scores and pictures of pairs that it was not trained on.

use burn::module::Module;
use image::{DynamicImage, RgbImage, imageops};

use super::Trainer;
use crate::data::{Batch, PairedFolder, Planes};
use crate::metrics::{self, Scores};
use crate::{Dropout, Mode, Result, Statistics, Tensor};

impl Trainer {
    /// Mean scores of the generator on `pairs`, with the paper's procedure at test time: statistics of each picture
    /// alone and dropout on, with noise that is the same every time.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read.
    pub fn evaluate(&self, pairs: &PairedFolder) -> Result<Scores> {
        let generator = self.exported().valid();
        let mut sums = [0.0; 3];
        for (index, batch) in pairs.in_order(&self.device).enumerate() {
            let Batch { input, target } = batch?;
            let output = generator.forward(input, test_mode(index));
            let scores = [metrics::l1, metrics::psnr, metrics::ssim];
            for (sum, score) in sums.iter_mut().zip(scores) {
                *sum += f64::from(score(output.clone(), target.clone()).sum().into_scalar::<f32>());
            }
        }
        let [l1, psnr, ssim] = sums.map(|sum| sum / pairs.len() as f64);
        Ok(Scores { l1, psnr, ssim })
    }

    /// Rows of input | output | target for the first `count` of `pairs`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read.
    pub fn strip(&self, pairs: &PairedFolder, count: usize) -> Result<RgbImage> {
        let generator = self.exported().valid();
        let single = pairs.clone().take(count).with_batch_size(1);
        let size = pairs.config().crop_size;
        let mut strip = RgbImage::new((3 * size) as u32, (single.len() * size) as u32);
        for (row, batch) in single.in_order(&self.device).enumerate() {
            let Batch { input, target } = batch?;
            let output = generator.forward(input.clone(), test_mode(row));
            for (column, tensor) in [input, output, target].into_iter().enumerate() {
                let [x, y] = [column * size, row * size].map(|pixels| pixels as i64);
                imageops::replace(&mut strip, &picture(tensor).to_rgb8(), x, y);
            }
        }
        Ok(strip)
    }
}

fn test_mode(index: usize) -> Mode {
    Mode { statistics: Statistics::Image, dropout: Dropout::Seeded(index as u64) }
}

/// The one picture of a tensor `[1, C, H, W]`.
fn picture(tensor: Tensor<4>) -> DynamicImage {
    let [_, channels, height, width] = tensor.dims();
    let values = tensor.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
    Planes { shape: [channels, height, width], values }.to_picture()
}
