//! Trains on your own kind of data: `Trainer::fit` accepts any type that implements `BatchSource`.
//!
//! The task is colouring: the input is a grey image, the target the same image in colour. It takes half a minute to
//! three minutes.
//!
//! ```text
//! cargo run --release --example own_data
//!
//! ...
//! epoch 10  L1 0.1820  PSNR 18.69  SSIM 0.8151
//! open runs/own_data/index.html
//! ```
//!
//! The command `pix2pix colorize` does this for folders of photographs, in the CIELAB colour space.

use std::ops::ControlFlow;

use image::{Pixel, RgbImage};
use pix2pix::data::{Batch, BatchIterator, BatchSource, EpochCursor};
use pix2pix::{Device, Event, Pix2PixConfig, Result, Tensor, Trainer, demo, device};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Colour images, each paired with its grey version.
struct Colours(Vec<RgbImage>);

const BATCH_SIZE: usize = 4;

impl BatchSource for Colours {
    fn pairs(&self) -> usize {
        self.0.len()
    }

    /// Returns shuffled batches. The order depends only on the epoch's seed and number, and batches of an interrupted
    /// epoch are skipped. So a resumed run ends with the same weights as an uninterrupted one.
    fn batches<'a>(&'a self, epoch: EpochCursor, device: &Device) -> BatchIterator<'a> {
        let mut rng = ChaCha8Rng::seed_from_u64(epoch.seed);
        rng.set_stream(epoch.number as u64);
        let mut order: Vec<&RgbImage> = self.0.iter().collect();
        order.shuffle(&mut rng);
        batches(order, epoch.first_batch, device)
    }

    fn sequential<'a>(&'a self, device: &Device) -> BatchIterator<'a> {
        batches(self.0.iter().collect(), 0, device)
    }
}

/// Returns the batches of `images`, starting at batch `first`.
fn batches<'a>(images: Vec<&'a RgbImage>, first: usize, device: &Device) -> BatchIterator<'a> {
    let chunks: Vec<_> = images.chunks(BATCH_SIZE).skip(first).map(<[_]>::to_vec).collect();
    let device = device.clone();
    Box::new(chunks.into_iter().map(move |images| {
        Ok(Batch { input: stack(&images, grey, &device), target: stack(&images, colour, &device) })
    }))
}

/// Returns the brightness row by row in `[-1, 1]`, the range of the networks.
fn grey(image: &RgbImage) -> Vec<f32> {
    image.pixels().map(|pixel| f32::from(pixel.to_luma().0[0]) / 127.5 - 1.0).collect()
}

/// Returns the planes of red, green and blue, in the same range.
fn colour(image: &RgbImage) -> Vec<f32> {
    (0..3).flat_map(|c| image.pixels().map(move |pixel| f32::from(pixel.0[c]) / 127.5 - 1.0)).collect()
}

/// Returns a tensor `[N, C, H, W]` with the values of each image.
fn stack(images: &[&RgbImage], values: fn(&RgbImage) -> Vec<f32>, device: &Device) -> Tensor<4> {
    let all: Vec<f32> = images.iter().flat_map(|image| values(image)).collect();
    let (width, height) = images[0].dimensions();
    let channels = all.len() / (images.len() * (width * height) as usize);
    let shape = [images.len(), channels, height as usize, width as usize];
    Tensor::<1>::from_floats(all.as_slice(), device).reshape(shape)
}

fn main() -> Result<()> {
    let device = device::best();
    let draw =
        |indices: std::ops::Range<u64>| Colours(indices.map(|index| demo::pair(0, index, 64).1).collect());
    let (train, val) = (draw(0..100), draw(demo::HELD_OUT..demo::HELD_OUT + 8));

    // 64 pixels, one channel in, three out; the small networks of the demo.
    let mut config = Pix2PixConfig::paper().with_size(64)?.with_channels(1, 3);
    (config.generator.base_channels, config.discriminator.base_channels) = (32, 32);
    config.training.epochs = 10;

    let mut trainer = Trainer::resume_or_new("runs/own_data", config, &device)?;
    trainer.fit(&train, Some(&val), "runs/own_data", |event| {
        if let Event::Epoch { epoch, metrics: Some(metrics), .. } = event {
            println!("epoch {epoch}  {metrics}");
        }
        ControlFlow::Continue(())
    })?;
    println!("open runs/own_data/index.html");
    Ok(())
}
