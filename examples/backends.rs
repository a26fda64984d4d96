//! The same computation on every compiled backend: time, and how far each is from the first one.
//!
//! A forward pass, the gradients of both networks, and some steps of training. Weights and noise are drawn on the
//! host, so every backend computes the same numbers up to rounding.
//!
//! ```text
//! cargo run --release --features ndarray --example backends -- --size 64 --base-channels 16
//! ```

#[path = "support/parity.rs"]
mod parity;
mod support;

use std::process::ExitCode;

use clap::Parser;
use parity::Outcome;
use pix2pix::{Result, device};

#[derive(Parser)]
#[command(about = "The same computation on every compiled backend")]
struct Options {
    /// Pixels of a side of the picture
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Channels of the first layer of both networks
    #[arg(long, default_value_t = 16)]
    base_channels: usize,
    /// Steps to take; the first one, which may compile kernels, is not timed
    #[arg(long, default_value_t = 10)]
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
    let config = parity::config(options.size, options.base_channels, options.common.seed);

    println!("Relative differences from the first backend, after {} steps:", options.steps);
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "backend", "ms a step", "forward", "gradients", "losses", "movement", "statistics"
    );
    let mut reference: Option<Outcome> = None;
    for name in names {
        let outcome = match device::named(name).and_then(|d| Outcome::of(&config, options.steps, false, &d)) {
            Ok(outcome) => outcome,
            Err(error) => {
                println!("{name:<10} {error}");
                continue;
            }
        };
        let d = outcome.difference(reference.as_ref().unwrap_or(&outcome));
        println!(
            "{name:<10} {:>10.1} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e}",
            outcome.milliseconds, d.forward, d.gradients, d.losses, d.moved, d.statistics
        );
        reference.get_or_insert(outcome);
    }
    Ok(())
}
