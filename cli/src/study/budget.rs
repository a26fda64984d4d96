//! How large a study fits into the time there is: a few steps are timed, then sizes and steps are chosen.

use std::time::Instant;

use burn::tensor::Distribution;
use pix2pix::data::Batch;
use pix2pix::{Device, Pix2PixConfig, Result, Tensor, Trainer};

use super::table;

/// Pixels and base channels to try, the largest first.
const SHAPES: [(usize, usize); 6] = [(256, 64), (128, 64), (128, 32), (64, 32), (64, 16), (32, 8)];
/// A run of fewer steps shows little; rather smaller pictures than that.
const FEWEST: u64 = 2000;
/// The share of the time that steps may take; scoring, saving and pages need the rest.
const SHARE: f64 = 0.8;
/// The share of the time that all runs may take, where a machine turns out slower than it was when it was timed; pages
/// and the pairs that are drawn need the rest.
pub(crate) const RUNS: f64 = 0.92;

/// Steps as they are, or as many whole epochs as are in them where there is one.
pub(crate) fn whole_epochs(steps: u64, batches: u64) -> u64 {
    if steps < batches { steps } else { steps / batches * batches }
}

/// Pixels, base channels and steps of each of `runs` runs, for `seconds` in all.
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
        let each = seconds * SHARE / runs as f64;
        let steps = each / step_time(size, channels, each / FEWEST as f64, device)?;
        chosen = (size, channels, (steps as u64).max(1));
        if chosen.2 >= FEWEST {
            break;
        }
    }
    Ok(chosen)
}

/// Seconds that one step of L1+cGAN takes: the median of five, after one to warm up. A first step that takes more than
/// four times what is `allowed` speaks for the rest.
fn step_time(size: usize, channels: usize, allowed: f64, device: &Device) -> Result<f64> {
    let mut config = Pix2PixConfig::paper().with_size(size);
    (config.generator.base_channels, config.discriminator.base_channels) = (channels, channels);
    config.discriminator.layers = table::layers(table::patch(size), &config.discriminator)?;
    let mut trainer = Trainer::new(config, device)?;
    let uniform = Distribution::Uniform(-1.0, 1.0);
    let picture = Tensor::<4>::random([1, 3, size, size], uniform, device);
    let mut step = || {
        let start = Instant::now();
        trainer.step(Batch { input: picture.clone(), target: picture.clone() }).read();
        start.elapsed().as_secs_f64()
    };
    let first = step();
    if first > 4.0 * allowed {
        return Ok(first);
    }
    let mut times = [(); 5].map(|()| step());
    times.sort_by(f64::total_cmp);
    Ok(times[2])
}
