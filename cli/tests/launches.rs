//! Counts the kernels that a training step launches on a GPU, or on a software adapter that stands in for one. Counts do
//! not depend on the machine, so they are asserted.
//!
//! The ignored test prints the kernels of a step, their launches and their times, with `PIX2PIX_LAUNCHES="256 8"` at 256 px
//! with 8 channels at the first level.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the command `backends` uses the rest")]
#[path = "../src/backends/launches.rs"]
mod launches;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use launches::{Usages, counted, timed, total};
use pix2pix::data::Batch;
use pix2pix::{Device, Pix2PixConfig, Tensor, Trainer, device};

/// Held by each test: launches and memory are counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// The most launches of a step of the paper's U-Net with batch 1, by the size of the images.
const BUDGETS: [(usize, usize); 2] = [(64, 380), (256, 460)];

fn trainer(size: usize, channels: usize, device: &Device) -> Trainer {
    let mut config = Pix2PixConfig::paper().with_size(size).unwrap();
    config.generator.base_channels = channels;
    config.discriminator.base_channels = channels;
    Trainer::new(config, device).unwrap()
}

fn batch(size: usize, device: &Device) -> Batch {
    let values: Vec<f32> = (0..3 * size * size).map(|i| (i as f32 * 0.013).sin()).collect();
    let image = Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, 3, size, size]);
    Batch { input: image.clone(), target: image * 0.5 }
}

#[test]
fn a_training_step_launches_few_kernels_and_tunes_none() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device::named("wgpu").unwrap();
    for (size, budget) in BUDGETS {
        let (mut trainer, pair) = (trainer(size, 8, &device), batch(size, &device));
        let mut step = || counted(|| drop(trainer.step(pair.clone())));
        let (first, second, third) = (step(), step(), step());
        println!("{size} px: {} launches, the first step {}", total(&third), total(&first));
        assert!(total(&third) <= budget, "{size} px: {third:#?}");
        assert_eq!(total(&second), total(&third));
        // The first step also creates the parameters' moments, two each. Tuning would launch each candidate many times.
        assert!(
            total(&first) <= total(&third) + 2 * third["AdamKernel"].launches + 40,
            "{size} px: {first:#?}"
        );
        // Every convolution is a matrix product.
        let is_stock = |name: &&String| name.contains("Conv");
        assert_eq!(first.keys().find(is_stock), None, "{size} px");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device::named("wgpu").unwrap();
    let losses = || {
        let (mut trainer, pair) = (trainer(32, 4, &device), batch(32, &device));
        let steps = (0..5).map(|_| trainer.step(pair.clone()).read().unwrap());
        steps.map(|losses| format!("{losses:?}")).collect::<Vec<_>>()
    };
    assert_eq!(losses(), losses());
}

#[test]
fn memory_does_not_grow() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device::named("wgpu").unwrap();
    let (mut trainer, pair) = (trainer(32, 4, &device), batch(32, &device));
    let mut used_after = |steps: usize| {
        (0..steps).for_each(|_| drop(trainer.step(pair.clone())));
        device.sync().unwrap();
        device.memory_pool_usage().unwrap()
    };
    // The pools grow a little in the first steps.
    let early = used_after(40);
    let late = used_after(100);
    assert!(late.bytes_in_use <= early.bytes_in_use, "{early:?}, then {late:?}");
    assert!(late.bytes_reserved <= early.bytes_reserved, "{early:?}, then {late:?}");
}

#[test]
#[ignore = "prints a table; asserts nothing"]
fn a_table_of_kernels() {
    let case = std::env::var("PIX2PIX_LAUNCHES").unwrap_or("256 8".to_owned());
    let numbers: Vec<usize> = case.split(' ').map(|number| number.parse().unwrap()).collect();
    let device = device::named("wgpu").unwrap();
    let (mut trainer, pair) = (trainer(numbers[0], numbers[1], &device), batch(numbers[0], &device));
    for step in 0..4 {
        let clock = Instant::now();
        let counts = counted(|| drop(trainer.step(pair.clone())));
        device.sync().unwrap();
        println!("step {step}: {:.2} s, {} launches", clock.elapsed().as_secs_f64(), total(&counts));
    }
    print(&timed(|| drop(trainer.step(pair.clone()))));
}

fn print(usages: &Usages) {
    let mut rows: Vec<_> = usages.iter().collect();
    rows.sort_by_key(|(_, usage)| std::cmp::Reverse(usage.time));
    for (kernel, usage) in rows {
        println!("{:6} {:9.3} ms {kernel}", usage.launches, usage.time.as_secs_f64() * 1e3);
    }
}
