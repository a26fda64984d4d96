//! Draws pairs of façades, trains a small pix2pix on them, and writes a page with curves and sample images.
//!
//! It takes about a minute and a half on two CPU cores. After an interruption, the same command resumes the run.
//!
//! ```text
//! cargo run --release --example train
//!
//! 450 pairs to train on, 24 to validate; generator of 7314755 parameters
//! epoch 1  L1 0.2430  PSNR 16.03  SSIM 0.5156
//! ...
//! open runs/demo/index.html
//! ```
//!
//! The command `pix2pix train` does the same with a progress bar, and has flags for all settings.

use std::ops::ControlFlow;

use pix2pix::data::PairedFolder;
use pix2pix::{Event, Pix2PixConfig, Result, Trainer, demo, device};

/// The run folder, which contains the pairs, checkpoints, weights, metrics and the page.
const RUN: &str = "runs/demo";
const SIZE: usize = 64;

fn main() -> Result<()> {
    let device = device::best();

    // Each file has the label map on the left and the photograph on the right. Validation pairs are not training pairs.
    let (train, val) = (format!("{RUN}/data/train"), format!("{RUN}/data/val"));
    demo::draw_pairs(&train, 0..450, SIZE as u32, 0)?;
    demo::draw_pairs(&val, demo::HELD_OUT..demo::HELD_OUT + 24, SIZE as u32, 0)?;

    // The paper's recipe, reduced to 64 pixels, half of the channels, and 6 epochs; in the last two, the learning rate
    // decays to zero.
    let mut config = Pix2PixConfig::paper().with_size(SIZE)?;
    config.generator.base_channels = 32;
    config.discriminator.base_channels = 32;
    (config.training.epochs, config.training.decay_epochs) = (4, 2);
    // There are enough drawn pairs to train without random crops and mirroring.
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

    // `fit` trains all epochs, saves checkpoints and writes the page. The closure receives each event and may stop the
    // training.
    trainer.fit(&train, Some(&val), RUN, |event| {
        if let Event::Epoch { epoch, metrics: Some(metrics), .. } = event {
            println!("epoch {epoch}  {metrics}");
        }
        ControlFlow::Continue(())
    })?;
    println!("open {RUN}/index.html");
    Ok(())
}
