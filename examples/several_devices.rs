//! Shares each batch among several devices.
//!
//! Every device computes the gradients of its part of the batch; the first device adds them and updates the networks.
//! Without CUDA, the CPU counts as two devices: the losses are equal, but nothing gets faster. It takes two seconds.
//!
//! ```text
//! cargo run --release --example several_devices
//!
//! 1 device:  G_GAN 0.972  G_L1 63.37  D_real 0.511  D_fake 0.553
//! 2 devices: G_GAN 0.972  G_L1 63.37  D_real 0.511  D_fake 0.553
//! ```
//!
//! The command `pix2pix train --backend cuda --devices 4` does the same.

use pix2pix::data::Batch;
use pix2pix::{Device, Norm, Pix2PixConfig, Result, Tensor, Trainer, device};

const BATCH_SIZE: usize = 4;
const SIZE: usize = 32;

fn main() -> Result<()> {
    let cuda = device::all("cuda").unwrap_or_default();
    let devices = if cuda.len() > 1 { cuda } else { vec![device::cpu(), device::cpu()] };

    println!("1 device:  {}", train(&devices[..1])?);
    println!("{} devices: {}", devices.len(), train(&devices)?);
    Ok(())
}

/// Trains three steps and returns the last losses.
fn train(devices: &[Device]) -> Result<String> {
    let mut config = Pix2PixConfig::paper().with_size(SIZE)?;
    config.data.batch_size = BATCH_SIZE;
    config.generator.base_channels = 8;
    config.discriminator.base_channels = 8;
    // Instance normalisation is computed for each image, so the numbers are equal. Batch normalisation is computed over
    // the part of one device, and dropout draws different noise on each, so with them the numbers differ.
    config.generator.norm = Norm::Instance { affine: false };
    config.discriminator.norm = Norm::Instance { affine: false };
    config.generator.dropout = 0.0;

    // The first device keeps the networks and the optimisers.
    let mut trainer = Trainer::new(config, &devices[0])?.with_devices(&devices[1..])?;
    let values: Vec<f32> = (0..BATCH_SIZE * 3 * SIZE * SIZE).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = Tensor::<1>::from_floats(values.as_slice(), &devices[0]);
    let image = image.reshape([BATCH_SIZE, 3, SIZE, SIZE]);
    let batch = Batch { input: image.clone(), target: -image };

    trainer.step(batch.clone());
    trainer.step(batch.clone());
    Ok(trainer.step(batch).read()?.to_string())
}
