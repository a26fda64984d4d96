//! Times a few steps and chooses sizes and steps of a study that fit into a given time.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Distribution;
use pix2pix::data::Batch;
use pix2pix::{Device, Pix2PixConfig, Tensor, Trainer};

use super::table;

/// Pixels and base channels to try, the largest first.
const SHAPES: [(usize, usize); 6] = [(256, 64), (128, 64), (128, 32), (64, 32), (64, 16), (32, 8)];
/// The smallest useful number of steps of a run. If fewer fit, smaller images are chosen.
const MIN_STEPS: u64 = 2000;
/// The fraction of the time for training steps; metrics, saving and pages take the rest.
const STEPS_FRACTION: f64 = 0.8;
/// The fraction of the time in which runs must end, because the machine may become slower after it was timed. Pages and
/// drawing the pairs take the rest.
pub(crate) const RUNS_FRACTION: f64 = 0.92;

/// Rounds steps down to whole epochs if at least one epoch fits.
pub(crate) fn whole_epochs(steps: u64, batches: u64) -> u64 {
    if steps < batches { steps } else { steps / batches * batches }
}

/// Returns pixels, base channels and steps per run, for `runs` runs that take `seconds` together.
pub(crate) fn fit(
    seconds: f64,
    runs: u64,
    [size, channels]: [Option<usize>; 2],
    device: &Device,
) -> Result<(usize, usize, u64)> {
    let suits = |shape: &&(usize, usize)| {
        size.is_none_or(|size| size == shape.0) && channels.is_none_or(|channels| channels == shape.1)
    };
    let mut shapes: Vec<(usize, usize)> = SHAPES.iter().filter(suits).copied().collect();
    if shapes.is_empty() {
        shapes.push((size.unwrap_or(64), channels.unwrap_or(32)));
    }
    let mut chosen = (0, 0, 0);
    for (size, channels) in shapes {
        let each = seconds * STEPS_FRACTION / runs as f64;
        let steps = each / step_time(size, channels, each / MIN_STEPS as f64, device)?;
        chosen = (size, channels, (steps as u64).max(1));
        if chosen.2 >= MIN_STEPS {
            break;
        }
    }
    Ok(chosen)
}

/// Returns the seconds of one step of L1+cGAN: the median of five after one warm-up step, or the time of the warm-up
/// step if it is more than four times as long as `allowed`.
fn step_time(size: usize, channels: usize, allowed: f64, device: &Device) -> Result<f64> {
    let mut config = Pix2PixConfig::paper().with_size(size)?;
    (config.generator.base_channels, config.discriminator.base_channels) = (channels, channels);
    config.discriminator.layers = table::layers(table::patch(size), &config.discriminator)?;
    let mut trainer = Trainer::new(config, device)?;
    let uniform = Distribution::Uniform(-1.0, 1.0);
    let image = Tensor::<4>::random([1, 3, size, size], uniform, device);
    let mut step = || -> Result<f64> {
        let start = Instant::now();
        trainer.step(Batch { input: image.clone(), target: image.clone() }).read()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = step()?;
    if first > 4.0 * allowed {
        return Ok(first);
    }
    let mut times = [step()?, step()?, step()?, step()?, step()?];
    times.sort_by(f64::total_cmp);
    Ok(times[2])
}
