//! Looking at what the generator has learnt: scores and pictures of pairs that it was not trained on.

use burn::module::Module;
use image::{RgbImage, imageops};

use super::Trainer;
use crate::data::{Batch, PairedFolder, to_images};
use crate::metrics::{self, Metrics};
use crate::{Mode, Result};

impl Trainer {
    /// Mean scores of the generator on `pairs`, with the paper's procedure at test time: statistics of each picture
    /// alone and dropout on, with noise that is the same every time.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read.
    pub fn evaluate(&self, pairs: &PairedFolder) -> Result<Metrics> {
        let generator = self.exported().valid();
        let mut sums = [0.0; 3];
        for (index, batch) in pairs.sequential(&self.device).enumerate() {
            let Batch { input, target } = batch?;
            let output = generator.forward_with(input, test_mode(index));
            let scores = [metrics::l1, metrics::psnr, metrics::ssim];
            for (sum, score) in sums.iter_mut().zip(scores) {
                *sum += f64::from(score(output.clone(), target.clone()).sum().into_scalar::<f32>());
            }
        }
        let [l1, psnr, ssim] = sums.map(|sum| sum / pairs.len() as f64);
        Ok(Metrics { l1, psnr, ssim })
    }

    /// Rows of input | output | target for the first `count` of `pairs`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read.
    pub fn strip(&self, pairs: &PairedFolder, count: usize) -> Result<RgbImage> {
        let generator = self.exported().valid();
        let single = pairs.clone().head(count)?.with_batch_size(1)?;
        let size = pairs.config().crop_size;
        let mut strip = RgbImage::new((3 * size.width) as u32, (single.len() * size.height) as u32);
        for (row, batch) in single.sequential(&self.device).enumerate() {
            let Batch { input, target } = batch?;
            let output = generator.forward_with(input.clone(), test_mode(row));
            for (column, tensor) in [input, output, target].into_iter().enumerate() {
                let [x, y] = [column * size.width, row * size.height].map(|pixels| pixels as i64);
                imageops::replace(&mut strip, &to_images(tensor)[0].to_rgb8(), x, y);
            }
        }
        Ok(strip)
    }
}

fn test_mode(index: usize) -> Mode {
    Mode::PAPER.with_noise(index as u64).per_image()
}
