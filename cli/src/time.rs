//! `pix2pix time`, a hidden command: one timing for `benches/compare/run`, as a line of JSON.

use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pix2pix::data::Batch;
use pix2pix::{Mode, Pix2PixConfig, Tensor, Trainer, device};

use crate::output::say;

/// Times a forward pass or a training step
#[derive(Args, Debug)]
pub(crate) struct Options {
    #[arg(long)]
    what: What,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    batch: usize,
    #[arg(long, default_value_t = 64)]
    base_channels: usize,
    #[arg(long, default_value = "flex")]
    backend: String,
    #[arg(long)]
    rounds: usize,
    /// Compute convolutions without Winograd's algorithm
    #[arg(long)]
    exact: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Forward,
    Step,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = device::named(&options.backend)?;
    let mut config = Pix2PixConfig::paper().with_size(options.size)?;
    config.generator.base_channels = options.base_channels;
    config.discriminator.base_channels = options.base_channels;
    let values: Vec<f32> =
        (0..options.batch * 3 * options.size.pow(2)).map(|i| (i as f32 * 0.37).sin()).collect();
    let shape = [options.batch, 3, options.size, options.size];
    let images = Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape);

    let mut work: Box<dyn FnMut()> = match options.what {
        What::Forward => {
            let generator = config.generator.init_seeded(0, &device);
            let generator = generator.with_exact_convolutions(options.exact).for_inference();
            Box::new(move || drop(generator.forward(images.clone(), Mode::IMAGE)))
        }
        What::Step => {
            let mut trainer = Trainer::new(config, &device)?.with_exact_convolutions(options.exact);
            let batch = Batch { input: images.clone(), target: images };
            Box::new(move || drop(trainer.step(batch.clone())))
        }
    };
    let mut seconds = Vec::with_capacity(options.rounds);
    for round in 0..options.rounds + 2 {
        let start = Instant::now();
        work();
        device.sync()?;
        if round >= 2 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    say!("{{\"seconds\": {}}}", seconds[seconds.len() / 2]);
    Ok(())
}
