//! `pix2pix backends`: runs the same computation on every compiled backend and compares results, times and memory.
//!
//! ```text
//! pix2pix backends --quick
//! pix2pix backends --json report.json
//! ```

mod adapter;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[allow(dead_code, reason = "a test uses the rest")]
mod launches;
mod measure;
mod parity;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use measure::{Kernel, Memory, StepTime};
use parity::{Difference, Outcome};
use pix2pix::{Device, Pix2PixConfig, device};
use serde::Serialize;

use crate::common::Common;
use crate::files;
use crate::output::{one_line, say};

/// Compares the results, the speed and the memory of the compiled backends
///
/// Each backend computes a forward pass, the gradients of both networks and some training steps; weights and noise are
/// drawn on the host, so the results differ only by rounding. Then it times steps of the paper's networks. The output is
/// what to send if a GPU is slow or wrong.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Side of the images in pixels, to compare results
    #[arg(long, default_value_t = 64, help_heading = WORK)]
    size: usize,
    /// Channels of the first layer of both networks, to compare results
    #[arg(long, default_value_t = 16, help_heading = WORK)]
    base_channels: usize,
    /// Training steps, to compare results
    #[arg(long, default_value_t = 10, help_heading = WORK)]
    steps: usize,
    /// Time only steps at 64 pixels with batch 1, and compare memory after 10 and 30 steps instead of 200
    #[arg(long, help_heading = WORK)]
    quick: bool,
    /// Also write the numbers to this file
    #[arg(long, value_name = "FILE", help_heading = WORK)]
    json: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

const WORK: &str = "Computation";
/// Sizes and batches whose steps are timed.
const CELLS: [(usize, usize); 6] = [(64, 1), (64, 4), (128, 1), (128, 4), (256, 1), (256, 4)];
/// The number of kernels that are listed.
const TOP: usize = 15;

/// All numbers of a backend.
#[derive(Debug, Serialize)]
struct Report {
    backend: String,
    adapter: Option<String>,
    /// The backend that the differences are from.
    reference: String,
    difference: Difference,
    step_times: Vec<StepTime>,
    /// Kernel launches of a training step on a GPU.
    launches: usize,
    kernels: Vec<Kernel>,
    memory: Option<Memory>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let names = match &options.common.compute.backend {
        Some(name) => vec![name.as_str()],
        None => device::compiled(),
    };
    let config = parity::config(options.size, options.base_channels, options.common.seed);
    let mut reference: Option<(String, Outcome)> = None;
    let mut reports: Vec<Report> = Vec::new();
    for name in names {
        let report = device::named(name).map_err(Into::into).and_then(|device| {
            let outcome = Outcome::of(&config, options.steps, false, &device)?;
            let (first, reference) = reference.get_or_insert_with(|| (name.to_owned(), outcome.clone()));
            let difference = outcome.difference(reference);
            report(name, first, difference, &config, options.quick, &device)
        });
        match report {
            Ok(report) => {
                print(&report, reports.first());
                reports.push(report);
            }
            Err(error) => say!("{name}: {}", one_line(&error)),
        }
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_vec_pretty(&reports)?;
        files::replace(path, &text)?;
    }
    Ok(())
}

/// Measures a backend, after its results have been compared.
fn report(
    name: &str,
    reference: &str,
    difference: Difference,
    config: &Pix2PixConfig,
    quick: bool,
    device: &Device,
) -> Result<Report> {
    let cells = if quick { &CELLS[..1] } else { &CELLS[..] };
    let (size, channels) = (config.data.crop_size.height, config.generator.base_channels);
    let kernels = measure::kernels(size, channels, device)?;
    Ok(Report {
        backend: name.to_owned(),
        adapter: adapter::of(name),
        reference: reference.to_owned(),
        difference,
        step_times: cells
            .iter()
            .map(|&(size, batch)| measure::step_time(size, batch, device))
            .collect::<Result<_>>()?,
        launches: kernels.iter().map(|kernel| kernel.launches).sum(),
        kernels,
        memory: measure::memory(size, channels, [10, if quick { 30 } else { 200 }], device)?,
    })
}

/// Prints a backend's numbers, and compares its times with those of the `first`.
fn print(report: &Report, first: Option<&Report>) {
    say!("{}{}", report.backend, report.adapter.as_ref().map_or(String::new(), |name| format!(": {name}")));
    let d = &report.difference;
    say!(
        "  largest relative differences from {}: forward pass {:.1e}, gradients {:.1e}, losses {:.1e}, change of \
         parameters {:.1e}, of running statistics {:.1e}",
        report.reference,
        d.forward,
        d.gradients,
        d.losses,
        d.moved,
        d.statistics
    );
    say!("  training step of the paper's networks:");
    for (index, cell) in report.step_times.iter().enumerate() {
        let ratio = first.map_or(String::new(), |first| {
            let theirs = first.step_times[index].milliseconds;
            format!("; {:.2} times the speed of {}", theirs / cell.milliseconds, first.backend)
        });
        say!(
            "    {} px, batch {}: {:.1} ms, median of {}; the first {:.1} s{ratio}",
            cell.size,
            cell.batch,
            cell.milliseconds,
            cell.steps,
            cell.first_milliseconds / 1000.0
        );
    }
    if !report.kernels.is_empty() {
        say!("  kernel launches a step: {}; time on the device:", report.launches);
        for kernel in report.kernels.iter().take(TOP) {
            say!("    {:9.3} ms {:5} × {}", kernel.milliseconds, kernel.launches, kernel.name);
        }
    }
    if let Some(Memory { steps, bytes }) = report.memory {
        let [early, late] = bytes.map(|bytes| bytes as f64 / 1e6);
        say!(
            "  memory on the device: {early:.0} MB after {} steps, {late:.0} MB after {}",
            steps[0],
            steps[1]
        );
    }
}
