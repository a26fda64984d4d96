//! The networks of the paper with random weights: one forward pass each, and their sizes.
//!
//! ```text
//! cargo run --release --example hello
//!
//! U-Net            54 413 955 parameters   [1, 3, 256, 256] -> [1, 3, 256, 256]
//! 70x70 PatchGAN    2 768 705 parameters   [1, 3, 256, 256] twice -> [1, 1, 30, 30]
//! ```

mod support;

use std::process::ExitCode;

use clap::Parser;
use pix2pix::{DiscriminatorConfig, GeneratorConfig, Mode, Result, Tensor};

#[derive(Parser)]
#[command(about = "One forward pass of the paper's networks with random weights")]
struct Options {
    #[command(flatten)]
    common: support::Common,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let device = options.common.device()?;
    let generator = GeneratorConfig::new(3, 3).init_seeded(options.common.seed, &device);
    let patch_gan = DiscriminatorConfig::new(3, 3);
    let discriminator = patch_gan.init_seeded(options.common.seed, &device);

    let input = Tensor::<4>::zeros([1, 3, 256, 256], &device);
    let output = generator.forward(input.clone(), Mode::PAPER);
    let logits = discriminator.forward(input.clone(), output.clone(), Mode::PAPER);

    let count = grouped(generator.parameter_count());
    println!("U-Net            {count:>10} parameters   {:?} -> {:?}", input.dims(), output.dims());
    let name = format!("{0}x{0} PatchGAN", patch_gan.receptive_field());
    let count = grouped(discriminator.parameter_count());
    println!("{name:<16} {count:>10} parameters   {:?} twice -> {:?}", input.dims(), logits.dims());
    Ok(())
}

/// 54413955 as "54 413 955".
fn grouped(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{} {:03}", grouped(thousands), number % 1000),
    }
}
