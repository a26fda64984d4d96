//! One timing of this crate for `benches/compare/run`: a line of JSON.

use std::time::Instant;

use clap::{Parser, ValueEnum};
use pix2pix::data::Batch;
use pix2pix::{Mode, Pix2PixConfig, Result, Tensor, Trainer, device};

#[derive(Parser)]
struct Options {
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
    /// Without Winograd's algorithm
    #[arg(long)]
    exact: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Forward,
    Step,
}

fn main() -> Result<()> {
    let options = Options::parse();
    device::set_exact(options.exact);
    let device = device::named(&options.backend)?;
    let mut config = Pix2PixConfig::paper().with_size(options.size);
    config.generator.base_channels = options.base_channels;
    config.discriminator.base_channels = options.base_channels;
    let values: Vec<f32> =
        (0..options.batch * 3 * options.size.pow(2)).map(|i| (i as f32 * 0.37).sin()).collect();
    let shape = [options.batch, 3, options.size, options.size];
    let images = Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape);

    let mut run: Box<dyn FnMut()> = match options.what {
        What::Forward => {
            let generator = config.generator.init_seeded(0, &device);
            let generator = generator.for_inference();
            Box::new(move || drop(generator.forward(images.clone(), Mode::IMAGE)))
        }
        What::Step => {
            let mut trainer = Trainer::new(config, &device)?;
            let batch = Batch { input: images.clone(), target: images };
            Box::new(move || drop(trainer.step(batch.clone())))
        }
    };
    let mut seconds: Vec<f64> = (0..options.rounds + 2)
        .map(|_| {
            let start = Instant::now();
            run();
            device.sync().expect("the device works");
            start.elapsed().as_secs_f64()
        })
        .skip(2)
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{{\"seconds\": {}}}", seconds[seconds.len() / 2]);
    Ok(())
}
