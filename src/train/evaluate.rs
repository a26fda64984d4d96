//! Looking at what the generator has learnt: scores and pictures of pairs that it was not trained on.

use burn::module::Module;
use image::{DynamicImage, RgbImage, imageops};

use super::Trainer;
use crate::data::{Batch, PairedFolder, Planes};
use crate::metrics::{self, Scores};
use crate::read_back::read_back;
use crate::{Dropout, Mode, Result, Statistics, Tensor};

impl Trainer {
    /// Returns the mean scores of the generator on `pairs`, with the paper's procedure at test time: statistics of each
    /// image alone and dropout on. Pairs are translated one by one, with noise seeded by the index of the pair, so that
    /// scores depend neither on the batch size nor on the call.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Image`](crate::Error::Image) if a pair cannot be read.
    pub fn evaluate(&self, pairs: &PairedFolder) -> Result<Scores> {
        let generator = self.exported().valid();
        let (mut sums, mut count) = ([0.0; 3], 0);
        for batch in pairs.in_order(&self.device) {
            let Batch { input, target } = batch?;
            for (input, target) in input.split(1, 0).into_iter().zip(target.split(1, 0)) {
                let output = generator.forward_with(input, test_mode(count));
                let scores = [metrics::l1, metrics::psnr, metrics::ssim];
                for (sum, score) in sums.iter_mut().zip(scores) {
                    *sum += f64::from(read_back(score(output.clone(), target.clone()))[0]);
                }
                count += 1;
            }
        }
        let [l1, psnr, ssim] = sums.map(|sum| sum / count as f64);
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
            let output = generator.forward_with(input.clone(), test_mode(row));
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
    Planes { shape: [channels, height, width], values: read_back(tensor) }.to_picture()
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::{Pix2PixConfig, device};

    #[test]
    fn scores_do_not_depend_on_the_batch_size() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..5u8 {
            let pair = RgbImage::from_fn(64, 32, |x, y| Rgb([(x * 4) as u8, (y * 8) as u8, index * 50]));
            pair.save(folder.path().join(format!("{index}.png"))).unwrap();
        }
        let mut config = Pix2PixConfig::paper().with_size(32);
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        let pairs = PairedFolder::open(folder.path(), &config.data).unwrap();
        let trainer = Trainer::new(config, &device::cpu()).unwrap();
        let scores = |batch_size| trainer.evaluate(&pairs.clone().with_batch_size(batch_size)).unwrap();
        let (single, batched) = (scores(1), scores(4));
        for (single, batched) in
            [(single.l1, batched.l1), (single.psnr, batched.psnr), (single.ssim, batched.ssim)]
        {
            assert!((single - batched).abs() < 1e-6 * single.abs(), "{single} and {batched}");
        }

        // The samples show the noise that was scored: the last row of one grid is that pair's alone.
        let generator = trainer.exported().valid();
        let batch = pairs.in_order(&device::cpu()).nth(2).unwrap().unwrap();
        let output = picture(generator.forward_with(batch.input, test_mode(2))).to_rgb8();
        let strip = trainer.strip(&pairs.with_batch_size(4), 3).unwrap();
        assert_eq!(imageops::crop_imm(&strip, 32, 64, 32, 32).to_image(), output);
    }
}
