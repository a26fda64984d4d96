//! Trains on data of your own kind: a data set type that makes batches, and the training loop written out.
//!
//! The task is colouring: the input is an image in grey, the target its colours. Takes about half a minute.
//!
//! ```text
//! cargo run --release --example own_data
//!
//! epoch 1  step 25  G_GAN 1.402  G_L1 36.96  D_real 0.391  D_fake 0.377
//! ...
//! saved: runs/own_data
//! ```
//!
//! The program `pix2pix colorize` does this for folders of photographs, in the CIELAB colour space.

use image::{Pixel, RgbImage};
use pix2pix::data::{Batch, Epoch};
use pix2pix::{Device, Pix2PixConfig, Result, Tensor, Trainer, demo, device};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Colour images that are paired with their grey versions.
struct Colours(Vec<RgbImage>);

const BATCH_SIZE: usize = 4;

impl Colours {
    /// Returns the batches of an epoch, in a random order that depends only on its seed and number, without those that
    /// an interrupted run has behind it. So a resumed run sees what it would have seen.
    fn batches(&self, epoch: Epoch, device: &Device) -> impl Iterator<Item = Batch> {
        let mut rng = ChaCha8Rng::seed_from_u64(epoch.seed);
        rng.set_stream(epoch.number as u64);
        let mut order: Vec<&RgbImage> = self.0.iter().collect();
        order.shuffle(&mut rng);
        let chunks: Vec<_> = order.chunks(BATCH_SIZE).skip(epoch.first_batch).map(<[_]>::to_vec).collect();
        chunks.into_iter().map(|images| Batch {
            input: stack(&images, grey, device),
            target: stack(&images, colour, device),
        })
    }
}

/// Brightness in `[-1, 1]`, the range of the networks, row by row.
fn grey(image: &RgbImage) -> Vec<f32> {
    image.pixels().map(|pixel| f32::from(pixel.to_luma().0[0]) / 127.5 - 1.0).collect()
}

/// Red, then green, then blue.
fn colour(image: &RgbImage) -> Vec<f32> {
    (0..3).flat_map(|c| image.pixels().map(move |pixel| f32::from(pixel.0[c]) / 127.5 - 1.0)).collect()
}

/// Builds a tensor `[N, C, H, W]` of the values of each image.
fn stack(images: &[&RgbImage], values: fn(&RgbImage) -> Vec<f32>, device: &Device) -> Tensor<4> {
    let all: Vec<f32> = images.iter().flat_map(|image| values(image)).collect();
    let (width, height) = images[0].dimensions();
    let channels = all.len() / (images.len() * (width * height) as usize);
    let shape = [images.len(), channels, height as usize, width as usize];
    Tensor::<1>::from_floats(all.as_slice(), device).reshape(shape)
}

fn main() -> Result<()> {
    let device = device::best();
    let data = Colours((0..100).map(|index| demo::pair(0, index, 64).1).collect());

    // 64 pixels, one channel in, three out; the small networks of the demo.
    let mut config = Pix2PixConfig::paper().with_size(64)?.with_channels(1, 3);
    (config.generator.base_channels, config.discriminator.base_channels) = (32, 32);
    config.training.epochs = 10;

    let mut trainer = Trainer::resume_or_new("runs/own_data", config, &device)?;
    while let Some(epoch) = trainer.next_epoch() {
        for batch in data.batches(epoch, &device) {
            let losses = trainer.step(batch);
            if trainer.steps().is_multiple_of(25) {
                println!("epoch {epoch}  step {}  {}", trainer.steps(), losses.read());
            }
        }
        trainer.save("runs/own_data")?;
    }
    println!("saved: runs/own_data");
    Ok(())
}
