//! Times, launches and memory of training steps on one device.

use std::time::{Duration, Instant};

use anyhow::Result;
use pix2pix::data::Batch;
use pix2pix::{Device, Pix2PixConfig, Tensor, Trainer};
use serde::Serialize;

/// The channels of the first layer of both networks whose steps are timed: the paper's.
const CHANNELS: usize = 64;
/// The timed steps of a cell.
const STEPS: usize = 20;
/// A cell times no further step after this time.
const LIMIT: Duration = Duration::from_secs(30);

/// The time of a training step of the paper's networks at one size and batch.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StepTime {
    /// Height and width in pixels.
    pub(crate) size: usize,
    pub(crate) batch: usize,
    /// The first step, which compiles kernels.
    pub(crate) first_milliseconds: f64,
    /// The median of the timed steps, each of which ends when the device has finished.
    pub(crate) milliseconds: f64,
    /// The number of timed steps, at least 1.
    pub(crate) steps: usize,
}

/// The kernels of one training step on a GPU.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) launches: usize,
    /// The time on the device.
    pub(crate) milliseconds: f64,
}

/// The memory that a device holds for training.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Steps of the earlier and the later measurement.
    pub(crate) steps: [usize; 2],
    pub(crate) bytes: [u64; 2],
}

/// Returns a trainer of the paper's recipe and a batch of noise.
pub(crate) fn setup(size: usize, channels: usize, batch: usize, device: &Device) -> Result<(Trainer, Batch)> {
    let mut config = Pix2PixConfig::paper().with_size(size)?;
    (config.generator.base_channels, config.discriminator.base_channels) = (channels, channels);
    config.data.batch_size = batch;
    let values: Vec<f32> = (0..batch * 3 * size * size).map(|i| (i as f32 * 0.013).sin()).collect();
    let image = Tensor::<1>::from_floats(values.as_slice(), device).reshape([batch, 3, size, size]);
    Ok((Trainer::new(config, device)?, Batch { input: image.clone(), target: image * 0.5 }))
}

/// Times the training steps of one cell.
pub(crate) fn step_time(size: usize, batch: usize, device: &Device) -> Result<StepTime> {
    let (mut trainer, pair) = setup(size, CHANNELS, batch, device)?;
    let mut step = || -> Result<f64> {
        let clock = Instant::now();
        trainer.step(pair.clone());
        device.sync()?;
        Ok(clock.elapsed().as_secs_f64() * 1000.0)
    };
    let first_milliseconds = step()?;
    let clock = Instant::now();
    let mut times = vec![step()?];
    while times.len() < STEPS && clock.elapsed() < LIMIT {
        times.push(step()?);
    }
    times.sort_by(f64::total_cmp);
    let milliseconds = times[times.len() / 2];
    Ok(StepTime { size, batch, first_milliseconds, milliseconds, steps: times.len() })
}

/// Returns the bytes that the device holds after some steps and after more, if it tells.
pub(crate) fn memory(
    size: usize,
    channels: usize,
    steps: [usize; 2],
    device: &Device,
) -> Result<Option<Memory>> {
    let (mut trainer, pair) = setup(size, channels, 1, device)?;
    let mut bytes = [0; 2];
    let mut done = 0;
    for (steps, bytes) in steps.into_iter().zip(&mut bytes) {
        (done..steps).for_each(|_| drop(trainer.step(pair.clone())));
        done = steps;
        device.sync()?;
        let Some(usage) = device.memory_pool_usage() else { return Ok(None) };
        *bytes = usage.bytes_reserved;
    }
    Ok(Some(Memory { steps, bytes }))
}

/// Returns the kernels of a step, those that take longest first; none for a backend of the CPU.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn kernels(size: usize, channels: usize, device: &Device) -> Result<Vec<Kernel>> {
    let (mut trainer, pair) = setup(size, channels, 1, device)?;
    // The first steps compile kernels and create Adam's moments.
    (0..2).for_each(|_| drop(trainer.step(pair.clone())));
    device.sync()?;
    let usages = super::launches::timed(|| drop(trainer.step(pair)));
    let kernel = |(name, usage): (String, super::launches::Usage)| {
        let milliseconds = usage.time.as_secs_f64() * 1000.0;
        Kernel { name, launches: usage.launches, milliseconds }
    };
    let mut kernels: Vec<Kernel> = usages.into_iter().map(kernel).collect();
    kernels.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    Ok(kernels)
}

/// Returns the kernels of a step: none without a GPU backend.
#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
pub(crate) fn kernels(_: usize, _: usize, _: &Device) -> Result<Vec<Kernel>> {
    Ok(vec![])
}
