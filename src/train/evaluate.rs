//! Evaluates the generator: metrics and samples on pairs that it was not trained on.

use burn::module::Module;
use burn::tensor::Tensor;
use image::{RgbImage, imageops};

use super::Trainer;
use crate::data::{Batch, BatchSource, IMAGE_CHANNELS, PlanarImage, image_grid, pad, to_images, unpad};
use crate::error::{Error, Result};
use crate::layers::{Mode, noise};
use crate::metrics::{self, Metrics};
use crate::transfer::read_back;

/// The number of images of noise in a row.
const NOISE_COLUMNS: usize = 8;
/// The position of the noise of shown images, which no step has.
const SHOWN: u64 = u64::MAX;

impl Trainer {
    /// Returns the mean metrics of the generator on `pairs`; NaN if there are no pairs.
    ///
    /// The generator runs as at the paper's test time (section 3.3): with the statistics of each image alone, and with
    /// dropout. Pairs are translated one by one, with dropout noise seeded by the index of the pair, so that the
    /// metrics depend neither on the batch size nor on earlier calls.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`] if a pair cannot be read; [`Error::Device`] if the device fails;
    /// [`Error::Config`] if the generator makes images of noise, which no target belongs to.
    pub fn evaluate(&self, pairs: &(impl BatchSource + ?Sized)) -> Result<Metrics> {
        if self.makes_images_of_noise() {
            let problem = "its images are made of noise, and belong to no target to compare with; compare their \
                           distribution with that of the targets, by FID or KID";
            return Err(Error::config("generator.backbone", problem));
        }
        let (mut sums, mut count) = ([0.0; 4], 0u32);
        self.translate_each(pairs, usize::MAX, |[_, output, target]| {
            let metrics = [metrics::l1, metrics::psnr, metrics::ssim_unit, metrics::ssim_signed];
            for (sum, metric) in sums.iter_mut().zip(metrics) {
                *sum += f64::from(read_back(metric(output.clone(), target.clone()))?[0]);
            }
            count += 1;
            Ok(())
        })?;
        let [l1, psnr, ssim_unit, ssim_signed] = sums.map(|sum| sum / f64::from(count));
        Ok(Metrics { l1, psnr, ssim_unit, ssim_signed })
    }

    /// Returns an image with a row of input, output and target for each of the first `count` pairs, translated as in
    /// [`evaluate`](Self::evaluate). An input that is a label map has the colours of its classes. Of arrays with other
    /// numbers of channels than images have, the first channel is shown. A generator that makes images of noise ignores
    /// the pairs, and fills the rows with images of the same noise at every call.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`] if a pair cannot be read; [`Error::Device`] if the device fails.
    pub fn sample_grid(&self, pairs: &(impl BatchSource + ?Sized), count: usize) -> Result<RgbImage> {
        if self.makes_images_of_noise() {
            return self.noise_grid(count);
        }
        let mut rows: Vec<[RgbImage; 3]> = vec![];
        self.translate_each(pairs, count, |[input, output, target]| {
            let image = |tensor| Ok(to_images(shown(tensor))?[0].to_rgb8());
            let input = match &self.config.data.labels {
                Some(labels) => labels.to_image(&planes(input)?),
                None => image(input)?,
            };
            rows.push([input, image(output)?, image(target)?]);
            Ok(())
        })?;
        let width = rows.iter().map(|[input, _, _]| input.width()).max().unwrap_or(0);
        let height = rows.iter().map(|[input, _, _]| input.height()).sum();
        let mut grid = RgbImage::new(3 * width, height);
        let mut y = 0;
        for row in &rows {
            for (x, image) in (0i64..).zip(row) {
                imageops::replace(&mut grid, image, x * i64::from(width), y);
            }
            y += i64::from(row[0].height());
        }
        Ok(grid)
    }

    /// Returns whether the generator takes noise in place of an image.
    pub(super) fn makes_images_of_noise(&self) -> bool {
        self.config.generator.noise().is_some()
    }

    /// Returns an image with `rows` rows of images that the generator makes of noise, the same at every call, with the
    /// running statistics of the training.
    pub(super) fn noise_grid(&self, rows: usize) -> Result<RgbImage> {
        let generator = self.export_generator().valid();
        let values = self.config.generator.noise().unwrap_or_default();
        let noise = noise([rows * NOISE_COLUMNS, values], self.config.training.seed, SHOWN, &self.device);
        let images = to_images(shown(generator.forward(noise, Mode::RUNNING)))?;
        let images: Vec<RgbImage> = images.iter().map(|image| image.to_rgb8()).collect();
        Ok(image_grid(&images, NOISE_COLUMNS))
    }

    /// Translates the first `count` pairs one by one, and passes input, output and target to `visit`, each
    /// `[1, C, H, W]`.
    fn translate_each(
        &self,
        pairs: &(impl BatchSource + ?Sized),
        count: usize,
        mut visit: impl FnMut([Tensor<4>; 3]) -> Result<()>,
    ) -> Result<()> {
        let generator = self.export_generator().valid();
        let mut index = 0;
        if count == 0 {
            return Ok(());
        }
        for batch in pairs.sequential(&self.device) {
            let Batch { input, target } = batch?;
            for (input, target) in input.split(1, 0).into_iter().zip(target.split(1, 0)) {
                let [_, _, height, width] = input.dims();
                let padded = pad(input.clone(), self.padded_size([height, width]));
                let output = unpad(generator.forward(padded, test_mode(index)), [height, width]);
                visit([input, output, target])?;
                index += 1;
                if index >= count {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Returns the only image of a batch.
fn planes(batch: Tensor<4>) -> Result<PlanarImage> {
    let [_, channels, height, width] = batch.dims();
    Ok(PlanarImage::new(read_back(batch)?, [channels, height, width]))
}

/// Returns the paper's test mode, with the dropout noise of pair `index`.
fn test_mode(index: usize) -> Mode {
    Mode::PAPER.with_noise(index as u64).per_image()
}

/// Returns a batch of images as it is, and the first channel of a batch of other arrays.
fn shown(batch: Tensor<4>) -> Tensor<4> {
    if IMAGE_CHANNELS.contains(&batch.dims()[1]) { batch } else { batch.narrow(1, 0, 1) }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::config::Pix2PixConfig;
    use crate::data::{Layout, PairedFolder};
    use crate::device;

    #[test]
    fn metrics_do_not_depend_on_the_batch_size() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..5u8 {
            let pair = RgbImage::from_fn(64, 32, |x, y| Rgb([(x * 4) as u8, (y * 8) as u8, index * 50]));
            pair.save(folder.path().join(format!("{index}.png"))).unwrap();
        }
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (4, 4);
        config.data.layout = Some(Layout::SideBySide);
        let pairs = PairedFolder::open(folder.path(), &config.data).unwrap();
        let trainer = Trainer::new(config, &device::cpu()).unwrap();
        let evaluate =
            |batch_size| trainer.evaluate(&pairs.clone().with_batch_size(batch_size).unwrap()).unwrap();
        let (single, batched) = (evaluate(1), evaluate(4));
        for (single, batched) in [
            (single.l1, batched.l1),
            (single.psnr, batched.psnr),
            (single.ssim_unit, batched.ssim_unit),
            (single.ssim_signed, batched.ssim_signed),
        ] {
            assert!((single - batched).abs() < 1e-6 * single.abs(), "{single} and {batched}");
        }

        // Samples have the same noise as metrics: the last row of the grid equals that pair translated alone.
        let generator = trainer.export_generator().valid();
        let batch = pairs.sequential(&device::cpu()).nth(2).unwrap().unwrap();
        let output = to_images(generator.forward(batch.input, test_mode(2))).unwrap()[0].to_rgb8();
        let grid = trainer.sample_grid(&pairs.with_batch_size(4).unwrap(), 3).unwrap();
        assert_eq!(imageops::crop_imm(&grid, 32, 64, 32, 32).to_image(), output);
    }
}
