//! Draws pairs of façades, trains a small pix2pix on them, and leaves a page with curves and sample images.
//!
//! Takes about a minute and a half on two CPU cores. Run again after an interruption, it resumes.
//!
//! ```text
//! cargo run --release --example train
//!
//! 450 pairs to train on, 24 to validate; generator of 10806851 parameters
//! epoch 1  L1 0.4065  PSNR 12.05  SSIM 0.1870
//! ...
//! open runs/demo/index.html
//! ```
//!
//! The program `pix2pix train` does the same with a progress bar, and with flags for everything.

use std::ops::ControlFlow;

use pix2pix::data::PairedFolder;
use pix2pix::{Event, Pix2PixConfig, Result, Trainer, demo, device};

/// The run folder: it gets the pairs, checkpoints, weights, metrics and the page.
const RUN: &str = "runs/demo";
const SIZE: usize = 64;

fn main() -> Result<()> {
    let device = device::best();

    // Label map on the left, photograph on the right of each file; the pairs to validate on are others.
    let (train, val) = (format!("{RUN}/data/train"), format!("{RUN}/data/val"));
    demo::draw_pairs(&train, 0..450, SIZE as u32, 0)?;
    demo::draw_pairs(&val, demo::HELD_OUT..demo::HELD_OUT + 24, SIZE as u32, 0)?;

    // The paper's recipe, made small: 64 pixels, half of the channels, and 6 epochs, in the last two of which the
    // learning rate falls to zero.
    let mut config = Pix2PixConfig::paper().with_size(SIZE)?;
    config.generator.base_channels = 32;
    config.discriminator.base_channels = 32;
    (config.training.epochs, config.training.decay_epochs) = (4, 2);
    // Drawn pairs are as many as one likes, so they need no random crops and no mirroring.
    (config.data.load_size, config.data.mirror) = (SIZE.into(), false);

    let train = PairedFolder::open(train, &config.data)?;
    let val = PairedFolder::open(val, &config.data)?;
    let mut trainer = Trainer::resume_or_new(RUN, config, &device)?;
    println!(
        "{} pairs to train on, {} to validate; generator of {} parameters",
        train.len(),
        val.len(),
        trainer.generator().parameter_count()
    );

    // `fit` trains all epochs, saves checkpoints and writes the page; the closure receives each step and epoch,
    // and may stop the training.
    trainer.fit(&train, Some(&val), RUN, |event| {
        if let Event::Epoch { epoch, metrics: Some(metrics), .. } = event {
            println!("epoch {epoch}  {metrics}");
        }
        ControlFlow::Continue(())
    })?;
    println!("open {RUN}/index.html");
    Ok(())
}
