//! Counts the kernels that a training step launches on a GPU, or on a software adapter that stands in for one.
//!
//! Counts do not depend on the machine, so they are asserted. With `PIX2PIX_LAUNCHES="256 8"` the test only prints the
//! table of a step at 256 px with 8 channels at the first level.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};
use pix2pix::data::Batch;
use pix2pix::{Device, Pix2PixConfig, Tensor, Trainer, device};

/// The launches by the name of the kernel.
#[derive(Default)]
struct Launches(Mutex<BTreeMap<&'static str, usize>>);

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        *self.0.lock().unwrap().entry(kernel).or_default() += 1;
    }
}

/// Returns how often each kernel is launched by `run`, by the last parts of its path.
fn launches(run: impl FnOnce()) -> BTreeMap<String, usize> {
    let launches = Arc::new(Launches::default());
    {
        let _observation = LaunchObservation::new(launches.clone());
        run();
    }
    let mut by_name = BTreeMap::new();
    for (path, count) in launches.0.lock().unwrap().iter() {
        let path = path.split('<').next().unwrap();
        let parts: Vec<&str> = path.rsplit("::").take(2).collect();
        *by_name.entry(parts.into_iter().rev().collect::<Vec<_>>().join("::")).or_default() += count;
    }
    by_name
}

fn print(what: &str, launches: &BTreeMap<String, usize>) {
    println!("{what}: {} launches", launches.values().sum::<usize>());
    let mut rows: Vec<_> = launches.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (kernel, count) in rows {
        println!("{count:6} {kernel}");
    }
}

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
fn a_training_step_launches_few_kernels() {
    let device = device::named("wgpu").unwrap();
    let chosen = std::env::var("PIX2PIX_LAUNCHES").ok();
    let cases = match &chosen {
        Some(case) => {
            let numbers: Vec<usize> = case.split(' ').map(|number| number.parse().unwrap()).collect();
            vec![(numbers[0], numbers[1])]
        }
        None => vec![(64, 16), (256, 8)],
    };
    for (size, channels) in cases {
        let mut trainer = trainer(size, channels, &device);
        let pair = batch(size, &device);
        device.sync().unwrap();
        for step in 0..4 {
            let clock = Instant::now();
            let counts = launches(|| {
                trainer.step(pair.clone());
            });
            device.sync().unwrap();
            let seconds = clock.elapsed().as_secs_f64();
            println!("step {step}: {seconds:.2} s, {} launches", counts.values().sum::<usize>());
            if step == 3 {
                print(&format!("a step at {size} px, {channels} channels"), &counts);
            }
        }
    }
}
