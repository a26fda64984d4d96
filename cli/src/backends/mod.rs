//! `pix2pix backends`: runs the same computation on every compiled backend and compares times and results.
//!
//! ```text
//! pix2pix backends --size 64 --base-channels 16
//! ```

mod parity;

use anyhow::Result;
use clap::Args;
use parity::Outcome;
use pix2pix::device;

use crate::common::Common;
use crate::output::{one_line, say};

/// Compares the speed and the results of the compiled backends
///
/// Each backend computes a forward pass, the gradients of both networks and some training steps. Weights and noise are
/// drawn on the host, so the results differ only by rounding.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Side of the images in pixels
    #[arg(long, default_value_t = 64, help_heading = WORK)]
    size: usize,
    /// Channels of the first layer of both networks
    #[arg(long, default_value_t = 16, help_heading = WORK)]
    base_channels: usize,
    /// Training steps; the first, which may compile kernels, is not timed
    #[arg(long, default_value_t = 10, help_heading = WORK)]
    steps: usize,
    #[command(flatten)]
    common: Common,
}

const WORK: &str = "Computation";

pub(crate) fn run(options: &Options) -> Result<()> {
    let names = match &options.common.compute.backend {
        Some(name) => vec![name.as_str()],
        None => device::compiled(),
    };
    let config = parity::config(options.size, options.base_channels, options.common.seed);

    say!("Relative differences from the first backend, after {} steps:", options.steps);
    say!(
        "{:<10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "backend",
        "ms/step",
        "forward",
        "gradients",
        "losses",
        "parameters",
        "statistics"
    );
    let mut reference: Option<Outcome> = None;
    for name in names {
        let outcome = match device::named(name).and_then(|d| Outcome::of(&config, options.steps, false, &d)) {
            Ok(outcome) => outcome,
            Err(error) => {
                say!("{name:<10} {}", one_line(&error.into()));
                continue;
            }
        };
        let d = outcome.difference(reference.as_ref().unwrap_or(&outcome));
        say!(
            "{name:<10} {:>10.1} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e}",
            outcome.milliseconds,
            d.forward,
            d.gradients,
            d.losses,
            d.moved,
            d.statistics
        );
        reference.get_or_insert(outcome);
    }
    Ok(())
}
