//! The same training steps on every compiled backend: time, and the greatest difference from the first one.
//!
//! Weights and noise are drawn on the host, so every backend computes the same numbers up to rounding.
//!
//! ```text
//! cargo run --release --features ndarray --example backends -- --size 64 --base-channels 16
//! ```

mod support;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use pix2pix::data::Batch;
use pix2pix::{Device, Mode, Pix2PixConfig, Result, Tensor, Trainer, device};

#[derive(Parser)]
#[command(about = "The same training steps on every compiled backend")]
struct Options {
    /// Pixels of a side of the picture
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Channels of the first layer of both networks
    #[arg(long, default_value_t = 16)]
    base_channels: usize,
    /// Steps to take; the first one, which may compile kernels, is not timed
    #[arg(long, default_value_t = 3)]
    steps: usize,
    #[command(flatten)]
    common: support::Common,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let names = match &options.common.backend {
        Some(name) => vec![name.as_str()],
        None => device::compiled(),
    };
    let mut reference: Option<Outcome> = None;
    println!("{:<10} {:>12} {:>24} {:>14}", "backend", "ms a step", "greatest difference", "last G_L1");
    for name in names {
        let outcome = match device::named(name).and_then(|device| train(options, &device)) {
            Ok(outcome) => outcome,
            Err(error) => {
                println!("{name:<10} {error}");
                continue;
            }
        };
        let difference = match &reference {
            Some(reference) => format!("{:.2e}", reference.difference(&outcome)),
            None => "the reference".to_owned(),
        };
        println!("{name:<10} {:>12.1} {difference:>24} {:>14.3}", outcome.milliseconds, outcome.last_l1);
        reference.get_or_insert(outcome);
    }
    Ok(())
}

struct Outcome {
    /// The generator's output after all steps.
    values: Vec<f32>,
    milliseconds: f64,
    last_l1: f32,
}

impl Outcome {
    fn difference(&self, other: &Self) -> f32 {
        let pairs = self.values.iter().zip(&other.values);
        // A NaN must not hide behind a maximum.
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d.is_nan() { d } else { worst.max(d) })
    }
}

fn train(options: &Options, device: &Device) -> Result<Outcome> {
    let mut config = Pix2PixConfig::paper().with_size(options.size);
    config.generator.base_channels = options.base_channels;
    config.discriminator.base_channels = options.base_channels;
    config.training.seed = options.common.seed;
    let mut trainer = Trainer::new(config, device)?;
    let image = |phase: f32| {
        let count = 3 * options.size * options.size;
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, 3, options.size, options.size])
    };
    let batch = Batch { input: image(0.0), target: image(1.0) };

    let mut last_l1 = trainer.step(batch.clone()).read().g_l1;
    let start = Instant::now();
    for _ in 1..options.steps {
        last_l1 = trainer.step(batch.clone()).read().g_l1;
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0 / options.steps.saturating_sub(1).max(1) as f64;
    let output = trainer.generator().forward_with(batch.input.autodiff(), Mode::IMAGE);
    let values = output.into_data().convert::<f32>().try_into_vec().unwrap_or_default();
    Ok(Outcome { values, milliseconds, last_l1 })
}
